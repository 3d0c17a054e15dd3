"""Runtime: sparse models that run fast on the machine they are on."""

from importlib import import_module
from typing import Any

_HOMES = {
    "calibrating": ("calibrate",),
    "compiling": ("compile",),
    "compile_report": ("CompileReport", "report"),
    "dense_time": ("dense_seconds",),
    "layout_module": ("LayoutModule",),
    "candidates.linear": ("RuntimeLinear",),
    "convolution": ("RuntimeConv1d", "RuntimeConv2d"),
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
    "training_models": ("sparse_training",),
    "activation_sparsity": ("activation_zeros", "sparsify_activations"),
    "skipping_linear": ("SkippingLinear",),
    "spot_convolution": ("SpotConv2d",),
    "interop": (
        "export_onnx",
        "from_scipy",
        "from_torch",
        "to_dense",
        "to_scipy",
        "to_torch_csr",
    ),
    "semi_structured": (
        "bitmask_state",
        "from_bitmask",
        "pack_two_of_four",
        "state_of_bitmasks",
        "to_bitmask",
        "to_semi_structured",
        "unpack_two_of_four",
    ),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
