"""Runtime: sparse models that run fast on the machine they are on."""

from importlib import import_module
from typing import Any

_HOMES = {
    "compiling": ("compile",),
    "compile_report": ("CompileReport", "report"),
    "layout_module": ("LayoutModule",),
    "candidates.linear": ("RuntimeLinear",),
    "layout": ("LAYOUTS", "Layout"),
    "layouts": (
        "CSR",
        "TiledCSR",
        "BlockRows",
        "ByColumns",
        "SlicedRows",
        "Condensed",
        "PackedNofM",
        "Dense",
        "DenseBfloat16",
        "Shrunk",
    ),
    "product": ("Bounds",),
    "training_linear": ("SparseLinear",),
    "training_models": ("sparse_training", "to_dense"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
