"""Problem: the data, the loss and the penalty, as one object that can be judged and solved."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np

from gossamer.core import validation
from gossamer.core.certificate import certify, optimal_intercept
from gossamer.core.design import Design
from gossamer.core.loss import Loss
from gossamer.core.penalty import Penalty
from gossamer.core.point import Point
from gossamer.core.result import Certificate, Result
from gossamer.core.solver import Solver


@dataclass(frozen=True, eq=False)
class Problem:
    r"""A sparse linear model to be fitted.

    .. math:: \min_{w, b} \; \sum_i s_i\, \ell(x_i^\top w + b + o_i,\; y_i) \;+\; \Omega(w)

    with sample weights ``s`` normalised to sum to one, offset ``o``, and an intercept ``b`` that
    is never penalised.

    Parameters
    ----------
    X : (n, p) array, sparse array, DataFrame or scipy LinearOperator
        float32 and float64 are used as they are, in any memory order, without a copy.
    y : (n,) or (n, K)
        The target, as the loss expects it.
    loss : Loss
    penalty : Penalty
    fit_intercept : bool, default True
        Without effect for losses that do not see a common shift (Cox).
    sample_weight : (n,), default None
        Only proportions matter; zero leaves a sample out.
    offset : (n,) or (n, K), default None
        Added to the prediction with coefficient one (for example log-exposure).
    standardise : bool, default False
        Penalise coefficients of columns divided by their standard deviation. Implicit: X is not
        copied, sparse X stays sparse, and results are for X as given.

    Raises
    ------
    ValueError, TypeError
        When an argument does not fit, with its name, its value and the remedy.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((50, 200))
    >>> y = X[:, 3] - 2 * X[:, 7] + 0.1 * rng.standard_normal(50)
    >>> result = gs.Problem(X, y, gs.losses.Quadratic(), gs.L1(0.2)).solve(tol=1e-9)
    >>> result.certificate.support
    array([3, 7])
    >>> result.certificate.holds
    True
    """

    X: Any = field(repr=False)
    y: Any = field(repr=False)
    loss: Loss
    penalty: Penalty
    fit_intercept: bool = True
    sample_weight: Any = field(default=None, repr=False)
    offset: Any = field(default=None, repr=False)
    standardise: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.loss, Loss):
            raise TypeError(f"loss must be a Loss such as losses.Quadratic(), got {self.loss!r}.")
        if not isinstance(self.penalty, Penalty):
            raise TypeError(f"penalty must be a Penalty such as L1(0.1), got {self.penalty!r}.")
        names = validation.feature_names_of(self.X)
        set_ = object.__setattr__
        set_(self, "X", validation.design_matrix(self.X))
        set_(self, "penalty", self.penalty.resolve(names))
        n = self.X.shape[0]
        target = self.loss.encode(self.y)
        if len(target) != n:
            raise ValueError(f"y has {len(target)} samples, but X has {n}.")
        if self.loss.classifies and self.fit_intercept and (target == target[0]).all():
            raise ValueError(
                "y has one class only: the intercept alone would be infinite. Give samples of at "
                "least two classes."
            )
        set_(self, "y", target)
        set_(self, "sample_weight", validation.normalised_weights(self.sample_weight, n))
        set_(self, "loss", self.loss.bind(target, self.sample_weight))
        set_(self, "fit_intercept", self.fit_intercept and not self.loss.shift_invariant)
        shape = n, self.loss.n_outputs(target)
        set_(self, "offset", validation.offsets(self.offset, shape))
        self.penalty.unit_form(self.shape)  # fails early on groups or weights that do not fit

    # -- shapes and coordinates ------------------------------------------------------------------
    @property
    def shape(self) -> tuple[int, int]:
        """(p features, K outputs) of the coefficients."""
        return self.X.shape[1], self.loss.n_outputs(self.y)

    @cached_property
    def design(self) -> Design:
        """The working design: X, implicitly centred and scaled."""
        from scipy.sparse.linalg import LinearOperator

        if self.standardise and isinstance(self.X, LinearOperator):
            raise ValueError("standardise=True needs the columns of X, a LinearOperator has none.")
        shifted = self.fit_intercept or self.loss.shift_invariant
        # a sparse X is centred only where that decouples the intercept exactly
        center = shifted and (self.loss.is_quadratic or isinstance(self.X, np.ndarray))
        return Design(
            self.X, self.sample_weight, center=center, standardise=self.standardise,
            intercept=shifted,
        )  # fmt: skip

    def start(self, w0: Any = None, intercept0: Any = None) -> Point:
        """Where to start: the null model, or coefficients for X as given.

        Also the null model where those are worse: from far off exponentials overflow.
        """
        # its gradient also shows a NaN in X before anything is spent on it
        null = Point(self, np.zeros(self.shape), self.null_intercept, self.null_gradient)
        if w0 is None:
            return null
        w = validation.coefficients(w0, self.shape, "w0")
        if not np.isfinite(w).all():
            raise ValueError("w0 contains NaN or inf.")
        b = np.zeros(self.shape[1]) if intercept0 is None else np.ravel(intercept0).astype(float)
        if b.shape != (self.shape[1],):
            raise ValueError(f"intercept0 must have {self.shape[1]} entries, got {b.shape}.")
        w, b = self.design.to_working(w, b)
        with np.errstate(over="ignore", invalid="ignore"):
            if intercept0 is None and self.fit_intercept:
                b = self.best_intercept(self.design.matvec(w), b)
            point = Point(self, w, b)
            objective = point.loss + self.penalty.value(w)
        worse = self.penalty.convex and objective > self.null_objective
        return null if worse or not np.isfinite(objective) else point

    def linear(self, w: np.ndarray, b: np.ndarray) -> np.ndarray:
        """(n, K) prediction for working coordinates, offset included."""
        return self.shifted(self.design.matvec(w), b)

    def shifted(self, z: np.ndarray, b: np.ndarray) -> np.ndarray:
        """(n, K) prediction for the linear part ``z`` (n, K), offset included."""
        z = z + b
        return z if self.offset is None else z + self.offset

    # -- the model without features --------------------------------------------------------------
    @cached_property
    def null_intercept(self) -> np.ndarray:
        """(K,) optimal intercept of the model without features, zero when none is fitted."""
        return self.best_intercept(np.zeros((len(self.y), self.shape[1])), np.zeros(self.shape[1]))

    def best_intercept(self, z: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The optimal intercept for the linear part ``z`` (n, K), from the guess ``b``."""
        if not self.fit_intercept:
            return b
        z = z if self.offset is None else z + self.offset
        return optimal_intercept(self.loss, z, self.y, self.sample_weight, b)

    @cached_property
    def null_gradient(self) -> np.ndarray:
        """(p, K) gradient of the loss at the null model, in working coordinates."""
        with np.errstate(invalid="ignore", over="ignore"):  # of an X that is refused below
            null = Point(self, np.zeros(self.shape), self.null_intercept)
            gradient = self.design.rmatvec(null.residual * self.sample_weight[:, None])
        if not np.isfinite(gradient).all():
            validation.check_finite(self.X)
        return gradient

    @cached_property
    def null_objective(self) -> float:
        """Objective of the null model."""
        z = self.linear(np.zeros(self.shape), self.null_intercept)
        return self.mean_loss(z)

    def strength_max(self) -> float:
        """The smallest strength of the penalty for which no feature is selected."""
        return self.penalty.strength_max(self.null_gradient)

    # -- judging a point -------------------------------------------------------------------------
    def mean_loss(self, z: np.ndarray) -> float:
        """Weighted mean loss of the predictions ``z`` (n, K)."""
        values = self.loss.value(z, self.y)
        return float(self.sample_weight @ np.where(self.sample_weight > 0, values, 0.0))

    def objective(self, coef: np.ndarray, intercept: Any = 0.0) -> float:
        """Objective at coefficients for X as given."""
        point = self.point(coef, intercept)
        return point.loss + self.penalty.value(point.w)

    def gradient(self, coef: np.ndarray, intercept: Any = 0.0) -> np.ndarray:
        """Gradient of the mean loss in the (working) coefficients, of their shape."""
        return self.point(coef, intercept).gradient.reshape(np.shape(coef))

    def certificate(self, coef: np.ndarray, intercept: Any = 0.0, tol: float = 1e-6) -> Certificate:
        """How far from optimal coefficients and intercept (for X as given) can be."""
        return certify(self, self.point(coef, intercept), tol).certificate

    def point(self, coef: np.ndarray, intercept: Any = 0.0) -> Point:
        """Coefficients and intercept for X as given, in working coordinates."""
        w = validation.coefficients(coef, self.shape, "coef")
        b = np.broadcast_to(np.ravel(intercept).astype(float), self.shape[1:])
        return Point(self, *self.design.to_working(w, b))

    # -- variants and solving --------------------------------------------------------------------
    def with_penalty(self, penalty: Penalty) -> Problem:
        """The same data and loss with another penalty; everything computed so far is shared."""
        other = copy.copy(self)
        object.__setattr__(other, "penalty", penalty)
        return other

    def restricted(self, features: np.ndarray) -> Problem:
        """The problem of some columns of the working design, copied once; the penalty stays."""
        other = copy.copy(self)
        block = self.design.dense(features)
        known = {
            "X": block,
            "standardise": False,
            "design": Design(block, self.sample_weight),
            "null_intercept": self.null_intercept,
            "null_objective": self.null_objective,
            "null_gradient": self.null_gradient[features],
        }
        other.__dict__.update(known)
        return other

    def with_loss(self, loss: Loss, offset: np.ndarray | None) -> Problem:
        """The same data under another loss of the same encoded target, and another offset (n, K).

        The working design is shared.
        """
        self.design  # noqa: B018  (made once, for all copies)
        other = copy.copy(self)
        for name in ("null_intercept", "null_gradient", "null_objective"):
            other.__dict__.pop(name, None)
        object.__setattr__(other, "loss", loss)
        object.__setattr__(other, "offset", offset)
        return other

    def with_weights(self, sample_weight: np.ndarray) -> Problem:
        """The same data with other sample weights; X is shared."""
        return Problem(
            self.X, self.y, self.loss, self.penalty, self.fit_intercept, sample_weight,
            self.offset, self.standardise,
        )  # fmt: skip

    def solve(
        self,
        solver: str | Solver = "auto",
        *,
        w0: np.ndarray | None = None,
        intercept0: Any = None,
        tol: float = 1e-6,
        max_iter: int = 1000,
    ) -> Result:
        """Find the optimum.

        Parameters
        ----------
        solver : "auto", a registered name, or a Solver
            "auto" takes the first solver that does not refuse.
        w0, intercept0 : warm start, for X as given
        tol : float
            Stop when the certificate's value, relative to the null objective, is at most this.
        max_iter : int
            Limit on the solver's outer iterations.

        Warns
        -----
        ConvergenceWarning
            When the tolerance was not reached; the result says how far it got.
        """
        chosen = self.solver(solver)
        return chosen.solve(self, w0, intercept0, tol=tol, max_iter=max_iter)

    def solver(self, name: str | Solver = "auto") -> Solver:
        """The solver of a name, or for "auto" the first that does not refuse."""
        if isinstance(name, Solver):
            return name
        chosen: Solver = import_module("gossamer.solvers").choose(self, name)
        return chosen

    def finish(self, w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, float | np.ndarray]:
        """Public coefficients and intercept of working ones, in the shape the user gave y."""
        w, b = self.design.to_public(w, b)
        if self.loss.shift_invariant:
            b = np.zeros_like(b)
        if self.shape[1] == 1:
            return w[:, 0], float(b[0])
        return w, b
