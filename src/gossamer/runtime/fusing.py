"""Fusing: layers and what alone reads their results, made one."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from itertools import pairwise
from math import inf

import torch.nn.functional as F
from torch import fx, nn
from torch.nn.utils import fusion

from gossamer.nn.hooks import has_hooks
from gossamer.runtime.example_calls import Call
from gossamer.runtime.layout_module import LayoutModule
from gossamer.runtime.product import Bounds
from gossamer.runtime.swapping import put_in

_PASSING = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_CONVOLUTIONS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv1d: nn.BatchNorm1d,
    nn.Conv2d: nn.BatchNorm2d,
    nn.Conv3d: nn.BatchNorm3d,
}


def readers(model: nn.Module, calls: Mapping[nn.Module, Call]) -> dict[nn.Module, nn.Module]:
    """For each module whose result one other module reads, and nothing else: that module.

    Known from torch.fx where it can trace the model; else from the order in those nn.Sequential
    that were called: the modules of others may be called one by one, and read by all.
    """
    # to fx an argument is never None: without them the model may take another way
    left_out = {
        name: None
        for name, parameter in inspect.signature(model.forward).parameters.items()
        if parameter.default is None
    }
    try:
        given, without = _alone(model), _alone(model, left_out) if left_out else None
    except Exception:
        # control flow, foreign types: what fx may raise is not listed anywhere
        return dict(_neighbours(model, calls))
    if without is None:
        return given
    return {module: reader for module, reader in given.items() if without.get(module) is reader}


def _alone(model: nn.Module, fixed: dict[str, None] | None = None) -> dict[nn.Module, nn.Module]:
    """What :func:`readers` gives, by one trace, with such arguments of the model fixed."""
    graph = _Tracer().trace(model, fixed)
    modules = dict(model.named_modules())
    nodes = [node for node in graph.nodes if node.op == "call_module"]
    targets = [node.target for node in nodes]
    return {
        modules[node.target]: modules[reader.target]
        for node in nodes
        for reader in list(node.users)[:1]
        if len(node.users) == 1
        and reader.op == "call_module"
        and len(reader.args) == 1
        and not reader.kwargs
        and targets.count(node.target) == targets.count(reader.target) == 1
    }


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        ours = type(module).__module__.startswith("gossamer.runtime")
        return ours or super().is_leaf_module(module, name)


def _neighbours(
    model: nn.Module, calls: Mapping[nn.Module, Call]
) -> Iterator[tuple[nn.Module, nn.Module]]:
    for module in model.modules():
        if type(module) is nn.Sequential and (module is model or module in calls):
            yield from pairwise(module)


def chain(
    module: nn.Module, follows: Mapping[nn.Module, nn.Module], calls: Mapping[nn.Module, Call]
) -> nn.Module | None:
    """What reads the result of a module that is called once, over modules that change nothing."""
    seen = calls.get(module)
    while seen is not None and seen.count == 1:
        following = follows.get(module)
        if following is None or has_hooks(following):
            return None
        if type(following) not in _PASSING:
            once = following in calls and calls[following].count == 1
            return following if once else None
        module, seen = following, calls.get(following)
    return None


def fold_norms(model: nn.Module, calls: Mapping[nn.Module, Call]) -> nn.Module:
    """Fold batch norms into the convolutions and linear layers before them, in place.

    In evaluation mode ``norm(W x + b)`` is another affine map of x; zeros of W stay zeros.
    """
    follows = readers(model, calls)
    gone: dict[nn.Module, nn.Module] = {}
    for layer in list(follows):
        norm = chain(layer, follows, calls)
        if norm is None or not _fold_able(layer, norm, calls) or _shared(layer, model):
            continue
        assert isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)
        assert isinstance(norm, nn.modules.batchnorm._BatchNorm)
        fuse = (
            fusion.fuse_linear_bn_weights
            if isinstance(layer, nn.Linear)
            else fusion.fuse_conv_bn_weights
        )
        statistics = norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        layer.weight, layer.bias = fuse(layer.weight, layer.bias, *statistics)  # type: ignore[arg-type]
        gone[norm] = nn.Identity()
    return put_in(model, gone)


def _fold_able(layer: nn.Module, norm: nn.Module, calls: Mapping[nn.Module, Call]) -> bool:
    if not isinstance(norm, nn.modules.batchnorm._BatchNorm) or norm.running_mean is None:
        return False
    if type(layer) is nn.Linear:
        x = calls[norm].args[0]
        return type(norm) is nn.BatchNorm1d and x.ndim == 2
    return _CONVOLUTIONS.get(type(layer)) is type(norm)


def _shared(layer: nn.Module, model: nn.Module) -> bool:
    """Whether another module has the layer's weight too, or something hangs on the layer."""
    places = [
        parameter
        for module in model.modules()
        for parameter in module._parameters.values()
        if parameter is layer.weight
    ]
    return len(places) > 1 or has_hooks(layer)


def fuse_activations(
    model: nn.Module,
    follows: Mapping[nn.Module, nn.Module],
    calls: Mapping[nn.Module, Call],
) -> nn.Module:
    """Let runtime modules clip their results where a ReLU or the like alone reads them, in place.

    Parameters
    ----------
    follows, calls : by the modules that are in the model now
    """
    gone: dict[nn.Module, nn.Module] = {}
    for module in model.modules():
        if isinstance(module, LayoutModule):
            activation = chain(module, follows, calls)
            bounds = None if activation is None else bounds_of(activation)
            if activation is not None and bounds is not None:
                module.clip(bounds)
                gone[activation] = nn.Identity()
        if type(module) in (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer):
            _fuse_in_transformer(module)
    return put_in(model, gone)


def _fuse_in_transformer(layer: nn.Module) -> None:
    """Its activation reads the first linear layer, and nothing else does."""
    rectifies = layer.activation is F.relu or type(layer.activation) is nn.ReLU
    if isinstance(layer.linear1, LayoutModule) and rectifies:
        layer.linear1.clip(Bounds(low=0.0))
        layer.activation = nn.Identity()


def bounds_of(activation: nn.Module) -> Bounds | None:
    """The bounds that an activation amounts to; None for other modules.

    >>> bounds_of(nn.ReLU6())
    Bounds(low=0.0, high=6.0)
    """
    # a class that inherits from one of these may do something else
    if type(activation) is nn.ReLU:
        return Bounds(0.0, inf)
    if type(activation) in (nn.Hardtanh, nn.ReLU6):
        assert isinstance(activation, nn.Hardtanh)
        return Bounds(float(activation.min_val), float(activation.max_val))
    return None
