"""Choice along a path: cross-validation, the one-standard-error rule, information criteria."""

from __future__ import annotations

import threading
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
from joblib import Parallel, delayed
from sklearn.model_selection import check_cv

from gossamer.core.errors import ConvergenceWarning
from gossamer.core.problem import Problem
from gossamer.core.result import Result, Status
from gossamer.linear.base import Rows, SparseLinearModel
from gossamer.linear.batches import gather
from gossamer.linear.criteria import CRITERIA, criterion_scores
from gossamer.linear.distributed.cluster import is_dask
from gossamer.linear.distributed.estimating import (
    FoldOfParts,
    moments_by_fold,
    parts_of_batches,
    parts_of_dask,
    problem_of_parts,
)
from gossamer.linear.distributed.partitions import InFold, Partitions
from gossamer.linear.distributed.problem import SummedProblem
from gossamer.linear.folds import (
    Fold,
    FoldOfMoments,
    FoldOfRows,
    Split,
    TrainingAndHeldOut,
    moments_of_splits,
)
from gossamer.linear.moments import Moments, merged
from gossamer.linear.path import Path, solve_along

Version: TypeAlias = tuple[np.ndarray, Any]  # coefficients and intercepts, for X as given


@dataclass(frozen=True, eq=False)
class CVResult:
    """How each strength was judged; lower scores are better.

    alphas, mean, se : (m,) strengths, mean score and its standard error (zeros for a criterion).
    folds : (m, n_folds) scores, empty for an information criterion.
    index_min, index_1se, index : the best score, the largest strength within one standard error
        of it, and the strength chosen.
    """

    alphas: np.ndarray
    mean: np.ndarray
    se: np.ndarray
    folds: np.ndarray
    score_name: str
    selection: str
    index_min: int
    index_1se: int
    index: int


