"""Sparse fine-tuning: adapters that change frozen linear layers. One file each."""

from gossamer.nn.language.tuning.group_sparse import GroupSparseLoRA
from gossamer.nn.language.tuning.s2ft import S2FT
from gossamer.nn.language.tuning.slope import SLoPe
from gossamer.nn.language.tuning.sparse_lora import SparseLoRA
from gossamer.nn.language.tuning.spp import SPP

__all__ = ["S2FT", "SPP", "GroupSparseLoRA", "SLoPe", "SparseLoRA"]
