"""Splines: each numeric feature as a group of columns that together draw a curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Self

import numpy as np
from scipy.interpolate import BSpline
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from gossamer.core.validation import finite_number

# eigenvalues below this share of the largest are directions the data do not show
_SEEN = 1e-9
_DIRECTIONS = {"increasing": 1, "decreasing": -1}


@dataclass(frozen=True, eq=False)
class Curve:
    """The columns of one feature: ``[line, B-splines](x) @ matrix - means``.

    Beyond the values seen, curves go on as straight lines.

    center, scale : of the line ``(x - center) / scale``.
    low, high : the range of the values seen.
    knots : with repeated ends; empty where two values or fewer leave a line alone.
    matrix : (1 + n_splines, m), means : (m,)
    is_linear : (m,) whether a column is the line itself.
    freedom : (m,) the degrees of freedom of each column, less than one where it is damped.
    """

    center: float
    scale: float
    low: float
    high: float
    knots: np.ndarray
    degree: int
    matrix: np.ndarray
    means: np.ndarray
    is_linear: np.ndarray
    freedom: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(n, m) the columns at x (n,)."""
        raw = _raw(x, self.center, self.scale, self.low, self.high, self.knots, self.degree)
        return raw @ self.matrix - self.means

    @property
    def n_values(self) -> int:
        """How many points draw it: a line needs two."""
        return 2 if self.knots.size == 0 else 100


def _raw(
    x: np.ndarray, center: float, scale: float, low: float, high: float, knots: np.ndarray,
    degree: int,
) -> np.ndarray:  # fmt: skip
    line = (x[:, None] - center) / scale
    if knots.size == 0:
        return line
    inside = np.clip(x, low, high)
    splines = BSpline.design_matrix(inside, knots, degree).toarray()
    slopes = BSpline(knots, np.eye(splines.shape[1]), degree).derivative()(np.array([low, high]))
    beyond = (x - inside)[:, None] * np.where((x < low)[:, None], slopes[0], slopes[1])
    return np.hstack([line, splines + beyond])


