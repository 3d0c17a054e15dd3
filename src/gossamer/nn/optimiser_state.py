"""Optimiser state: training goes on after a model has shrunk, with the moments it had."""

from __future__ import annotations

import copy
from collections import defaultdict
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.optim import Optimizer

from gossamer.nn.resizing import part
from gossamer.nn.shrinking import Shrinkage

Kind = TypeVar("Kind", bound=Optimizer)


def shrink_optimiser(optimiser: Kind, model: nn.Module, small: nn.Module) -> Kind:
    """The optimiser of a model, for the smaller one that :func:`shrink` made of it.

    Moments and whatever else the optimiser keeps for each entry of a parameter lose the entries
    that the parameter lost; step counts and settings stay. A bias that a layer was given for the
    constants it read joins the group of its weight, without a past.

    Parameters
    ----------
    optimiser : torch.optim.Optimizer
        Of parameters of `model`; left as it is. One that keeps state outside of ``state`` has to
        be made anew.
    model, small : nn.Module
        What :func:`shrink` was given, and what it returned. Moments are of `model` as it is now:
        call this before either is trained on.

    Returns
    -------
    An optimiser of the same class and settings for the parameters of `small`.

    Raises
    ------
    ValueError
        If `small` was not made by :func:`shrink`, or the optimiser has other parameters.

    Examples
    --------
    >>> import torch
    >>> from gossamer.nn.models import LeNet300
    >>> from gossamer.nn.shrinking import shrink
    >>> model = LeNet300()
    >>> optimiser = torch.optim.Adam(model.parameters())
    >>> model(torch.randn(8, 784)).sum().backward()
    >>> optimiser.step()
    >>> with torch.no_grad():
    ...     _ = model.fc1.weight[::2].zero_()
    >>> small = shrink(model, torch.zeros(1, 784))
    >>> carried = shrink_optimiser(optimiser, model, small)
    >>> carried.state[small.fc1.weight]["exp_avg"].shape
    torch.Size([150, 784])
    """
    shrinkage = getattr(small, "shrinkage", None)
    if not isinstance(shrinkage, Shrinkage):
        raise ValueError("small must be a model that gs.nn.shrink returned, this one is not.")
    names = {parameter: name for name, parameter in model.named_parameters()}
    renewed = dict(small.named_parameters())
    carried = copy.copy(optimiser)
    carried.state = defaultdict(dict)
    carried.param_groups = []
    for group in optimiser.param_groups:
        members = []
        for parameter in group["params"]:
            name = names.get(parameter)
            if name is None or name not in renewed:
                raise ValueError(
                    "The optimiser has a parameter that is not one of the model's: give it the "
                    "model that was shrunk, and only that model's parameters."
                )
            members.append(renewed[name])
            members += _new_bias(name, model, small)
            if parameter in optimiser.state:
                axes = shrinkage.positions.get(name, {})
                carried.state[renewed[name]] = {
                    key: _carried(value, parameter, axes)
                    for key, value in optimiser.state[parameter].items()
                }
        carried.param_groups.append({**group, "params": members})
    return carried


def _carried(value: Any, parameter: Tensor, axes: dict[int, Tensor]) -> Any:
    """One entry of the state, cut as its parameter was where it has the parameter's shape."""
    if isinstance(value, Tensor) and value.shape == parameter.shape:
        return part(value, axes).clone()
    return copy.deepcopy(value)


def _new_bias(name: str, model: nn.Module, small: nn.Module) -> list[nn.Parameter]:
    """The bias next to a weight, if the larger model has none."""
    path, _, last = name.rpartition(".")
    if last != "weight" or getattr(model.get_submodule(path), "bias", None) is not None:
        return []
    bias = getattr(small.get_submodule(path), "bias", None)
    return [bias] if isinstance(bias, nn.Parameter) else []
