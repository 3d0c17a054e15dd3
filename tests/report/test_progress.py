"""Progress: silent when switched off, a line in a log, a bar in a terminal."""

from __future__ import annotations

import io
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from gossamer.report import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_log_gets_one_line() -> None:
    stream = io.StringIO()
    with progress(3, "resampling", stream=stream) as advance:
        assert stream.getvalue() == ""
        for _ in range(3):
            advance()
    assert re.fullmatch(r"resampling: 3 of 3 in \d+\.\d s\n", stream.getvalue())


def test_interrupted_work_says_how_far_it_came() -> None:
    stream = io.StringIO()
    with pytest.raises(RuntimeError), progress(5, "folds", stream=stream) as advance:
        advance()
        raise RuntimeError
    assert stream.getvalue().startswith("folds: 1 of 5")


def test_terminal_gets_a_bar() -> None:
    terminal = Terminal()
    with progress(2, "folds", stream=terminal) as advance:
        advance()
        advance()
    assert "folds" in terminal.getvalue() and "100%" in terminal.getvalue()


def test_disabled_is_silent() -> None:
    stream = Terminal()
    with progress(2, "folds", enabled=False, stream=stream) as advance:
        advance()
    assert stream.getvalue() == ""


def test_threads_may_advance() -> None:
    stream = io.StringIO()
    with progress(500, "folds", stream=stream) as advance, ThreadPoolExecutor(8) as pool:
        for _ in range(500):
            pool.submit(advance)
        pool.shutdown(wait=True)
    assert "500 of 500" in stream.getvalue()
