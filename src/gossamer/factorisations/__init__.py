"""Smooth forms of penalties: a weight as a function of factors, one file a kind."""

from gossamer.factorisations.build import factorise_gates, factorise_overlaps, factorise_power
from gossamer.factorisations.difference import Difference
from gossamer.factorisations.harmonic import Harmonic
from gossamer.factorisations.latent import Latent
from gossamer.factorisations.product import Level, Product
from gossamer.factorisations.ridged import Ridged
from gossamer.factorisations.spectral import MatrixProduct

__all__ = [
    "Difference",
    "Harmonic",
    "Latent",
    "Level",
    "MatrixProduct",
    "Product",
    "Ridged",
    "factorise_gates",
    "factorise_overlaps",
    "factorise_power",
]
