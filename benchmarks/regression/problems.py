"""The problems: every one is built alike by everyone who builds it.

No intercepts: libraries treat them differently, and centring X and y is the same problem. Strengths
are shares of the smallest one at which nothing is selected.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks.regression import designs, real
from benchmarks.regression.certificate import strength_max


@dataclass(frozen=True, eq=False)
class Problem:
    """Minimise ``mean loss(X w, y) + penalty(w)`` for each of the strengths.

    X : (n, p) array in Fortran order, or CSC.   y : (n,), or (n, K) where the penalty is on rows.
    loss : "quadratic" (halved squares), "logistic" (y is 0 or 1), "poisson" (half unit deviance).
    penalty : "l1", "group" (blocks of ``group_size`` columns), "rows", "mcp" or "scad".
    strengths : decreasing; one, or a path of which every point counts.
    gamma : concavity of MCP and SCAD.
    """

    name: str
    X: Any = field(repr=False)
    y: np.ndarray = field(repr=False)
    loss: str = "quadratic"
    penalty: str = "l1"
    group_size: int = 1
    gamma: float = 3.0
    strengths: np.ndarray = field(default_factory=lambda: np.empty(0))

    @property
    def is_sparse(self) -> bool:
        return not isinstance(self.X, np.ndarray)

    @property
    def convex(self) -> bool:
        return self.penalty not in ("mcp", "scad")

    @property
    def is_path(self) -> bool:
        return len(self.strengths) > 1

    @property
    def design_bytes(self) -> int:
        X = self.X
        return X.data.nbytes + X.indices.nbytes + X.indptr.nbytes if self.is_sparse else X.nbytes

    def approach(self) -> np.ndarray:
        """The strengths; a single one as the end of a short path.

        Libraries that screen features from one strength to the next are at their best so. The
        numbers of steps were chosen for them, among 1, 3, 5, 10, 20 and 40.
        """
        if self.is_path:
            return self.strengths
        steps = 5 if self.loss == "quadratic" else 10
        return np.geomspace(strength_max(self), self.strengths[-1], steps)

    def at(self, divisor: float, points: int = 1) -> Problem:
        """With the strength max / divisor, or ``points`` of them that end there."""
        largest = strength_max(self)
        grid = (
            np.geomspace(largest, largest / divisor, points) if points > 1 else [largest / divisor]
        )
        return replace(self, strengths=np.asarray(grid))


@dataclass(frozen=True)
class Spec:
    """A problem that can be built, and how tables call it."""

    name: str
    title: str
    make: Callable[[bool], Problem] = field(repr=False)

    def build(self, tiny: bool = False) -> Problem:
        return replace(self.make(tiny), name=self.name)


PROBLEMS: dict[str, Spec] = {}


def _add(
    name: str, title: str, make: Callable[[bool], Problem], *divisors: float, points: int = 1
) -> None:
    """Register one problem for each share of the largest strength."""
    for divisor in divisors:
        full = f"{name}-{divisor:g}"

        def build(tiny: bool, divisor: float = divisor) -> Problem:
            return make(tiny).at(divisor, min(points, 5) if tiny else points)

        PROBLEMS[full] = Spec(full, f"{title}, max/{divisor:g}", build)


def _dense(
    n: int, p: int, tiny: bool, design: Callable[[int, int], np.ndarray] = designs.independent,
    draw: Callable[[np.ndarray], np.ndarray] = designs.noisy, k: int = 20, outputs: int = 0,
    **what: Any,
) -> Problem:  # fmt: skip
    n, p, k = (30, 60, 5) if tiny else (n, p, k)
    X = design(n, p)
    return Problem("", X, draw(designs.sparse_signal(X, k, outputs)), **what)


def _tall(tiny: bool) -> Problem:
    n, p = (300, 10) if tiny else (1_000_000, 50)
    X = designs.independent(n, p)
    return Problem("", X, designs.noisy(designs.sparse_signal(X, 10)))


def _power_law(n: int, p: int, per_row: int, tiny: bool) -> Problem:
    n, p, per_row = (40, 80, 8) if tiny else (n, p, per_row)
    X = designs.power_law(n, p, per_row)
    y = designs.noisy(np.ravel(designs.sparse_signal(X, min(p, 500))))
    # without its mean, which the most frequent columns would have to stand for
    return Problem("", X, y - y.mean())


def _text(loss: str, tiny: bool) -> Problem:
    X, y = real.newsgroups(tiny)
    return Problem("", X, y if loss == "logistic" else y - y.mean(), loss)


def _table(read: Callable[[bool], tuple[np.ndarray, np.ndarray]], tiny: bool) -> Problem:
    return Problem("", *read(tiny))


def _ready(make: Callable[..., Problem], *args: Any, **kwargs: Any) -> Callable[[bool], Problem]:
    return lambda tiny: make(*args, tiny=tiny, **kwargs)


def _register() -> None:
    for n, p, short in ((200, 50_000, "200x50k"), (500, 20_000, "500x20k")):
        _add(f"lasso-{short}", f"lasso {n} x {p:,}", _ready(_dense, n, p), 20, 100)
    _add("path-1000x10k", "lasso path of 100, 1,000 x 10,000", _ready(_dense, 1000, 10_000), 100,
         points=100)  # fmt: skip
    correlated = {
        "ar50": ("AR(1) 0.5", partial(designs.autoregressive, correlation=0.5)),
        "ar95": ("AR(1) 0.95", partial(designs.autoregressive, correlation=0.95)),
        "equi50": ("equicorrelated 0.5", partial(designs.equicorrelated, correlation=0.5)),
        "duplicated": ("columns in pairs", designs.duplicated),
    }
    for key, (words, design) in correlated.items():
        _add(f"{key}-200x50k", f"lasso 200 x 50,000, {words}",
             _ready(_dense, 200, 50_000, design=design), 20, 100)  # fmt: skip
    _add("nci60", "lasso, NCI60 expression, 58 x 6,829", _ready(_table, real.expression), 20, 100)
    _add("permeability", "lasso, permeability, 165 x 1,107", _ready(_table, real.permeability), 20,
         100)  # fmt: skip
    _add("meats", "lasso, meats' spectra, 215 x 100", _ready(_table, real.meats), 100, 1000)
    _add("text", "lasso, 20 newsgroups, sparse", _ready(_text, "quadratic"), 20, 100)
    _add("powerlaw-20kx200k", "lasso, sparse 20,000 x 200,000",
         _ready(_power_law, 20_000, 200_000, 100), 20, 100)  # fmt: skip
    _add("sparse-1m", "lasso, sparse 10,000 x 1,000,000",
         _ready(_power_law, 10_000, 1_000_000, 300), 20, 100)  # fmt: skip
    _add("tall-1mx50", "lasso 1,000,000 x 50", _ready(_tall), 20, 100)
    logistic = _ready(_dense, 500, 20_000, draw=designs.labels, loss="logistic")
    _add("logistic-500x20k", "logistic 500 x 20,000", logistic, 20, 100)
    _add("logistic-text", "logistic, 20 newsgroups, sparse", _ready(_text, "logistic"), 20, 100)
    poisson = _ready(_dense, 1000, 5000, draw=designs.counts, loss="poisson")
    _add("poisson-1000x5k", "Poisson 1,000 x 5,000", poisson, 20, 100)
    group = _ready(_dense, 500, 20_000, penalty="group", group_size=10)
    _add("group-500x20k", "group lasso 500 x 20,000, groups of 10", group, 20, 100)
    tasks = _ready(_dense, 300, 10_000, outputs=10, penalty="rows")
    _add("multitask-300x10k", "multi-task lasso 300 x 10,000, 10 tasks", tasks, 20, 100)
    for penalty, gamma in (("mcp", 3.0), ("scad", 3.7)):
        bent = _ready(_dense, 500, 10_000, penalty=penalty, gamma=gamma)
        _add(f"{penalty}-path-500x10k", f"{penalty.upper()} path of 50, 500 x 10,000", bent, 20,
             points=50)  # fmt: skip


_register()
