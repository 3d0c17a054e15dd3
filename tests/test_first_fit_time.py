"""The first fit of a process takes little: kernels come compiled from the cache."""

from __future__ import annotations

import subprocess
import sys

# CPU time, user and system, of `import gossamer` and a first lasso, as a share of what importing
# scikit-learn takes in the same run. It is 0.37 to 0.45 on two busy cores; compiling takes over 1.
BUDGET = 0.6

# Other work on the machine only ever adds time, so the fastest run is the truest.
RUNS = 3

SCIKIT_LEARN = "import sklearn.linear_model"
FIRST_FIT = f"""
{SCIKIT_LEARN}
import numpy as np
import gossamer as gs
rng = np.random.default_rng(0)
X = rng.standard_normal((100, 200))
model = gs.Lasso(0.1).fit(X, X[:, 0] + rng.standard_normal(100))
assert model.certificate_.holds
"""
CLOCK = """
import time
print(time.process_time())
"""


def cpu_seconds(code: str) -> float:
    """CPU seconds of a fresh process that runs the code."""
    run = subprocess.run(
        [sys.executable, "-c", code + CLOCK],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return float(run.stdout)


def test_first_fit_is_quick() -> None:
    cpu_seconds(FIRST_FIT)  # compiles where this machine never has
    # in turns, so that both see the same machine
    pairs = [(cpu_seconds(SCIKIT_LEARN), cpu_seconds(FIRST_FIT)) for _ in range(RUNS)]
    base = min(base for base, _ in pairs)
    extra = min(fit for _, fit in pairs) - base
    print(
        f"first fit: {extra:.3f} CPU s beyond import sklearn.linear_model, {extra / base:.2f} of it"
    )
    assert extra <= BUDGET * base
