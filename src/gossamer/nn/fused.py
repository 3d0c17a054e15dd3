"""Products of factors with as few passes over memory, and as few temporaries, as can be.

For large weights a step of training is bound by memory where it is not the layer itself, and a
fresh temporary costs more than the pass that fills it. Automatic differentiation of a product of
k factors keeps k - 2 partial products and makes 3k - 4 temporaries; these make two.
"""

from __future__ import annotations

from typing import Any

import torch

from gossamer.core.factorisation import Factorisation
from gossamer.factorisations import Product


def expand(form: Factorisation, factors: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """``form.expand(factors)``, fused where there is a fused form."""
    if isinstance(form, Product) and not form.nonnegative and form.levels[0].power == 1:
        full = all(level.cells.is_full for level in form.levels)
        powers = [level.power for level in form.levels[1:]]
        if full and len(powers) == 1 and powers[0] > 1 and powers[0] == int(powers[0]):
            return _TimesPower.apply(*factors, int(powers[0]))
        if full and len(powers) == 3 and set(powers) == {1}:
            return _FourFactors.apply(*factors)
    made: torch.Tensor = form.expand(factors)
    return made


class _TimesPower(torch.autograd.Function):
    """``u * v**m`` for a whole m > 1."""

    generate_vmap_rule = True

    @staticmethod
    def forward(u: torch.Tensor, v: torch.Tensor, m: int) -> torch.Tensor:
        return (v**m).mul_(u)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        u, v, ctx.m = inputs
        ctx.save_for_backward(u, v)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        u, v = ctx.saved_tensors
        below = v ** (ctx.m - 1)
        if torch.is_grad_enabled():  # to be differentiated once more: nothing in place
            return gradient * below * v, ctx.m * gradient * u * below, None
        below.mul_(gradient)
        return below * v, below.mul_(u).mul_(ctx.m), None


class _FourFactors(torch.autograd.Function):
    """``a * b * c * d``."""

    generate_vmap_rule = True

    @staticmethod
    def forward(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor, d: torch.Tensor) -> torch.Tensor:
        return (a * b).mul_(c).mul_(d)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        a, b, c, d = ctx.saved_tensors
        left, right = a * b, c * d
        if torch.is_grad_enabled():
            left, right = left * gradient, right * gradient
        else:
            left.mul_(gradient)
            right.mul_(gradient)
        return right * b, right * a, left * d, left * c
