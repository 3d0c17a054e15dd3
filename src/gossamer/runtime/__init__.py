"""Runtime: sparse models that run fast on the machine they are on."""

from gossamer._lazy import lazy

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
    "activation_shares": ("choose_activation_shares",),
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

__getattr__, __dir__, __all__ = lazy(__name__, _HOMES)
