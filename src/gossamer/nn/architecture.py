"""Architecture: a module without its tensors, as plain data that JSON can hold."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib import import_module
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gossamer.core import ModelFileError
from gossamer.nn.configured import build_configured, describe_configured, is_configured
from gossamer.nn.shrinking import Shrinkage

Record = dict[str, Any]

# What every module has, and what recurrent layers make of their parameters.
_OWN = {*vars(nn.Module()), "_flat_weights", "_flat_weight_refs"} - {"training"}

# Whose modules are the library's own: known without being trusted, imported where a file has them.
_ROOMS = ("gossamer.nn.", "gossamer.runtime.")

# Functions that torch's own modules keep as attributes.
_FUNCTIONS = {name: getattr(F, name) for name in ("relu", "gelu", "silu", "elu", "tanh", "sigmoid")}


def path_of(kind: type) -> str:
    """Where a class lives: its module and name."""
    return f"{kind.__module__}.{kind.__qualname__}"


def known_classes(trust: Iterable[type[nn.Module]] = ()) -> dict[str, type[nn.Module]]:
    """The modules of torch, and those that the caller trusts, by their path."""
    found = {
        path_of(kind): kind
        for module in (nn, nn.modules.linear)
        for kind in vars(module).values()
        if _is_module(kind)
    }
    for kind in trust:
        if not _is_module(kind):
            raise TypeError(f"trust must be classes of modules, got {kind!r}.")
        found[path_of(kind)] = kind
    return found


def own_class(path: str) -> type[nn.Module] | None:
    """The module of this library that lives at a path, if there is one: no other code is imported.

    >>> own_class("gossamer.nn.models.lenet.LeNet5"), own_class("os.path")
    (<class 'gossamer.nn.models.lenet.LeNet5'>, None)
    """
    home, _, name = path.rpartition(".")
    if not home.startswith(_ROOMS) or not all(map(str.isidentifier, path.split("."))):
        return None
    try:
        kind = getattr(import_module(home), name, None)
    except ModuleNotFoundError:
        return None
    return kind if _is_module(kind) and path_of(kind) == path else None


def _is_module(kind: Any) -> TypeGuard[type[nn.Module]]:
    return inspect.isclass(kind) and issubclass(kind, nn.Module)


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer under each of its names, also those that no state_dict has."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    return parameters | dict(model.named_buffers(remove_duplicate=False))


def describe_architecture(model: nn.Module) -> Record:
    """A model as plain data: classes, attributes, names of tensors, and which of them are shared.

    Raises
    ------
    ValueError
        For an attribute that is no plain data, and for a parametrised module.

    Examples
    --------
    >>> record = describe_architecture(nn.Sequential(nn.Linear(3, 2), nn.ReLU()))
    >>> record["children"]["0"]["class"], record["children"]["0"]["attributes"]["in_features"]
    ('torch.nn.modules.linear.Linear', 3)
    """
    return _describe(model, "", {}, {})


def _describe(
    module: nn.Module, path: str, modules: dict[int, str], tensors: dict[int, str]
) -> Record:
    if id(module) in modules:
        return {"same_as": modules[id(module)]}
    modules[id(module)] = path
    if hasattr(module, "parametrizations"):
        raise ValueError(
            f"{path or 'the model'} is parametrised: call finalise() of gs.nn.sparsify first, or "
            "remove_parametrizations of torch.nn.utils.parametrize."
        )
    if is_configured(module):
        return describe_configured(
            module,
            _encoded,
            lambda tensor, name: _reference(tensor, f"{path}.{name}".removeprefix("."), tensors),
            lambda part, name: _describe(
                part, f"{path}.{name}".removeprefix("."), modules, tensors
            ),
        )
    attributes = {
        name: _encoded(value, f"{path}.{name}".removeprefix("."))
        for name, value in vars(module).items()
        if name not in _OWN and not isinstance(value, Shrinkage)
    }
    record: Record = {"class": path_of(type(module)), "attributes": attributes}
    for kind in ("parameters", "buffers"):
        record[kind] = {
            name: _reference(tensor, f"{path}.{name}".removeprefix("."), tensors)
            for name, tensor in getattr(module, f"_{kind}").items()
        }
    record["not_persistent"] = sorted(module._non_persistent_buffers_set)
    record["children"] = {
        name: child and _describe(child, f"{path}.{name}".removeprefix("."), modules, tensors)
        for name, child in module._modules.items()
    }
    return record


def _reference(tensor: Tensor | None, name: str, tensors: dict[int, str]) -> Record | None:
    """Under which name a tensor is saved: the first of those that it has."""
    if tensor is None:
        return None
    return {"tensor": tensors.setdefault(id(tensor), name), "trained": tensor.requires_grad}


def _encoded(value: Any, place: str) -> Any:
    """Plain data as JSON can hold it; what JSON does not know is an object of one key."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, tuple):
        return {"tuple": [_encoded(item, place) for item in value]}
    if isinstance(value, list):
        return [_encoded(item, place) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _encoded(item, place) for key, item in value.items()}}
    for name, function in _FUNCTIONS.items():
        if value is function:
            return {"function": name}
    raise ValueError(
        f"{place} is a {type(value).__name__}, which is no plain data and cannot be saved: keep "
        "numbers, strings, lists and dicts in the module, or save its state_dict() and shape it "
        "yourself."
    )


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    match kind:
        case "float":
            return float(content)
        case "dtype" if isinstance(found := getattr(torch, content, None), torch.dtype):
            return found
        case "tuple":
            return tuple(_decoded(item) for item in content)
        case "dict":
            return {key: _decoded(item) for key, item in content.items()}
        case "function" if content in _FUNCTIONS:
            return _FUNCTIONS[content]
    raise ModelFileError(f"The record has a value that is not understood: {value!r}.")


