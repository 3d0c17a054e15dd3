"""Record what four R packages say in r_reference.json.

Needs R with glmnet, and a folder with the sources of selectiveInference, hdi, knockoff (CRAN's
mirror on GitHub, ``cran+hdi`` and so on) and ``hofnerb+stabs``; the tests only read the numbers::

    PYTHONPATH=src python tests/linear/inference/r_reference.py SOURCES
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import gossamer as gs

HERE = Path(__file__).parent
ALPHA, NOISE = 0.03, 0.5


def table() -> dict[str, np.ndarray]:
    """A table with centred columns of unit length, its lasso, directions and statistics."""
    rng = np.random.default_rng(7)
    X = rng.standard_normal((60, 12)) @ np.linalg.cholesky(
        0.5 ** np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
    ).T  # fmt: skip
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    y = X[:, 0] - 0.5 * X[:, 4] + NOISE * rng.standard_normal(60)
    y -= y.mean()
    problem = gs.Problem(X, y, gs.losses.Quadratic(), gs.L1(ALPHA))
    beta = problem.solve(tol=1e-13).coef
    Z = X - 0.3 * np.roll(X, 1, axis=1)
    Z /= (Z * X).mean(axis=0)  # hdi's own scaling of Z
    W = np.round(rng.standard_normal(40) + 2 * (rng.random(40) < 0.6), 2)
    return {"X": X, "y": y, "beta": beta, "Z": Z, "W": W}


def main(sources: str) -> None:
    data = table()
    with TemporaryDirectory() as name:
        folder = Path(name)
        for key, values in data.items():
            np.savetxt(folder / f"{key}.csv", values, delimiter=",", fmt="%.17g")
        subprocess.run(["Rscript", HERE / "r_reference.R", folder, sources], check=True)
        found = {
            key: np.loadtxt(folder / f"{key}.csv", delimiter=",").tolist()
            for key in ("selective", "debiased", "threshold", "equi", "bounds")
        }
    given = {key: values.tolist() for key, values in data.items()}
    (HERE / "r_reference.json").write_text(json.dumps({**given, "found": found}))


if __name__ == "__main__":
    main(sys.argv[1])
