"""The knockoff filter: features that beat their copies, with few false ones among them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from gossamer.core.errors import ConvergenceWarning
from gossamer.linear.base import SparseLinearModel
from gossamer.linear.estimators import LassoCV
from gossamer.linear.inference.base import (
    Selection,
    SummaryTable,
    checked_choice,
    checked_count,
    checked_share,
)
from gossamer.linear.inference.knockoff_tables import (
    CONSTRUCTIONS,
    FixedKnockoffs,
    GaussianKnockoffs,
)
from gossamer.linear.inference.resampling import generators, repeat

_N_STRENGTHS, _WEAKEST = 100, 1e-2


def knockoff_threshold(statistics: np.ndarray, fdr: float, offset: int = 1) -> float:
    r"""The smallest t > 0 with :math:`(c + \#\{W_j \le -t\}) / \#\{W_j \ge t\} \le q`.

    Infinite when there is none. The offset c is 1 for the knockoff+ filter and 0 for the plain one.

    Reference: Barber and Candès (2015), equations 1.8 and 1.9.

    >>> knockoff_threshold(np.array([5.0, 4.0, 3.0, -1.0, 2.0]), fdr=0.25)
    2.0
    """
    sizes = np.unique(np.abs(statistics[statistics != 0]))
    ordered = np.sort(statistics)
    above = len(ordered) - np.searchsorted(ordered, sizes, side="left")
    below = np.searchsorted(ordered, -sizes, side="right")
    fine = np.flatnonzero((offset + below) <= fdr * np.maximum(above, 1))
    return float(sizes[fine[0]]) if len(fine) else np.inf


@dataclass(eq=False, repr=False)
class Knockoffs(Selection):
    r"""Select features with a bound on the false discovery rate.

    Every feature gets a knockoff, a column that relates to the other features as it does, and is
    made without a look at y. A model is fitted to both; the statistic :math:`W_j` says by how much
    feature j beats its knockoff. For a feature without effect its sign is a coin toss, so the
    negative ones show how many of the large positive ones are false. The share of false ones among
    those selected is at most ``fdr`` on average:

    * ``design="model"``: whatever y depends on the features by, if the rows are Gaussian with the
      mean and covariance given (or estimated);
    * ``design="fixed"``: whatever X is, if y is linear in the features with Gaussian noise.

    Parameters
    ----------
    estimator : estimator with ``coef_``, default :class:`gossamer.LassoCV`
        Fitted to features and knockoffs side by side; columns come standardised. Take
        ``SparseModelCV(loss=...)`` for other losses.
    fdr : float in (0, 1), default 0.1
    design : {"model", "fixed"}, default "model"
        Whether rows of X are random (model-X) or X is fixed (needs n > p + 1).
    construction : {"sdp", "equi"}, default "sdp"
        Knockoffs as different from their features as can be in total, or all by the same.
    statistic : {"difference", "signed_max"} or function, default None
        ``|coef_j| - |coef of its knockoff|``; or the largest strength at which either enters the
        path, with the sign of the one that enters first; or ``statistic(X, X_knockoff, y)``, (p,),
        which must change sign when a column and its knockoff change places. By default the
        first for "model" and the second for "fixed", where nothing but scalar products of the
        columns may be used, and no folds.
    offset : {1, 0}, default 1
        1 keeps the promise (knockoff+); 0 that of a slightly modified rate, for more power.
    mean, covariance : (p,) and (p, p), default None
        Of the rows, where known; else estimated, the covariance by Ledoit and Wolf.
    n_draws : int, default 1
        With several draws of the knockoffs, e-values are averaged over them and the selection does
        no longer depend on one draw.
    n_jobs : int, default None
        Draws in parallel threads.
    random_state : int, RandomState or None, default None

    Attributes
    ----------
    selected_ : array of feature numbers
    statistics_ : (p,)
        W, averaged over the draws.
    threshold_ : float
        W from which features are selected; NaN for several draws.
    e_values_ : (p,)
        Evidence against each feature having no effect, 1 on average where it has none.
    n_draws_ : int

    References
    ----------
    Barber and Candès (2015), Controlling the false discovery rate via knockoffs.
    Candès, Fan, Janson and Lv (2018), Panning for gold: model-X knockoffs.
    Ren and Barber (2024), Derandomised knockoffs: leveraging e-values.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((300, 40))
    >>> y = X[:, :12].sum(axis=1) + rng.standard_normal(300)
    >>> filtered = gs.Knockoffs(fdr=0.2, random_state=0).fit(X, y)
    >>> set(range(12)) <= set(filtered.selected_.tolist())
    True
    """

    estimator: Any = None
    fdr: float = field(default=0.1, kw_only=True)
    design: str = field(default="model", kw_only=True)
    construction: str = field(default="sdp", kw_only=True)
    statistic: Any = field(default=None, kw_only=True)
    offset: int = field(default=1, kw_only=True)
    mean: Any = field(default=None, kw_only=True)
    covariance: Any = field(default=None, kw_only=True)
    n_draws: int = field(default=1, kw_only=True)
    n_jobs: int | None = field(default=None, kw_only=True)
    random_state: Any = field(default=None, kw_only=True)

    def fit(self, X: Any, y: Any, *, on_step: Callable[[], object] | None = None) -> Self:
        """Make knockoffs, compare, and select.

        Parameters
        ----------
        X : (n, p) array or DataFrame
        y : (n,)
        on_step : function, default None
            Called without arguments after every draw, possibly from several threads.

        Raises
        ------
        KeyboardInterrupt
            When interrupted before the first draw is judged; later those judged count, and a
            warning says so.
        """
        self._check()
        X, y = self._table(X, y, numeric=not self._classifies())
        constant = np.flatnonzero(X.std(axis=0) <= 1e-12 * np.abs(X).max(axis=0))
        if len(constant):
            raise ValueError(
                f"X has constant columns, {self._names()[constant[:5]].tolist()} first: nothing "
                "tells them from their knockoffs. Remove them."
            )
        judge = self._judge_fixed if self.design == "fixed" else self._judge_model(X)
        found = repeat(
            lambda rng: judge(X, y, rng), generators(self.random_state, self.n_draws),
            n_jobs=self.n_jobs, on_step=on_step,
        )  # fmt: skip
        if found.interrupted:
            if not found.results:
                raise KeyboardInterrupt
            warnings.warn(
                f"interrupted: the selection rests on {len(found.results)} of {self.n_draws} "
                "draws. Fit again for all.",
                ConvergenceWarning,
                stacklevel=2,
            )
        self._select(np.array(found.results))
        return self

    def summary(self) -> SummaryTable:
        """Every feature whose statistic is not zero, the largest first."""
        check_is_fitted(self, "statistics_")
        order = np.argsort(-self.statistics_, kind="stable")
        order = order[self.statistics_[order] != 0]
        return SummaryTable(
            {
                "feature": self._names()[order],
                "statistic": self.statistics_[order],
                "e-value": self.e_values_[order],
                "selected": np.isin(order, self.selected_),
            }
        )

    # -- before ------------------------------------------------------------------------------------
    def _check(self) -> None:
        checked_share(self.fdr, "fdr")
        checked_choice(self.design, "design", ("model", "fixed"))
        checked_choice(self.construction, "construction", tuple(CONSTRUCTIONS))
        checked_count(self.n_draws, "n_draws")
        if self.offset not in (0, 1):
            raise ValueError(f"offset must be 1 or 0, got {self.offset!r}.")
        if self.offset == 0 and self.n_draws > 1:
            raise ValueError("offset=0 keeps no promise over several draws: use offset=1.")
        if not callable(self.statistic) and self.statistic is not None:
            checked_choice(self.statistic, "statistic", ("difference", "signed_max"))
        model = self._model()
        if self._kind() == "signed_max" and not isinstance(model, SparseLinearModel):
            raise TypeError(
                f'statistic="signed_max" needs the path of a gossamer estimator, got {model!r}.'
            )
        if self.design == "fixed":
            self._check_fixed(model)

    def _check_fixed(self, model: Any) -> None:
        if self.statistic == "difference" and hasattr(model, "cv"):
            raise ValueError(
                'design="fixed" allows no folds: its promise holds for functions of scalar '
                'products of the columns. Use statistic="signed_max", or an estimator of a given '
                "strength."
            )
        if isinstance(model, SparseLinearModel) and not model._has_moments():
            raise ValueError('design="fixed" is for least squares: use design="model".')
        if self.mean is not None or self.covariance is not None:
            raise ValueError('mean and covariance have no effect with design="fixed".')

    def _kind(self) -> Any:
        default = "signed_max" if self.design == "fixed" else "difference"
        return default if self.statistic is None else self.statistic

    def _model(self) -> Any:
        return LassoCV() if self.estimator is None else clone(self.estimator)

    def _classifies(self) -> bool:
        tags = getattr(self._model(), "__sklearn_tags__", None)
        return callable(self.statistic) or (
            tags is not None and tags().estimator_type == "classifier"
        )

    # -- one draw ----------------------------------------------------------------------------------
    def _judge_model(self, X: np.ndarray) -> Callable[..., np.ndarray]:
        sampler = GaussianKnockoffs.of(X, self.mean, self.covariance, self.construction)
        middle, scale = X.mean(axis=0), X.std(axis=0)

        def judge(X: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            drawn = sampler.draw(X, rng)
            return self._statistics((X - middle) / scale, (drawn - middle) / scale, y, rng)

        return judge

    def _judge_fixed(self, X: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        made = FixedKnockoffs.of(X, y, self.construction, rng)
        return self._statistics(made.X, made.knockoff, made.y, rng)

    def _statistics(
        self, X: np.ndarray, knockoff: np.ndarray, y: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """W of one draw. Columns change places at random, so that none profits from its place."""
        swapped = rng.random(X.shape[1]) < 0.5
        left, right = np.where(swapped, knockoff, X), np.where(swapped, X, knockoff)
        if callable(self.statistic):
            found = np.asarray(self.statistic(left, right, y), dtype=float)
            if found.shape != (X.shape[1],) or not np.isfinite(found).all():
                raise ValueError(
                    f"statistic must return {X.shape[1]} finite numbers, one a feature, got an "
                    f"array of shape {found.shape}."
                )
        else:
            importance = self._importance(np.hstack([left, right]), y)
            mine, other = np.split(importance, 2)
            found = mine - other
            if self._kind() == "signed_max":
                found = np.maximum(mine, other) * np.sign(found)
        return np.where(swapped, -found, found)

    def _importance(self, both: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(2 p,) how much each column counts."""
        model = self._model()
        if self.design == "fixed" and isinstance(model, SparseLinearModel):
            model.set_params(fit_intercept=False, standardise=False)
        if self._kind() == "difference":
            return np.abs(np.atleast_2d(model.fit(both, y).coef_)).max(axis=0)
        path = model.path(both, y, n_alphas=_N_STRENGTHS, alpha_min_ratio=_WEAKEST)
        alive = path.coefs.reshape(*path.coefs.shape[:2], -1).any(axis=2)
        entered = alive.argmax(axis=0)
        return np.where(alive.any(axis=0), path.alphas[entered], 0.0)

    # -- after -------------------------------------------------------------------------------------
    def _select(self, statistics: np.ndarray) -> None:
        self.n_draws_ = len(statistics)
        self.statistics_ = statistics.mean(axis=0)
        # with several draws half the rate for each is what costs the least power
        rate = self.fdr if self.n_draws == 1 else self.fdr / 2
        self.e_values_ = np.mean([_e_values(w, rate, self.offset) for w in statistics], axis=0)
        if self.n_draws == 1:
            self.threshold_ = knockoff_threshold(self.statistics_, self.fdr, self.offset)
            self.selected_ = np.flatnonzero(self.statistics_ >= self.threshold_)
        else:
            self.threshold_ = float("nan")
            self.selected_ = e_selected(self.e_values_, self.fdr)


def _e_values(statistics: np.ndarray, rate: float, offset: int) -> np.ndarray:
    """(p,) e-values of one draw (Ren and Barber 2024, equation 6)."""
    level = knockoff_threshold(statistics, rate, offset)
    against = 1 + (statistics <= -level).sum()
    return len(statistics) * (statistics >= level) / against


def e_selected(e_values: np.ndarray, fdr: float) -> np.ndarray:
    """Features selected by the e-value procedure of Benjamini and Hochberg (Wang and Ramdas 2022).

    >>> e_selected(np.array([40.0, 0.0, 30.0, 1.0]), fdr=0.1)
    array([0, 2])
    """
    p = len(e_values)
    ordered = np.sort(e_values)[::-1]
    fine = np.flatnonzero(ordered * np.arange(1, p + 1) * fdr >= p * (1 - 1e-12))
    return np.flatnonzero(e_values >= ordered[fine[-1]]) if len(fine) else np.empty(0, dtype=int)
