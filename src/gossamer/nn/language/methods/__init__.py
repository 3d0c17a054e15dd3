"""Methods of one-shot pruning, layer by layer. One file each."""

from gossamer.nn.language.methods.magnitude import Magnitude
from gossamer.nn.language.methods.sparsegpt import SparseGPT
from gossamer.nn.language.methods.wanda import Wanda

__all__ = ["Magnitude", "SparseGPT", "Wanda"]
