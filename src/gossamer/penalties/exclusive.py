"""Exclusive lasso: coefficients of one group compete, every group keeps some."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gossamer.core.registry import JOINT_PENALTIES
from gossamer.core.structure import Structure
from gossamer.core.units import Units
from gossamer.core.validation import finite_number
from gossamer.penalties.joint import JointPenalty
from gossamer.structures import Layers


@JOINT_PENALTIES.register
@dataclass(frozen=True, repr=False)
class Exclusive(JointPenalty):
    r"""Half the squared L1 norm of every group: sparse inside of the groups, none is dropped.

    .. math:: \Omega(w) = \frac{\text{strength}}{2} \sum_g \text{weight}_g
              \Bigl(\sum_{j \in g} |w_j|\Bigr)^2

    The group lasso turned around: within a group one coefficient's size makes the others dearer,
    between groups nothing is charged but ridge. Where features come in groups of substitutes
    (sensors of one place, lags of one signal) it picks from each. A feature that is pulled at all
    is in the model unless others of its group are pulled harder, so that no strength empties a
    group: :meth:`strength_max` is infinite.

    Parameters
    ----------
    strength : float >= 0
    on : Structure, default Layers()
        The groups, ``Groups(labels)``; by default all coefficients are one.
    weights : sequence of float >= 0, default None
        A factor for each group. Zero leaves a group unpenalised.
    nonnegative : bool, default False

    References
    ----------
    Zhou, Jin and Hoi (2010), Exclusive lasso for multi-task feature selection.
    Campbell and Allen (2017), Within group variable selection through the exclusive lasso.

    Examples
    --------
    >>> import numpy as np
    >>> from gossamer.structures import Groups
    >>> penalty = Exclusive(1.0, on=Groups(["a", "a", "b"]))
    >>> penalty.value(np.array([1.0, -2.0, 2.0]))
    6.5
    >>> penalty.prox(np.array([1.0, -4.0, 2.0]), step=1.0)
    array([ 0., -2.,  1.])
    """

    strength: float
    on: Structure = field(default_factory=Layers, kw_only=True)

    def __post_init__(self) -> None:
        finite_number(self.strength, "Exclusive: strength", 0.0)
        super().__post_init__()

    def value(self, w: np.ndarray) -> float:
        w = np.asarray(w, dtype=float)
        if self.nonnegative and (w < 0).any():
            return np.inf
        units, rates = self._rates(w.shape)
        return float(rates @ _sums(units, np.abs(w)) ** 2) / 2

    def sizes(self, w: np.ndarray) -> np.ndarray:
        return np.abs(np.ravel(w))

    def prox(self, v: np.ndarray, step: float | np.ndarray) -> np.ndarray:
        """The minimiser, a soft threshold of its own for each group; ``step`` is one number or one
        a group. Sorts the coefficients once."""
        v = np.asarray(v, dtype=float)
        if self.nonnegative:
            v = np.maximum(v, 0.0)
        units, rates = self._rates(v.shape)
        thresholds = _thresholds(units, np.abs(np.ravel(v)), rates * step)
        spread = units.spread(thresholds).reshape(v.shape)
        # adding zero turns -0.0 into 0.0
        return np.sign(v) * np.maximum(np.abs(v) - spread, 0.0) + 0.0

    def subdiff_distance(self, w: np.ndarray, grad: np.ndarray) -> np.ndarray:
        units, rates = self._rates(np.shape(w))
        w, grad = np.ravel(np.asarray(w, dtype=float)), np.ravel(np.asarray(grad, dtype=float))
        slopes = units.spread(rates * _sums(units, np.abs(w)))
        pull = np.maximum(-grad, 0.0) if self.nonnegative else np.abs(grad)
        at_zero = np.maximum(pull - slopes, 0.0)
        return np.where(w == 0, at_zero, np.abs(grad + slopes * np.sign(w)))

    def conjugate(self, z: np.ndarray) -> float:
        """Half the sum of the groups' squared largest entries, each over strength times weight."""
        largest, rates = self._largest(z)
        if largest[rates == 0].any():
            return np.inf
        charged = rates > 0
        return float((largest[charged] ** 2 / rates[charged]).sum() / 2)

    def dual_scale(self, z: np.ndarray) -> float:
        largest, rates = self._largest(z)
        return 0.0 if largest[rates == 0].any() else 1.0

    def strength_max(self, grad0: np.ndarray) -> float:
        """Infinite unless the gradient is zero: near zero a square costs nothing."""
        largest, _ = self._largest(-np.asarray(grad0, dtype=float))
        return np.inf if largest[self._weighted_units(np.shape(grad0))[1] > 0].any() else 0.0

    def free(self, shape: tuple[int, ...]) -> np.ndarray:
        units, rates = self._rates(shape)
        return units.spread(rates == 0).reshape(shape)

    def _rates(self, shape: tuple[int, ...]) -> tuple[Units, np.ndarray]:
        units, weights = self._weighted_units(shape)
        return units, self.strength * weights

    def _largest(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n_groups,) largest modulus in each group, and the rates."""
        z = np.asarray(z, dtype=float)
        sizes = np.ravel(np.maximum(z, 0.0) if self.nonnegative else np.abs(z))
        units, rates = self._rates(z.shape)
        return np.maximum.reduceat(sizes[units.order], units.starts[:-1]), rates


def _sums(units: Units, sizes: np.ndarray) -> np.ndarray:
    return np.bincount(units.labels, np.ravel(sizes), units.count)


def _thresholds(units: Units, sizes: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """(n_groups,) the tau with ``tau = rate * sum_j max(size_j - tau, 0)`` in each group.

    With the k largest above it that is ``rate * their sum / (1 + rate k)``.
    """
    labels = units.labels
    largest = np.maximum.reduceat(sizes[units.order], units.starts[:-1])
    # shares of the largest: sums over all groups then lose nothing of the small ones
    shares = np.divide(sizes, largest[labels], out=np.zeros_like(sizes), where=sizes > 0)
    order = np.lexsort((-shares, labels))
    starts, rate = units.starts[:-1], np.repeat(rates, units.lengths)
    sums = np.cumsum(shares[order])
    sums -= np.repeat(sums[starts] - shares[order][starts], units.lengths)
    places = np.arange(len(order)) - np.repeat(starts, units.lengths) + 1
    above = np.empty(len(order), dtype=bool)
    above[order] = shares[order] * (1 + rate * places) > rate * sums
    total = np.bincount(labels, np.where(above, sizes, 0.0), units.count)
    return rates * total / (1 + rates * np.bincount(labels, above, units.count))
