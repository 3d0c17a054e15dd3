"""Inference: what a selected feature means, with the promise each method keeps."""

from gossamer.linear.inference.base import Inference, SummaryTable
from gossamer.linear.inference.bounds import false_selections
from gossamer.linear.inference.debiased import DebiasedLasso
from gossamer.linear.inference.knockoffs import Knockoffs, knockoff_threshold
from gossamer.linear.inference.multi_split import MultiSplit, aggregated_p_values
from gossamer.linear.inference.multiplicity import adjusted_p_values
from gossamer.linear.inference.noise import noise_level
from gossamer.linear.inference.post_selection import PostSelection
from gossamer.linear.inference.stability import StabilitySelection

__all__ = [
    "DebiasedLasso",
    "Inference",
    "Knockoffs",
    "MultiSplit",
    "PostSelection",
    "StabilitySelection",
    "SummaryTable",
    "adjusted_p_values",
    "aggregated_p_values",
    "false_selections",
    "knockoff_threshold",
    "noise_level",
]
