"""Penalties that are known by their smooth forms alone: crossing gates, overlapping groups."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, Self

import numpy as np

from gossamer.core.errors import UnsupportedProblem
from gossamer.core.factorisation import Factorisation
from gossamer.core.penalty import Penalty
from gossamer.core.structure import Structure
from gossamer.core.validation import finite_number
from gossamer.factorisations import Latent, factorise_gates, factorise_overlaps


class SmoothPenalty(Penalty):
    """A penalty without a prox of its own: it is trained by its factors, in a network."""

    convex = False

    @abstractmethod
    def factorise(self, shape: tuple[int, ...], form: str = "auto") -> Factorisation:
        """The smooth form for a weight of ``shape``."""

    def value(self, w: np.ndarray) -> float:
        w = np.asarray(w, dtype=float)
        return self.factorise(w.shape).value(w)

    def _refuse(self, *_: Any) -> NoReturn:
        raise UnsupportedProblem(
            f"{type(self).__name__} has no prox: it is minimised by its factors. Use it in "
            "gossamer.nn.sparsify."
        )

    prox = subdiff_distance = conjugate = dual_scale = strength_max = _refuse  # type: ignore[assignment]

    def resolve(self, feature_names: Sequence[str] | None) -> Self:
        return self

    def _with_form(self, form: str) -> None:
        if form != "auto":
            raise ValueError(f"{type(self).__name__} has one smooth form, got form={form!r}.")


@dataclass(frozen=True)
class Gates(SmoothPenalty):
    r"""A gate on every unit of several structures: an entry lives if all of its gates do.

    .. math:: \min \; \tfrac{s}{k} ( |u|^2 + \sum_j |\gamma_j|^2 )
              \quad \text{over} \quad w_i = u_i \gamma_{1, g_1(i)} \gamma_{2, g_2(i)} \cdots,

    with k factors an entry. On ``(Channels(0), Channels(1))`` neurons and inputs of a layer are
    selected at once; on nested structures branches take their leaves along. A budget of a network
    (``keep``) counts and cuts single entries.

    Parameters
    ----------
    strength : float >= 0
    on : sequence of Structure

    References
    ----------
    Kolb, Frost, Bischl and Ruegamer (2025), Differentiable sparsity via D-gating.

    Examples
    --------
    >>> import numpy as np
    >>> from gossamer.structures import Channels
    >>> penalty = Gates(1.0, (Channels(0), Channels(1)))
    >>> round(penalty.value(np.array([[8.0, 0.0], [0.0, 0.0]])), 6)
    4.0
    """

    strength: float
    on: tuple[Structure, ...]

    def __post_init__(self) -> None:
        finite_number(self.strength, "Gates: strength", 0.0)
        given = tuple(self.on) if isinstance(self.on, Sequence) else (self.on,)
        if not given or not all(isinstance(structure, Structure) for structure in given):
            raise TypeError(f"Gates: on must be structures, at least one, got {self.on!r}.")
        object.__setattr__(self, "on", given)

    def factorise(self, shape: tuple[int, ...], form: str = "auto") -> Factorisation:
        self._with_form(form)
        return factorise_gates(self.strength, self.on, shape)

    def with_strength(self, strength: float) -> Self:
        return replace(self, strength=float(strength))


@dataclass(frozen=True, eq=False)
class Overlaps(SmoothPenalty):
    r"""Groups that share entries: a sum of norms, or the latent group lasso.

    .. math:: s \sum_g \lambda_g \|w_g\|_2
              \qquad \text{or} \qquad
              s \, \min \{ \sum_g \lambda_g \|v_g\|_2 : \sum_g v_g = w \}

    Zeros of the first are unions of groups, what the second leaves alive is. The groups of the
    latent norm cover all entries. A budget of a network (``keep``) counts and cuts single entries.

    Parameters
    ----------
    strength : float >= 0
    groups : sequence of sequences of flat positions in the weight
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
    groups: Sequence[Sequence[int] | np.ndarray]
    weights: np.ndarray | None = None
    latent: bool = False

    convex = True

    def __post_init__(self) -> None:
        finite_number(self.strength, "Overlaps: strength", 0.0)

    def factorise(self, shape: tuple[int, ...], form: str = "auto") -> Factorisation:
        self._with_form(form)
        if self.latent:
            return Latent(self.strength, shape, self.groups, self.weights)
        return factorise_overlaps(self.strength, self.groups, shape, self.weights)

    def with_strength(self, strength: float) -> Self:
        return replace(self, strength=float(strength))
