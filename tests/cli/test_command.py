"""The command itself: help, version, information, warming, the demonstration."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from typing import Any

import pytest

import gossamer as gs
from gossamer.report import demo
from gossamer.solvers.warm import tiny_problems

HEAVY = {"numpy", "scipy", "sklearn", "numba", "pyarrow", "matplotlib", "jinja2", "rich", "joblib"}


def test_without_words_it_helps(run: Any) -> None:
    told = run()
    assert told.code == 0
    for word in ("fit", "predict", "demo", "info", "warm", "exit codes"):
        assert word in told.out
    assert run("--help").out == told.out


def test_every_command_helps(run: Any) -> None:
    for name in ("fit", "predict", "demo", "info", "warm"):
        told = run(name, "--help")
        assert told.code == 0
        assert "--debug" in told.out


def test_version(run: Any) -> None:
    assert run("--version").out == f"gossamer {gs.__version__}\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["fot"], "fot"),
        (["fit"], "TABLE"),
        (["predict", "m.gossamer", "t.csv", "--outptu", "x"], "--output?"),
        (["warm", "--everything"], "--everything"),
    ],
)
def test_usage_errors(run: Any, words: list[str], told: str) -> None:
    answer = run(*words)
    assert answer.code == 2
    assert told in answer.err
    assert len(answer.err.splitlines()) <= 2


def test_help_loads_nothing_heavy() -> None:
    probe = (
        "import sys, json; from gossamer.cli import main; main(['fit', '--help']);"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(json.loads(shown.stdout.splitlines()[-1]))
    assert "gossamer" in loaded
    assert loaded & HEAVY == set()


def test_info_names_versions_and_pieces(run: Any) -> None:
    told = run("info")
    assert told.code == 0
    for word in (gs.__version__, "numpy", "cores", "cache", "MCP", "Multinomial", "Groups"):
        assert word in told.out


def test_warm(run: Any) -> None:
    told = run("warm")
    assert told.code == 0
    assert f"{len(tiny_problems(False))} kinds of problem are ready" in told.out
    assert run("warm", "--quiet").out == ""


def test_the_demonstration_needs_its_data(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    told = run("demo")
    assert told.code == 2
    assert "pip install --no-deps ISLP" in told.err


@pytest.mark.skipif(importlib.util.find_spec("ISLP") is None, reason="the ISLP data are absent")
def test_the_demonstration_gets_all_test_samples_right(run: Any) -> None:
    told = run("demo", "-o", "khan")
    assert told.code == 0, told.err
    assert "20 of 20 right on the test set" in told.out
    assert "Proved optimal" in told.out
    assert f"report: {told.folder / 'khan' / 'report.html'}" in told.out
    model = gs.load("khan/model.gossamer")
    assert model[-1].certificate_.value < 1e-6
    train, test = demo.khan()
    truth = test.column(demo.TARGET)
    assert model.score(test.drop([demo.TARGET]), truth) == 1.0
    assert (train.n_rows, test.n_rows) == (63, 20)
