"""Models of transformers: made again from their configuration, with what has taken other places."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gossamer.core import ModelFileError

Record = dict[str, Any]

_BASE = "transformers.modeling_utils.PreTrainedModel"
_OURS = "gossamer."
# What this library notes in a model.
_NOTES = ("compile_report",)


def is_configured(model: nn.Module) -> bool:
    """Whether a configuration of transformers says all that its tensors do not."""
    return any(f"{kind.__module__}.{kind.__name__}" == _BASE for kind in type(model).__mro__)


def describe_configured(
    model: Any,
    encoded: Callable[[Any, str], Any],
    reference: Callable[[Tensor | None, str], Record | None],
    described: Callable[[nn.Module, str], Record],
) -> Record:
    """A model of transformers as plain data; modules of this library in it are its children.

    Parameters
    ----------
    encoded, reference, described : of values, tensors and modules, by their names
    """
    kind = type(model)
    if not kind.__module__.startswith("transformers."):
        raise ValueError(
            f"{kind.__name__} is a class of your own on transformers: save_model knows those of "
            "transformers itself. Use the model's own save_pretrained() before gossamer.compile()."
        )
    notes = {name: encoded(getattr(model, name), name) for name in _NOTES if hasattr(model, name)}
    record: Record = {
        "class": f"{kind.__module__}.{kind.__name__}",
        "config": json.loads(model.config.to_json_string(use_diff=False)),
        "training": model.training,
        "attributes": notes,
        "parameters": {},
        "buffers": {},
        "children": {path: described(module, path) for path, module in _ours(model)},
    }
    if (writing := getattr(model, "generation_config", None)) is not None:
        record["generation"] = json.loads(writing.to_json_string(use_diff=True))
    for path, module in model.named_modules(remove_duplicate=False):
        if not _inside(path, record["children"]):
            for group in ("parameters", "buffers"):
                for name, tensor in getattr(module, f"_{group}").items():
                    full = f"{path}.{name}".removeprefix(".")
                    record[group][full] = reference(tensor, full)
    return record


def build_configured(
    record: Record,
    decoded: Callable[[Any], Any],
    parameter: Callable[..., nn.Parameter],
    tensors: Mapping[str, Tensor],
    made: Callable[[Record, str], nn.Module | None],
) -> nn.Module:
    """The model of a record: the class is transformers' own, and computes nothing when it is made.

    Raises
    ------
    ModelFileError
        For a class that the installed transformers does not have, or tensors that are missing.
    """
    kind = _class_of(record["class"])
    with torch.device("meta"):
        model = kind(kind.config_class.from_dict(record["config"]))
    for path, child in record["children"].items():
        home, _, name = path.rpartition(".")
        model.get_submodule(home)._modules[name] = made(child, path)
    for group in ("parameters", "buffers"):
        for path, place in record[group].items():
            home, _, name = path.rpartition(".")
            if place is not None:
                fresh = parameter(**place) if group == "parameters" else tensors[place["tensor"]]
                getattr(model.get_submodule(home), f"_{group}")[name] = fresh
    if "generation" in record:
        model.generation_config = type(model.generation_config).from_dict(record["generation"])
    for name in _NOTES:
        if name in record["attributes"]:
            setattr(model, name, decoded(record["attributes"][name]))
    missing = [name for name, tensor in _all_tensors(model) if tensor.is_meta]
    if missing:
        raise ModelFileError(f"The record has no tensor {missing[0]!r} of {record['class']}.")
    return model.train(record["training"])


def _class_of(path: str) -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ImportError(
            f"The model is a {path}: loading it needs the package transformers."
        ) from error
    kind = getattr(transformers, path.rpartition(".")[2], None)
    if kind is None or f"{kind.__module__}.{kind.__name__}" != path or not _is_model(kind):
        raise ModelFileError(
            f"transformers {transformers.__version__} has no model {path!r}: install the version "
            "that the file was saved with."
        )
    return kind


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, nn.Module)


def _ours(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The outermost modules of this library, in all of their places."""
    found: list[str] = []
    for path, module in model.named_modules(remove_duplicate=False):
        if type(module).__module__.startswith(_OURS) and not _inside(path, found):
            found.append(path)
            yield path, module


def _inside(path: str, places: Any) -> bool:
    parts = path.split(".")
    return any(".".join(parts[:length]) in places for length in range(1, len(parts) + 1))


def _all_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, Tensor):
                yield f"{path}.{name}", value
