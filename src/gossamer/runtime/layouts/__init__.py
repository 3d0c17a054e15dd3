"""Layouts: how a sparse weight lies in memory. One file each."""

from gossamer.runtime.layouts.blocks import BlockRows
from gossamer.runtime.layouts.csr import CSR

__all__ = ["CSR", "BlockRows"]
