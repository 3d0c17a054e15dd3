"""onnxruntime and DeepSparse, asked from here: each in a Python that has it.

Which Python is in the environment variable ``GOSSAMER_ENGINES``; without it, this one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np

NAMES = ("onnxruntime", "deepsparse")
CHILD = Path(__file__).with_name("engine_child.py")


class Engine:
    """A child process that holds models of one engine."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        python = os.environ.get("GOSSAMER_ENGINES", sys.executable)
        # what it would report to its maker stays here
        environment = os.environ | {"NM_DISABLE_ANALYTICS": "1"}
        environment.pop("PYTHONPATH", None)
        self.process = subprocess.Popen(
            [python, str(CHILD), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env=environment,
        )  # fmt: skip
        try:
            self.version = self._answer()["version"]
        except RuntimeError:
            self.close()
            raise

    def load(self, key: str, weight: np.ndarray, x: np.ndarray, threads: int) -> Loaded:
        """Compile the product of a weight with x."""
        files = {
            name: str(self.folder / f"{self.name}-{name}.npy")
            for name in ("weight", "samples", "result")
        }
        np.save(files["weight"], weight)
        np.save(files["samples"], x)
        self.ask(load=key, threads=threads, **files)
        return Loaded(self, key, np.load(files["result"]))

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        self.process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        said = json.loads(line) if line else {"error": "the process has ended"}
        if "error" in said:
            raise RuntimeError(f"{self.name}: {said['error']}")
        return said


class Loaded:
    """A product that an engine has compiled; forgotten when the ``with`` ends."""

    def __init__(self, engine: Engine, key: str, result: np.ndarray) -> None:
        self.engine, self.key, self.first = engine, key, result
        self.facts: dict[str, Any] = {}

    def turn(self, calls: int) -> tuple[float, float]:
        first, others = self.engine.ask(turn=self.key, calls=calls)["times"]
        return first, others

    def result(self) -> np.ndarray:
        return self.first

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.ask(drop=self.key)


@contextmanager
def started(names: tuple[str, ...] = NAMES) -> Iterator[dict[str, Engine]]:
    """The engines that are installed, by name; the others are said."""
    with tempfile.TemporaryDirectory() as folder:
        engines = {}
        for name in names:
            try:
                engines[name] = Engine(name, Path(folder))
            except (RuntimeError, OSError):
                print(f"{name} is left out: it is not installed", file=sys.stderr)
        try:
            yield engines
        finally:
            for engine in engines.values():
                engine.close()
