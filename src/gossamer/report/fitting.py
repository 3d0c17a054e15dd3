"""The fit itself: a strength chosen or given, and the path that leads there."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gossamer.core.penalty import Penalty
from gossamer.core.problem import Problem
from gossamer.core.result import Certificate, Status
from gossamer.linear.column_groups import read_groups
from gossamer.linear.cv import CVResult
from gossamer.linear.estimators import SparseModel, SparseModelCV
from gossamer.linear.path import Path, solve_path, strength_grid
from gossamer.linear.splits import fold_splitter
from gossamer.report.data import Data
from gossamer.report.options import FitOptions
from gossamer.report.progress import progress
from gossamer.structures import Groups

_N_ALPHAS = 100
_N_ALPHAS_FIXED = 50
# as in glmnet and ncvreg: the weak end of the path only says something where rows outnumber columns
_RATIO_LONG, _RATIO_WIDE = 1e-3, 1e-2


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted estimator, its path, and the problem that it solves.

    problem : at the strength selected, with the training rows.
    start : coefficients and intercept of the solution.
    index : position of the strength selected in `path`.
    """

    estimator: Any
    path: Path
    cv: CVResult | None
    index: int
    problem: Problem
    start: tuple[np.ndarray, Any]
    n_iter: int
    interrupted: bool
    notes: list[str] = field(default_factory=list)

    @property
    def certificate(self) -> Certificate:
        """The certificate of the model."""
        certificate: Certificate = self.estimator.certificate_
        return certificate


def fit_data(data: Data, asked: FitOptions) -> Fit:
    """Fit at the strength given, or choose one."""
    penalty = asked.penalty_of(*_structure(data, asked))
    train = data.train
    problem = Problem(
        train.X,
        data.codes(train.y),
        data.loss,
        penalty,
        sample_weight=train.weights,
        offset=train.offset,
        standardise=asked.standardise,
    )
    return (
        _given(data, problem, asked) if asked.alpha is not None else _chosen(data, problem, asked)
    )


def _structure(data: Data, asked: FitOptions) -> tuple[Groups | None, np.ndarray | None]:
    """Groups of features and their weights, the root of their sizes (Yuan and Lin 2006)."""
    if asked.groups is None:
        return None, None
    labels = np.asarray(data.encoder.groups_)
    if asked.groups != "categorical":
        columns = [str(name) for name in data.encoder.feature_names_in_]
        of_column = dict(zip(columns, read_groups(asked.groups, columns), strict=True))
        labels = np.array([of_column[name] for name in labels], dtype=object)
    sizes = Counter(labels.tolist())  # in order of appearance, as are the groups
    return Groups(labels.tolist()), np.sqrt(list(sizes.values()))


def _chosen(data: Data, problem: Problem, asked: FitOptions) -> Fit:
    by_folds = asked.selection in ("min", "1se")
    long = problem.X.shape[0] > problem.X.shape[1]
    estimator = SparseModelCV(
        data.loss,
        problem.penalty,
        standardise=asked.standardise,
        tol=asked.tol,
        n_alphas=_N_ALPHAS,
        alpha_min_ratio=_RATIO_LONG if long else _RATIO_WIDE,
        selection=asked.selection,
        cv=_folds(data, asked) if by_folds else asked.cv,
        n_jobs=min(asked.jobs or os.cpu_count() or 1, asked.cv),
    )
    fits = _N_ALPHAS * (1 + asked.cv * by_folds)
    train = data.train
    with progress(fits, "path and folds", enabled=asked.progress) as advance:
        estimator.fit(
            train.X,
            train.y,
            train.weights,
            offset=train.offset,
            fold_groups=train.groups,
            on_step=advance,
        )
    # a plain number can be saved; the folds themselves follow from the seed
    estimator.set_params(cv=asked.cv, n_jobs=None)
    path, results = estimator.path_, estimator.cv_results_
    notes = []
    if 0 < results.index == len(path.alphas) - 1 == _N_ALPHAS - 1:
        notes.append("The strength selected is the weakest tried: a weaker one may predict better.")
    return Fit(
        estimator,
        path,
        results,
        results.index,
        problem.with_penalty(problem.penalty.with_strength(estimator.alpha_)),
        (path.coefs[results.index], path.intercepts[results.index]),
        estimator.n_iter_,
        by_folds and results.folds.shape[1] < asked.cv,
        notes,
    )


def _folds(data: Data, asked: FitOptions) -> list[tuple[np.ndarray, np.ndarray]]:
    y, groups = data.train.y, data.train.groups
    if groups is not None:
        most, what = len(np.unique(groups)), "groups of rows"
    elif data.loss.classifies:
        most, what = max(Counter(y.tolist()).values()), "training rows of the largest class"
    else:
        most, what = len(y), "training rows"
    if most < asked.cv:
        raise ValueError(
            f"cv={asked.cv} folds need at least as many {what}, there are {most}: lower --cv, or "
            "choose the strength by --selection bic."
        )
    splitter = fold_splitter(
        asked.cv, asked.seed, classes=data.loss.classifies, groups=groups is not None
    )
    with warnings.catch_warnings():
        # a class of fewer rows than folds is not held out by every fold, but trained by all
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        return list(splitter.split(data.train.X, y, groups))


def _given(data: Data, problem: Problem, asked: FitOptions) -> Fit:
    """The model at a given strength, and for the picture the path that leads to it."""
    penalty = problem.penalty.with_strength(asked.alpha)  # type: ignore[arg-type]
    grid = _grid_to(problem, penalty)
    with progress(len(grid), "path", enabled=asked.progress) as advance:
        path = solve_path(problem, grid, tol=asked.tol, on_step=lambda *_: advance())
    estimator = SparseModel(data.loss, penalty, standardise=asked.standardise, tol=asked.tol)
    train = data.train
    estimator.fit(train.X, train.y, train.weights, offset=train.offset)
    result = estimator.result_
    full = Path(
        np.append(path.alphas, penalty.strength),
        np.concatenate([path.coefs, result.coef[None]]),
        np.concatenate([path.intercepts, np.asarray(result.intercept)[None]]),
        (*path.certificates, result.certificate),
    )
    interrupted = len(path.alphas) < len(grid) or result.status is Status.INTERRUPTED
    return Fit(
        estimator,
        full,
        None,
        len(full.alphas) - 1,
        problem.with_penalty(penalty),
        (result.coef, result.intercept),
        result.n_iter,
        interrupted,
    )


def _grid_to(problem: Problem, penalty: Penalty) -> np.ndarray:
    """Strengths larger than the given one, from the null model's down."""
    largest = max(strength_grid(problem, 1, 0.5)[0], 1.01 * penalty.strength)
    return np.geomspace(largest, penalty.strength, _N_ALPHAS_FIXED)[:-1]
