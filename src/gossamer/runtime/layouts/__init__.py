"""Layouts: how a sparse weight lies in memory. One file each."""

from gossamer.runtime.layouts.blocks import BlockRows
from gossamer.runtime.layouts.csr import CSR
from gossamer.runtime.layouts.tiled import TiledCSR

__all__ = ["CSR", "BlockRows", "TiledCSR"]
