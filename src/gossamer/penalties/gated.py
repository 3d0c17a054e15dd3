"""Penalties that are known by their smooth forms alone: crossing gates."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn, Self

import numpy as np

from gossamer.core.errors import UnsupportedProblem
from gossamer.core.factorisation import Factorisation
from gossamer.core.penalty import Penalty
from gossamer.core.structure import Structure
from gossamer.core.validation import finite_number
from gossamer.factorisations import factorise_gates


class SmoothPenalty(Penalty):
    """A penalty without a prox of its own: it is trained by its factors, in a network."""

    convex = False

    @abstractmethod
    def factorise(self, shape: tuple[int, ...], form: str = "auto") -> Factorisation:
        """The smooth form for a weight of ``shape``."""

    def value(self, w: np.ndarray) -> float:
        w = np.asarray(w, dtype=float)
        return self.factorise(w.shape).value(w)

    def prox(self, v: np.ndarray, step: float | np.ndarray) -> np.ndarray:
        self._refuse()

    def subdiff_distance(self, w: np.ndarray, grad: np.ndarray) -> np.ndarray:
        self._refuse()

    def conjugate(self, z: np.ndarray) -> float:
        self._refuse()

    def dual_scale(self, z: np.ndarray) -> float:
        self._refuse()

    def strength_max(self, grad0: np.ndarray) -> float:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise UnsupportedProblem(
            f"{type(self).__name__} has no prox: it is minimised by its factors. Use it in "
            "gossamer.nn.sparsify."
        )

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
