r"""Latent groups: a weight as a sum of parts, one a group, the groups overlapping.

    w = sum_g E_g(gamma_g u_g),   R = strength / 2 * sum_g lambda_g (|u_g|^2 + gamma_g^2)

induces the latent group lasso ``min { sum_g lambda_g |v_g| : sum_g E_g v_g = w }``: supports are
unions of groups, where those of :class:`Harmonic` are complements of unions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Self

import numpy as np
from scipy import sparse

from gossamer.core.factorisation import Factorisation, Factors, root_mean_square
from gossamer.core.validation import finite_number
from gossamer.factorisations.cells import array_like, index_like, unit_weights

# Newton's steps, of which the last ones gain what rounding hides
_STEPS, _IDLE, _ROUNDING = 200, 2, 1e-15
# a group so near to zero goes there where that is downhill; what makes groups that see the same
# entries independent
_NEAR, _FLOOR = 1e-9, 1e-10
# entries of a table of members that is not worth being sparse
_SMALL = 100_000


@dataclass(frozen=True, eq=False)
class Latent(Factorisation):
    """The exact smooth form of the latent overlapping group lasso.

    Parameters
    ----------
    strength : float
    shape : of the weight
    groups : sequence of arrays of flat positions
        Every entry must be in one group or more.
    weights : (n_groups,), default None
        lambda.

    References
    ----------
    Obozinski, Jacob and Vert (2011), Group lasso with overlaps: the latent group lasso approach.

    Examples
    --------
    Two groups that share an entry; the second explains this weight alone:

    >>> form = Latent(1.0, (3,), ([0, 1], [1, 2]))
    >>> round(form.value(np.array([0.0, 3.0, 4.0])), 6)
    5.0
    """

    strength: float
    shape: tuple[int, ...]
    groups: Sequence[Sequence[int] | np.ndarray]
    weights: np.ndarray | None = None
    _known: dict = field(default_factory=dict, repr=False)
    # flat positions of the members, group after group, and the group of each
    positions: np.ndarray = field(init=False, repr=False)
    owners: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        members = [np.asarray(group, dtype=np.intp) for group in self.groups]
        # now, as a compiler of tensors cannot
        positions = np.concatenate(members) if members else np.zeros(0, dtype=np.intp)
        object.__setattr__(self, "positions", positions)
        owners = np.repeat(np.arange(len(members)), [group.size for group in members])
        object.__setattr__(self, "owners", owners)
        if any(len(np.unique(group)) != group.size for group in members):
            raise ValueError("Latent: groups must list each of their entries once.")
        if not members or not np.array_equal(np.unique(self.positions), np.arange(self.size)):
            raise ValueError(
                f"Latent: groups must cover the {self.size} entries of a weight of shape "
                f"{self.shape}, and no others; give lone entries a group of their own."
            )
        finite_number(self.strength, "Latent: strength", 0.0)
        if not (unit_weights(self._strengths, len(members), "Latent") > 0).all():
            raise ValueError("Latent: weights must be > 0; a free group would free its entries.")

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def _strengths(self) -> np.ndarray:
        count = len(self.groups)
        return np.ones(count) if self.weights is None else np.asarray(self.weights, dtype=float)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((len(self.positions),), (len(self.groups),))

    def expand(self, factors: Factors) -> Any:
        u, gates = self.as_factors(factors)
        parts = u * gates[index_like(self.owners, gates, self._tensors("owners"))]
        if isinstance(parts, np.ndarray):
            return np.bincount(self.positions, parts, self.size).reshape(self.shape)
        positions = index_like(self.positions, parts, self._tensors("positions"))
        return parts.new_zeros(self.size).index_add(0, positions, parts).reshape(self.shape)

    def penalty(self, factors: Factors) -> Any:
        u, gates = self.as_factors(factors)
        weights = array_like(self._strengths, gates, self._tensors("weights"))
        owned = weights[index_like(self.owners, gates, self._tensors("owners"))]
        return self.strength / 2 * ((owned * u * u).sum() + (weights * gates * gates).sum())

    def shares(self, factors: Factors) -> Any:
        u, gates = self.as_factors(factors)
        weights = array_like(self._strengths, gates, self._tensors("weights"))
        owned = weights[index_like(self.owners, gates, self._tensors("owners"))]
        held = self.strength * owned * u * u
        if isinstance(held, np.ndarray):
            return np.bincount(self.positions, held, self.size).reshape(self.shape)
        positions = index_like(self.positions, held, self._tensors("positions"))
        return held.new_zeros(self.size).index_add(0, positions, held).reshape(self.shape)

    def _tensors(self, name: str) -> dict:
        return self._known.setdefault(name, {})

    def value(self, w: np.ndarray) -> float:
        return float(self.penalty(self.balanced(w)))

    def balanced(self, w: np.ndarray) -> Factors:
        w = self.as_weight(w)
        return self._factors(w, self._group_sizes(w))

    def start(self, w: np.ndarray, spread: float | None = None) -> Factors:
        w = self.as_weight(w)
        spread = root_mean_square(w) ** 0.5 if spread is None else spread
        return self._factors(w, self._norms(np.square(np.ravel(w))) + spread**2)

    def _factors(self, w: np.ndarray, sizes: np.ndarray) -> Factors:
        """Factors whose gates are the roots of ``sizes``; entries are shared in proportion."""
        shares = sizes / self._strengths
        total = np.bincount(self.positions, shares[self.owners], self.size)
        parts = np.ravel(w)[self.positions] * shares[self.owners]
        total = np.where(total > 0, total, 1.0)[self.positions]
        gates = np.sqrt(sizes)
        owned = gates[self.owners]
        return np.divide(parts / total, owned, out=np.zeros_like(parts), where=owned > 0), gates

    def _group_sizes(self, w: np.ndarray) -> np.ndarray:
        """(n_groups,) norms of the optimal parts, by the variational form

        min_eta  1/2 sum_i w_i^2 / (sum_{g with i} eta_g / lambda_g)  +  1/2 sum_g lambda_g eta_g
        """
        w = np.ravel(w)
        largest = float(np.abs(w).max(initial=0.0)) or 1.0
        return largest * self._strengths * self.multipliers(w / largest, self._strengths, 0.0)

    def multipliers(self, w: np.ndarray, limits: np.ndarray, shift: float) -> np.ndarray:
        """(n_groups,) those of ``|z_g| <= limits_g`` where ``<w, z> - shift / 2 |z|^2`` is largest,
        at ``z_i = w_i / (shift + sum_{g with i} mu_g)``, by projected Newton steps on

        min_{mu >= 0}  sum_i w_i^2 / (shift + sum_{g with i} mu_g)  +  sum_g limits_g^2 mu_g
        """
        squares, prices = np.square(w), np.square(limits)
        alive = squares > 0
        members, squares = self._members()[:, alive], squares[alive]
        mu, damping, idle = np.sqrt(members @ squares) / limits, 1e-3, 0
        total = shift + mu @ members
        least = float((squares / total).sum() + prices @ mu)
        for _ in range(_STEPS):
            slope = prices - members @ (squares / total**2)
            free = np.flatnonzero((mu > _NEAR * mu.max(initial=0.0)) | (slope < 0))
            some = members[free]
            bend = (some * (2 * squares / total**3)) @ some.T
            bend = bend.toarray() if sparse.issparse(bend) else bend
            bend.flat[:: len(free) + 1] *= 1 + damping
            trial = np.zeros_like(mu)
            trial[free] = np.maximum(mu[free] - np.linalg.solve(bend, slope[free]), 0.0)
            moved = shift + trial @ members
            reached = np.inf
            if moved.min(initial=np.inf) > 0:
                reached = float((squares / moved).sum() + prices @ trial)
            if reached > least * (1 + _ROUNDING):
                damping *= 10
                continue
            # what the value cannot show, the last steps still gain
            idle = idle + 1 if reached >= least * (1 - _ROUNDING) else 0
            mu, total, least, damping = trial, moved, reached, max(damping / 10, _FLOOR)
            if idle == _IDLE:
                break
        return mu

    def _members(self) -> Any:
        """(n_groups, size) which entries each group has; sparse where that is large."""
        if "members" not in self._known:
            ones, shape = np.ones(len(self.owners)), (len(self.groups), self.size)
            table = sparse.csr_array((ones, (self.owners, self.positions)), shape)
            small = self.size * len(self.groups) <= _SMALL
            self._known["members"] = table.toarray() if small else table
        return self._known["members"]

    def _norms(self, squares: np.ndarray) -> np.ndarray:
        """(n_groups,) roots of the groups' sums."""
        return np.sqrt(np.bincount(self.owners, squares[self.positions], len(self.groups)))

    def with_strength(self, strength: float) -> Self:
        return replace(self, strength=float(strength))
