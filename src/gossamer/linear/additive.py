"""Sparse additive models: a curve for each feature, and few features."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from gossamer.core.penalty import Penalty
from gossamer.core.registry import PENALTIES
from gossamer.core.validation import offsets
from gossamer.linear.base import Rows
from gossamer.linear.cv import CrossValidated
from gossamer.linear.docstrings import estimator
from gossamer.linear.families import AnyLossFamily
from gossamer.linear.fixed import FixedStrength
from gossamer.linear.splines import SplineBasis, directions, feature_names
from gossamer.penalties import Tree
from gossamer.structures import Groups

_PARTS = ("joint", "separate", "nested")


@dataclass(frozen=True, eq=False)
class ShapeFunction:
    """What one feature adds to the linear prediction: ``y`` (or (n, K) of it) at values ``x``.

    kind : "absent", "linear" or "smooth".
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    kind: str


@dataclass(eq=False, repr=False)
class AdditiveFamily(AnyLossFamily):
    """A group penalty on the columns of :class:`SplineBasis`."""

    penalty: Any = field(default="l1", kw_only=True)
    penalty_params: Any = field(default=None, kw_only=True)
    groups: Any = field(default=None, kw_only=True)
    parts: str = field(default="joint", kw_only=True)
    n_knots: int = field(default=8, kw_only=True)
    degree: int = field(default=3, kw_only=True)
    smoothness: float = field(default=0.1, kw_only=True)
    monotone: Any = field(default=None, kw_only=True)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        return tags

    # -- from features to columns ------------------------------------------------------------------
    def _rows(self, X: Any, y: Any, sample_weight: Any, offset: Any, *, reset: bool = True) -> Rows:
        self._check_arguments()
        rows = super()._rows(X, y, sample_weight, offset, reset=reset)
        if not isinstance(rows.X, np.ndarray):
            raise TypeError("X is sparse: a curve needs values of every sample. Use X.toarray().")
        if reset:
            names = getattr(self, "feature_names_in_", None)
            signs = directions(self.monotone, names, rows.X.shape[1])
            words = {1: "increasing", -1: "decreasing"}
            monotone = {int(j): words[int(signs[j])] for j in np.flatnonzero(signs)}
            basis = SplineBasis(self.n_knots, self.degree, self.smoothness, monotone or None)
            self.basis_ = basis.fit(rows.X, sample_weight=rows.sample_weight)
        return replace(rows, X=self.basis_.transform(rows.X))

    def _check_arguments(self) -> None:
        if self.parts not in _PARTS:
            raise ValueError(f"parts must be one of {', '.join(_PARTS)}, got {self.parts!r}.")
        if not isinstance(self.penalty, str):
            raise TypeError(f'penalty must be a name such as "l1" or "mcp", got {self.penalty!r}.')
        if self.parts == "nested" and self.penalty != "l1":
            raise ValueError(f'parts="nested" is for penalty="l1", got {self.penalty!r}.')
        if self.nonnegative or self.standardise:
            raise ValueError(
                "nonnegative and standardise have no meaning for curves, whose columns are "
                "orthonormal: use monotone for curves that rise or fall."
            )

    def _terms(self) -> np.ndarray:
        """(m,) the number of each column's term: its feature, or the group of that."""
        features = self.basis_.features_
        if self.groups is None:
            return features
        names = getattr(self, "feature_names_in_", None)
        given = Groups(self.groups).resolve(names)
        return given.units((self.n_features_in_,)).labels[features]

    def _penalty(self, strength: float) -> Penalty:
        """On units of columns, each weighted by the root of its degrees of freedom."""
        basis, terms = self.basis_, self._terms()
        factors = np.ones(terms.max() + 1)
        if self.weights is not None:
            factors = np.asarray(self.weights, dtype=float)
            if factors.shape != (terms.max() + 1,):
                raise ValueError(
                    f"weights must have one entry for each of the {terms.max() + 1} terms, got "
                    f"shape {factors.shape}."
                )
        freedom = basis.freedom_ / (1 + basis.is_signed_)
        if self.parts == "nested":
            smooth = [np.flatnonzero((terms == t) & ~basis.is_linear_) for t in np.unique(terms)]
            groups = [np.flatnonzero(terms == t) for t in np.unique(terms)]
            groups += [group for group in smooth if group.size]
            weights = [factors[terms[g[0]]] * np.sqrt(freedom[g].sum()) for g in groups]
            return Tree(strength, groups, weights=weights, nonnegative=basis.is_signed_)
        labels = 2 * terms + (~basis.is_linear_ if self.parts == "separate" else 0)
        units, labels = np.unique(labels, return_inverse=True)
        weights = factors[units // 2] * np.sqrt(np.bincount(labels, freedom))
        order = np.argsort(np.unique(labels, return_index=True)[1])  # as the labels appear
        return PENALTIES[self.penalty](
            strength, **dict(self.penalty_params or {}), on=Groups(labels),
            weights=weights[order], nonnegative=basis.is_signed_,
        )  # fmt: skip

    # -- what the curves say -----------------------------------------------------------------------
    def _linear_prediction(self, X: Any, offset: Any = None) -> np.ndarray:
        check_is_fitted(self, "coef_")
        X = validate_data(self, X, dtype=np.float64, reset=False)
        z = self.basis_.transform(X) @ np.atleast_2d(self.coef_).T + self.intercept_
        return z if offset is None else z + offsets(offset, z.shape)

    def partial_effects(self, X: Any) -> np.ndarray:
        """(n, p) what each feature adds to the linear prediction, (n, p, K) for K outputs.

        Each has mean zero over the (weighted) samples of the fit. With the intercept they add up to
        the linear prediction.
        """
        check_is_fitted(self, "coef_")
        X = validate_data(self, X, dtype=np.float64, reset=False)
        effects = [self._effect(j, x) for j, x in enumerate(X.T)]
        return np.stack(effects, axis=1)

    def shape_functions(self) -> list[ShapeFunction]:
        """The curve of every feature over the range of the fit, ready to be drawn."""
        check_is_fitted(self, "coef_")
        kinds = self.term_kinds_
        return [
            ShapeFunction(name, x, self._effect(j, x), kinds[j])
            for j, name in enumerate(feature_names(self))
            for curve in [self.basis_.curves_[j]]
            for x in [np.linspace(curve.low, curve.high, curve.n_values)]
        ]

    @property
    def term_kinds_(self) -> list[str]:
        """For each feature "absent", "linear" or "smooth", in the order of columns."""
        alive, basis = np.atleast_2d(self.coef_).any(axis=0), self.basis_
        kinds = []
        for j, curve in enumerate(basis.curves_):
            mine = basis.features_ == j
            bent = (alive & mine & ~basis.is_linear_).any() and curve.knots.size > 0
            kinds.append("smooth" if bent else "linear" if (alive & mine).any() else "absent")
        return kinds

    def _effect(self, j: int, x: np.ndarray) -> np.ndarray:
        coef = np.atleast_2d(self.coef_)[:, self.basis_.features_ == j]
        effect = self.basis_.curves_[j](x) @ coef.T
        return effect[:, 0] if effect.shape[1] == 1 else effect


@estimator
class SparseAdditive(AdditiveFamily, FixedStrength):
    r"""A sum of curves, one a feature, most of them absent.

    .. math:: \min_{b, f} \sum_i s_i\, \ell\Bigl(b + \sum_j f_j(x_{ij}), y_i\Bigr)
        + \alpha \sum_j \sqrt{m_j}\, \|f_j\|

    where the norm is the standard deviation of a curve over the samples, damped curves counting for
    more (see :class:`SplineBasis`), and :math:`m_j` its degrees of freedom. A feature of two values
    has a line: indicators of :class:`TableEncoder` go in as they are.

    Parameters
    ----------
    alpha : float >= 0, default 0.01
    loss : Loss, default Quadratic()
    penalty : str, default "l1"
        The shape on each curve's size: "mcp" does not shrink the curves that it keeps.
    penalty_params : dict, default None
    groups : labels of the features, default None
        Features of one label come or go together: ``encoder.groups_`` for indicators.
    parts : {"joint", "separate", "nested"}, default "joint"
        A curve is in or out; or its line and its bends are two units; or bends come only with the
        whole, a tree, so that features are absent, linear or smooth.
    n_knots, degree, smoothness, monotone
        As for :class:`SplineBasis`.

    References
    ----------
    Ravikumar, Lafferty, Liu and Wasserman (2009), Sparse additive models.
    Chouldechova and Hastie (2015), Generalized additive model selection.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-1, 1, (200, 5))
    >>> y = np.sin(3 * X[:, 0]) + X[:, 1] + 0.1 * rng.standard_normal(200)
    >>> model = gs.SparseAdditive(alpha=0.05, parts="separate").fit(X, y)
    >>> model.term_kinds_
    ['smooth', 'linear', 'absent', 'absent', 'absent']
    """

    alpha: float = 0.01


@estimator
class SparseAdditiveCV(AdditiveFamily, CrossValidated):
    """:class:`SparseAdditive` with the strength chosen by cross-validation or a criterion.

    Knots and inner products are those of all samples, targets are those of each fold.

    Parameters
    ----------
    loss, penalty, penalty_params, groups, parts, n_knots, degree, smoothness, monotone
        As for :class:`SparseAdditive`.
    """
