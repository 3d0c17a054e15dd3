"""Regularisers whose weights follow the training, for any loop."""

from gossamer.nn.regularisers.hypersparse import HyperSparse
from gossamer.nn.regularisers.mask_sparsity import MaskSparsity
from gossamer.nn.regularisers.relevance import RelevanceShrinkage
from gossamer.nn.regularisers.reweighted import Reweighted

__all__ = ["HyperSparse", "MaskSparsity", "RelevanceShrinkage", "Reweighted"]
