"""Calibration: how long each kind of work takes on this machine, measured once and remembered."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import nnls

from gossamer.kernels.machine import code_digest, processor

if TYPE_CHECKING:
    from gossamer.runtime.layout import Layout
    from gossamer.runtime.product import Product

Speeds = Mapping[str, float]  # nanoseconds of each kind of work

# Weights that products are measured on: rows, inputs, share that is not zero.
GRID = (
    (64, 64, 0.1),
    (256, 256, 0.1),
    (256, 256, 0.6),
    (2048, 512, 0.01),
    (768, 768, 0.2),
    (256, 4096, 0.02),
    (256, 4096, 0.4),
    (1536, 1024, 0.4),
)
STEPS = 1, 4
_SHORTEST, _ROUNDS = 5e-4, 5  # seconds of runs of each, in so many rounds


class Machine:
    """What has been measured on this machine: speeds by name, kept in a file.

    Each kind of processor has a file. One that cannot be read, or of another version, counts
    as empty and is replaced. Where the folder cannot be written, each process measures for itself.

    Parameters
    ----------
    folder : Path
        Where the file lies, or will.
    """

    def __init__(self, folder: Path) -> None:
        processor = {fact: text for fact, text in self.identity().items() if fact != "code"}
        self.path = folder / f"runtime-{_digest(processor)}.json"
        self.speeds: dict[str, dict[str, float]] = self._read()

    @staticmethod
    def identity() -> dict[str, str]:
        """What speeds depend on."""
        name, features = processor()
        code = f"{code_digest()} {_own_digest()}"
        return {"processor": name, "features": features, "code": code}

    def remember(self, name: str, speeds: Speeds) -> None:
        """Add to what is known, here and in the file."""
        self.speeds[name] = dict(speeds)
        # another process may have written meanwhile
        self.speeds = self._read() | self.speeds
        text = json.dumps({"machine": self.identity(), "speeds": self.speeds}, indent=1)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", dir=self.path.parent, delete=False, encoding="utf-8"
            ) as file:
                file.write(text)
            os.replace(file.name, self.path)
        except OSError:
            pass

    def _read(self) -> dict[str, dict[str, float]]:
        try:
            found = json.loads(self.path.read_text("utf-8"))
            if found["machine"] != self.identity():
                return {}
            return {
                str(name): {str(what): float(amount) for what, amount in speeds.items()}
                for name, speeds in found["speeds"].items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}


@cache
def this_machine() -> Machine:
    """What is known of the machine that this process runs on."""
    return Machine(cache_home())


def cache_home() -> Path:
    """The folder for what can be measured again: ``GOSSAMER_CACHE``, or the user's cache."""
    if given := os.environ.get("GOSSAMER_CACHE"):
        return Path(given)
    if sys.platform == "win32":
        usual = Path(os.environ.get("LOCALAPPDATA", Path.home()))
    elif sys.platform == "darwin":
        usual = Path.home() / "Library" / "Caches"
    else:
        usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return usual / "gossamer"


def name_of(product: Product, layout: Layout) -> str:
    """Under which its speeds are remembered: kernels differ by the types they read."""
    kinds = ",".join(array.dtype.str[1:] for array in layout.arrays().values())
    if product.threaded:
        import torch

        kinds += f" on {torch.get_num_threads()}"
    return f"{product.name} {kinds}"


def measure(
    product: Product, layouts: Sequence[Layout], clock: Callable[[], float] = perf_counter
) -> dict[str, float]:
    """Nanoseconds of each kind of work of a product, by runs on these layouts.

    ``sum_k speed_k * work_k`` is fitted to the shortest of several runs by least squares of the
    relative errors, no speed negative.
    """
    runs, works = [], []
    for layout in layouts:
        for steps in STEPS:
            runs.append(_runner(product, layout, product.step * steps))
            works.append(product.work(layout, steps))
    seconds = _shortest(runs, clock)
    return fit(works, seconds)


def fit(works: Sequence[Mapping[str, float]], seconds: np.ndarray) -> dict[str, float]:
    """Nanoseconds of each kind of work, for works that took so many seconds."""
    kinds = sorted({what for work in works for what in work})
    amounts = np.array([[work.get(what, 0.0) for what in kinds] for work in works])
    shares = amounts / (1e9 * np.maximum(seconds, 1e-9)[:, None])
    scale = np.maximum(shares.max(0), 1e-300)  # else kinds of few would be lost to rounding
    found, _ = nnls(shares / scale, np.ones(len(works)))
    return {what: float(speed) for what, speed in zip(kinds, found / scale, strict=True)}


def _runner(product: Product, layout: Layout, samples: int) -> Callable[[], None]:
    x = np.ones(samples * layout.inputs, np.float32)
    bias, y = np.zeros(layout.rows, np.float32), np.empty(samples * layout.rows, np.float32)
    bounds = np.float32(-np.inf), np.float32(np.inf)
    return lambda: product.run(layout, x, bias, *bounds, y, 0, samples, 0, layout.rows)


def _shortest(runs: Sequence[Callable[[], Any]], clock: Callable[[], float]) -> np.ndarray:
    """Seconds of the shortest run of each: all in turn, so that a busy moment meets them alike."""
    runs[0]()  # compiles
    shortest = np.full(len(runs), np.inf)
    for _ in range(_ROUNDS):
        for i, run in enumerate(runs):
            begun = before = clock()
            for _ in range(20):
                run()
                now = clock()
                shortest[i] = min(shortest[i], now - before)
                before = now
                if now - begun > _SHORTEST:
                    break
    return shortest


@cache
def _own_digest() -> str:
    """A hash of what says how much work there is, and how it is measured."""
    folder = Path(__file__).parent
    files = [folder / "calibration.py", folder / "product.py", folder / "layouts/by_columns.py"]
    files += sorted(folder.glob("*_products.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _digest(identity: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
