"""bind: compiled once a machine, never stale, never another user's code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gossamer.kernels import bind

_FORMULA = """
import numpy as np
from helper import bonus

FACTOR = 2.0
TABLE = np.array([1.0, 10.0])
WHOLE = np.int64(1)


def term(t):
    return FACTOR * t + bonus(t) + TABLE[1] + WHOLE


def factory(shift):
    def term(t):
        return t + shift
    return term


shifted = factory(1.0)
"""

_HELPER = """
def bonus(t):
    return 100.0 * t
"""

_MAIN = """
import sys
import numpy as np
from gossamer.kernels import bind
import formula


def total(x):
    result = 0.0
    for i in range(x.size):
        result += term(x[i])
    return result


for name in ("term", "shifted"):
    kernel = bind(total, term=getattr(formula, name))
    value = kernel(np.array([1.0, 2.0]))
    hits = sum(kernel.stats.cache_hits.values()) if hasattr(kernel, "stats") else -1
    print(value, hits)
"""


class Sandbox:
    """A user's files and a cache of their own, run in new processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("formula.py", _FORMULA)
        self.write("helper.py", _HELPER)
        self.write("main.py", _MAIN)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new))

    def run(self, **environment: str) -> list[tuple[float, int]]:
        """(value, cache hits) of each formula."""
        env = {"NUMBA_CACHE_DIR": str(self.folder / "cache")} | environment
        # source files of one second may share a time stamp: no bytecode between runs
        env |= {"PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, "-W", "error", "main.py"], cwd=self.folder, env=os.environ | env,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        pairs = [line.split() for line in done.stdout.splitlines()]
        return [(float(value), int(hits)) for value, hits in pairs]


@pytest.fixture
def sandbox(tmp_path):
    return Sandbox(tmp_path)


@pytest.fixture(scope="module")
def warm_sandbox(tmp_path_factory):
    """One whose cache holds the formulas as they were before any edit."""
    warm = Sandbox(tmp_path_factory.mktemp("warm"))
    warm.run()
    return warm


def test_second_process_reads_the_cache(sandbox):
    values = [6 + 300 + 22, 5.0]
    assert sandbox.run() == [(values[0], 0), (values[1], 0)]
    assert sandbox.run() == [(values[0], 1), (values[1], 1)]


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("formula.py", "FACTOR * t", "FACTOR * t * t", (10 + 300 + 22, 5.0)),
        ("formula.py", "FACTOR = 2.0", "FACTOR = 3.0", (9 + 300 + 22, 5.0)),
        ("formula.py", "10.0]", "20.0]", (6 + 300 + 42, 5.0)),
        ("formula.py", "np.int64(1)", "np.int64(2)", (6 + 300 + 24, 5.0)),
        ("formula.py", "factory(1.0)", "factory(2.0)", (6 + 300 + 22, 7.0)),
        ("helper.py", "100.0 * t", "1000.0 * t", (6 + 3000 + 22, 5.0)),
        ("main.py", "result = 0.0", "result = 0.5", (6 + 300 + 22.5, 5.5)),
    ],
)
def test_an_edit_is_never_served_stale(warm_sandbox, file, old, new, expected):
    warm_sandbox.edit(file, old, new)
    try:
        assert tuple(value for value, _ in warm_sandbox.run()) == expected
    finally:
        warm_sandbox.edit(file, new, old)


_RACE = """
import numpy as np
from gossamer.kernels import bind
from main import total

kernel = bind(total, term=lambda t: t)
# as for a process that has read the index before another one wrote to it
kernel._cache._cache_file._load_index = dict
kernel(np.ones(2)), kernel(np.ones(2, np.float32))
"""


def test_types_that_are_compiled_at_once_have_files_of_their_own(sandbox):
    sandbox.write("race.py", _RACE)
    code = [sys.executable, "-c", "import race"]
    env = os.environ | {"NUMBA_CACHE_DIR": str(sandbox.folder / "cache")}
    subprocess.run(code, cwd=sandbox.folder, env=env, check=True, capture_output=True)
    # one for each of the two formulas of main.py, and two for the types here
    assert len(list((sandbox.folder / "cache").rglob("*.total_*.nbc"))) == 2 + 2


def test_disabled_compiler_runs_plain_python(sandbox):
    assert sandbox.run(NUMBA_DISABLE_JIT="1") == [(328.0, -1), (5.0, -1)]


def _first(x):
    return _scaled(x[0])


def _scaled(t):
    return FACTOR * t  # noqa: F821 - bound


def test_formulas_of_different_kernels_have_different_names():
    """Kernels from the cache bring formulas as machine code, found by name in the process."""
    kernels = [bind(_first, _scaled=_scaled, FACTOR=factor) for factor in (1, 2)]
    assert [kernel(np.array([3.0])) for kernel in kernels] == [3.0, 6.0]
    formulas = [kernel.py_func.__globals__["_scaled"] for kernel in kernels]
    assert len({formula.py_func.__qualname__ for formula in formulas}) == 2


def test_unwritable_cache_falls_back(sandbox, tmp_path):
    if os.getuid() == 0:
        # root writes everywhere but into a folder that cannot exist
        blocked = tmp_path / "file"
        blocked.write_text("")
        environment = {"NUMBA_CACHE_DIR": str(blocked / "below")}
    else:
        blocked = tmp_path / "blocked"
        blocked.mkdir(mode=0o500)
        environment = {"NUMBA_CACHE_DIR": str(blocked)}
    assert [value for value, _ in sandbox.run(**environment)] == [328.0, 5.0]


def _total(x):
    result = 0.0
    for i in range(x.size):
        result += term(x[i])  # noqa: F821
    return result


def test_formulas_of_one_name_do_not_share_code():
    def make(sign):
        if sign > 0:

            def term(t):
                return t
        else:

            def term(t):
                return -t

        return term

    x = np.array([1.0, 2.0])
    assert bind(_total, term=make(1))(x) == 3.0
    assert bind(_total, term=make(-1))(x) == -3.0


def _twice_and_one(t):
    return scaled(t) + _ONE  # noqa: F821


def _twice(t):
    return _plain_helper(t) * 2.0


def _plain_helper(t):
    return np.abs(t)


_ONE = 1.0


def test_formulas_may_use_each_other_and_plain_functions():
    kernel = bind(_total, term=_twice_and_one, scaled=_twice)
    assert kernel(np.array([1.0, -2.0])) == 8.0


def test_the_same_formulas_give_the_same_kernel():
    def term(t):
        return t

    assert bind(_total, term=term) is bind(_total, term=term)


@pytest.mark.parametrize("formula", [np.abs, abs, 3.0])
def test_a_formula_is_a_plain_function(formula):
    with pytest.raises(TypeError, match="plain Python function"):
        bind(_total, term=formula)
