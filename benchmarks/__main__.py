"""Three problems against the peers of the test environment, their first lasso, sparse products.

About three minutes; nothing is kept. All problems and peers: ``python -m benchmarks.regression``
and ``python -m benchmarks.runtime``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.regression.__main__ import main
from benchmarks.runtime.__main__ import main as runtime

PROBLEMS = "lasso-200x50k-20,nci60-100,logistic-500x20k-20"
PEERS = "gossamer,celer,skglm,scikit-learn"

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        results = str(Path(folder) / "short.jsonl")
        main(["--problems", PROBLEMS, "--peers", PEERS, "--targets", "1e-6", "--limit", "5",
              "--cold", "lasso", "--results", results])  # fmt: skip
    runtime(["--quick"])
