"""Weights of a module as products of factors: the torch side of a smooth form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize

from gossamer.core.factorisation import Factorisation
from gossamer.core.penalty import Penalty, UnitPenalty
from gossamer.core.spectral import decompose
from gossamer.core.structure import Structure
from gossamer.core.sum_penalty import SumPenalty
from gossamer.core.tiling import Tiling
from gossamer.factorisations import Product, Ridged
from gossamer.factorisations.cells import Cells, cells_of
from gossamer.nn.formulas import on_tensors
from gossamer.nn.fused import expand
from gossamer.nn.masked import own_class
from gossamer.structures import Elements

Place = tuple[nn.Module, str]


class Factorised(nn.Module):
    """A parametrisation: the weight that its factors make.

    Parameters
    ----------
    form : Factorisation
        For the shape of the weight.
    spread : float, default None
        How far from balance the factors start, see :meth:`Factorisation.start`; 0 is balanced.
    """

    def __init__(self, form: Factorisation, spread: float | None = None) -> None:
        super().__init__()
        self.form, self.spread = form, spread

    def forward(self, *factors: torch.Tensor) -> torch.Tensor:
        return expand(self.form, factors)

    def right_inverse(self, weight: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Factors of ``weight`` to start training from."""
        factors = self.form.start(as_array(weight), self.spread)
        return tuple(as_tensor(factor, weight) for factor in factors)

    def extra_repr(self) -> str:
        return f"{type(self.form).__name__} of {len(self.form.shapes)} factors"


