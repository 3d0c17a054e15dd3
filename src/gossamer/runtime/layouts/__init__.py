"""Layouts: how a sparse weight lies in memory. One file each."""

from gossamer.runtime.layouts.bfloat16 import DenseBfloat16
from gossamer.runtime.layouts.blocks import BlockRows
from gossamer.runtime.layouts.by_columns import ByColumns
from gossamer.runtime.layouts.condensed import Condensed
from gossamer.runtime.layouts.csr import CSR
from gossamer.runtime.layouts.dense import Dense
from gossamer.runtime.layouts.n_of_m import PackedNofM
from gossamer.runtime.layouts.shrunk import Shrunk
from gossamer.runtime.layouts.sliced import SlicedRows
from gossamer.runtime.layouts.tiled import TiledCSR

__all__ = [
    "CSR",
    "BlockRows",
    "ByColumns",
    "Condensed",
    "Dense",
    "DenseBfloat16",
    "PackedNofM",
    "Shrunk",
    "SlicedRows",
    "TiledCSR",
]
