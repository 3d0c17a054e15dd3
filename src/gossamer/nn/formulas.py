"""Penalties on tensors: the formulas of ``core.penalty``, run by torch.

The shapes are not written again: :func:`on_tensors` binds the same source to torch's functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gossamer.core.errors import UnsupportedProblem
from gossamer.core.formula import namespace, rebind
from gossamer.core.penalty import Penalty, UnitPenalty
from gossamer.core.sum_penalty import SumPenalty
from gossamer.factorisations.cells import Cells, cells_of

# numpy names the formulas may use on tensors and plain numbers alike
_OF_ONE = (
    "abs", "arccos", "cos", "exp", "expm1", "floor", "log", "log1p", "sign", "sin", "sqrt",
    "square", "tanh",
)  # fmt: skip


def _of_one(name: str) -> Callable[[Any], Any]:
    on_tensor, on_number = getattr(torch, name), getattr(np, name)
    return lambda x: on_tensor(x) if isinstance(x, Tensor) else on_number(x)


def _extreme(on_pair: Callable, on_numbers: Callable, bound: str) -> Callable[[Any, Any], Any]:
    """maximum or minimum; ``bound`` is the keyword of clamp for a plain number."""

    def extreme(x: Any, y: Any) -> Any:
        if isinstance(x, Tensor) and isinstance(y, Tensor):
            return on_pair(x, y)
        if isinstance(y, Tensor):
            x, y = y, x
        return x.clamp(**{bound: y}) if isinstance(x, Tensor) else on_numbers(x, y)

    return extreme


_TORCH = namespace(
    "torch_numpy",
    torch,
    maximum=_extreme(torch.maximum, max, "min"),
    minimum=_extreme(torch.minimum, min, "max"),
    inf=float("inf"),
    **{name: _of_one(name) for name in _OF_ONE},
)


@cache
def on_tensors(formula: Callable) -> Callable:
    """A numpy formula of a penalty for tensors; its array arguments must all be tensors.

    >>> from gossamer.penalties import MCP
    >>> v = torch.tensor([4.0, 2.0, -0.5])
    >>> on_tensors(MCP.shape_prox)(v, torch.tensor(1.0), (1.0, 3.0))
    tensor([4.0000, 1.5000, -0.0000])
    """
    return rebind(formula, {}, _TORCH)


@dataclass(frozen=True, eq=False)
class TensorForm:
    """A penalty on tensors of one shape: Omega(w) = sum_u weight_u shape(|w_u|) + sum inner |w|.

    Attributes
    ----------
    cells : the units
    weights : (n_units,) array, or ``None`` for ones
    inner : strength of an L1 on elements: a number, a (size,) array, or ``None``
    outer : the unit-wise penalty, whose formulas and parameters count
    """

    cells: Cells
    weights: np.ndarray | None
    inner: float | np.ndarray | None
    outer: UnitPenalty
    nonnegative: bool

    @property
    def elementwise(self) -> bool:
        """Whether every entry is a unit of its own."""
        return self.cells.is_full

    def scaled(self, factor: float) -> TensorForm:
        """The form of the penalty with all strengths multiplied."""
        return replace(
            self,
            inner=None if self.inner is None else factor * self.inner,
            outer=self.outer.with_strength(factor * self.outer.strength),
        )

    def sizes(self, w: Tensor) -> Tensor:
        """(n_units,) Euclidean size of each unit; the gradient of a zero size is zero."""
        if self.elementwise:
            return w.abs().reshape(-1)
        squares = self.cells.sums(w * w)
        return torch.where(squares > 0, squares, 1.0).sqrt() * (squares > 0)

    def unit_weights(self, like: Tensor) -> Tensor | None:
        """(n_units,) the weights as a tensor."""
        return None if self.weights is None else like.new_tensor(self.weights)

    def thresholds(self, like: Tensor) -> Tensor | float:
        """The inner strengths, as one number or in the shape of the weight."""
        if isinstance(self.inner, np.ndarray):
            return like.new_tensor(self.inner).reshape(self.cells.shape)
        return 0.0 if self.inner is None else self.inner

    def shape_value(self, sizes: Tensor) -> Tensor:
        return on_tensors(self.outer.shape_value)(sizes, self.outer.par)

    def shape_prox(self, sizes: Tensor, step: Tensor) -> Tensor:
        return on_tensors(self.outer.shape_prox)(sizes, step, self.outer.par)

    def value(self, w: Tensor) -> Tensor:
        """Omega(w), a differentiable number; units of zero have gradient zero.

        Signs are not looked at.
        """
        sizes = self.sizes(w)
        alive = sizes > 0
        costs = torch.where(alive, self.shape_value(torch.where(alive, sizes, 1.0)), 0.0)
        weights = self.unit_weights(w)
        total = (costs if weights is None else costs * weights).sum()
        return total if self.inner is None else total + (self.thresholds(w) * w.abs()).sum()


def tensor_form(penalty: Penalty, shape: tuple[int, ...], name: str = "w") -> TensorForm:
    """The form of ``penalty`` on tensors of ``shape``; ``name`` is the parameter's, for errors.

    Raises
    ------
    UnsupportedProblem
        When the penalty does not split by unit.
    ValueError
        When its structure or its weights do not fit the shape.
    """
    inner, outer = None, penalty
    if isinstance(penalty, SumPenalty):
        inner, outer = penalty.inner, penalty.outer
    if not isinstance(outer, UnitPenalty):
        raise UnsupportedProblem(
            f"{penalty!r} on {name!r} is no sum over units of a shape of their size: use L1, "
            "ElasticNet, Lq, MCP, SCAD, LogSum, L1 on elements plus one of them, or a penalty "
            "derived from gossamer.core.UnitPenalty."
        )
    try:
        cells = cells_of(outer.on, shape)
    except ValueError as error:
        raise ValueError(f"{name!r} does not suit {penalty!r}: {error}") from error
    _check_weights(outer, cells.count, name)
    if inner is not None:
        _check_weights(inner, int(np.prod(shape)), name)
    return TensorForm(
        cells,
        outer.weights,
        None if inner is None else _inner_strength(inner),
        outer,
        outer.nonnegative or (inner is not None and inner.nonnegative),
    )


def _inner_strength(inner: UnitPenalty) -> float | np.ndarray:
    return inner.strength if inner.weights is None else inner.strength * inner.weights


def _check_weights(penalty: UnitPenalty, count: int, name: str) -> None:
    if penalty.weights is not None and len(penalty.weights) != count:
        raise ValueError(
            f"{type(penalty).__name__}: weights has {len(penalty.weights)} entries, but {name!r} "
            f"has {count} units: give this parameter a rule of its own."
        )