@dataclass(eq=False, repr=False)
class Selecting(SparseLinearModel):
    """Fits a path, of strengths or of budgets, and chooses one of its steps.

    Every fold standardises by its own training samples, and X is not copied.
    """

    cv: Any = field(default=5, kw_only=True)
    selection: str = field(default="min", kw_only=True)
    n_jobs: int | None = field(default=None, kw_only=True)

    _selections: ClassVar[tuple[str, ...]] = ("min", "1se", *CRITERIA)

    @abstractmethod
    def _n_steps(self) -> int:
        """How many steps the path has at most."""

    @abstractmethod
    def _whole_path(
        self, problem: Problem, on_step: Callable[[int, float, Result], None] | None = None
    ) -> Path:
        """The path on all samples."""

    def _versions(self, problem: Problem, result: Result) -> list[Version]:
        """The models that a step of the path stands for, each judged by the folds."""
        return [(result.coef, result.intercept)]

    def _of_one_version(self, curves: np.ndarray) -> np.ndarray:
        """(n_folds, m) the curves of the version that is kept, of (n_folds, m, n_versions)."""
        return curves[:, :, 0]

    @abstractmethod
    def _keep_step(self, path: Path, index: int) -> None:
        """Set the attributes that say which step was chosen."""

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, offset: Any = None,
        fold_groups: Any = None, on_step: Callable[[], object] | None = None,
    ) -> Self:  # fmt: skip
        """Fit a path, choose a strength, keep the model at it.

        Parameters
        ----------
        X : (n, p) array, sparse matrix or DataFrame
        y : (n,) or (n, K)
        sample_weight : (n,), default None
        offset : (n,), default None
            Added to the linear prediction, for example log-exposure.
        fold_groups : (n,), default None
            Samples of one group stay in one fold; needs a group splitter as ``cv``.
        on_step : function, default None
            Called without arguments after every strength of the path and of each fold, possibly
            from several threads.

        Returns
        -------
        self
            With ``coef_``, ``intercept_``, ``certificate_``, ``n_iter_``, ``path_``,
            ``cv_results_`` and what was chosen.

        Raises
        ------
        KeyboardInterrupt
            When interrupted before two folds are finished; later, those finished choose the
            strength, and a warning says so.
        """
        self._check_selection()
        if is_dask(X):
            self._refuse_parts("a dask collection")
            return self._choose_by_parts(
                parts_of_dask(self, X, y, sample_weight, offset), on_step or _nothing
            )
        rows = self._rows(X, y, sample_weight, offset)
        splits = [] if self.selection in CRITERIA else self._splits(rows, y, fold_groups)
        if self._prefers_moments(rows, self._n_steps() * (1 + len(splits))):
            return self._choose_by_moments(*moments_of_splits(rows, splits), on_step or _nothing)
        problem = self._problem_of_rows(rows, 1.0)
        folds = [FoldOfRows(problem, split) for split in splits]
        n_samples = int((problem.sample_weight > 0).sum())
        return self._choose(problem, n_samples, folds, on_step or _nothing)

    def fit_batches(
        self, batches: Iterable[Any], *, on_step: Callable[[], object] | None = None
    ) -> Self:
        """Fit a path and choose a strength, from batches of which one is in memory at a time.

        Folds are made of every ``cv``-th row, ``cv`` being a number. For the quadratic loss the
        batches are read once; for others some dozens of times a strength, folds counted each.

        Parameters
        ----------
        batches : iterable of (X, y) or (X, y, sample_weight)
            For example :func:`~gossamer.linear.parquet_batches`. With ``verbose``, a line is
            printed about each.
        on_step : function, default None
            As in ``fit``.
        """
        self._check_selection()
        self._refuse_parts("batches")
        if self._has_moments():
            return self._choose_by_dealt(
                gather(self, batches, self._n_dealt()), on_step or _nothing
            )
        return self._choose_by_parts(parts_of_batches(self, batches), on_step or _nothing)

    def _n_dealt(self) -> int:
        """Folds to which rows are dealt out in turn; one where there are none."""
        if self.selection in CRITERIA:
            return 1
        if not (isinstance(self.cv, Integral) and int(self.cv) >= 2):
            raise ValueError(
                f"cv must be a whole number >= 2 for rows in parts, got {self.cv!r}: they are "
                "dealt out to the folds in turn."
            )
        return int(self.cv)

    def _choose_by_dealt(self, parts: list[Moments], advance: Callable[[], object]) -> Self:
        """By the moments of the rows of each fold."""
        by_folds = self.selection not in CRITERIA
        if by_folds and not all(part.weight for part in parts):
            raise ValueError(f"cv={self.cv} folds need a row of positive weight each.")
        pairs = [
            (merged(parts[:i] + parts[i + 1 :]), part) for i, part in enumerate(parts) if by_folds
        ]
        return self._choose_by_moments(merged(parts), pairs, advance)

    def _choose_by_parts(self, parts: Partitions, advance: Callable[[], object]) -> Self:
        """By rows that stay where they are."""
        n_folds = self._n_dealt()
        if self._has_moments():
            return self._choose_by_dealt(moments_by_fold(parts, n_folds), advance)
        problem = problem_of_parts(self, parts, 1.0)
        assert isinstance(problem, SummedProblem)
        folds = [
            FoldOfParts(problem, InFold(fold, n_folds, held_out=False))
            for fold in range(n_folds)
            if self.selection not in CRITERIA
        ]
        return self._choose(problem, problem.spread.count, folds, advance)

    def _check_selection(self) -> None:
        if self.selection not in self._selections:
            raise ValueError(
                f"selection must be one of {', '.join(self._selections)}, got {self.selection!r}."
            )

    def _choose_by_moments(
        self, total: Moments, pairs: list[TrainingAndHeldOut], advance: Callable[[], object]
    ) -> Self:
        problem = self._problem_of_moments(total, 1.0)
        folds = [FoldOfMoments(problem, *pair) for pair in pairs]
        return self._choose(problem, total.count, folds, advance)

    def _choose(
        self, problem: Problem, n_samples: int, folds: Sequence[Fold], advance: Callable[[], object]
    ) -> Self:
        """Solve along the path, choose a strength, keep the model at it."""

        def step_of_path(step: int, alpha: float, result: Result) -> None:
            self._report(step, alpha, result)
            if result.status is Status.INTERRUPTED:
                raise KeyboardInterrupt
            advance()

        path = self._whole_path(problem, step_of_path)
        if self.selection in CRITERIA:
            scores = criterion_scores(self.selection, problem, n_samples, path)
            results = _by_criterion(path, scores, self.selection)
        else:
            results = self._by_folds(problem, path, folds, advance)
        self.path_, self.cv_results_ = path, results
        self._keep_step(path, results.index)
        self.certificate_ = path.certificates[results.index]
        self.n_iter_ = max(1, len(path.alphas))
        self._keep(problem, path.coefs[results.index], path.intercepts[results.index])
        return self

    def _by_folds(
        self, problem: Problem, path: Path, folds: Sequence[Fold], advance: Callable[[], object]
    ) -> CVResult:
        curves = self._curves(path.alphas, folds, advance)
        if len(curves) < len(folds):
            warnings.warn(
                f"interrupted: the strength was chosen by the first {len(curves)} of {len(folds)} "
                "folds. Fit again for all.",
                ConvergenceWarning,
                stacklevel=4,
            )
            folds = folds[: len(curves)]
        scores = self._of_one_version(np.array(curves)).T
        sizes = np.array([fold.weight for fold in folds])
        share = sizes / sizes.sum()
        mean = scores @ share
        spread = np.sqrt(((scores - mean[:, None]) ** 2) @ share / max(len(folds) - 1, 1))
        best = int(np.argmin(mean))
        one_se = int(np.argmax(mean <= mean[best] + spread[best]))
        return CVResult(
            path.alphas, mean, spread, scores,
            f"mean {type(problem.loss).__name__.lower()} loss of held-out samples",
            self.selection, best, one_se, one_se if self.selection == "1se" else best,
        )  # fmt: skip

    def _curves(
        self, alphas: np.ndarray, folds: Sequence[Fold], advance: Callable[[], object]
    ) -> list[np.ndarray]:
        """The curve of each fold; of the first ones, at least two, when interrupted."""
        stop = threading.Event()
        solving = {"solver": self.solver, "tol": self.tol, "max_iter": self.max_iter}

        def step_of_fold() -> None:
            advance()
            if stop.is_set():
                raise KeyboardInterrupt

        curves: list[np.ndarray] = []
        # a fold that misses the tolerance is judged by its held-out loss like any other; the
        # filter is global and must not be changed inside of threads
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            # a generator keeps the curves that are finished when an interrupt comes
            work = Parallel(n_jobs=self.n_jobs, prefer="threads", return_as="generator")(
                delayed(_fold_curve)(fold, alphas, step_of_fold, self._versions, **solving)
                for fold in folds
            )
            try:
                for curve in work:
                    curves.append(curve)
            except KeyboardInterrupt:
                stop.set()
                if len(curves) < 2:
                    raise
        return curves

    def _splits(self, rows: Rows, y: Any, groups: Any) -> list[Split]:
        """Training and held-out samples of each fold, leaving out samples without weight."""
        y = np.asarray(y)
        splitter = check_cv(self.cv, y, classifier=self._loss(2).classifies)
        splits = [
            tuple(map(_positions, split))
            for split in splitter.split(np.zeros((len(y), 1)), y, groups)
        ]
        if rows.sample_weight is not None:
            used = rows.sample_weight > 0
            splits = [tuple(part[used[part]] for part in split) for split in splits]
        if not splits or any(len(part) == 0 for split in splits for part in split):
            raise ValueError(
                "cv has no folds, or a fold without training or without held-out samples."
            )
        return splits