class SplineBasis(TransformerMixin, BaseEstimator):
    r"""Expand every feature into the columns of a smooth curve, a group for each feature.

    The first column is the line; the others are cubic splines made orthonormal, in the inner
    product of the samples, to each other, to the line and to constants, from the smoothest to the
    most wiggly. So the norm of a group's coefficients is the standard deviation of the curve over
    the data, and a group penalty treats features of all units alike, as in SpAM and grpreg. Column
    k is divided by :math:`\sqrt{1 + \text{smoothness} (d_k / d_1 - 1)}`, where d is the integral of
    its squared second derivative: wiggles cost more than bends (Meier et al. 2009, in the basis of
    Demmler and Reinsch).

    A feature of two values is a line; of few values, a curve with as many columns as they show. A
    constant one is a column of zeros.

    Parameters
    ----------
    n_knots : int >= 1, default 8
        Inner knots at most, at quantiles of the feature.
    degree : int >= 1, default 3
    smoothness : float >= 0, default 0.1
    monotone : mapping of column (name or position) to "increasing" or "decreasing", default None
        These features get I-splines, scaled to standard deviation one, that draw a monotone curve
        with coefficients >= 0. As signs concern all coefficients, every column of the others then
        stands with either sign; in a group of norm two at most one of each pair is used.

    Attributes
    ----------
    curves_ : list of Curve
    features_ : (m,) the feature of each column.
    is_linear_ : (m,) whether a column is its feature's line.
    freedom_ : (m,) degrees of freedom of each column, one or less where ``smoothness`` damps it.
    is_signed_ : bool
        Whether coefficients are to be >= 0.

    References
    ----------
    Ravikumar, Lafferty, Liu and Wasserman (2009), Sparse additive models.
    Meier, van de Geer and Buehlmann (2009), High-dimensional additive modeling.
    Ramsay (1988), Monotone regression splines in action.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.linspace(0, 1, 50)[:, None]
    >>> Z = SplineBasis(n_knots=3, smoothness=0.0).fit_transform(x)
    >>> Z.shape, bool(np.allclose(Z.T @ Z / 50, np.eye(6)))
    ((50, 6), True)
    """

    def __init__(
        self, n_knots: int = 8, degree: int = 3, smoothness: float = 0.1, monotone: Any = None
    ) -> None:
        self.n_knots, self.degree = n_knots, degree
        self.smoothness, self.monotone = smoothness, monotone

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Place knots and learn the inner products; samples without weight are not seen."""
        for name, most in (("n_knots", 10_000), ("degree", 10)):
            value = getattr(self, name)
            if not isinstance(value, Integral) or not 1 <= int(value) <= most:
                raise ValueError(f"{name} must be a whole number from 1 to {most}, got {value!r}.")
        smoothness = finite_number(self.smoothness, "smoothness", 0.0)
        X = validate_data(self, X, dtype=np.float64)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        seen, weight = X[weight > 0], weight[weight > 0]
        names = getattr(self, "feature_names_in_", None)
        signs = directions(self.monotone, names, X.shape[1])
        self.is_signed_ = bool(signs.any())
        shape = self.n_knots, self.degree, smoothness
        self.curves_ = [
            _curve(x, weight, *shape, sign, self.is_signed_)
            for x, sign in zip(seen.T, signs.tolist(), strict=True)
        ]
        counts = [len(curve.means) for curve in self.curves_]
        self.features_ = np.repeat(np.arange(len(counts)), counts)
        self.is_linear_ = np.concatenate([curve.is_linear for curve in self.curves_])
        self.freedom_ = np.concatenate([curve.freedom for curve in self.curves_])
        return self

    def transform(self, X: Any) -> np.ndarray:
        """(n, m) the columns of all features, in Fortran order."""
        check_is_fitted(self, "curves_")
        X = validate_data(self, X, dtype=np.float64, reset=False)
        Z = np.empty((len(X), len(self.features_)), order="F")
        for j, curve in enumerate(self.curves_):
            Z[:, self.features_ == j] = curve(X[:, j])
        return Z

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns: ``age[0]`` is the line of ``age``, or its only curve's first."""
        check_is_fitted(self, "curves_")
        given = input_features if input_features is not None else feature_names(self)
        numbers = [k for curve in self.curves_ for k in range(len(curve.means))]
        pairs = zip(self.features_, numbers, strict=True)
        return np.array([f"{given[j]}[{k}]" for j, k in pairs], dtype=object)


def feature_names(model: Any) -> list[str]:
    """Column names that a fitted model has seen, or x0, x1, ..."""
    names = getattr(model, "feature_names_in_", None)
    return [f"x{j}" for j in range(model.n_features_in_)] if names is None else list(names)


def directions(monotone: Any, names: Sequence[str] | None, p: int) -> np.ndarray:
    """(p,) one where a feature is to increase, minus one where it is to decrease, else zero."""
    signs = np.zeros(p, dtype=int)
    if monotone is None:
        return signs
    if not isinstance(monotone, Mapping):
        raise TypeError(
            f'monotone must map columns to "increasing" or "decreasing", got {monotone!r}.'
        )
    position = {} if names is None else {name: j for j, name in enumerate(names)}
    for column, direction in monotone.items():
        at = position.get(column, column)
        if not isinstance(at, Integral) or not 0 <= at < p:
            raise ValueError(f"monotone names {column!r}, which X does not have.")
        if direction not in _DIRECTIONS:
            raise ValueError(
                f'monotone must be "increasing" or "decreasing" for {column!r}, got {direction!r}.'
            )
        signs[at] = _DIRECTIONS[direction]
    return signs


