"""Overlapping groups: the sum of norms, and the latent group lasso."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np

from gossamer.core.errors import UnsupportedProblem
from gossamer.core.factorisation import Factorisation
from gossamer.core.loss import ROUNDING
from gossamer.core.registry import JOINT_PENALTIES
from gossamer.core.validation import finite_number
from gossamer.factorisations import Latent, factorise_overlaps
from gossamer.factorisations.cells import unit_weights
from gossamer.penalties.gated import SmoothPenalty
from gossamer.penalties.group_lists import by_position, group_lists, has_names


@JOINT_PENALTIES.register
@dataclass(frozen=True)
class Overlaps(SmoothPenalty):
    r"""Groups that share entries: a sum of norms, or the latent group lasso.

    .. math:: s \sum_g \lambda_g \|w_g\|_2
              \qquad \text{or} \qquad
              s \, \min \{ \sum_g \lambda_g \|v_g\|_2 : \sum_g v_g = w \}

    Zeros of the first are unions of groups, what the second leaves alive is. The groups of the
    latent norm cover all entries. A budget of a network (``keep``) counts and cuts single entries.

    In a table's model the latent norm is solved exactly, as a group lasso on columns that stand in
    the design once for each of their groups. The first form is for networks; of nested groups,
    :class:`~gossamer.penalties.Tree` solves it.

    Parameters
    ----------
    strength : float >= 0
    groups : sequence of sequences of flat positions in the weight, or of column names
    weights : (n_groups,), default None
        Lambda.
    latent : bool, default False
        The second form.

    References
    ----------
    Jenatton, Audibert and Bach (2011), Structured variable selection with sparsity-inducing norms.
    Obozinski, Jacob and Vert (2011), Group lasso with overlaps: the latent group lasso approach.

    Examples
    --------
    >>> import numpy as np
    >>> w = np.array([3.0, 4.0, 0.0])
    >>> Overlaps(1.0, ([0, 1], [1, 2])).value(w)
    9.0
    >>> round(Overlaps(1.0, ([0, 1], [1, 2]), latent=True).value(w), 6)
    5.0
    """

    strength: float
    groups: Any
    weights: Any = None
    latent: bool = False

    convex = True

    def __post_init__(self) -> None:
        finite_number(self.strength, "Overlaps: strength", 0.0)
        object.__setattr__(self, "groups", group_lists(self.groups, "Overlaps"))
        if self.weights is not None:
            weights = unit_weights(self.weights, len(self.groups), "Overlaps")
            object.__setattr__(self, "weights", tuple(weights.tolist()))

    def factorise(self, shape: tuple[int, ...], form: str = "auto") -> Factorisation:
        self._with_form(form)
        return self._latent(shape) if self.latent else self._norms(shape)

    def _norms(self, shape: tuple[int, ...]) -> Factorisation:
        return factorise_overlaps(self.strength, self.groups, shape, self._weights)

    def _latent(self, shape: tuple[int, ...]) -> Latent:
        """The smooth form of the latent norm, which knows where the members of groups are."""
        known: dict = self.__dict__.setdefault("_known", {})
        if shape not in known:
            known[shape] = Latent(self.strength, shape, self.groups, self._weights)
        return known[shape]

    @property
    def _weights(self) -> np.ndarray | None:
        return None if self.weights is None else np.array(self.weights)

    # -- the latent norm ---------------------------------------------------------------------------
    def parts(self, w: np.ndarray) -> np.ndarray:
        """(n_members,) the optimal parts of ``w``, group after group."""
        form = self._latent_form(w.shape)
        u, gates = form.balanced(w)
        return u * gates[form.owners]

    def prox(self, v: np.ndarray, step: float | np.ndarray) -> np.ndarray:
        """What the projection on ``|z_g| <= step s lambda_g`` for all groups leaves (Moreau)."""
        v = np.asarray(v, dtype=float)
        largest = float(np.abs(v).max(initial=0.0))
        limits = float(step) * self._strengths
        if largest == 0 or not limits.any():
            return v + 0.0
        form = self._latent_form(v.shape)
        mu = form.multipliers(np.ravel(v) / largest, limits / largest, 1.0)
        total = np.bincount(form.positions, mu[form.owners], v.size).reshape(v.shape)
        return v * (total / (1 + total))

    def subdiff_distance(self, w: np.ndarray, grad: np.ndarray) -> np.ndarray:
        """(n_entries,) how far a prox step of length one moves each entry: zero exactly where
        ``-grad`` is a subgradient, and no more than the distance to those elsewhere."""
        w, grad = np.asarray(w, dtype=float), np.asarray(grad, dtype=float)
        return np.abs(np.ravel(w - self.prox(w - grad, 1.0)))

    def conjugate(self, z: np.ndarray) -> float:
        norms = self._group_norms(z)
        return 0.0 if (norms <= self._strengths * (1 + ROUNDING)).all() else np.inf

    def dual_scale(self, z: np.ndarray) -> float:
        norms, strengths = self._group_norms(z), self._strengths
        ratios = np.divide(strengths, norms, out=np.ones_like(norms), where=norms > strengths)
        return float(ratios.min())

    def strength_max(self, grad0: np.ndarray) -> float:
        unit = np.ones(len(self.groups)) if self._weights is None else self._weights
        return float((self._group_norms(grad0) / unit).max())

    @property
    def _strengths(self) -> np.ndarray:
        unit = np.ones(len(self.groups)) if self._weights is None else self._weights
        return self.strength * unit

    def _group_norms(self, z: np.ndarray) -> np.ndarray:
        z = np.asarray(z, dtype=float)
        return self._norms_of(np.ravel(z)[self._latent_form(z.shape).positions], z.shape)

    def _norms_of(self, members: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """(n_groups,) norms of entries given group after group."""
        owners = self._latent_form(shape).owners
        largest = float(np.abs(members).max(initial=0.0)) or 1.0
        squares = (members / largest) ** 2
        return largest * np.sqrt(np.bincount(owners, squares, len(self.groups)))

    def _latent_form(self, shape: tuple[int, ...]) -> Latent:
        if not self.latent:
            self._refuse()
        return self._latent(tuple(shape))

    # -- manners -----------------------------------------------------------------------------------
    def unit_form(self, shape: tuple[int, ...]) -> None:
        """``None``: the groups overlap. Raises when the latent norm's do not cover the entries."""
        if self.latent:
            self._latent_form(shape)

    def free(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.full(shape, self.strength == 0)

    def with_strength(self, strength: float) -> Overlaps:
        return replace(self, strength=float(strength))

    def resolve(self, feature_names: Sequence[str] | None) -> Overlaps:
        if not has_names(self.groups):
            return self
        return replace(self, groups=by_position(self.groups, feature_names, "Overlaps"))

    def _refuse(self) -> NoReturn:
        raise UnsupportedProblem(
            "Overlaps: the sum of overlapping norms has no prox in closed form: use it in "
            "gossamer.nn.sparsify. Give Overlaps(..., latent=True) for unions of groups, or Tree "
            "for nested ones."
        )
