"""Sparse fine-tuning: adapters that change frozen linear layers. One file each."""

from gossamer.nn.language.tuning.slope import SLoPe
from gossamer.nn.language.tuning.spp import SPP

__all__ = ["SPP", "SLoPe"]
