"""Spectrum: the singular values of a matrix."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gossamer.core.registry import STRUCTURES
from gossamer.core.spectral import decompose, singular_values
from gossamer.core.structure import Structure
from gossamer.core.units import Units


@STRUCTURES.register
@dataclass(frozen=True)
class Spectrum(Structure):
    r"""Singular values of the coefficients as a matrix: few of them is low rank.

    A penalty on Spectrum charges each singular value by its shape,
    :math:`\Omega(W) = \sum_i \varphi(\sigma_i(W))`: L1 is the nuclear norm, the convex envelope
    of the rank. Coefficients (p, K) count as they are, weights of networks as the matrix
    (outputs, everything else).

    Singular values have no place in the coefficients: there are no masks, and penalties take
    neither ``weights`` nor ``nonnegative``.

    References
    ----------
    Fazel, Hindi and Boyd (2001), A rank minimization heuristic with application to minimum order
    system approximation.
    Lewis (1995), The convex analysis of unitarily invariant matrix functions.

    Examples
    --------
    >>> import numpy as np
    >>> Spectrum().sizes(np.array([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]]))
    array([4., 3.])
    """

    is_spectral: ClassVar[bool] = True

    def partition(self, shape: tuple[int, ...]) -> Units:
        raise ValueError(
            f"Spectrum: singular values do not split coefficients of shape {shape} into units. "
            "Use sizes(), or Rows() for features that are kept or dropped."
        )

    def sizes(self, w: np.ndarray) -> np.ndarray:
        """(min(p, K),) singular values, largest first."""
        return singular_values(np.asarray(w, dtype=float))

    def scale(self, w: np.ndarray, factors: np.ndarray) -> np.ndarray:
        """``w`` with every singular value, largest first, multiplied by its factor."""
        left, values, right = decompose(w)
        return ((left * (values * factors)) @ right).reshape(w.shape)
