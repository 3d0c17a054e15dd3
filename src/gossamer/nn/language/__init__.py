"""Language models: made sparse, tuned sparse, and run sparse."""

from gossamer._lazy import lazy

# Each name is imported at its first use.
_HOMES = {
    "activation.pro_sparse": ("ProSparse",),
    "activation.rectifying": ("Rectifier", "rectify"),
    "architectures": ("Architecture", "architecture_of"),
    "compressing": ("compress",),
    "compression": ("Compression",),
    "directories": ("CompressedDirectory", "compress_directory"),
    "files": ("load", "save"),
    "layer": ("Layer", "Solved"),
    "likelihood": ("perplexity",),
    "method": ("Method",),
    "quantisation": ("GroupQuantiser", "Quantised"),
    "refining": ("BlockTuning",),
    "removal": ("Removal", "remove"),
    "rotating": ("rotate",),
    "sharing_out": ("shares",),
    "statistics": ("InputStatistics",),
    "tokens": ("tokens_of",),
    "tuning.adapter": ("Adapter",),
    "tuning.grid_scales": ("GridScales",),
    "tuning.s2ft": ("S2FT",),
    "tuning.slope": ("SLoPe",),
    "tuning.sparse_lora": ("SparseLoRA",),
    "tuning.forgetting": ("ForgettingLoss", "class_prototypes", "forget"),
    "tuning.group_sparse": ("GroupSparseLoRA",),
    "tuning.spp": ("SPP",),
    "tuning.zeros": ("keep_zeros",),
    "tuning.training": ("Tuned", "fine_tune", "token_loss"),
    "tuning.update_sparsity": ("UpdateSparsity", "update_sparsity"),
}

# A room of pieces that are named by their class, such as gs.nn.language.methods.Wanda().
__getattr__, __dir__, __all__ = lazy(__name__, _HOMES, ("methods",))
