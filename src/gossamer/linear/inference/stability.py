"""Stability selection: what random halves of the samples agree on."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from gossamer.core.errors import ConvergenceWarning
from gossamer.core.problem import Problem
from gossamer.core.result import Status
from gossamer.core.units import Units
from gossamer.linear.base import SparseLinearModel
from gossamer.linear.estimators import Lasso
from gossamer.linear.inference.base import (
    Selection,
    SummaryTable,
    checked_choice,
    checked_count,
    checked_share,
)
from gossamer.linear.inference.bounds import ASSUMPTIONS, false_selections, resolve
from gossamer.linear.inference.resampling import halves, repeat
from gossamer.linear.path import solve_along, strength_grid

# halves select earlier than the whole: what is noise to them is larger
_EARLIER = 1.5


@dataclass(eq=False, repr=False)
class StabilitySelection(Selection):
    r"""Select what random halves of the samples keep selecting, with few false selections.

    Complementary pairs of halves are drawn. Each half goes down the estimator's path until q units
    (features, or groups) have entered, and a unit is selected when at least a share
    :math:`\tau` of the halves chose it. The expected number of selected units that a half
    chooses no more often than a random guess would is bounded, whatever the estimator and the
    distribution of the data:

    .. math:: E[V] \le \frac{q^2}{(2 \tau - 1)\, p}

    and by about half of that if the distribution of how often such a unit is chosen has one mode.

    Parameters
    ----------
    estimator : gossamer estimator, default ``Lasso(standardise=True)``
        Its loss, penalty and structure are used; its strength is not.
    max_false : float > 0, default None
        The bound on the expected number of false selections (per-family error rate).
    threshold : float in (0.5, 1], default None
        The share :math:`\tau` of halves.
    n_selected : int, default None
        The number q of units that every half chooses.

        Of these three, give two and the third follows. With fewer, ``max_false`` is 1 and the
        threshold 0.75.
    n_pairs : int, default 50
        Pairs of halves.
    assumption : {"unimodal", "none", "r-concave"}, default "unimodal"
        What the bound assumes, see :func:`~gossamer.linear.inference.false_selections`.
    n_alphas, alpha_min_ratio : int and float, defaults 50 and 0.01
        The grid of strengths, as in :class:`gossamer.LassoCV`.
    n_jobs : int or "dask", default None
        Halves in parallel threads, or as tasks of the Dask cluster in use.
    random_state : int, RandomState or None, default None

    Attributes
    ----------
    selected_ : array of feature numbers
    frequencies_ : (n_units,)
        Share of halves that chose each unit.
    units_ : (p,) or (p, K)
        The unit of every coefficient.
    alphas_, path_ : (m,) and (m, n_units)
        The stability path: the share of halves that chose each unit by that strength.
    threshold_, n_selected_, bound_ : what was given or followed
    n_halves_ : int
        Halves solved, fewer than asked for when interrupted.

    References
    ----------
    Meinshausen and Bühlmann (2010), Stability selection.
    Shah and Samworth (2013), Variable selection with error control: another look at stability
    selection.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 50))
    >>> y = X[:, 3] - X[:, 7] + 0.5 * rng.standard_normal(100)
    >>> stable = gs.StabilitySelection(max_false=0.5, n_pairs=20, random_state=0).fit(X, y)
    >>> stable.selected_
    array([3, 7])
    >>> stable.n_selected_, round(stable.bound_, 2)
    (4, 0.34)
    """

    estimator: Any = None
    max_false: float | None = field(default=None, kw_only=True)
    threshold: float | None = field(default=None, kw_only=True)
    n_selected: int | None = field(default=None, kw_only=True)
    n_pairs: int = field(default=50, kw_only=True)
    assumption: str = field(default="unimodal", kw_only=True)
    n_alphas: int = field(default=50, kw_only=True)
    alpha_min_ratio: float = field(default=1e-2, kw_only=True)
    n_jobs: int | str | None = field(default=None, kw_only=True)
    random_state: Any = field(default=None, kw_only=True)

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, offset: Any = None,
        groups: Any = None, on_step: Callable[[], object] | None = None,
    ) -> Self:  # fmt: skip
        """Draw halves, let each choose, and count.

        Parameters
        ----------
        X : (n, p) array, sparse matrix or DataFrame
        y : (n,) or (n, K)
        sample_weight, offset : (n,), default None
        groups : (n,), default None
            Samples of one group stay in one half.
        on_step : function, default None
            Called without arguments after every half, possibly from several threads.

        Raises
        ------
        KeyboardInterrupt
            When interrupted before two halves are solved; later those solved count, and a warning
            says so.
        """
        self._check()
        model = self._model()
        rows = model._rows(X, y, sample_weight, offset)
        if len(rows.y) < 4:
            raise ValueError(
                f"n_samples={len(rows.y)} are too few: two halves need two samples each."
            )
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(model, name):
                setattr(self, name, getattr(model, name))
        problem = model._problem_of_rows(rows, 1.0)
        self._prepare(problem)
        weight = problem.sample_weight
        classes = rows.y if problem.loss.classifies else None
        drawn = halves(
            len(weight), 2 * self.n_pairs, self.random_state, classes=classes, groups=groups
        )
        entries = repeat(
            lambda half: self._entries(problem.with_weights(weight * half), model),
            drawn, n_jobs=self.n_jobs, on_step=on_step,
        )  # fmt: skip
        if entries.interrupted:
            if len(entries.results) < 2:
                raise KeyboardInterrupt
            warnings.warn(
                f"interrupted: the selection rests on {len(entries.results)} of {len(drawn)} "
                "halves. Fit again for all.",
                ConvergenceWarning,
                stacklevel=2,
            )
        self._count(np.array(entries.results))
        return self

    def summary(self) -> SummaryTable:
        """Every unit ever chosen: its features, how often it was chosen, and whether it is kept."""
        check_is_fitted(self, "frequencies_")
        names, labels = self._names(), self.units_.reshape(self.n_features_in_, -1)
        order = np.argsort(-self.frequencies_, kind="stable")
        order = order[self.frequencies_[order] > 0]
        features = [", ".join(names[np.unique(np.nonzero(labels == u)[0])]) for u in order]
        return SummaryTable(
            {
                "feature": np.array(features, dtype=object),
                "frequency": self.frequencies_[order],
                "selected": self.frequencies_[order] >= self.threshold_,
            }
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _check(self) -> None:
        checked_count(self.n_pairs, "n_pairs")
        checked_choice(self.assumption, "assumption", ASSUMPTIONS)
        if self.threshold is not None and self.threshold != 1:
            checked_share(self.threshold, "threshold", low=0.5)
        if self.n_selected is not None:
            checked_count(self.n_selected, "n_selected")
        if self.max_false is not None and not (
            isinstance(self.max_false, Real) and 0 < float(self.max_false) < np.inf
        ):
            raise ValueError(f"max_false must be a finite number > 0, got {self.max_false!r}.")
        if None not in (self.max_false, self.threshold, self.n_selected):
            raise ValueError(
                "max_false, threshold and n_selected are all given: leave out one, it follows from "
                "the other two."
            )

    def _model(self) -> SparseLinearModel:
        model = Lasso(standardise=True) if self.estimator is None else clone(self.estimator)
        if not isinstance(model, SparseLinearModel):
            raise TypeError(
                f"estimator must be one of gossamer's, such as Lasso() or SparseModel(loss, "
                f"penalty), got {model!r}."
            )
        return model

    def _prepare(self, problem: Problem) -> None:
        """Units, strengths and what the error control asks for."""
        form = problem.penalty.unit_form(problem.shape)
        units = Units.singletons(int(np.prod(problem.shape))) if form is None else form.units
        self.units_ = units.labels.reshape(problem.shape if problem.shape[1] > 1 else -1)
        free = problem.penalty.free(problem.shape)
        # what is not penalised enters first and is not a matter of selection
        self._free = np.bincount(units.labels, np.ravel(free), units.count) > 0
        n_units = int((~self._free).sum())
        self.threshold_, count = resolve(
            self.max_false, self.threshold, self.n_selected, max(n_units, 1), self.n_pairs,
            self.assumption,
        )  # fmt: skip
        self.n_selected_ = min(count, n_units)
        self.bound_ = min(
            false_selections(
                self.n_selected_, self.threshold_, max(n_units, 1), self.n_pairs, self.assumption
            ),
            float(n_units),
        )
        grid = strength_grid(problem, self.n_alphas, self.alpha_min_ratio)
        if len(grid) > 1:
            grid = np.geomspace(_EARLIER * grid[0], grid[-1], len(grid))
        self.alphas_ = grid

    def _entries(self, part: Problem, model: SparseLinearModel) -> np.ndarray:
        """(n_units,) the step of the path at which each unit was chosen, m for never."""
        entered = np.full(len(self._free), len(self.alphas_))
        entered[self._free] = 0
        left = self.n_selected_
        steps = solve_along(
            part, self.alphas_, solver=model.solver, tol=max(model.tol, 1e-4),
            max_iter=model.max_iter, stop_saturated=True,
        )  # fmt: skip
        for step, result in enumerate(steps):
            if result.status is Status.INTERRUPTED:
                raise KeyboardInterrupt
            alive = result.certificate.support
            new = alive[entered[alive] == len(self.alphas_)]
            if len(new) > left:
                w = part.point(result.coef.reshape(part.shape), result.intercept).w
                new = new[np.argsort(-part.penalty.sizes(w)[new], kind="stable")[:left]]
            entered[new] = step
            left -= len(new)
            if left == 0:
                break
        return entered

    def _count(self, entered: np.ndarray) -> None:
        self.n_halves_ = len(entered)
        steps = np.arange(len(self.alphas_))
        self.path_ = np.array([(entered <= step).mean(axis=0) for step in steps])
        self.frequencies_ = self.path_[-1]
        kept = self.frequencies_ >= self.threshold_
        labels = self.units_.reshape(self.n_features_in_, -1)
        self.selected_ = np.flatnonzero(kept[labels].any(axis=1))