# -- one feature -----------------------------------------------------------------------------------
def _curve(
    x: np.ndarray, weight: np.ndarray, n_knots: int, degree: int, smoothness: float, sign: int,
    signed: bool,
) -> Curve:  # fmt: skip
    share = weight / weight.sum()
    low, high, center = float(x.min()), float(x.max()), float(share @ x)
    center = low if low == high else center
    scale = float(np.sqrt(share @ (x - center) ** 2)) or 1.0
    knots = _knots(x, weight, n_knots, degree)
    raw = _raw(x, center, scale, low, high, knots, degree)
    if sign:
        matrix = sign * _rising(raw, share)
        linear, freedom = np.zeros(matrix.shape[1], dtype=bool), np.ones(matrix.shape[1])
    else:
        matrix, freedom = _orthonormal(raw, share, knots, degree, smoothness)
        linear = np.arange(matrix.shape[1]) == 0
    means = share @ raw @ matrix
    if signed and not sign:
        matrix, means = np.hstack([matrix, -matrix]), np.append(means, -means)
        linear, freedom = np.tile(linear, 2), np.tile(freedom, 2)
    return Curve(center, scale, low, high, knots, degree, matrix, means, linear, freedom)


def _knots(x: np.ndarray, weight: np.ndarray, n_knots: int, degree: int) -> np.ndarray:
    """Quantiles, each once, with the ends repeated; none for two values or fewer."""
    if len(np.unique(x)) <= 2:
        return np.empty(0)
    levels = np.linspace(0, 1, n_knots + 2)
    inner = np.unique(np.quantile(x, levels, weights=weight, method="inverted_cdf"))
    inner = inner[(inner > x.min()) & (inner < x.max())]
    ends = np.repeat([x.min(), x.max()], degree + 1)
    return np.concatenate([ends[: degree + 1], inner, ends[degree + 1 :]])


def _orthonormal(
    raw: np.ndarray, share: np.ndarray, knots: np.ndarray, degree: int, smoothness: float
) -> tuple[np.ndarray, np.ndarray]:
    """The line, then orthonormal curves from the smoothest to the most wiggly, damped."""
    line = np.zeros((raw.shape[1], 1))
    line[0] = 1.0
    if knots.size == 0:
        return line, np.ones(1)
    centred = raw - share @ raw
    bends = np.vstack([-(share * centred[:, 0]) @ centred[:, 1:], np.eye(raw.shape[1] - 1)])
    curves = centred @ bends
    values, vectors = np.linalg.eigh((share[:, None] * curves).T @ curves)
    whole = float((share @ centred[:, 1:] ** 2).max())
    seen = values > _SEEN * whole
    basis = bends @ (vectors[:, seen] / np.sqrt(values[seen]))
    if not seen.any():
        return line, np.ones(1)
    roughness, turn = np.linalg.eigh(basis[1:].T @ _bending(knots, degree) @ basis[1:])
    least = max(float(roughness[0]), _SEEN * float(roughness[-1])) or 1.0
    freedom = 1 / (1 + smoothness * np.maximum(roughness / least - 1, 0.0))
    return np.hstack([line, basis @ turn * np.sqrt(freedom)]), np.append(1.0, freedom)


def _bending(knots: np.ndarray, degree: int) -> np.ndarray:
    """The integral of products of second derivatives, by Gauss's rule between knots: exact."""
    count = len(knots) - degree - 1
    if degree < 2:  # of broken lines, the squared differences of their slopes
        turns = np.diff(np.eye(count), 2, axis=0)
        return turns.T @ turns
    nodes, weights = np.polynomial.legendre.leggauss(degree)
    edges = np.unique(knots)
    half = np.diff(edges)[:, None] / 2
    at = (edges[:-1, None] + half * (nodes + 1)).ravel()
    second = BSpline(knots, np.eye(count), degree).derivative(2)(at)
    return (second * (half * weights).ravel()[:, None]).T @ second


def _rising(raw: np.ndarray, share: np.ndarray) -> np.ndarray:
    """I-splines, sums of the B-splines from each on, of standard deviation one."""
    count = raw.shape[1] - 1
    if count == 0:
        return np.ones((1, 1))
    sums = np.vstack([np.zeros(count - 1), np.tril(np.ones((count, count)))[:, 1:]])
    spread = np.sqrt(share @ (raw @ sums - share @ raw @ sums) ** 2)
    seen = spread > np.sqrt(_SEEN)
    return sums[:, seen] / spread[seen]
