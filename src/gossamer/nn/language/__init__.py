"""Language models: made sparse, tuned sparse, and run sparse."""

from gossamer._lazy import lazy

# Each name is imported at its first use.
_HOMES = {
    "tokens": ("tokens_of",),
    "tuning.adapter": ("Adapter",),
    "tuning.slope": ("SLoPe",),
    "tuning.spp": ("SPP",),
    "tuning.training": ("Tuned", "fine_tune"),
    "tuning.update_sparsity": ("UpdateSparsity", "update_sparsity"),
}

__getattr__, __dir__, __all__ = lazy(__name__, _HOMES)
