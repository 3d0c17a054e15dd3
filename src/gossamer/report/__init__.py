"""Seeing a fit: plots, one-file HTML reports, terminal summaries and progress.

Everything is drawn from plain arrays, so that a plot can be made of any path or coefficient vector.
The drawing libraries load on the first use of a name, never on import.
"""

from gossamer._lazy import lazy

# Not lazy, because its module has the same name and would shadow it; it imports nothing heavy.
from gossamer.report.progress import progress

_HOMES = {
    "summary": ("FitSummary",),
    "html": ("render_report", "write_report"),
    "compression": ("render_compression", "write_compression"),
    "terminal": ("print_summary",),
    "options": ("FitOptions",),
    "workflow": ("FittedTable", "fit_table"),
    "plots": (
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
    ),
}

__getattr__, __dir__, __all__ = lazy(__name__, _HOMES)
__all__ += ["progress"]
