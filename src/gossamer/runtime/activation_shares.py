"""Shares of inputs that each layer keeps, chosen by what their absence does to the loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gossamer.nn.allocations.multiple_choice import chosen
from gossamer.nn.channels import evaluating
from gossamer.nn.language.tuning.training import next_token_loss
from gossamer.runtime.input_scores import CRITERIA, check, importance_of
from gossamer.runtime.layer_inputs import joined, linear_layer, linear_layers, named, turned_layers
from gossamer.runtime.turning import turns_of

_GRAINS = 20  # a layer keeps some twentieths of its inputs, and one at least
_STATES = 20_000
_SAMPLED = 2**17  # scores of a layer that say where its twentieths end


def choose_activation_shares(
    model: nn.Module,
    batches: Iterable[Any],
    keep: float = 0.5,
    *,
    on: str | Sequence[str] = "*",
    criterion: str = "magnitude",
    turn: str | Sequence[str] = (),
    loss: Callable[[nn.Module, Any], Tensor] = next_token_loss,
) -> dict[str, float]:
    r"""How much of its inputs each layer should keep, for :func:`sparsify_activations`.

    Without some of its inputs, a layer's outputs change by :math:`W \delta_t` at token t, and the
    loss by about :math:`g_t^\top W \delta_t`, where :math:`g_t` is its gradient. The shares
    minimise

    .. math:: \sum_l \sum_t \left( g_{lt}^\top W_l \delta_{lt} \right)^2

    over twentieths, as a knapsack, such that what is read is at most the share ``keep`` of all
    weights, with the matrices that turn inputs among it.

    Parameters
    ----------
    model : nn.Module
    batches : iterable
        What ``loss`` takes: integer tensors (batch, length) of tokens by default. Forward and
        backward pass once through the model for each; all inputs of the layers, and their
        gradients, are held. A few hundred tokens do.
    keep : float in [1/20, 1], default 0.5
    on : pattern or patterns of layer names, default all layers of class nn.Linear
    criterion : {"magnitude", "wina"}, default "magnitude"
    turn : pattern or patterns of layer names, default none
        As of :func:`sparsify_activations`.
    loss : function of (model, batch), default the cross-entropy of the next token

    Returns
    -------
    dict of names to floats

    Raises
    ------
    ValueError
        For shares out of range, or too small for the turning matrices; patterns that fit no layer,
        and layers that the loss does not use.

    References
    ----------
    Liu et al., "Training-Free Activation Sparsity in Large Language Models" (ICLR 2025) search
    greedily in each block for the shares that change the block's outputs least.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 1))
    >>> batch = torch.randn(50, 40)
    >>> shares = choose_activation_shares(
    ...     model, [batch], 0.5, loss=lambda model, x: model(x).square().sum()
    ... )
    >>> round((1600 * shares["0"] + 40 * shares["2"]) / 1640, 2)
    0.5
    """
    check(criterion, CRITERIA[1:], "criterion")
    if isinstance(keep, bool) or not 1 / _GRAINS <= keep <= 1:
        raise ValueError(f"keep must be a share of {1 / _GRAINS} to 1, got {keep!r}.")
    names = named(linear_layers(model), on)
    if not names:
        raise ValueError(f"on: {on!r} fits no layer of class nn.Linear without hooks.")
    turned = turned_layers(names, turn)
    if keep == 1:
        return dict.fromkeys(names, 1.0)
    inputs, gradients = _passes(model, batches, names, loss)
    turns = turns_of(model, inputs, turned)
    gains, costs = [], []
    for name in names:
        weight, x = linear_layer(model, name).weight.detach().to("cpu", torch.float32), inputs[name]
        if name in turns:
            weight, x = weight @ turns[name].back.T, x @ turns[name].forth
        losses = _losses(weight, x, gradients[name] @ weight, criterion)
        if not np.isfinite(losses).all():
            raise ValueError(f"{name!r} has weights, inputs or gradients that are not finite.")
        gains.append(-np.diff(losses))
        costs.append(float(weight.numel()))
    turning = sum({id(turn): turn.forth.numel() for turn in turns.values()}.values())
    budget = (keep * _GRAINS - 1) * sum(costs) - turning * _GRAINS
    if budget < 0:
        raise ValueError(
            f"keep={keep!r} is too small: turning inputs and a twentieth of all layers read "
            f"{turning / sum(costs) + 1 / _GRAINS:.3g} of the weights. Turn fewer layers."
        )
    grains = chosen(gains, costs, budget * (1 + 1e-9), _STATES)
    return {name: (1 + n) / _GRAINS for name, n in zip(names, grains, strict=True)}


def _losses(weight: Tensor, x: Tensor, felt: Tensor, criterion: str) -> np.ndarray:
    """(grains,) sums over tokens for one twentieth of the inputs, two, and so on to all.

    felt : (tokens, inputs) gradient by the inputs, through this layer alone
    """
    scores = x.abs() * importance_of(weight, criterion, 0, None)
    some = scores.flatten()[:: -(-scores.numel() // _SAMPLED)].sort().values
    thresholds = some[[len(some) * grain // _GRAINS for grain in range(1, _GRAINS)]]
    changes = torch.zeros(len(x), _GRAINS)
    changes.scatter_add_(1, torch.bucketize(scores, thresholds), x * felt)
    skipped = changes.cumsum(1)[:, :-1].square().sum(0)  # the least twentieth, two, and so on
    return np.append(skipped.flip(0).double().numpy(), 0.0)


def _passes(
    model: nn.Module, batches: Iterable[Any], names: Sequence[str], loss: Callable[..., Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(tokens, inputs) of each layer, one tensor for those that read the same; gradients of the
    loss by its outputs."""
    inputs: dict[str, list[Tensor]] = {name: [] for name in names}
    gradients: dict[str, list[Tensor]] = {name: [] for name in names}
    for batch in batches:
        seen: list[tuple[str, Tensor, Tensor]] = []

        def note(name: str, x: Tensor, y: Tensor, seen: list[Any] = seen) -> None:
            seen.append((name, x, y if y.requires_grad else y.requires_grad_()))

        with evaluating(model), torch.enable_grad(), ExitStack() as stack:
            for name in names:
                handle = linear_layer(model, name).register_forward_hook(
                    lambda module, args, y, name=name: note(name, args[0], y)
                )
                stack.callback(handle.remove)
            value = loss(model, batch)
            found = torch.autograd.grad(value, [y for _, _, y in seen], allow_unused=True)
        rows: dict[int, Tensor] = {}
        for (name, x, _), gradient in zip(seen, found, strict=True):
            if gradient is not None:
                if id(x) not in rows:
                    rows[id(x)] = x.detach().flatten(0, -2).to("cpu", torch.float32)
                inputs[name].append(rows[id(x)])
                gradients[name].append(gradient.flatten(0, -2).to("cpu", torch.float32))
    unused = [name for name in names if not inputs[name]]
    if unused:
        raise ValueError(f"batches: the loss does not use {unused}, or there is no batch.")
    return joined(inputs), {name: torch.cat(parts) for name, parts in gradients.items()}
