"""Sparse training of PyTorch modules."""

from gossamer._lazy import lazy

# Each name is imported at its first use: the parts are many, and a user needs few at a time.
_HOMES = {
    "gates": ("ExpectedL0", "HardConcrete"),
    "subgradient": ("subgradient_penalty",),
    "ticket_search": ("TicketSearch",),
    "top_k": ("TopK",),
    "bidirectional": ("Bidirectional",),
    "learned_thresholds": ("LearnedThresholds",),
    "divergence": ("mask_divergence",),
    "transposable": ("transposable_mask",),
    "iso_flops": ("IsoFlop", "iso_flop", "SparseDoped", "SparseFactorised", "SparseParallel"),
    "continual": ("TaskMasks",),
    "course": ("cubic",),
    "keep": ("Keep",),
    "proximal": ("Proximal",),
    "sparse": ("Sparse",),
    "sparsifying": ("sparsify",),
    "controller": ("Target",),
    "schedules": ("Constant", "Cosine", "Geometric", "Stages", "WarmUp"),
    "finalise": ("Finalised",),
    "strength_path": ("Path", "path"),
    "attribution": ("moreau_grad",),
    "edge_trimming": ("edge_scores", "trim_edges"),
    "embeddings": (
        "FlopsPenalty",
        "flops_penalty",
        "inverse_document_frequency",
        "RetrievalCost",
        "retrieval_cost",
    ),
    "implicit_bias": ("DiagonalLinear", "diagonal_sgd", "sensing_descent"),
    "gradient_regularisation": ("GradientRegularisation",),
    "fish_mask_training": ("FishMask", "fish_mask"),
    "flops": ("uses",),
    "graph": ("ChannelGroup", "coupled_channels", "coupled_heads"),
    "fewer_heads": ("FewerHeadsAttention",),
    "model_files": ("load_model", "save_model"),
    "inverse_fisher": ("InverseFisher", "SlidingInverseFisher"),
    "mfac_optimiser": ("MFACDescent",),
    "layer_table": ("Summary", "summary"),
    "comparison": ("Comparison", "compare"),
    "linearising": ("Bend", "average_path_length", "bendable"),
    "regularisers": ("HyperSparse", "MaskSparsity", "RelevanceShrinkage"),
    "fairness": ("ExcessGaps", "group_accuracies"),
    "inner_distillation": ("InnerDistillation",),
    "position_masks": ("MaskedConv2d", "PositionMasks"),
    "random_masks": ("random_search",),
    "timing": ("measure",),
    "models": ("LeNet5", "LeNet300", "MobileNetV2", "ResidualNet", "VisionTransformer"),
    "optimiser_state": ("shrink_optimiser",),
    "shrinking": ("Shrinkage", "shrink"),
    "soups": ("soup", "soup_pruning"),
    "trimming": ("net_trim",),
    "variational_dropout": ("VariationalDropout",),
    "pruning.masks": ("Masks",),
    "pruning.one_shot": ("prune",),
    "pruning.recipe": ("Recipe",),
    "pruning.training": ("SparseTraining",),
}

# Rooms of pieces that are named by their class, such as gs.nn.criteria.Magnitude().
_PIECES = ("allocations", "criteria", "growth", "language", "models", "pruning_schedules")

__getattr__, __dir__, __all__ = lazy(__name__, _HOMES, _PIECES)
