"""Which estimator is fitted, and what it is given: one entry a kind of model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gossamer.core.loss import Loss
from gossamer.core.penalty import Penalty
from gossamer.core.registry import PENALTIES, SOLVERS
from gossamer.linear.adaptive import AdaptiveLasso, AdaptiveLassoCV
from gossamer.linear.additive import SparseAdditive, SparseAdditiveCV
from gossamer.linear.base import SparseLinearModel
from gossamer.linear.cv import Selecting
from gossamer.linear.estimators import SparseModel, SparseModelCV
from gossamer.linear.fixed import FixedStrength
from gossamer.linear.ordinal import SparseOrdinal, SparseOrdinalCV
from gossamer.linear.relaxed import RelaxedLasso, RelaxedLassoCV
from gossamer.linear.square_root import SquareRootLasso
from gossamer.linear.subsets import BestSubset, BestSubsetCV
from gossamer.linear.survival import SparseCox, SparseCoxCV
from gossamer.losses import Cox, Ordinal
from gossamer.report.options import FitOptions
from gossamer.report.pieces import plain, unit_parameters

_N_ALPHAS, _N_ALPHAS_KINKED = 100, 40
# as in glmnet and ncvreg: the weak end of the path only says something where rows outnumber columns
_RATIO_LONG, _RATIO_WIDE = 1e-3, 1e-2


@dataclass(frozen=True)
class Asked:
    """What a model is made from."""

    options: FitOptions
    loss: Loss
    penalty: Penalty  # at strength one; without meaning for budgets and curves
    groups: Any  # labels of the features, where they are penalised in groups
    classes: np.ndarray | None


@dataclass(frozen=True)
class Kind:
    """An estimator of a given level, the one that chooses it, and the arguments of both."""

    given: type[FixedStrength]
    chosen: type[Selecting]
    arguments: Callable[[Asked], dict[str, Any]]
    level: str = "alpha"
    standardises: bool = True


def _any(asked: Asked) -> dict[str, Any]:
    return {"loss": asked.loss, "penalty": asked.penalty}


def _cox(asked: Asked) -> dict[str, Any]:
    assert isinstance(asked.loss, Cox)
    return {"penalty": asked.penalty, "ties": asked.loss.ties}


def _ordinal(asked: Asked) -> dict[str, Any]:
    assert asked.classes is not None
    return {"penalty": asked.penalty, "order": asked.classes.tolist()}


def _subset(asked: Asked) -> dict[str, Any]:
    ridge = asked.options.ridge or 0.0
    return {"loss": asked.loss, "groups": asked.groups, "ridge": ridge}


def _additive(asked: Asked) -> dict[str, Any]:
    options = asked.options
    own = {name: getattr(options, name) for name in unit_parameters(PENALTIES[options.penalty])}
    own = {name: value for name, value in own.items() if value is not None}
    return {
        "loss": asked.loss, "penalty": plain(options.penalty), "penalty_params": own or None,
        "groups": asked.groups, "parts": options.curves,
    }  # fmt: skip


def _lasso(asked: Asked) -> dict[str, Any]:
    return {"loss": asked.loss}


KINDS: Mapping[str, Kind] = {
    "linear": Kind(SparseModel, SparseModelCV, _any, level=""),
    "survival": Kind(SparseCox, SparseCoxCV, _cox),
    "ordinal": Kind(SparseOrdinal, SparseOrdinalCV, _ordinal),
    "subset": Kind(BestSubset, BestSubsetCV, _subset, level="n_nonzero"),
    "additive": Kind(SparseAdditive, SparseAdditiveCV, _additive, standardises=False),
    "theory": Kind(SquareRootLasso, SparseModelCV, lambda asked: {}),
    "adaptive": Kind(AdaptiveLasso, AdaptiveLassoCV, _lasso),
    "relaxed": Kind(RelaxedLasso, RelaxedLassoCV, _lasso),
}


def kind_of(options: FitOptions, loss: Loss) -> str:
    """The kind of model that is asked for.

    Raises
    ------
    ValueError
        When the loss does not go with it.
    """
    asked = {
        "subset": options.is_subset,
        "additive": options.curves is not None,
        "adaptive": options.adaptive,
        "relaxed": options.refit,
        "theory": options.selection == "theory",
    }
    by_loss = {Cox: "survival", Ordinal: "ordinal"}
    kind = next((name for name, wanted in asked.items() if wanted), None)
    own = by_loss.get(type(loss))
    if kind is not None and own is not None:
        raise ValueError(
            f"{own} models are linear with a penalty: leave out what asks for the {kind} one."
        )
    return kind or own or "linear"


def given_model(kind: Kind, asked: Asked) -> FixedStrength:
    """The estimator at the strength, or the number of features, that is given."""
    options = asked.options
    arguments = kind.arguments(asked)
    level = options.n_nonzero if kind.level == "n_nonzero" else options.alpha
    if kind.level:
        arguments[kind.level] = level
    else:
        arguments["penalty"] = asked.penalty.at_level(level)  # type: ignore[arg-type]
    return kind.given(**arguments, **_shared(kind, options))


def choosing_model(kind: Kind, asked: Asked, *, long: bool, n_jobs: int, cv: Any) -> Selecting:
    """The estimator that chooses."""
    options = asked.options
    if kind.level == "n_nonzero":
        grid: dict[str, Any] = {"max_nonzero": options.max_nonzero}
    else:
        count = _N_ALPHAS if asked.loss.is_smooth else _N_ALPHAS_KINKED
        ratio = _RATIO_LONG if long and asked.loss.is_smooth else _RATIO_WIDE
        grid = {"n_alphas": count, "alpha_min_ratio": ratio}
    return kind.chosen(
        **kind.arguments(asked), **_shared(kind, options), **grid,
        selection=options.selection, cv=cv, n_jobs=n_jobs,
    )  # fmt: skip


def plain_model(asked: Asked) -> SparseLinearModel:
    """What resampling repeats: the loss with its penalty, whose strength is free."""
    kind = KINDS[kind_of(asked.options, asked.loss)]
    arguments = kind.arguments(asked)
    if kind.level == "n_nonzero" or asked.options.selection == "theory":
        kind, arguments = KINDS["linear"], _any(asked)
    return kind.given(**arguments, **_shared(kind, asked.options))


def _shared(kind: Kind, options: FitOptions) -> dict[str, Any]:
    shared: dict[str, Any] = {"tol": options.tol, "solver": _solver(options)}
    if kind.standardises:
        shared["standardise"] = options.standardise
    return shared


def _solver(options: FitOptions) -> Any:
    if options.solver == "auto":
        return "auto"
    if options.time_limit is None:
        return plain(options.solver)
    return SOLVERS[options.solver](time_limit=options.time_limit)
