"""What makes a class an estimator: fields as parameters, and a docstring with the shared parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

from gossamer.linear.cv import CrossValidated

T = TypeVar("T")

_WEIGHTS = """
    weights : (n_units,), default None
        Factor of each unit's penalty (a unit is a feature, or a group); zero leaves it
        unpenalised."""

_SHARED = """
    fit_intercept : bool, default True
        The intercept is never penalised.
    standardise : bool, default False
        Penalise the coefficients of columns in units of their standard deviation; ``coef_`` is
        for X as given. Nothing is copied and sparse X stays sparse.
    nonnegative : bool, default False
        Allow coefficients >= 0 only.
    tol : float, default 1e-6
        The certificate asked for: duality gap relative to the null objective (or relative
        optimality violation of a non-convex penalty).
    max_iter : int, default 1000
        Limit on the solver's outer iterations.
    solver : str, default "auto"
        "activesetnewton", "coordinatedescent" or "proximalgradient".
    verbose : int, default 0
        Print a line about every strength."""

_FIXED = """
    warm_start : bool, default False
        Start from the coefficients of the previous fit."""

_GRID = """
    alphas : strengths, default None
        By default ``n_alphas`` of them, geometric from the smallest that selects nothing.
    n_alphas : int, default 100
    alpha_min_ratio : float, default 1e-2
        The smallest strength as a share of the largest."""

_CHOSEN = """
    cv : int, splitter or iterable, default 5
        Folds as in scikit-learn, stratified for classifiers.
    selection : {"min", "1se", "aic", "bic", "ebic", "gic", "gcv"}, default "min"
        The smallest held-out loss; the sparsest model within one standard error of it; or an
        information criterion, without folds.
    n_jobs : int, default None
        Folds in parallel threads."""

_ATTRIBUTES = """

    Attributes
    ----------
    coef_ : (p,), or (K, p) for several targets and for classifiers
    intercept_ : float or (K,)
    certificate_ : Certificate
        How far from optimal the model can be.
    n_iter_ : int"""

_CHOSEN_ATTRIBUTES = """
    path_ : Path
    cv_results_ : CVResult"""


_CHOSEN_STRENGTH = """
    alpha_, alphas_ : the strength chosen, and all of them"""

_SUBSET = """
    loss : Loss, default Quadratic()
    groups : labels, or lists of positions or column names, default None
        Groups in place of features, as for :class:`gossamer.Groups`.
    ridge : float >= 0, default 0.0
        Shrinks what is selected: for weak signals, and for classes that can be separated."""

_CHOSEN_BUDGET = """
    n_nonzero_ : the number of features chosen"""


@dataclass_transform(kw_only_default=False)
def estimator(cls: type[T]) -> type[T]:
    """Dataclass in scikit-learn's manner: fields are parameters, equality is identity."""
    return documented(dataclass(eq=False, repr=False)(cls), issubclass(cls, CrossValidated))


def documented(cls: type[T], chosen: bool) -> type[T]:
    """Append the parameters and attributes all estimators share to a class's docstring."""
    parameters = (_GRID + _CHOSEN if chosen else _FIXED) + _WEIGHTS + _SHARED
    return _completed(cls, parameters, _CHOSEN_STRENGTH + _CHOSEN_ATTRIBUTES if chosen else "")


@dataclass_transform(kw_only_default=False)
def subset_estimator(cls: type[T]) -> type[T]:
    """The same for estimators with a budget."""
    dataclass(eq=False, repr=False)(cls)
    chosen = cls.__name__.endswith("CV")
    parameters = _SUBSET + (_CHOSEN if chosen else _FIXED) + _SHARED
    return _completed(cls, parameters, _CHOSEN_BUDGET + _CHOSEN_ATTRIBUTES if chosen else "")


_SECTIONS = ("Attributes", "Raises", "References", "Examples")


def _completed(cls: type[T], parameters: str, attributes: str) -> type[T]:
    """Shared parameters after a class's own, and shared attributes before its own."""
    head, rest = _until_section(cls.__doc__ or "")
    title = "\n\n    Attributes\n    ----------"
    own = ""
    if rest.startswith(title):
        own, rest = _until_section(rest.removeprefix(title))
    cls.__doc__ = head.rstrip() + parameters + _ATTRIBUTES + attributes + own.rstrip() + rest
    return cls


def _until_section(text: str) -> tuple[str, str]:
    """The text up to the first of the sections that follow parameters, and the rest."""
    places = [text.find(f"\n\n    {section}\n") for section in _SECTIONS]
    at = min((place for place in places if place >= 0), default=len(text))
    return text[:at], text[at:]
