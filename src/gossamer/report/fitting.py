"""The fit itself: a strength chosen or given, and the path that leads there."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gossamer.core.penalty import Penalty
from gossamer.core.problem import Problem
from gossamer.core.result import Certificate, Status
from gossamer.linear.base import SparseLinearModel
from gossamer.linear.column_groups import read_groups
from gossamer.linear.cv import CVResult
from gossamer.linear.path import Path, solve_path, strength_grid
from gossamer.linear.splits import fold_splitter
from gossamer.report.data import Data
from gossamer.report.models import KINDS, Asked, Kind, choosing_model, given_model, kind_of
from gossamer.report.options import FitOptions
from gossamer.report.pieces import Units
from gossamer.report.progress import progress
from gossamer.structures import Groups

_N_ALPHAS_FIXED = 50


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted estimator, its path, and the problem that it solves.

    penalty : at the level selected.
    problem : with it, of the training rows; none where those stayed on a cluster.
    start : coefficients and intercept of the solution.
    coef, intercept : of the estimator, (p,) or (p, K), per unit of the columns of the problem.
    index : position of the level selected in `path`.
    kind : a key of `gossamer.report.models.KINDS`.
    """

    kind: str
    estimator: Any
    path: Path
    cv: CVResult | None
    index: int
    penalty: Penalty
    problem: Problem | None
    start: tuple[np.ndarray, Any]
    n_iter: int
    interrupted: bool
    notes: list[str] = field(default_factory=list)

    @property
    def certificate(self) -> Certificate:
        """The certificate of the model."""
        certificate: Certificate = self.estimator.certificate_
        return certificate

    @property
    def coef(self) -> np.ndarray:
        found = np.atleast_2d(self.estimator.coef_).T
        return found[:, 0] if found.shape[1] == 1 else found

    @property
    def intercept(self) -> Any:
        """Of the estimator: a number, one a class, the thresholds of ordered classes, or none."""
        if hasattr(self.estimator, "thresholds_"):
            return self.estimator.thresholds_
        if hasattr(self.estimator, "baseline_hazard_"):
            return np.empty(0)
        found = np.atleast_1d(self.estimator.intercept_)
        return float(found[0]) if found.size == 1 else found


def model_asked(data: Data, asked: FitOptions) -> Asked:
    """What the model of a table is made from."""
    labels = None if asked.groups is None else _group_labels(data, asked.groups)
    p = len(data.feature_names)
    if labels is None:
        units = Units(None, None, p)
    else:
        sizes = Counter(labels)  # in order of appearance, as are the groups
        # the root of their sizes, as Yuan and Lin (2006)
        units = Units(Groups(labels), np.sqrt(list(sizes.values())), len(sizes))
    return Asked(asked, data.loss, asked.make_penalty(units), labels, data.classes)


def fit_data(data: Data, asked: FitOptions) -> Fit:
    """Fit at the level given, or choose one."""
    model = model_asked(data, asked)
    name = kind_of(asked, data.loss)
    fit = _given if asked.is_given else _chosen
    return replace(fit(data, model, KINDS[name]), kind=name)


def _group_labels(data: Data, how: str) -> list[str]:
    labels = [str(name) for name in data.encoder.groups_]
    if how == "categorical":
        return labels
    columns = [str(name) for name in data.encoder.feature_names_in_]
    of_column = dict(zip(columns, read_groups(how, columns), strict=True))
    return [of_column[name] for name in labels]


def _problem(data: Data, estimator: SparseLinearModel) -> Problem:
    """The problem that an estimator states of the training rows."""
    train, other = data.train, type(estimator)(**estimator.get_params(deep=False))
    rows = other._rows(train.X, train.y, train.weights, train.offset)
    return other._problem_of_rows(rows, 1.0)


def _chosen(data: Data, model: Asked, kind: Kind) -> Fit:
    asked, train = model.options, data.train
    by_folds = asked.selection in ("min", "1se")
    n, p = train.X.shape
    estimator = choosing_model(
        kind, model, long=n > p, n_jobs=min(asked.jobs or os.cpu_count() or 1, asked.cv),
        cv=_folds(data, asked) if by_folds else asked.cv,
    )  # fmt: skip
    fits = estimator._n_steps() * (1 + asked.cv * by_folds)
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
    fit = chosen_fit("", estimator, asked)
    return replace(fit, problem=_problem(data, estimator).with_penalty(fit.penalty))


