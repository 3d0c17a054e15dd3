"""Model directories of Hugging Face: read and written as safetensors, without a network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

_DTYPES = ("auto", "float32", "bfloat16", "float16")
_CAUSAL = ("ForCausalLM", "LMHeadModel")


def load(folder: str | Path, *, dtype: str = "auto", device: str = "cpu") -> tuple[nn.Module, Any]:
    """A causal language model and its tokenizer, from a model directory.

    Nothing is downloaded, no code of the directory is run, and weights are read from safetensors
    only.

    Parameters
    ----------
    folder : path
        What ``save_pretrained`` or `save` has written.
    dtype : {"auto", "float32", "bfloat16", "float16"}
        Of the weights; "auto" takes that of the file.
    device : str, default "cpu"

    Returns
    -------
    model : nn.Module
        In evaluation mode.
    tokenizer

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If it is no model directory, holds pickled weights or not all of them, or a model that is
        not causal or needs code of its own; for a device that is not there.
    ImportError
        Without the package transformers.
    """
    transformers, folder = _transformers(), Path(folder)
    if dtype not in _DTYPES:
        raise ValueError(f"dtype: one of {', '.join(_DTYPES)}, got {dtype!r}.")
    _check_directory(folder)
    here = {"local_files_only": True, "trust_remote_code": False}
    with _without_bars(transformers):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **here)
        model, found = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **here
        )
    if missing := sorted(found["missing_keys"]):
        raise ValueError(
            f"{folder} lacks {len(missing)} of the model's weights, such as {missing[0]!r}: copy "
            "the directory again."
        )
    return _placed(model, device).eval(), tokenizer


def _placed(model: Any, device: str) -> nn.Module:
    try:
        placed: nn.Module = model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device: {device!r} cannot be used: {error}") from error
    return placed


def save(model: Any, tokenizer: Any, folder: str | Path) -> None:
    """Write a model directory that ``from_pretrained`` loads, with weights as safetensors.

    Weights that are zero are written as zeros: the directory is as large as the dense one, and any
    program that reads such models reads it.

    Parameters
    ----------
    model : nn.Module
        A model of transformers.
    tokenizer
    folder : path
        Made where it is not there; files of the same names are overwritten.

    Raises
    ------
    TypeError
        For another kind of model.
    ValueError
        For parametrised weights, whose names no other program would know.
    """
    if not hasattr(model, "save_pretrained"):
        raise TypeError(
            f"model: a model of transformers, got {type(model).__name__}. gs.nn.save_model saves "
            "any other."
        )
    odd = [name for name, module in model.named_modules() if is_parametrized(module)]
    if odd:
        raise ValueError(
            f"model: {odd[0]!r} computes its weight. Make it plain before saving, by "
            "Adapter.merge() or torch.nn.utils.parametrize.remove_parametrizations."
        )
    with _without_bars(_transformers()):
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _check_directory(folder: Path) -> None:
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is no folder that holds a model (config.json and weights as safetensors). "
            "Nothing is downloaded here: hf download NAME --local-dir FOLDER does that."
        )
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder} is no model directory: it has no config.json.")
    if not any(folder.glob("*.safetensors")):
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt*"))
        raise ValueError(
            f"{folder} has its weights as a pickle, which can run any code: convert them to "
            "safetensors (model.save_pretrained, in a place where you trust them)."
            if pickled
            else f"{folder} has no weights: there is no .safetensors file in it."
        )
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if "auto_map" in config:
        raise ValueError(
            f"{folder} needs code of its own, which is not run: load the model yourself and give "
            "it to gs.nn.language.compress."
        )
    kinds = config.get("architectures") or []
    if kinds and not any(kind.endswith(_CAUSAL) for kind in kinds):
        raise ValueError(
            f"{folder} holds {kinds[0]}, which is no causal language model: load it yourself and "
            "give it to gs.nn.language.compress."
        )


def _transformers() -> Any:
    if find_spec("transformers") is None:
        raise ImportError("Model directories need transformers: pip install 'gossamer[llm]'.")
    import transformers

    return transformers


@contextmanager
def _without_bars(transformers: Any) -> Iterator[None]:
    """Without transformers' own progress bars."""
    bars = transformers.utils.logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()
