"""Tracing: a model as a graph of operators, each of which states what it knows of its channels."""

from __future__ import annotations

import inspect
import operator
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export.graph_signature import InputKind

from gossamer.nn.channels import layers, layout, operators  # noqa: F401 (each registers its rules)
from gossamer.nn.channels.flow import Flow, Weight
from gossamer.nn.channels.labels import Signal

# What shares memory with its argument.
ALIASES = {*layout.FREE, *layout.SIZED, *layout.PARTS, "chunk", *operators.SAME, *operators.CASTS}


def positional(example_inputs: Any) -> tuple[Any, ...]:
    """The example inputs as a tuple of positional arguments."""
    if isinstance(example_inputs, list | tuple):
        return tuple(example_inputs)
    if isinstance(example_inputs, Tensor):
        return (example_inputs,)
    raise TypeError(
        "example_inputs must be a tensor or a sequence of the forward method's arguments, got "
        f"{type(example_inputs).__name__}."
    )


def export(model: nn.Module, inputs: tuple[Any, ...]) -> torch.export.ExportedProgram:
    """The model as a graph of ATen operators, in evaluation mode."""
    masked = {n.removesuffix("_mask") + "_orig" for n, _ in model.named_buffers()}
    names = [name for name, _ in model.named_parameters()]
    computed = [n for n in names if ".parametrizations." in f".{n}" or n in masked]
    if computed:
        raise ValueError(
            f"The model's weights are computed from other parameters ({computed[0]!r}): their "
            "channels cannot be resized. First call finalise() of gs.nn.sparsify, or "
            "remove_parametrizations or prune.remove of torch.nn.utils."
        )
    try:
        with evaluating(model), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.export(model, inputs, strict=False)
    except Exception as error:
        raise ValueError(
            f"torch.export cannot trace {type(model).__name__} on the example inputs: {error}"
        ) from error


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; each module gets its own mode back."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def propagate(flow: Flow, model: nn.Module, program: torch.export.ExportedProgram) -> None:
    """Apply the rule of every node of the graph, in order."""
    values = _placeholders(flow, model, program)
    base: dict[fx.Node, fx.Node] = {}
    for node in program.graph.nodes:
        if node.op == "output":
            results = fx.map_arg(node.args[0], values.__getitem__)
            flow.fix(list(results))
        if node.op == "get_attr":
            values[node] = None
        if node.op != "call_function":
            continue
        args = fx.map_arg(node.args, values.__getitem__)
        kwargs = fx.map_arg(node.kwargs, values.__getitem__)
        if node.target is operator.getitem:
            values[node] = args[0][args[1]]
            base[node] = base.get(node.args[0], node.args[0])
            continue
        values[node] = _apply(flow, node, list(args), dict(kwargs))
        if isinstance(node.args[0] if node.args else None, fx.Node):
            _follow_aliases(flow, node, values, base)


def _apply(flow: Flow, node: fx.Node, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """What comes out of one node; where no rule understands it, nothing around it is resized."""
    packet = getattr(node.target, "overloadpacket", None)
    flow.operator = node.target
    flow.name = "" if packet is None else packet.__name__.rstrip("_")
    flow.place = _place(node)
    out = node.meta.get("val")
    several = isinstance(out, list | tuple)
    outputs: list[Any] = [*out] if several else [out]  # type: ignore[misc]
    shapes = [tuple(item.shape) if isinstance(item, Tensor) else () for item in outputs]
    rule = operators.RULES.get(flow.name)
    if rule is not None and isinstance(outputs[0], Tensor) and outputs[0].is_floating_point():
        result = _attempt(rule, flow, shapes if several else shapes[0], *args, **kwargs)
        if result is not None:
            return result
    given = [*args, *kwargs.values()]
    if any(map(_has_channels, torch.utils._pytree.tree_leaves(given))):
        flow.kept.append(f"{flow.place}: no rule for {flow.name or node.target} as it is used")
    flow.fix(given)
    signals = [Signal.pinned(shape) for shape in shapes]
    return signals if several else signals[0]


def _attempt(rule: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a rule gives; None if it does not know all of the operator's options."""
    try:
        inspect.signature(rule).bind(*args, **kwargs)
    except TypeError:
        return None
    return rule(*args, **kwargs)


def _has_channels(value: Any) -> bool:
    if isinstance(value, Weight):
        return isinstance(value.value, nn.Parameter)
    return isinstance(value, Signal) and bool(value.labels.any())


def _place(node: fx.Node) -> str:
    """The innermost module that calls the operator, by its name in the model."""
    stack = [*node.meta.get("nn_module_stack", {}).values()]
    return (stack[-1][0] if stack else "") or "(model)"


def _follow_aliases(
    flow: Flow, node: fx.Node, values: dict[fx.Node, Any], base: dict[fx.Node, fx.Node]
) -> None:
    """After a write in place, the other views of the same memory hold nobody knows what."""
    source = node.args[0]
    assert isinstance(source, fx.Node)
    if flow.name in ALIASES:
        base[node] = base.get(source, source)
    schema = getattr(node.target, "_schema", None)
    if schema is None or not schema.is_mutable:
        return
    root = base.get(source, source)
    family = [other for other in values if base.get(other, other) is root]
    if len(family) > 1:
        for other in family:
            flow.fix(values[other])
            value = values[other]
            values[other] = Signal.pinned(value.shape) if isinstance(value, Signal) else value
        flow.fix(values[node])
    base[node] = root


def _placeholders(
    flow: Flow, model: nn.Module, program: torch.export.ExportedProgram
) -> dict[fx.Node, Any]:
    """Weights for parameters and buffers, pinned signals for the inputs and fixed tensors."""
    names: dict[int, list[str]] = {}
    tensors: dict[str, Tensor] = {}
    for named in (model.named_parameters, model.named_buffers):
        for name, tensor in named(remove_duplicate=False):
            names.setdefault(id(tensor), []).append(name)
            tensors[name] = tensor
    kinds = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
    values: dict[fx.Node, Any] = {}
    known: dict[int, Weight] = {}
    for node in program.graph.find_nodes(op="placeholder"):
        spec = kinds[node.name]
        weight = tensors.get(spec.target or "")
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER) and weight is not None:
            if id(weight) not in known:
                name = str(spec.target)
                owner = model.get_submodule(name.rpartition(".")[0])
                tied = len(names[id(weight)]) > 1
                known[id(weight)] = Weight(name, weight, owner, tied)
            values[node] = known[id(weight)]
        else:
            value = node.meta.get("val")
            values[node] = Signal.pinned(value.shape) if isinstance(value, Tensor) else value
    flow.weights = list(known.values())
    return values
