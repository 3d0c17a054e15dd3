"""The baseline that does not work: the penalty in the loss, left to automatic differentiation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gossamer.nn.formulas import tensor_form
from gossamer.nn.rules import Key, match


def subgradient_penalty(model: nn.Module, rules: Mapping[Key, Any]) -> Tensor:
    r"""Omega of the weights as they are, to be added to the loss: the common way, for comparison.

    Where a unit is zero, or its kink is crossed, the gradient that automatic differentiation gives
    is one subgradient of many. A step of fixed length overshoots zero again and again: weights
    hover about it at a distance of learning rate times strength, none is ever exactly zero, and the
    sum of sizes *grows* with the strength once it is large. See the page on subgradients in the
    theory. For sparse weights use ``sparsify`` or :class:`Proximal`.

    Parameters
    ----------
    model : torch.nn.Module
    rules : mapping
        As in :func:`gossamer.nn.rules.match`, with penalties that split by unit.

    Returns
    -------
    tensor without axes, differentiable

    References
    ----------
    Kumar (2024), GD doesn't make the cut: three ways that non-differentiability affects neural
    network training.

    Examples
    --------
    >>> import gossamer as gs
    >>> model = nn.Linear(2, 1, bias=False)
    >>> _ = nn.init.constant_(model.weight, -2.0)
    >>> subgradient_penalty(model, {"*": gs.L1(0.5)})
    tensor(2., grad_fn=<SumBackward0>)
    """
    values = []
    for found in match(model, rules):
        form = tensor_form(found.penalty, tuple(found.parameter.shape), found.name)
        if form.nonnegative:
            raise ValueError(
                f"{found.penalty!r} on {found.name!r} constrains signs, which no subgradient can "
                "hold: use gs.nn.Proximal or gs.nn.sparsify."
            )
        values.append(form.value(found.parameter))
    return torch.stack(values).sum()