@dataclass(eq=False)
class FactorisedWeight:
    """A weight of a model that is made of factors.

    Attributes
    ----------
    names : of the plain parameter in the model, more than one where it is shared
    penalty : Penalty
        As the rule gave it.
    form : Factorisation
    places : the modules and tensor names that share the weight, usually one
    scale : float
        Multiplies the penalty of this weight.
    cost : float
        Of one entry, in the unit of a budget.
    """

    names: tuple[str, ...]
    penalty: Penalty
    form: Factorisation
    places: tuple[Place, ...]
    scale: float = 1.0
    cost: float = 1.0

    @property
    def name(self) -> str:
        """The first of the names."""
        return self.names[0]

    @property
    def factors(self) -> tuple[nn.Parameter, ...]:
        """The trained parameters."""
        module, tensor_name = self.places[0]
        made: Any = module.parametrizations
        originals = made[tensor_name]
        return tuple(getattr(originals, f"original{i}") for i in range(len(self.form.shapes)))

    def weight(self) -> torch.Tensor:
        """The weight that the factors make, with its gradient."""
        return expand(self.form, self.factors)

    def ridge(self) -> torch.Tensor:
        """The smooth penalty of the factors."""
        return self.scale * self.form.penalty(self.factors)

    def add_ridge_gradient_(self, strength: float) -> None:
        """Add the gradient of ``strength`` times the smooth penalty to those of the factors.

        Factors without a gradient are left alone: the optimiser skips them too.
        """
        trained = [factor for factor in self.factors if factor.grad is not None]
        if not trained:
            return
        if self.form.decay is None:
            with torch.enable_grad():
                gradients = torch.autograd.grad(strength * self.ridge(), trained, allow_unused=True)
            for factor, gradient in zip(trained, gradients, strict=True):
                factor.grad.add_(0.0 if gradient is None else gradient)  # type: ignore[union-attr]
            return
        for factor, rate in zip(self.factors, self.form.decay, strict=True):
            if factor.grad is not None:
                factor.grad.add_(factor.detach(), alpha=strength * self.scale * rate)

    @torch.no_grad()
    def made(self) -> torch.Tensor:
        """The weight without a gradient, whole and in float32 at least."""
        w = whole(self.weight())
        return w.to(torch.promote_types(w.dtype, torch.float32))

    def plain(self) -> np.ndarray:
        """The weight as an array of float64."""
        return as_array(self.made())

    @property
    def units_on(self) -> Structure:
        """The structure whose units live or die; of a sum of penalties, the finer one."""
        part = self.penalty.inner if isinstance(self.penalty, SumPenalty) else self.penalty
        return part.on if isinstance(part, UnitPenalty) else Elements()

    @cached_property
    def cells(self) -> Cells | None:
        """The units as cells of the weight; ``None`` for singular values."""
        return None if self.units_on.is_spectral else cells_of(self.units_on, self.form.shape)

    def sizes(self, w: torch.Tensor) -> torch.Tensor:
        """(n_units,) Euclidean size of each unit of a weight."""
        if self.cells is None:
            return torch.from_numpy(self.units_on.sizes(as_array(w)))
        return w.abs().reshape(-1) if self.cells.is_full else self.cells.sums(w * w).sqrt()

    def kept(self, w: torch.Tensor, alive: np.ndarray) -> torch.Tensor:
        """``w`` with the units that are not alive at zero."""
        if self.cells is None:
            return as_tensor(self.units_on.scale(as_array(w), alive.astype(float)), w)
        return self.cells.scale(w, as_tensor(alive, w))

    def contributions(self, w: torch.Tensor) -> torch.Tensor:
        """(n_units,) what each unit adds to the penalty.

        Where the loss and the penalty are in balance this is, for L1, the loss of removing the
        unit to first order: of several layers the smallest contributions are the ones to drop.
        """
        if isinstance(self.penalty, UnitPenalty):
            return self.scale * _values(self.penalty, self.sizes(w))
        if not isinstance(self.penalty, SumPenalty):  # known by its smooth form alone
            with torch.no_grad():
                shares = whole(self.form.shares(self.factors))
            return self.scale * shares.reshape(-1).to(w.dtype)
        inner, outer = self.penalty.inner, self.penalty.outer
        # entries share what their unit adds by their squares, as its gradient times them does
        cells = cells_of(outer.on, self.form.shape)
        squares = cells.sums(w * w)
        each = _values(outer, squares.sqrt()) / torch.where(squares > 0, squares, 1.0)
        return self.scale * (_values(inner, self.sizes(w)) + cells.scale(w * w, each).reshape(-1))

    @cached_property
    def free(self) -> np.ndarray:
        """(n_units,) flags of the units without a penalty: nothing makes them go."""
        part = self.penalty
        if not isinstance(part, UnitPenalty):
            return part.free(self.form.shape).ravel()
        if part.weights is not None:
            return part.weights == 0
        return np.broadcast_to(part.shape_value(np.ones(1), part.par)[0] == 0, len(self.costs()))

    def products(self, w: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """(n_units,) inner product of each unit of ``w`` with a gradient."""
        if self.cells is not None:
            return self.cells.sums(w * gradient)
        left, values, right = decompose(as_array(w))
        outer = as_array(gradient).reshape(left.shape[0], -1) @ right.T
        return torch.from_numpy((left * outer).sum(0) * values)

    def costs(self) -> np.ndarray:
        """(n_units,) cost of each unit: its entries, times the cost of an entry."""
        shape = self.form.shape
        if self.cells is None:
            lengths = np.full(min(shape[0], prod(shape[1:])), shape[0] + prod(shape[1:]))
        elif isinstance(self.cells, Tiling):
            # one number for all, without memory
            each = self.cost * prod(shape) / self.cells.count
            return np.broadcast_to(each, self.cells.count)
        else:
            lengths = self.units_on.units(shape).lengths
        return self.cost * lengths

    @torch.no_grad()
    def set_(self, w: np.ndarray) -> None:
        """Balanced factors of ``w``."""
        for factor, value in zip(self.factors, self.form.balanced(w), strict=True):
            factor.copy_(as_tensor(value, factor))

    @torch.no_grad()
    def cut(self, alive: np.ndarray) -> None:
        """Set all factors to zero that only units without life are made of."""
        if alive.all():
            return
        if self.cells is None:
            self.set_(as_array(self.kept(self.made(), alive)))
            return
        like = whole(self.factors[0])
        support = self.cells.spread(as_tensor(alive, like))
        for factor, needed in zip(self.factors, _needed(self.form, support), strict=True):
            factor.mul_(spread_like(needed, factor))

    def moved(self, modules: Mapping[nn.Module, nn.Module]) -> FactorisedWeight:
        """The same weight in a copy of the model, whose modules are given for the old ones."""
        places = tuple((modules[module], tensor_name) for module, tensor_name in self.places)
        return replace(self, places=places)


def factorise_(weight: FactorisedWeight, spread: float | None) -> None:
    """Put the factors in the place of the plain weight, in every module that shares it."""
    (module, tensor_name), *tied = weight.places
    parametrize.register_parametrization(module, tensor_name, Factorised(weight.form, spread))
    for other, other_name in tied:
        parametrize.register_parametrization(other, other_name, Factorised(weight.form, spread))
        made: Any = other.parametrizations
        for number, factor in enumerate(weight.factors):
            setattr(made[other_name], f"original{number}", factor)


def collapse_(weight: FactorisedWeight, value: torch.Tensor) -> nn.Parameter:
    """Put a plain parameter with this value back, shared where it was."""
    plain = nn.Parameter(value)
    for module, tensor_name in weight.places:
        own_class(module)
        parametrize.remove_parametrizations(module, tensor_name, leave_parametrized=True)
        setattr(module, tensor_name, plain)
    return plain


@contextmanager
def without(weights: Sequence[FactorisedWeight], alive: Sequence[np.ndarray]) -> Iterator[None]:
    """The model with the living units only, for a while."""
    factors = [factor for weight in weights for factor in weight.factors]
    saved = [factor.detach().clone() for factor in factors]
    try:
        for weight, flags in zip(weights, alive, strict=True):
            weight.cut(flags)
        yield
    finally:
        with torch.no_grad():
            for factor, value in zip(factors, saved, strict=True):
                factor.copy_(value)


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor; of one that is distributed all parts, on every process."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def as_array(tensor: torch.Tensor) -> np.ndarray:
    """A copy in float64, on the CPU; of a distributed tensor the whole."""
    return whole(tensor.detach()).to("cpu", torch.float64, copy=True).numpy()


def as_tensor(array: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    """An array as a tensor of the type and device of ``like``, distributed as it is."""
    # a contiguous array has one axis or more, a single number has none
    flat = torch.as_tensor(np.ascontiguousarray(array), dtype=like.dtype, device=like.device)
    return spread_like(flat.reshape(np.shape(array)), like)


def spread_like(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """``value``, the same on every process, distributed over them as ``like`` is."""
    if not hasattr(like, "device_mesh"):
        return value
    from torch.distributed.tensor import distribute_tensor

    sharded: Any = like
    return distribute_tensor(value, sharded.device_mesh, sharded.placements)


def _values(penalty: UnitPenalty, sizes: torch.Tensor) -> torch.Tensor:
    """(n_units,) the weighted shape of units of these sizes."""
    values = on_tensors(penalty.shape_value)(sizes, penalty.par)
    return values if penalty.weights is None else values * as_tensor(penalty.weights, values)


def _needed(form: Factorisation, support: torch.Tensor) -> list[torch.Tensor]:
    """Which entries of each factor a weight on this support (ones and zeros) is made of."""
    form = form.base if isinstance(form, Ridged) else form
    if isinstance(form, Product):
        return [
            support
            if level.cells.is_full
            else (level.cells.sums(support) > 0).reshape(shape).to(support.dtype)
            for level, shape in zip(form.levels, form.shapes, strict=True)
        ]
    weight = as_array(support)
    # factors that make weights of either sign
    signs = zip(form.balanced(weight), form.balanced(-weight), strict=True)
    return [as_tensor((plus != 0) | (minus != 0), support) for plus, minus in signs]
