"""Weights of a module as products of factors: the torch side of a smooth form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parametrize

from gossamer.core.factorisation import Factorisation
from gossamer.core.penalty import Penalty
from gossamer.core.structure import Structure

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
        return self.form.expand(factors)

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
        return self.form.expand(self.factors)

    def ridge(self) -> torch.Tensor:
        """The smooth penalty of the factors."""
        return self.scale * self.form.penalty(self.factors)

    @torch.no_grad()
    def plain(self) -> np.ndarray:
        """The weight as an array of float64."""
        return as_array(self.weight())

    @property
    def units_on(self) -> Structure:
        """The structure whose units live or die; of a sum of penalties, the finer one."""
        part: Any = getattr(self.penalty, "inner", self.penalty)
        return part.on

    def sizes(self, w: np.ndarray) -> np.ndarray:
        """(n_units,) Euclidean size of each unit of a weight."""
        tiling = self.units_on.tiling(w.shape)
        if tiling is None:
            return self.units_on.sizes(w)
        return np.abs(np.ravel(w)) if tiling.is_full else np.sqrt(tiling.sums(np.square(w)))

    def kept(self, w: np.ndarray, alive: np.ndarray) -> np.ndarray:
        """``w`` with the units that are not alive at zero."""
        tiling = self.units_on.tiling(w.shape)
        on = self.units_on if tiling is None else tiling
        return np.asarray(on.scale(w, alive.astype(float)))

    def contributions(self, w: np.ndarray) -> np.ndarray:
        """(n_units,) what each unit adds to the penalty.

        Where the loss and the penalty are in balance this is, for L1, the loss of removing the
        unit to first order: of several layers the smallest contributions are the ones to drop.
        """
        part: Any = getattr(self.penalty, "inner", self.penalty)
        weights = 1.0 if part.weights is None else part.weights
        return self.scale * weights * part.shape_value(self.sizes(w), part.par)

    def costs(self) -> np.ndarray:
        """(n_units,) cost of each unit: its entries, times the cost of an entry."""
        shape = self.form.shape
        tiling = self.units_on.tiling(shape)
        if tiling is not None:
            lengths = np.full(tiling.count, prod(shape) / tiling.count)
        elif self.units_on.is_spectral:
            lengths = np.full(min(shape[0], prod(shape[1:])), shape[0] + prod(shape[1:]))
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
        if self.units_on.is_spectral:
            self.set_(self.kept(self.plain(), alive))
            return
        support = self.kept(np.ones(self.form.shape), alive)
        # which factors a weight on this support needs, of either sign
        signs = zip(self.form.balanced(support), self.form.balanced(-support), strict=True)
        for factor, (positive, negative) in zip(self.factors, signs, strict=True):
            factor.mul_(as_tensor((positive != 0) | (negative != 0), factor))

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
        _own_class(module)
        parametrize.remove_parametrizations(module, tensor_name, leave_parametrized=True)
        setattr(module, tensor_name, plain)
    return plain


def _own_class(module: nn.Module) -> None:
    """A copied module shares the class made for the original, which removing would take apart."""
    shared = type(module)
    own = dict(vars(shared))
    own.pop("__dict__", None)
    own.pop("__weakref__", None)
    module.__class__ = type(shared.__name__, shared.__bases__, own)


def as_array(tensor: torch.Tensor) -> np.ndarray:
    """A copy in float64, on the CPU; of a distributed tensor the whole."""
    whole = tensor.detach()
    whole = whole.full_tensor() if hasattr(whole, "full_tensor") else whole
    return whole.to("cpu", torch.float64).numpy()


def as_tensor(array: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    """An array as a tensor of the type and device of ``like``."""
    return torch.as_tensor(np.ascontiguousarray(array), dtype=like.dtype, device=like.device)
