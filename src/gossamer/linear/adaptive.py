"""The adaptive lasso: features that look large in a first fit are penalised less in a second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from gossamer.core.penalty import Penalty
from gossamer.core.problem import Problem
from gossamer.core.validation import coefficients, finite_number
from gossamer.linear.base import Rows, SparseLinearModel
from gossamer.linear.cv import CrossValidated
from gossamer.linear.docstrings import estimator
from gossamer.linear.estimators import SparseModelCV
from gossamer.linear.families import AnyLossFamily
from gossamer.linear.fixed import FixedStrength
from gossamer.linear.folds import Fold, Judge
from gossamer.penalties import L1

# a feature without a coefficient in the first fit is charged so many times the least charge: it
# stays out, and every formula stays finite
_BARRED = 1e10
# the second fit needs the size of the first one's coefficients, not their last digits
_FIRST_TOL = 1e-4


@dataclass(frozen=True, eq=False)
class FirstFit:
    """Gives the first coefficients (p, K) of a problem, and the L1 that is charged by them."""

    plain: L1
    power: float
    of: Callable[[Problem], np.ndarray]

    def weights(self, problem: Problem) -> np.ndarray:
        """(p K,) ``|w|^-power``, times the weights of the plain penalty."""
        sizes = np.abs(self.of(problem)).ravel()
        with np.errstate(divide="ignore", over="ignore"):
            weights = sizes**-self.power if self.power > 0 else np.ones(len(sizes))
        least = weights.min()
        # where the first fit found nothing, neither does the second
        weights = np.minimum(weights, _BARRED * (least if np.isfinite(least) else 1.0))
        return weights * self.plain.form(problem.shape).weights

    def charge(self, problem: Problem) -> Problem:
        """The problem with an L1 of these weights."""
        return problem.with_penalty(replace(self.plain, weights=self.weights(problem)))


@dataclass(eq=False, repr=False)
class AdaptiveFamily(AnyLossFamily):
    """An L1 whose weights come from a first fit on the same rows."""

    power: float = field(default=1.0, kw_only=True)
    initial: Any = field(default="lasso", kw_only=True)

    def _penalty(self, strength: float) -> Penalty:
        return L1(strength, weights=self.weights, nonnegative=self.nonnegative)

    def _has_moments(self) -> bool:
        return False

    def _needs_rows(self) -> bool:
        return True

    def _problem_of_rows(self, rows: Rows, strength: float) -> Problem:
        problem = super()._problem_of_rows(rows, strength)
        plain = problem.penalty
        assert isinstance(plain, L1)
        power = finite_number(self.power, "power", 0.0)
        self._first = FirstFit(plain, power, self._initial_of(rows, problem))
        charged = self._first.charge(problem)
        assert isinstance(charged.penalty, L1)
        self.adaptive_weights_ = charged.penalty.form(problem.shape).weights
        return charged

    def _initial_of(self, rows: Rows, problem: Problem) -> Callable[[Problem], np.ndarray]:
        """What gives the first coefficients, in working coordinates."""
        if isinstance(self.initial, str):
            if self.initial != "lasso":
                raise ValueError(
                    f'initial must be "lasso", an estimator or coefficients, got {self.initial!r}.'
                )
            return self._initial_lasso(rows, problem)
        if hasattr(self.initial, "fit"):
            weighs = has_fit_parameter(self.initial, "sample_weight")
            weights = {"sample_weight": rows.sample_weight} if weighs else {}
            found = np.atleast_2d(clone(self.initial).fit(rows.X, rows.y, **weights).coef_).T
        else:
            found = np.asarray(self.initial, dtype=float)
        found = coefficients(found, problem.shape, "initial")
        if not np.isfinite(found).all():
            raise ValueError("initial has coefficients that are NaN or inf.")
        scale = problem.design.scale
        working = found if scale is None else found * scale[:, None]
        return lambda some: working

    def _initial_lasso(self, rows: Rows, problem: Problem) -> Callable[[Problem], np.ndarray]:
        """A lasso at the strength that cross-validation chooses on all rows."""
        chosen = SparseModelCV(
            problem.loss, problem.penalty, fit_intercept=self.fit_intercept,
            standardise=self.standardise, tol=max(self.tol, _FIRST_TOL), max_iter=self.max_iter,
        )  # fmt: skip
        chosen.fit(rows.X, rows.y, rows.sample_weight, offset=rows.offset)
        lasso = problem.penalty.with_strength(chosen.alpha_)

        def first(some: Problem) -> np.ndarray:
            stated = some.with_penalty(lasso)
            result = stated.solve(tol=_FIRST_TOL, max_iter=self.max_iter)
            return stated.point(result.coef, result.intercept).w

        return first


@dataclass(frozen=True, eq=False)
class _ChargedFold(Fold):
    """A fold with weights from its own training samples: those held out must not have a say."""

    fold: Fold
    first: FirstFit

    @property
    def weight(self) -> float:  # type: ignore[override]
        return self.fold.weight

    def split(self) -> tuple[Problem, Judge]:
        problem, held_out = self.fold.split()
        return self.first.charge(problem), held_out


@estimator
class AdaptiveLasso(AdaptiveFamily, FixedStrength):
    r"""A lasso in which features that a first fit found large are penalised less.

    .. math:: \min_{w, b} \sum_i s_i \ell(x_i^\top w + b, y_i)
        + \alpha \sum_j \frac{|w_j|}{|\tilde w_j|^\gamma}

    with :math:`\tilde w` from the first fit. Large coefficients are hardly shrunk and what the
    first fit left out stays out, so that the right features are found under weaker conditions than
    the lasso's; the problem stays convex, and its certificate a duality gap.

    Parameters
    ----------
    alpha : float >= 0, default 0.1
    loss : Loss, default Quadratic()
    power : float >= 0, default 1.0
        The exponent :math:`\gamma`; 0 is the lasso itself.
    initial : "lasso", estimator or (p,) coefficients, default "lasso"
        The first fit: a lasso at the strength that five folds choose; any estimator with
        ``coef_``, for example scikit-learn's ``RidgeCV()``, which sees sample weights if it takes
        them, but no offsets; or coefficients.

    References
    ----------
    Zou (2006), The adaptive lasso and its oracle properties.
    Buehlmann and van de Geer (2011), Statistics for high-dimensional data, section 2.8.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 200))
    >>> y = 3 * X[:, 4] - 2 * X[:, 9] + rng.standard_normal(100)
    >>> model = gs.AdaptiveLasso(alpha=0.2).fit(X, y)
    >>> np.flatnonzero(model.coef_), model.coef_[[4, 9]].round(1)
    (array([4, 9]), array([ 2.8, -1.8]))
    """

    alpha: float = 0.1

    score = SparseLinearModel.score

    def _solve(self, problem: Problem, warm: bool) -> Self:
        del self._first  # it holds the rows
        return super()._solve(problem, warm)


@estimator
class AdaptiveLassoCV(AdaptiveFamily, CrossValidated):
    """:class:`AdaptiveLasso` with the strength chosen by cross-validation or a criterion.

    Every fold makes its own first lasso, at the strength that all rows chose, and takes its weights
    from it: judged by weights that had seen them, held-out samples would ask for too many features.

    Parameters
    ----------
    loss : Loss, default Quadratic()
    power, initial
        As for :class:`AdaptiveLasso`. Coefficients, and those of an estimator, are the same for all
        folds.
    """

    score = SparseLinearModel.score

    def _choose(
        self, problem: Problem, n_samples: int, folds: Sequence[Fold], advance: Callable[[], object]
    ) -> Self:
        charged = [_ChargedFold(fold, self._first) for fold in folds]
        del self._first  # it holds the rows
        return super()._choose(problem, n_samples, charged, advance)
