"""How far an optimiser moves each entry per unit of gradient: the metric of its proximal step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import LBFGS, Optimizer

State = Mapping[str, Any]
Group = Mapping[str, Any]
Metric = Callable[[State, Group], Tensor | float]


def _rate(group: Group) -> float:
    return float(group["lr"])


def _through_momentum(group: Group) -> float:
    """What a constant gradient grows to in the momentum buffer."""
    return (1 - group.get("dampening", 0.0)) / (1 - group.get("momentum", 0.0))


def sgd(state: State, group: Group) -> float:
    return _rate(group) * _through_momentum(group)


def adam(state: State, group: Group) -> Tensor:
    square = state["max_exp_avg_sq" if group.get("amsgrad") else "exp_avg_sq"]
    seen = 1 - group["betas"][1] ** float(state["step"])
    return _rate(group) / ((square / seen).sqrt() + group["eps"])


def radam(state: State, group: Group) -> Tensor | float:
    step, beta = float(state["step"]), group["betas"][1]
    seen, limit = 1 - beta**step, 2 / (1 - beta) - 1
    length = limit - 2 * step * beta**step / seen
    if length <= 5:  # too few steps for a variance: plain momentum
        return _rate(group)
    rectified = (length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)
    return _rate(group) * rectified**0.5 * seen**0.5 / (state["exp_avg_sq"].sqrt() + group["eps"])


def adamax(state: State, group: Group) -> Tensor:
    return _rate(group) / state["exp_inf"]


def rmsprop(state: State, group: Group) -> Tensor:
    square = state["square_avg"]
    if group.get("centered"):
        square = (square - state["grad_avg"] ** 2).clamp(min=0)
    return sgd(state, group) / (square.sqrt() + group["eps"])


def adagrad(state: State, group: Group) -> Tensor:
    rate = _rate(group) / (1 + (float(state["step"]) - 1) * group["lr_decay"])
    return rate / (state["sum"].sqrt() + group["eps"])


METRICS: dict[str, Metric] = {
    "sgd": sgd,
    "adam": adam,
    "radam": radam,
    "adamax": adamax,
    "rmsprop": rmsprop,
    "adagrad": adagrad,
}

_KNOWN: dict[type[Optimizer], Metric] = {
    torch.optim.SGD: sgd,
    torch.optim.Adam: adam,
    torch.optim.AdamW: adam,
    torch.optim.NAdam: adam,
    torch.optim.RAdam: radam,
    torch.optim.Adamax: adamax,
    torch.optim.RMSprop: rmsprop,
    torch.optim.Adagrad: adagrad,
}


def metric_of(optimiser: Optimizer, metric: str | Metric | None = None) -> Metric:
    """The metric of an optimiser: a function of a parameter's state and group.

    Parameters
    ----------
    optimiser : torch.optim.Optimizer
    metric : name in ``METRICS``, function ``(state, group) -> steps``, or ``None``
        ``None`` looks the optimiser's class up.

    Raises
    ------
    TypeError
        When there is no optimiser.
    ValueError
        For L-BFGS, whose metric is not diagonal, and for an unknown name.

    Warns
    -----
    UserWarning
        For an optimiser whose metric is not known: the learning rate alone is taken.
    """
    if not isinstance(optimiser, Optimizer):
        raise TypeError(f"optimiser must be a torch.optim.Optimizer, got {optimiser!r}.")
    if callable(metric):
        return metric
    if metric is not None:
        if metric not in METRICS:
            known = ", ".join(METRICS)
            raise ValueError(f"metric must be a function or one of {known}, got {metric!r}.")
        return METRICS[metric]
    if isinstance(optimiser, LBFGS):
        raise ValueError(
            "L-BFGS moves in a metric that is not diagonal, in which no penalty has a prox: use "
            "gs.nn.sparsify, whose penalty is smooth, or another optimiser."
        )
    for kind, known_metric in _KNOWN.items():
        if isinstance(optimiser, kind):
            return known_metric
    warnings.warn(
        f"How {type(optimiser).__name__} scales gradients is not known: the proximal step takes "
        "its learning rate as it is, and training may end at the optimum of another strength. "
        f"Pass metric=, a function (state, group) -> steps or one of {', '.join(METRICS)}.",
        stacklevel=3,
    )
    return sgd
