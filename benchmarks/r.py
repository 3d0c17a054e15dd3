"""R from Python: arrays go into a folder, a script is run on them, its arrays come back."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

READER = Path(__file__).with_suffix(".R")
# every tool that has no process of its own to be asked again
TOOLS = Path(__file__).with_name("tools.R")


@cache
def version(package: str) -> str | None:
    """The version of an R package, None when it or R is absent."""
    if shutil.which("Rscript") is None:
        return None
    asked = ["Rscript", "-e", f'cat(as.character(packageVersion("{package}")))']
    answer = subprocess.run(asked, capture_output=True, text=True)
    return answer.stdout if answer.returncode == 0 else None


def run(
    script: Path, arrays: Mapping[str, np.ndarray], **words: str | float
) -> dict[str, np.ndarray]:
    """What ``script`` gives for arrays of doubles, and words that it reads as ``o$name``."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        for key, array in arrays.items():
            head = np.array([array.ndim, *array.shape], dtype=float)
            body = np.asarray(array, dtype=float).ravel(order="F")
            np.concatenate([head, body]).tofile(folder / f"{key}.in")
        said = [f"{key}={value}" for key, value in words.items()]
        command = ["Rscript", "--vanilla", READER, script, folder, *said]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"R ended: {done.stderr.strip()[-400:]}")
        return {path.stem: _read(path) for path in folder.glob("*.out")}


def _read(path: Path) -> np.ndarray:
    numbers = np.fromfile(path)
    rank = int(numbers[0])
    return numbers[rank + 1 :].reshape(numbers[1 : rank + 1].astype(int), order="F")
