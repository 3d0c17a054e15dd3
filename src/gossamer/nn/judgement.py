"""Which small units may go: judged by the penalised objective, not by their size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from gossamer.core.sum_penalty import SumPenalty
from gossamer.factorisations.cells import cells_of
from gossamer.nn.budget import Units
from gossamer.nn.factorised import FactorisedWeight, whole, without
from gossamer.nn.gradients import weight_gradients

_ROUNDS = 20
# share of the penalty by which the objective may be higher without the units dropped
_WORTH = 1e-7


def living(
    weights: Sequence[FactorisedWeight],
    units: Units,
    tolerance: float,
    loss: Callable[[], torch.Tensor] | None,
    strength: float,
) -> np.ndarray:
    r"""(n_units,) flags of the units that stay.

    The smallest ones, which together hold at most the share ``tolerance`` of the penalty, go. With
    a loss those return without which the penalised objective is higher. Between the weights w,
    with gradients g of the loss, and w' without the units, with gradients g', the loss rises by

    .. math:: -\tfrac12 \sum_u (g_u + g'_u)^\top w_u,

    by the trapezoidal rule, which is exact for quadratic losses. The sum has one term a unit, to
    compare with what the unit adds to the penalty. For an L1 that is the optimality condition of
    zero: a unit returns if the gradient without it is larger than the strength. Units that are
    worth less than a ten-millionth of the penalty, all together, do not return: no training
    is so exact.
    """
    alive = units.above(tolerance)
    if loss is None:
        return alive
    gradients = weight_gradients(weights, loss)
    allowance = _WORTH * strength * float(units.contributions.sum(dtype=float))
    for _ in range(_ROUNDS):
        parts = units.split(alive)
        with without(weights, parts):
            after = weight_gradients(weights, loss)
        worth = np.concatenate(
            [
                _worth(weight, flags, whole(g) + whole(g_after), strength)
                for weight, flags, g, g_after in zip(weights, parts, gradients, after, strict=True)
            ]
        )
        ordered = np.sort(worth)
        small = int(np.searchsorted(np.cumsum(ordered), allowance, side="right"))
        if small == len(ordered):
            break
        alive = alive | (worth >= ordered[small])
    return alive


def _worth(
    weight: FactorisedWeight, alive: np.ndarray, gradients: torch.Tensor, strength: float
) -> np.ndarray:
    """(n_units,) how much higher the objective is without a unit that is gone, at least zero."""
    w = weight.made()
    rise = -0.5 * weight.products(w, gradients)
    balance = (rise - strength * weight.contributions(w)).double().cpu()
    gone = torch.from_numpy(~alive)
    worth = torch.where(gone, balance, 0.0).clamp(min=0)
    if isinstance(weight.penalty, SumPenalty):
        # entries of a unit that is gone as a whole are judged together
        cells, shape = cells_of(weight.penalty.outer.on, weight.form.shape), weight.form.shape
        gone_whole = cells.sums((~gone).double().reshape(shape)) == 0
        useless = cells.spread(gone_whole & (cells.sums(balance.reshape(shape)) <= 0))
        worth = torch.where(useless.reshape(-1), 0.0, worth)
    return worth.numpy()
