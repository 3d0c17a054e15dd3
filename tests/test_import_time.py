"""`import gossamer` is light: numpy and scipy only, and almost no time of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# CPU seconds that `import gossamer` may add to `import numpy, scipy`.
BUDGET = 0.15

# Other work on the machine only ever adds time, so the fastest run is the truest.
RUNS = 5

# Beyond what `import scipy` loads itself: the matrix types that a problem is checked against.
SCIPY_PARTS = {"sparse"}

PROBE = """
import json, sys, time
import numpy, scipy
before = set(sys.modules)
start = time.process_time()
import {module}
seconds = time.process_time() - start
print(json.dumps([seconds, sorted(set(sys.modules) - before)]))
"""


def probe(module: str) -> tuple[float, set[str]]:
    """CPU seconds and modules that `import module` adds in a fresh process with numpy and scipy."""
    run = subprocess.run(
        [sys.executable, "-c", PROBE.format(module=module)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    seconds, modules = json.loads(run.stdout)
    return seconds, set(modules)


def strangers(modules: set[str]) -> set[str]:
    """The packages among `modules` that are neither gossamer, numpy, scipy nor Python's own."""
    # A leading underscore marks what extension modules register about themselves.
    tops = {name.partition(".")[0] for name in modules if not name.startswith("_")}
    return tops - {"gossamer", "numpy", "scipy"} - set(sys.stdlib_module_names)


def scipy_parts(modules: set[str]) -> set[str]:
    """The public subpackages of scipy among `modules`."""
    parts = {name.split(".")[1] for name in modules if name.startswith("scipy.")}
    return {part for part in parts if not part.startswith("_")}


def test_import_loads_nothing_heavy() -> None:
    _, modules = probe("gossamer")
    assert "gossamer" in modules
    assert strangers(modules) == set()
    assert scipy_parts(modules) <= SCIPY_PARTS


@pytest.mark.parametrize("heavy", ["numba", "sklearn"])
def test_the_probe_sees_a_heavy_package(heavy: str) -> None:
    _, modules = probe(heavy)
    assert heavy in strangers(modules)


def test_the_runtime_leaves_torch_s_compiler_alone() -> None:
    """It takes longer to import than all of the runtime."""
    homes = ("compiling", "training_linear", "convolution", "spot_convolution", "skipping_linear")
    _, modules = probe(", ".join(f"gossamer.runtime.{home}" for home in homes))
    assert "gossamer.runtime.layout_module" in modules
    assert "torch._dynamo" not in modules


def test_import_takes_no_time() -> None:
    seconds = min(probe("gossamer")[0] for _ in range(RUNS))
    assert seconds <= BUDGET, f"import gossamer took {seconds:.3f} CPU s at best of {RUNS}"