def chosen_fit(kind: str, estimator: Any, asked: FitOptions) -> Fit:
    """What an estimator chose, without the rows."""
    path, results = estimator.path_, estimator.cv_results_
    index = results.index
    return Fit(
        kind,
        estimator,
        path,
        results,
        index,
        estimator._resolved_penalty(float(path.alphas[index])),
        None,
        (path.coefs[index], path.intercepts[index]),
        estimator.n_iter_,
        asked.selection in ("min", "1se") and results.folds.shape[1] < asked.cv,
        _edge_of_path(path, results, estimator._n_steps()),
    )


def _edge_of_path(path: Path, results: CVResult, n_steps: int) -> list[str]:
    """A remark where the last model of a whole path is chosen."""
    if not 0 < results.index == len(path.alphas) - 1 == n_steps - 1:
        return []
    if path.alphas[0] < path.alphas[-1]:
        return ["The largest number of features tried is selected: more may predict better."]
    return ["The strength selected is the weakest tried: a weaker one may predict better."]


def _folds(data: Data, asked: FitOptions) -> list[tuple[np.ndarray, np.ndarray]]:
    y, groups, kinds = data.train.y, data.train.groups, data.kinds_of_rows
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
        asked.cv, asked.seed, classes=kinds is not None, groups=groups is not None
    )
    with warnings.catch_warnings():
        # a class of fewer rows than folds is not held out by every fold, but trained by all
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        return list(splitter.split(data.train.X, y if kinds is None else kinds, groups))


def _given(data: Data, model: Asked, kind: Kind) -> Fit:
    """The model at a given level, and for the picture the path that leads to it."""
    estimator, train = given_model(kind, model), data.train
    estimator.fit(train.X, train.y, train.weights, offset=train.offset)
    stated, level = _problem(data, estimator), _level(estimator)
    problem = stated.with_penalty(stated.penalty.at_level(level))
    grid = _grid_to(problem, level)
    with progress(len(grid), "path", enabled=model.options.progress) as advance:
        path = solve_path(problem, grid, tol=model.options.tol, on_step=lambda *_: advance())
    fit = given_fit("", estimator, path)
    cut = len(path.alphas) < len(grid)
    return replace(
        fit, problem=problem, penalty=problem.penalty, interrupted=fit.interrupted or cut
    )


def given_fit(kind: str, estimator: Any, before: Path | None = None) -> Fit:
    """An estimator of a given level, the last step of a path."""
    result, level = estimator.result_, _level(estimator)
    coef, intercept = result.coef[None], np.asarray(result.intercept)[None]
    path = Path(np.array([level]), coef, intercept, (result.certificate,))
    if before is not None and len(before.alphas):
        path = Path(
            np.append(before.alphas, level),
            np.concatenate([before.coefs, coef]),
            np.concatenate([before.intercepts, intercept]),
            (*before.certificates, result.certificate),
        )
    late = result.status is Status.TIME_LIMIT
    return Fit(
        kind,
        estimator,
        path,
        None,
        len(path.alphas) - 1,
        estimator._resolved_penalty(level),
        None,
        (result.coef, result.intercept),
        result.n_iter,
        result.status is Status.INTERRUPTED,
        [f"{result.status.value.capitalize()}."] if late else [],
    )


def _level(estimator: Any) -> float:
    """The strength or the number of features of a fitted estimator, given or from theory."""
    return float(getattr(estimator, "alpha_", estimator._strength()))


def _grid_to(problem: Problem, level: float) -> np.ndarray:
    """Strengths larger than the given one, from the null model's down; or smaller numbers."""
    if problem.penalty.is_budget:
        return np.arange(level)
    if np.isinf(problem.strength_max()):  # no strength gives the null model
        return np.geomspace(1e3 * level, level, _N_ALPHAS_FIXED)[:-1]
    largest = max(strength_grid(problem, 1, 0.5)[0], 1.01 * level)
    return np.geomspace(largest, level, _N_ALPHAS_FIXED)[:-1]
