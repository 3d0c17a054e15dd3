"""Product: one kernel that multiplies a layout with samples, and what it has to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import Any

import numpy as np

from gossamer.kernels.machine import caches
from gossamer.kernels.strips import GROUP


@dataclass(frozen=True)
class Bounds:
    """Results below ``low`` become ``low``, above ``high`` become ``high``.

    Examples
    --------
    >>> from gossamer.runtime import CSR
    >>> layout = CSR.build(np.array([[1.0, -2.0]], np.float32))
    >>> layout.matmul(np.eye(2, dtype=np.float32), bounds=Bounds(low=0))
    array([[1.],
           [0.]], dtype=float32)
    """

    low: float = -inf
    high: float = inf

    @cached_property
    def limits(self) -> tuple[np.float32, np.float32]:
        """As the kernels take them."""
        return np.float32(self.low), np.float32(self.high)


BOUNDLESS = Bounds()


@dataclass(frozen=True)
class Product:
    """A kernel for products of a layout with ``samples``.

    Parameters
    ----------
    name : str
        Under which its speed on this machine is remembered.
    step : int
        Samples that it takes at a time.
    whole : bool
        Whether the number of samples must be a multiple of ``step``. If not, the last ones take as
        long as ``step`` of them would.
    run : (layout, x, bias, low, high, y, first, last, top, bottom) -> None
        Computes samples [first, last) of rows [top, bottom): flat arrays, x (samples, inputs), y
        (samples, rows). Leaves the interpreter's lock, so that threads share the rows or samples.
    work : (layout, steps) -> {what: amount}
        How often it does what takes time, in ``steps`` steps: the cost model finds out on this
        machine how long each takes.
    threaded : bool
        Whether ``run`` itself uses as many threads as torch does.
    group : int
        Rows that stay together when threads share them.
    together : (parallel, parts, layout, x, bias, low, high, y) -> None, optional
        ``run`` for each row of ``parts``, on the threads of OpenMP: see
        :func:`gossamer.kernels.sharing.together`.
    """

    name: str
    step: int
    run: Callable[..., None]
    work: Callable[[Any, int], Mapping[str, float]]
    whole: bool = False
    threaded: bool = False
    group: int = GROUP
    together: Callable[..., None] | None = None

    def steps(self, samples: int) -> int:
        """Steps for so many samples."""
        return samples // self.step if self.whole else -(-samples // self.step)


def reads(what: str, times: float, span: float) -> dict[str, float]:
    """``times`` reads of ``what``, here and there among ``span`` bytes: how many miss each cache.

    A cache of ``size`` bytes holds the share ``size / span`` of them.
    """
    misses = [max(0.0, 1.0 - size / max(span, 1.0)) for size in caches()]
    names = (what, f"{what} beyond L1", f"{what} beyond L2", f"{what} beyond L3")
    return dict(zip(names, (times, *(times * miss for miss in misses)), strict=True))


def scaling(layout: Any, samples: int) -> dict[str, float]:
    """What scaling the inputs of so many samples adds, where the layout has ``scales``."""
    return {} if layout.scales is None else {"packed": layout.inputs * samples}


def offsets(starts: np.ndarray) -> np.ndarray:
    """Places in an array, as uint32: one type, as each takes kernels of its own."""
    if starts.size and starts[-1] >= 1 << 32:
        raise ValueError(f"a weight with {starts[-1]} values has no places of 32 bits: split it.")
    return starts.astype(np.uint32)


def narrow(indices: np.ndarray, most: int) -> np.ndarray:
    """Indices below ``most`` in the narrowest type that holds them: uint16 or uint32."""
    if most > 1 << 32:
        raise ValueError(f"a weight with {most} inputs has no indices of 32 bits.")
    return indices.astype(np.uint16 if most <= 1 << 16 else np.uint32)
