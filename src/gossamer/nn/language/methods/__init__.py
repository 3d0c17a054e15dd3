"""Methods of one-shot pruning, layer by layer. One file each."""

from gossamer.nn.language.methods.admm import ADMM
from gossamer.nn.language.methods.dsnot import DSnoT
from gossamer.nn.language.methods.gqsa import GQSA
from gossamer.nn.language.methods.lasso import Lasso
from gossamer.nn.language.methods.magnitude import Magnitude
from gossamer.nn.language.methods.reconstruction import Reconstruction
from gossamer.nn.language.methods.shrunk import Shrunk
from gossamer.nn.language.methods.smooth import Smooth
from gossamer.nn.language.methods.sparsegpt import SparseGPT
from gossamer.nn.language.methods.wanda import Wanda

__all__ = [
    "ADMM",
    "GQSA",
    "DSnoT",
    "Lasso",
    "Magnitude",
    "Reconstruction",
    "Shrunk",
    "Smooth",
    "SparseGPT",
    "Wanda",
]
