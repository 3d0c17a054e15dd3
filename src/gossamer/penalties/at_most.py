"""AtMost: a budget of units, in place of a price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral

import numpy as np

from gossamer.core.budget import Budget
from gossamer.core.registry import JOINT_PENALTIES
from gossamer.core.structure import Structure
from gossamer.core.units import Units
from gossamer.core.validation import finite_number
from gossamer.structures import Elements


@JOINT_PENALTIES.register
@dataclass(frozen=True)
class AtMost(Budget):
    r"""At most ``k`` units are not zero: best-subset selection.

    .. math:: \Omega(w) = \tfrac12\, \text{ridge}\, \|w\|^2 \quad\text{if}\quad
              \#\{u : w_u \ne 0\} \le k, \qquad \infty \text{ otherwise}

    Parameters
    ----------
    k : int >= 0
        Number of units that may be in use. Any number fits; from all units on there is no limit.
    on : Structure, default Elements()
        What a unit is: features, groups, the rows of several outputs.
    ridge : float >= 0, default 0.0
        Shrinks what is selected, which pays where the signal is weak, and keeps coefficients
        finite where classes are separable.
    nonnegative : bool, default False
        Allow coefficients >= 0 only.

    Raises
    ------
    ValueError
        When ``k`` is no whole number from zero on, or ``on`` has no units among the coefficients.

    Notes
    -----
    A budget has no strength: ``with_k`` takes the place of ``with_strength``, and paths run over
    ``k``. It is never convex.

    References
    ----------
    Blumensath and Davies (2009), Iterative hard thresholding for compressed sensing.
    Zhu, Wen, Zhu, Zhang and Wang (2020), A polynomial algorithm for best-subset selection problem.
    Mazumder, Radchenko and Dedieu (2023), Subset selection with shrinkage: sparse linear modeling
    when the SNR is low.

    Examples
    --------
    >>> import numpy as np
    >>> AtMost(2).prox(np.array([3.0, -0.5, 1.0]), step=1.0)
    array([3., 0., 1.])
    >>> AtMost(2).value(np.array([3.0, -0.5, 1.0]))
    inf
    """

    k: int
    on: Structure = field(default_factory=Elements, kw_only=True)
    ridge: float = field(default=0.0, kw_only=True)
    nonnegative: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.k, Integral) or isinstance(self.k, bool) or self.k < 0:
            raise ValueError(f"AtMost: k must be a whole number >= 0, got {self.k!r}.")
        if self.on.is_spectral:
            raise ValueError(f"AtMost: on must have units among the coefficients, not {self.on!r}.")
        finite_number(self.ridge, "AtMost: ridge", 0.0)
        object.__setattr__(self, "k", int(self.k))

    # -- the budget ------------------------------------------------------------------------------
    def with_k(self, k: int) -> AtMost:
        return replace(self, k=k)

    def units(self, shape: tuple[int, ...]) -> Units:
        return self.on.units(shape)

    def value(self, w: np.ndarray) -> float:
        w = np.asarray(w, dtype=float)
        if (self.nonnegative and (w < 0).any()) or np.count_nonzero(self.sizes(w)) > self.k:
            return np.inf
        return 0.5 * self.ridge * float(np.vdot(w, w))

    def prox(self, v: np.ndarray, step: float | np.ndarray) -> np.ndarray:
        """The ``k`` units that gain most, shrunk by the ridge; ``step`` is one number or one a
        unit. First ones win ties."""
        v = np.asarray(v, dtype=float)
        v = np.maximum(v, 0.0) if self.nonnegative else v
        units = self.units(v.shape)
        steps = np.broadcast_to(np.asarray(step, dtype=float), (units.count,))
        bends = 1 + steps * self.ridge
        # half the square of this is what a unit gains over zero
        gains = units.norms(v) / np.sqrt(steps * bends)
        kept = np.zeros(units.count)
        best = largest(gains, self.k)
        kept[best] = 1 / bends[best]
        return v * units.spread(kept).reshape(v.shape) + 0.0

    def subdiff_distance(self, w: np.ndarray, grad: np.ndarray) -> np.ndarray:
        """On the support the gradient of loss and ridge; elsewhere nothing when all ``k`` units
        are in use, and the gradient otherwise."""
        w = np.asarray(w, dtype=float)
        rest = np.asarray(grad, dtype=float) + self.ridge * w
        if self.nonnegative:
            rest = np.where(w > 0, rest, np.minimum(rest, 0.0))
        distances, used = self.units(w.shape).norms(rest), self.sizes(w) > 0
        return np.where(used | (used.sum() < self.k), distances, 0.0)

    # -- manners ---------------------------------------------------------------------------------
    def resolve(self, feature_names: Sequence[str] | None) -> AtMost:
        structure = self.on.resolve(feature_names)
        return self if structure is self.on else replace(self, on=structure)

    def sizes(self, w: np.ndarray) -> np.ndarray:
        return self.units(np.shape(w)).norms(w)

    def unit_form(self, shape: tuple[int, ...]) -> None:
        """``None``: the units share the budget. Raises when the structure does not fit."""
        self.units(shape)


def largest(gains: np.ndarray, k: int) -> np.ndarray:
    """Positions of the ``k`` largest numbers above zero, in order; first ones win ties."""
    if k >= len(gains):
        return np.flatnonzero(gains)
    level = np.partition(gains, len(gains) - k)[len(gains) - k] if k > 0 else np.inf
    above = np.flatnonzero(gains > level)
    ties = np.flatnonzero((gains == level) & (gains > 0))[: k - len(above)]
    return np.sort(np.concatenate([above, ties]))
