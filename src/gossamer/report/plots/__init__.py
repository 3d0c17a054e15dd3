"""One function a plot: arrays and an optional `matplotlib.axes.Axes` in, the axes out.

Figures are made without pyplot: no window, no global state, safe in threads.
"""

from gossamer.report.plots.bandits import plot_regret
from gossamer.report.plots.blocks import plot_block_errors, plot_block_sparsity
from gossamer.report.plots.compiled import plot_compiled
from gossamer.report.plots.effects import plot_effects
from gossamer.report.plots.features import plot_coefficients, plot_stability
from gossamer.report.plots.inference import plot_intervals, plot_knockoffs, plot_stability_path
from gossamer.report.plots.masks import plot_masks
from gossamer.report.plots.networks import plot_layers, plot_tradeoff
from gossamer.report.plots.path import plot_cv, plot_path
from gossamer.report.plots.predictions import (
    plot_calibration,
    plot_confusion,
    plot_predicted,
    plot_residuals,
)
from gossamer.report.plots.survival import plot_hazard, plot_survival

__all__ = [
    "plot_block_errors",
    "plot_block_sparsity",
    "plot_calibration",
    "plot_coefficients",
    "plot_compiled",
    "plot_confusion",
    "plot_cv",
    "plot_effects",
    "plot_hazard",
    "plot_intervals",
    "plot_knockoffs",
    "plot_layers",
    "plot_masks",
    "plot_path",
    "plot_predicted",
    "plot_regret",
    "plot_residuals",
    "plot_stability",
    "plot_stability_path",
    "plot_survival",
    "plot_tradeoff",
]