@dataclass(eq=False, repr=False)
class CrossValidated(Selecting):
    """Fits a path of strengths and chooses one."""

    alphas: Any = field(default=None, kw_only=True)
    n_alphas: int = field(default=100, kw_only=True)
    alpha_min_ratio: float = field(default=1e-2, kw_only=True)

    def _n_steps(self) -> int:
        return self.n_alphas if self.alphas is None else np.size(self.alphas)

    def _whole_path(
        self, problem: Problem, on_step: Callable[[int, float, Result], None] | None = None
    ) -> Path:
        return self._solve_path(problem, self.alphas, self.n_alphas, self.alpha_min_ratio, on_step)

    def _keep_step(self, path: Path, index: int) -> None:
        self.alphas_, self.alpha_ = path.alphas, float(path.alphas[index])


def _positions(samples: Any) -> np.ndarray:
    """Row numbers, from those or from a mask."""
    samples = np.asarray(samples)
    return np.flatnonzero(samples) if samples.dtype == bool else samples.astype(np.intp)


def _nothing() -> None:
    """What follows a step when nobody asked."""


def _fold_curve(
    fold: Fold, alphas: np.ndarray, advance: Callable[[], object],
    versions: Callable[[Problem, Result], list[Version]], **solving: Any,
) -> np.ndarray:  # fmt: skip
    """(m, n_versions) mean loss of the held-out samples along the path."""
    problem, held_out = fold.split()
    curve: list[list[float]] = []
    for result in solve_along(problem, alphas, **solving):
        if result.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        curve.append(
            [
                held_out.mean_loss(coef.reshape(problem.shape), intercept)
                for coef, intercept in versions(problem, result)
            ]
        )
        advance()
    return np.array(curve)


def _by_criterion(path: Path, scores: np.ndarray, criterion: str) -> CVResult:
    best = int(np.argmin(scores))
    return CVResult(
        path.alphas, scores, np.zeros(len(scores)), np.empty((len(scores), 0)), criterion.upper(),
        criterion, best, best, best,
    )  # fmt: skip
