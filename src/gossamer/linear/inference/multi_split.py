"""P-values from many splits: one half selects, the other half tests."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from gossamer.core.errors import ConvergenceWarning
from gossamer.core.loss import Loss
from gossamer.linear.base import SparseLinearModel
from gossamer.linear.inference.base import Selection, SummaryTable, checked_count, checked_share
from gossamer.linear.inference.classical import wald_p_values
from gossamer.linear.inference.noise import lasso_by_folds
from gossamer.linear.inference.resampling import complementary_halves, generators, repeat
from gossamer.losses import Logistic, Quadratic

_FEWEST = 8


def aggregated_p_values(p_values: np.ndarray, smallest_share: float = 0.05) -> np.ndarray:
    r"""(p,) from the p-values (n_splits, p) of many splits of the same samples.

    .. math:: P_j = \min\Bigl(1,\; (1 - \log \gamma_0)
        \inf_{\gamma \in (\gamma_0, 1)} q_\gamma(p_j^{(1)}, \ldots) / \gamma\Bigr)

    Reference: Meinshausen, Meier and Bühlmann (2009), equations 2.2 and 2.3.

    >>> aggregated_p_values(np.array([[0.01], [0.02], [0.9], [0.03]]), smallest_share=0.25)
    array([0.0954])
    """
    n_splits = len(p_values)
    # the infimum is over shares above the smallest: quantiles change where one more value counts
    first = min(int(np.floor(round(smallest_share * n_splits, 8))) + 1, n_splits)
    shares = np.arange(first, n_splits + 1) / n_splits
    ordered = np.sort(p_values, axis=0)[first - 1 :]
    smallest = (ordered / shares[:, None]).min(axis=0)
    aggregated: np.ndarray = np.minimum((1 - np.log(smallest_share)) * smallest, 1.0)
    return aggregated


@dataclass(eq=False, repr=False)
class MultiSplit(Selection):
    r"""P-values that account for the selection, by splitting the samples many times.

    In every split a model selects features on one half; on the other half, which the selection has
    not seen, the few selected are tested without a penalty, and their p-values are multiplied by
    their number. Over the splits they are aggregated by quantiles. The chance that any feature
    without effect has a p-value of at most a is at most a, provided that the selections contain
    the features that matter.

    Parameters
    ----------
    estimator : estimator with ``coef_``, default :class:`gossamer.LassoCV`
        Selects. For the logistic and Poisson losses the tests are Wald tests; an estimator of
        another library is taken as least squares, or as logistic where it is a classifier.
    n_splits : int, default 50
    fwer : float in (0, 1), default 0.05
        Features with a p-value of at most this are ``selected_``.
    smallest_share : float in (0, 1), default 0.05
        The smallest quantile that is looked at.
    n_jobs : int or "dask", default None
        Splits in parallel threads, or as tasks of the Dask cluster in use.
    random_state : int, RandomState or None, default None

    Attributes
    ----------
    p_values_ : (p,)
        Adjusted for the number of features: to be compared with one level for all.
    frequencies_ : (p,)
        Share of the splits in which the feature was tested.
    selected_ : array of feature numbers
    n_splits_ : int
        Splits done, fewer than asked for when interrupted.

    References
    ----------
    Wasserman and Roeder (2009), High-dimensional variable selection.
    Meinshausen, Meier and Bühlmann (2009), P-values for high-dimensional regression.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 20))
    >>> y = X[:, 3] - X[:, 7] + 0.5 * rng.standard_normal(100)
    >>> gs.MultiSplit(gs.LassoCV(n_alphas=20, cv=3), n_splits=5, random_state=0).fit(X, y).selected_
    array([3, 7])
    """

    estimator: Any = None
    n_splits: int = field(default=50, kw_only=True)
    fwer: float = field(default=0.05, kw_only=True)
    smallest_share: float = field(default=0.05, kw_only=True)
    n_jobs: int | str | None = field(default=None, kw_only=True)
    random_state: Any = field(default=None, kw_only=True)

    def fit(
        self, X: Any, y: Any, *, groups: Any = None, on_step: Callable[[], object] | None = None
    ) -> Self:
        """Split, select and test, many times.

        Parameters
        ----------
        X : (n, p) array or DataFrame
        y : (n,)
        groups : (n,), default None
            Samples of one group stay in one half.
        on_step : function, default None
            Called without arguments after every split, possibly from several threads.

        Raises
        ------
        KeyboardInterrupt
            When interrupted before the first split is done; later those done count, and a warning
            says so.
        """
        checked_count(self.n_splits, "n_splits")
        checked_share(self.fwer, "fwer")
        checked_share(self.smallest_share, "smallest_share")
        loss = self._loss()
        X, y = self._table(X, y, numeric=not loss.classifies)
        if len(y) < _FEWEST:
            raise ValueError(f"n_samples={len(y)} are too few to split: at least {_FEWEST}.")
        target, classes = self._target(y, loss)

        def split(rng: np.random.Generator) -> np.ndarray:
            one, other = complementary_halves(len(y), rng, classes=classes, groups=groups)
            return self._test(X, y, target, one, other, loss)

        tested = repeat(
            split, generators(self.random_state, self.n_splits), n_jobs=self.n_jobs,
            on_step=on_step,
        )  # fmt: skip
        if tested.interrupted:
            if not tested.results:
                raise KeyboardInterrupt
            warnings.warn(
                f"interrupted: the p-values rest on {len(tested.results)} of {self.n_splits} "
                "splits. Fit again for all.",
                ConvergenceWarning,
                stacklevel=2,
            )
        p_values = np.array(tested.results)
        self.n_splits_ = len(p_values)
        self.frequencies_ = (~np.isnan(p_values)).mean(axis=0)
        self.p_values_ = aggregated_p_values(np.nan_to_num(p_values, nan=1.0), self.smallest_share)
        self.selected_ = np.flatnonzero(self.p_values_ <= self.fwer)
        return self

    def summary(self) -> SummaryTable:
        """Every feature ever tested, the smallest p-value first."""
        check_is_fitted(self, "p_values_")
        order = np.lexsort((-self.frequencies_, self.p_values_))
        order = order[self.frequencies_[order] > 0]
        return SummaryTable(
            {
                "feature": self._names()[order],
                "tested": self.frequencies_[order],
                "p": self.p_values_[order],
                "selected": self.p_values_[order] <= self.fwer,
            }
        )

    def _loss(self) -> Loss:
        """The loss of the tests."""
        if self.estimator is None:
            return Quadratic()
        if isinstance(self.estimator, SparseLinearModel):
            loss = self.estimator._loss(2)
            if not (loss.is_quadratic or type(loss).__name__ in ("Logistic", "Poisson")):
                raise ValueError(
                    f"estimator has the loss {loss!r}: tests are for the quadratic, logistic and "
                    "Poisson losses."
                )
            return loss
        if not hasattr(self.estimator, "__sklearn_tags__"):
            raise TypeError(f"estimator must be one such as Lasso(0.1), got {self.estimator!r}.")
        tags = self.estimator.__sklearn_tags__()
        return Logistic() if tags.estimator_type == "classifier" else Quadratic()

    def _target(self, y: np.ndarray, loss: Loss) -> tuple[np.ndarray, np.ndarray | None]:
        """The target as the loss takes it, and the classes of which halves keep half."""
        if not loss.classifies:
            return loss.encode(y), None
        labels, codes = np.unique(y, return_inverse=True)
        if len(labels) != 2:
            raise ValueError(f"y must have two classes for Wald tests, got {len(labels)}.")
        return loss.encode(codes), codes

    def _test(
        self, X: np.ndarray, y: np.ndarray, target: np.ndarray, one: np.ndarray,
        other: np.ndarray, loss: Loss,
    ) -> np.ndarray:  # fmt: skip
        """(p,) p-values times the number of tests, NaN where not selected."""
        default = lasso_by_folds(int(one.sum()), X.shape[1])
        model = default if self.estimator is None else clone(self.estimator)
        coef = np.abs(np.atleast_2d(model.fit(X[one], y[one]).coef_)).max(axis=0)
        # least squares needs samples to spare: the largest are tested where too many are selected
        most = int(other.sum()) - 2 - int(other.sum()) // 10
        size = coef * X[one].std(axis=0)
        chosen = np.argsort(-size, kind="stable")[: min(int((coef != 0).sum()), most)]
        found = np.full(X.shape[1], np.nan)
        tests = wald_p_values(X[np.ix_(other, chosen)], target[other], loss)
        found[chosen] = np.minimum(tests * len(chosen), 1.0)
        return found