def _below(path: str, make: Callable[..., Any], record: Record, name: str) -> Any:
    return make(record, f"{path}.{name}".removeprefix("."))


def build(
    record: Record, tensors: Mapping[str, Tensor], classes: Mapping[str, type[nn.Module]]
) -> nn.Module:
    """The model of a record. Of `classes` and the library's own, no constructor is ever called.

    Models of transformers are made by their own constructors, from their configuration.

    Parameters
    ----------
    tensors : by the name that the record gives them
    classes : what may be built beside the library's own modules, by path
    """
    built: dict[str, nn.Module] = {}
    parameters: dict[str, nn.Parameter] = {}

    def make(record: Record | None, path: str) -> nn.Module | None:
        if record is None or "same_as" in record:
            return None if record is None else built[record["same_as"]]
        if "config" in record:
            below = partial(_below, path, make)
            built[path] = build_configured(record, _decoded, parameter, tensors, below)
            return built[path]
        kind = classes.get(record["class"]) or own_class(record["class"])
        if kind is None:
            raise ModelFileError(
                f"{path or 'The model'} is a {record['class']}, whose code the file does not hold: "
                f"import the class and say trust=[{record['class'].rpartition('.')[2]}]."
            )
        module = kind.__new__(kind)
        nn.Module.__init__(module)
        built[path] = module
        for name, value in record["attributes"].items():
            if name in _OWN or callable(getattr(kind, name, None)):
                raise ModelFileError(f"The record sets {name!r} of {path or 'the model'}: refused.")
            vars(module)[name] = _decoded(value)
        for name, place in record["parameters"].items():
            module._parameters[name] = None if place is None else parameter(**place)
        for name, place in record["buffers"].items():
            module._buffers[name] = None if place is None else tensors[place["tensor"]]
        module._non_persistent_buffers_set = set(record["not_persistent"])
        for name, child in record["children"].items():
            module._modules[name] = make(child, f"{path}.{name}".removeprefix("."))
        if isinstance(module, nn.RNNBase):
            module._init_flat_weights()
        return module

    def parameter(tensor: str, trained: bool) -> nn.Parameter:
        if tensor not in parameters:
            parameters[tensor] = nn.Parameter(tensors[tensor], trained)
        return parameters[tensor]

    model = make(record, "")
    assert model is not None
    return model
