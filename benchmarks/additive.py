"""Sparse additive models beside pygam and mgcv: held-out fit and number of terms on real tables.

    python -m benchmarks.additive [--splits 5] [--tables hitters ames bikeshare]

Each split trains on 70 % of the rows. pygam chooses one smoothing parameter for all terms by
generalised cross-validation (ten candidates, 1e-2 to 1e4), mgcv one for each by restricted
likelihood with its own shrinkage of whole terms (``select=TRUE``). A contender that is not
installed is left out.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

from real_tables import ames_numbers, bikeshare_numbers, hitters

import gossamer as gs

Data = tuple[np.ndarray, np.ndarray]
# linear predictions of the test rows, and the number of terms
Fitted = tuple[np.ndarray, int]

_MGCV = """
library(mgcv)
a <- commandArgs(TRUE); train <- read.csv(a[1]); test <- read.csv(a[2])
x <- setdiff(names(train), "y")
count <- sapply(x, function(n) length(unique(train[[n]])))
x <- x[count > 1]; count <- count[count > 1]
smooth <- count > 3
terms <- ifelse(smooth, sprintf("s(%s, k=%d)", x, pmin(10L, count)), x)
form <- as.formula(paste("y ~", paste(terms, collapse=" + ")))
fit <- bam(form, family=get(a[3])(), data=train, select=TRUE, method="fREML")
edf <- if (any(smooth)) summary(fit)$s.table[, "edf"] else numeric(0)
cat(sum(edf > 0.1) + sum(!smooth), "\n", predict(fit, test), file=a[4])
"""


def additive(**arguments: object) -> Callable[[str, Data, np.ndarray], Fitted]:
    def fit(loss: str, train: Data, X: np.ndarray) -> Fitted:
        kind = gs.losses.Poisson() if loss == "poisson" else gs.losses.Quadratic()
        model = gs.SparseAdditiveCV(loss=kind, n_alphas=50, **arguments).fit(*train)
        terms = sum(kind != "absent" for kind in model.term_kinds_)
        return model.partial_effects(X).sum(axis=1) + model.intercept_, terms

    return fit


def lines(loss: str, train: Data, X: np.ndarray) -> Fitted:
    kind = gs.losses.Poisson() if loss == "poisson" else gs.losses.Quadratic()
    model = gs.SparseModelCV(kind, gs.L1(1.0), standardise=True, n_alphas=50).fit(*train)
    coef = np.ravel(model.coef_)
    return X @ coef + model.intercept_, int((coef != 0).sum())


def pygam(loss: str, train: Data, X: np.ndarray) -> Fitted:
    from pygam import LinearGAM, PoissonGAM

    model = (PoissonGAM if loss == "poisson" else LinearGAM)()
    model.gridsearch(*train, lam=np.geomspace(1e-2, 1e4, 10), progress=False)
    mean = model.predict(X)
    return np.log(mean) if loss == "poisson" else mean, X.shape[1]


def mgcv(loss: str, train: Data, X: np.ndarray) -> Fitted:
    family = "poisson" if loss == "poisson" else "gaussian"
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / name) for name in ("fit.R", "train.csv", "test.csv", "out")]
        Path(paths[0]).write_text(_MGCV, encoding="utf-8")
        names = ["y", *(f"x{j}" for j in range(X.shape[1]))]
        for path, y, rows in ((paths[1], train[1], train[0]), (paths[2], np.zeros(len(X)), X)):
            table = np.column_stack([y, rows])
            np.savetxt(path, table, delimiter=",", header=",".join(names), comments="")
        subprocess.run(["Rscript", *paths[:3], family, paths[3]], check=True, capture_output=True)
        terms, *linear = Path(paths[3]).read_text(encoding="utf-8").split()
    return np.array(linear, dtype=float), int(terms)


CONTENDERS = {
    "lasso, lines": lines,
    "SparseAdditiveCV": additive(),
    "SparseAdditiveCV, 1se": additive(selection="1se"),
    "SparseAdditiveCV, mcp": additive(penalty="mcp"),
} | ({"pygam": pygam} if find_spec("pygam") else {}) | (
    {"mgcv, select=TRUE": mgcv} if shutil.which("Rscript") else {}
)  # fmt: skip
TABLES = {"hitters": hitters, "ames": ames_numbers, "bikeshare": bikeshare_numbers}


def explained(loss: str, z: np.ndarray, y: np.ndarray, mean: float) -> float:
    """The share of the test rows' deviance, about the mean of the training rows, explained."""
    kind = gs.losses.Poisson() if loss == "poisson" else gs.losses.Quadratic()
    target = kind.encode(y)
    null = np.log(mean) if loss == "poisson" else mean
    total = kind.value(np.full_like(target, null), target).sum()
    return float(1 - kind.value(z[:, None], target).sum() / total)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.additive", description=__doc__)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=list(TABLES))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in options.tables:
        table = TABLES[name]()
        y = np.log(table.y) if name == "hitters" else table.y
        print(f"{name}: {table.X.shape[0]} rows, {table.X.shape[1]} features, {table.loss}")
        print(f"  {'':24s}{'explained (sd)':>18s}{'terms':>8s}{'seconds':>9s}")
        for contender, fit in CONTENDERS.items():
            found = []
            for seed in range(options.splits):
                order = np.random.default_rng(seed).permutation(len(y))
                train, test = order[: 7 * len(y) // 10], order[7 * len(y) // 10 :]
                begun = time.perf_counter()
                z, terms = fit(table.loss, (table.X[train], y[train]), table.X[test])
                spent = time.perf_counter() - begun
                share = explained(table.loss, z, y[test], float(y[train].mean()))
                found.append((share, terms, spent))
            share, terms, spent = np.mean(found, axis=0)
            spread = np.std([row[0] for row in found])
            print(
                f"  {contender:24s}{share:10.4f} ({spread:.3f}){terms:8.1f}{spent:9.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
