"""What a fresh process spends until its first fitted lasso: ``python -m benchmarks.first_fit``.

CPU seconds (not wall-clock: several threads would hide work) of the import and of the first fit,
with an empty and with a filled cache of compiled code, on one thread.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from statistics import median

IMPORTS = {
    "gossamer": "from gossamer import Lasso",
    "scikit-learn": "from sklearn.linear_model import Lasso",
    "celer": "from celer import Lasso",
    "skglm": "from skglm import Lasso",
}
CHILD = """
import json, time, warnings
import numpy as np
warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
X = rng.standard_normal((100, 1000))
y = X[:, :5].sum(axis=1) + rng.standard_normal(100)
begun = time.process_time()
{importing}
imported = time.process_time()
Lasso(alpha=0.2).fit(X, y)
print(json.dumps([imported - begun, time.process_time() - imported]))
"""
WARM_RUNS = 3


def run(importing: str, cache: str) -> tuple[float, float]:
    """CPU seconds of the import and of the first fit, in a process of its own."""
    environment = os.environ | {"NUMBA_CACHE_DIR": cache}
    command = [sys.executable, "-c", CHILD.format(importing=importing)]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    imported, fitted = json.loads(output.stdout.splitlines()[-1])
    return imported, fitted


def measure(importing: str) -> tuple[float, float, float]:
    """CPU seconds: the import, the first fit ever, the first fit of a later process."""
    with tempfile.TemporaryDirectory() as cache:
        first_ever = run(importing, cache)
        later = [run(importing, cache) for _ in range(WARM_RUNS)]
    return median(r[0] for r in later), first_ever[1], median(r[1] for r in later)


def main() -> None:
    print("CPU seconds of a fresh process to its first lasso (100 x 1000); lower is better\n")
    print("| library | import | first fit, no cache | first fit, cache | in all, vs gossamer |")
    print("|---|---|---|---|---|")
    results = {name: measure(importing) for name, importing in IMPORTS.items()}
    own = results["gossamer"][0] + results["gossamer"][2]
    for name, (imported, cold, warm) in results.items():
        ratio = (imported + warm) / own
        print(f"| {name} | {imported:.2f} | {cold:.2f} | {warm:.2f} | {ratio:.2f}x |")


if __name__ == "__main__":
    main()
