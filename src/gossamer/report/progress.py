"""Progress of long work: a bar in a terminal, one plain line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import TextIO


@contextmanager
def progress(
    total: int, description: str, *, enabled: bool = True, stream: TextIO | None = None
) -> Iterator[Callable[[], object]]:
    """Show how far `total` steps of work have come.

    A terminal gets a bar that vanishes at the end; any other stream gets one line when the work
    ends, so that logs stay short. The yielded function may be called from several threads.

    Parameters
    ----------
    total : int
        Number of steps.
    description : str
        What is being done, such as "cross-validation".
    enabled : bool
        Whether to show anything.
    stream : text stream, optional
        Standard error by default.

    Yields
    ------
    advance : callable
        To be called without arguments after each step.

    Examples
    --------
    >>> with progress(3, "resampling", enabled=False) as advance:
    ...     for _ in range(3):
    ...         _ = advance()
    """
    stream = sys.stderr if stream is None else stream
    if not enabled:
        yield lambda: None
    elif stream.isatty():
        with _bar(total, description, stream) as advance:
            yield advance
    else:
        with _line(total, description, stream) as advance:
            yield advance


@contextmanager
def _bar(total: int, description: str, stream: TextIO) -> Iterator[Callable[[], object]]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(file=stream), transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda: bar.advance(task)


@contextmanager
def _line(total: int, description: str, stream: TextIO) -> Iterator[Callable[[], object]]:
    # next() on a count is atomic, which makes advance safe to call from several threads.
    steps = count()
    start = time.perf_counter()
    try:
        yield lambda: next(steps)
    finally:
        seconds = time.perf_counter() - start
        stream.write(f"{description}: {next(steps)} of {total} in {seconds:.1f} s\n")
