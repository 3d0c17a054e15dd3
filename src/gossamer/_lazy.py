"""Public names resolved on first use, so that ``import gossamer`` loads almost nothing."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

_ROOMS = (
    "losses",
    "penalties",
    "structures",
    "solvers",
    "linear",
    "nn",
    "runtime",
    "report",
    "testing",
)

_HOMES = {
    "core": ("Problem", "Result", "Certificate", "ConvergenceWarning", "UnsupportedProblem"),
    "structures": (
        "Blocks",
        "Channels",
        "Elements",
        "FanIn",
        "Groups",
        "Heads",
        "Layers",
        "NofM",
        "Rows",
        "Spectrum",
    ),
    "penalties": (
        "L1",
        "ElasticNet",
        "Lq",
        "Gates",
        "Overlaps",
        "MCP",
        "SCAD",
        "LogSum",
        "GroupEnvelope",
    ),
    "linear": (
        "Lasso",
        "LassoCV",
        "ElasticNetCV",
        "GroupLasso",
        "GroupLassoCV",
        "SparseGroupLasso",
        "SparseGroupLassoCV",
        "MultiTaskLasso",
        "MultiTaskLassoCV",
        "MCPRegressor",
        "MCPRegressorCV",
        "SCADRegressor",
        "SCADRegressorCV",
        "SparseLogistic",
        "SparseLogisticCV",
        "SparsePoisson",
        "SparsePoissonCV",
        "SparseModel",
        "SparseModelCV",
        "TableEncoder",
        "save",
        "load",
    ),
    "runtime": ("compile",),
}


def install(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """The ``__getattr__``, ``__dir__`` and ``__all__`` of a package whose names load lazily."""
    home = {name: room for room, names in _HOMES.items() for name in names}
    public = sorted({*home, *_ROOMS, "__version__"})

    def __getattr__(name: str) -> Any:
        if name in _ROOMS:
            return import_module(f"{package}.{name}")
        if name in home:
            return getattr(import_module(f"{package}.{home[name]}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return public

    return __getattr__, __dir__, public
