"""Model files: a model as safetensors, with its architecture as JSON in the header."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import nn

from gossamer.core import ModelFileError
from gossamer.nn.architecture import build, describe_architecture, known_classes, tensors_of

FORMAT = "gossamer-model-1"


def save_model(model: nn.Module, path: str | Path) -> None:
    """Save a model with its sizes, such as :func:`shrink` has made them.

    The file is safetensors: any reader of that format finds the tensors under their names. Its
    header has the entry ``architecture``, a JSON record of classes, attributes and sizes, from
    which :func:`load_model` makes the model again. Tied weights are saved once and stay tied.

    Parameters
    ----------
    model : nn.Module
        Of torch's own modules, of this library's, or of one's own classes whose attributes are
        plain data (numbers, strings, lists and dicts of them).
    path : str or Path

    Raises
    ------
    ValueError
        For attributes that are no plain data, and for parametrised modules.
    ImportError
        Without the package safetensors.

    Examples
    --------
    >>> import tempfile, torch
    >>> model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    >>> file = Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> save_model(model, file)
    >>> load_model(file)
    Sequential(
      (0): Linear(in_features=3, out_features=2, bias=True)
      (1): ReLU()
    )
    """
    safetensors = safetensors_package()
    record = describe_architecture(model)
    named = tensors_of(model)
    tensors = {name: named[name].detach().contiguous().clone() for name in _names(record)}
    header = {"format": "pt", "gossamer": FORMAT, "architecture": json.dumps(record)}
    safetensors.torch.save_file(tensors, path, metadata=header)


def load_model(
    path: str | Path, *, trust: Iterable[type[nn.Module]] = (), device: str = "cpu"
) -> nn.Module:
    """The model that :func:`save_model` has saved.

    Modules of torch and of this library need no further code. The file is data: nothing in it is
    run, and of what it names only this library's own modules are imported.

    Parameters
    ----------
    path : str or Path
    trust : classes of modules, optional
        Further classes that the model may consist of, such as the one that was saved. Their
        methods are used, their constructors are not: the sizes are those of the file.
    device : str, default "cpu"
        Where the tensors go.

    Returns
    -------
    nn.Module
        In the mode, training or evaluation, that it had.

    Raises
    ------
    ModelFileError
        A ValueError: the file was not written by :func:`save_model`, is damaged, or has a class
        that is not trusted.
    """
    safetensors, classes = safetensors_package(), known_classes(trust)
    try:
        with safetensors.safe_open(path, framework="pt", device=device) as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except safetensors.SafetensorError as error:
        raise ModelFileError(f"{str(path)!r} is no whole safetensors file: {error}") from error
    if header.get("gossamer") != FORMAT:
        raise ModelFileError(
            f"{str(path)!r} has no architecture of format {FORMAT!r} in its header: save it by "
            "gs.nn.save_model, or load its tensors into a model that you make."
        )
    try:
        return build(json.loads(header["architecture"]), tensors, classes)
    except (KeyError, AttributeError, TypeError, json.JSONDecodeError) as error:
        raise ModelFileError(f"{str(path)!r} has a record that does not fit: {error!r}.") from error


def _names(record: dict[str, Any] | None) -> list[str]:
    """Under which names the tensors of a record are saved, each once."""
    if record is None or "same_as" in record:
        return []
    own = [*record["parameters"].values(), *record["buffers"].values()]
    names = [place["tensor"] for place in own if place is not None]
    return list(dict.fromkeys(sum(map(_names, record["children"].values()), names)))


def safetensors_package() -> Any:
    try:
        import safetensors
        import safetensors.torch
    except ImportError as error:
        raise ImportError(
            "Saving and loading models needs the package safetensors: pip install safetensors."
        ) from error
    return safetensors
