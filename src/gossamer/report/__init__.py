"""Seeing a fit: plots, one-file HTML reports, terminal summaries and progress.

Everything is drawn from plain arrays, so that a plot can be made of any path or coefficient vector.
The drawing libraries load on the first use of a name, never on import.
"""

from importlib import import_module
from typing import Any

# Not lazy, because its module has the same name and would shadow it; it imports nothing heavy.
from gossamer.report.progress import progress

_HOMES = {
    "summary": ("FitSummary",),
    "html": ("render_report", "write_report"),
    "terminal": ("print_summary",),
    "options": ("FitOptions",),
    "workflow": ("FittedTable", "fit_table"),
    "plots": (
        "plot_calibration",
        "plot_coefficients",
        "plot_compiled",
        "plot_confusion",
        "plot_cv",
        "plot_layers",
        "plot_masks",
        "plot_path",
        "plot_predicted",
        "plot_residuals",
        "plot_stability",
        "plot_tradeoff",
    ),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["progress", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
