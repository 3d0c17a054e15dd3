"""What can be asked of `fit_table`, checked before any data are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gossamer.core.penalty import Penalty
from gossamer.core.registry import SOLVERS
from gossamer.linear.criteria import CRITERIA
from gossamer.report.pieces import (
    JOINT,
    LOSS_PARAMETERS,
    PENALTY_PARAMETERS,
    Units,
    make_loss,
    make_penalty,
    plain,
)

SELECTIONS = ("min", "1se", *CRITERIA, "theory")
IMPUTES = ("error", "median", "mean")
INFERENCES = ("stability", "knockoffs", "debiased", "multisplit")
CURVES = ("joint", "separate", "nested")


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How a table is fitted; the defaults suit a first look.

    Parameters
    ----------
    test : str, path or table, optional
        A table of test samples. Without it, `test_size` of the rows are held out.
    test_size : float in [0, 1)
        0 holds out none.
    loss : str
        "auto" looks at the target; or the name of any registered loss, such as "huber",
        "quantile", "gamma", "cox" or "ordinal".
    level, power, dispersion, delta, ties : optional
        Parameters of the losses that have them: quantile, tweedie, negativebinomial, huber, cox.
    event, strata : str, optional
        Survival: the column that says whether the time in `target` ended in an event, and that of
        strata.
    order : sequence of str
        The classes of the ordinal loss, from the lowest up; else numbers by size and texts by the
        alphabet.
    penalty : str
        "l1", "elasticnet", "mcp", "scad", "lq", "logsum", "l0", "slope", "sparsegroup", "exclusive"
        or "fused".
    l1_ratio, gamma, q, epsilon, ridge, sparsity : float, optional
        Parameters of the penalties that have them; `ridge` also of best subsets.
    groups : str, optional
        "categorical" (the indicators of a column form a group), "prefix", "prefix:_" or a file,
        see `gossamer.linear.column_groups.read_groups`. By default every feature is on its own.
    n_nonzero, max_nonzero : int, optional
        Best subsets: of this many features (or groups), or of a number up to this, chosen.
    curves : {"joint", "separate", "nested"}, optional
        An additive model, a curve a feature: see ``parts`` of :class:`gossamer.SparseAdditive`.
    adaptive, refit : bool
        The adaptive lasso; the lasso relaxed, that is refitted without penalty.
    solver : str
        "auto", or the name of a solver: "branch-and-bound" proves what is the best subset.
    time_limit : float, optional
        Seconds for branch and bound.
    alpha : float, optional
        A fixed strength; by default it is chosen.
    cv : int
        Number of folds.
    selection : {"1se", "min", "aic", "bic", "ebic", "gic", "gcv", "theory"}
        The default is the sparsest model within one standard error of the best; "theory" is the
        strength of the square-root lasso that pure noise of any size rarely exceeds.
    standardise : bool
        Penalise the coefficients of columns in units of their standard deviation.
    drop : sequence of str
        Columns to leave out.
    impute : {"error", "median", "mean"}
        What to do with missing values.
    drop_missing : bool
        Leave out rows with a missing value: in any column used, or where values are imputed in
        the target alone.
    weights, offset, group_column : str, optional
        Columns with sample weights, with an offset of the linear prediction (log-exposure), and
        with groups of rows that stay together in folds and in the test set.
    inference : sequence of {"stability", "knockoffs", "debiased", "multisplit"}
        What is said about the features selected, with the promise of each method.
    fdr : float in (0, 1), optional
        The false discovery rate that knockoffs keep, and SLOPE aims at; 0.1 by default.
    max_false : float, optional
        False selections that stability selection allows on average; 1 by default.
    confidence : float in (0, 1)
        Of intervals and p-values.
    resamples : int, optional
        Half-samples for the stability of the selection; 50 by default, fewer for large tables.
    dask : str, optional
        Address of a Dask scheduler, whose workers hold the rows.
    tol : float
        The certificate asked for.
    seed : int
    jobs : int, optional
        Threads; all cores by default.
    progress : bool
        Whether to show progress on standard error.
    command : sequence of str
        The command line that reproduces the fit, for the report.
    """

    test: Any = None
    test_size: float = 0.2
    loss: str = "auto"
    level: float | None = None
    power: float | None = None
    dispersion: float | None = None
    delta: float | None = None
    ties: str | None = None
    event: str | None = None
    strata: str | None = None
    order: Sequence[str] = ()
    penalty: str = "l1"
    l1_ratio: float | None = None
    gamma: float | None = None
    q: float | None = None
    epsilon: float | None = None
    ridge: float | None = None
    sparsity: float | None = None
    groups: str | None = None
    n_nonzero: int | None = None
    max_nonzero: int | None = None
    curves: str | None = None
    adaptive: bool = False
    refit: bool = False
    solver: str = "auto"
    time_limit: float | None = None
    alpha: float | None = None
    cv: int = 10
    selection: str = "1se"
    standardise: bool = True
    drop: Sequence[str] = ()
    impute: str = "error"
    drop_missing: bool = False
    weights: str | None = None
    offset: str | None = None
    group_column: str | None = None
    inference: Sequence[str] = ()
    fdr: float | None = None
    max_false: float | None = None
    confidence: float = 0.95
    resamples: int | None = None
    dask: str | None = None
    tol: float = 1e-6
    seed: int = 0
    jobs: int | None = None
    progress: bool = False
    command: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name, wrong, allowed in self._limits():
            if wrong:
                raise ValueError(f"{name} must be {allowed}, got {getattr(self, name)!r}.")
        for method in self.inference:
            if method not in INFERENCES:
                raise ValueError(f"inference must be among {INFERENCES}, got {method!r}.")
        for first, second, why in self._conflicts():
            raise ValueError(f"{_flag(first)} and {_flag(second)} exclude each other: {why}.")
        if self.solver != "auto":
            SOLVERS[self.solver]
        if self.time_limit is not None and plain(self.solver) != "branchandbound":
            raise ValueError("--time-limit is of --solver branch-and-bound: give both.")
        if self.loss_name != "auto":
            make_loss(self.loss_name, self.loss_parameters)
        self._check_survival()
        self._check_penalty()
        self._check_uses()

    @property
    def is_subset(self) -> bool:
        """Whether the number of features takes the place of a strength."""
        return self.n_nonzero is not None or self.max_nonzero is not None

    @property
    def is_given(self) -> bool:
        """Whether the strength, or the number of features, is given and not chosen."""
        return self.alpha is not None or self.n_nonzero is not None or self.selection == "theory"

    @property
    def loss_name(self) -> str:
        """The loss asked for; an event says that it is Cox's."""
        return "cox" if self.event is not None and self.loss == "auto" else plain(self.loss)

    @property
    def loss_parameters(self) -> dict[str, Any]:
        """Parameters of the loss that were given."""
        given = {name: getattr(self, name) for name in LOSS_PARAMETERS}
        return {name: value for name, value in given.items() if value is not None}

    def make_penalty(self, units: Units) -> Penalty:
        """The penalty asked for, at strength one.

        Raises
        ------
        ValueError
            When a parameter was given that this penalty does not have, or that does not suit it.
        """
        given = {name: getattr(self, name) for name in PENALTY_PARAMETERS}
        if self.is_subset:
            given["ridge"] = None  # of the budget, which needs no penalty
        if plain(self.penalty) == "slope":
            given["fdr"] = self.fdr
        return make_penalty(self.penalty, given, units)

    def _limits(self) -> Iterator[tuple[str, bool, str]]:
        def between(name: str) -> bool:
            value = getattr(self, name)
            return value is not None and not 0 < value < 1

        def positive(name: str) -> bool:
            value = getattr(self, name)
            return value is not None and not 0 < value < np.inf

        yield "test_size", not 0 <= self.test_size < 1, "in [0, 1)"
        for name in ("alpha", "max_false", "time_limit"):
            yield name, positive(name), "a finite number > 0"
        yield "tol", positive("tol"), "a number > 0"
        for name in ("fdr", "confidence"):
            yield name, between(name), "between 0 and 1"
        yield "cv", self.cv < 2, "at least 2 folds"
        for name, least in (("n_nonzero", 0), ("max_nonzero", 1), ("jobs", 1), ("resamples", 0)):
            value = getattr(self, name)
            yield name, value is not None and value < least, f"a whole number >= {least}"
        yield "seed", self.seed < 0, ">= 0"
        yield "selection", self.selection not in SELECTIONS, f"in {SELECTIONS}"
        yield "impute", self.impute not in IMPUTES, f"in {IMPUTES}"
        yield "curves", self.curves not in (None, *CURVES), f"in {CURVES}"

    def _conflicts(self) -> Iterator[tuple[str, str, str]]:
        """Pairs of options that were both given, and why they cannot be."""
        given = {name for name in vars(self) if self._is_given(name)}
        number = "a number of features takes the place of a strength and of a penalty"
        budgets = ("n_nonzero", "max_nonzero")
        pairs = [(budget, other, number) for budget in budgets for other in ("alpha", "penalty")]
        pairs.append(("n_nonzero", "max_nonzero", "one number is given, or one is chosen"))
        whole = "each is a model of its own"
        models = (*budgets, "curves", "adaptive", "refit")
        pairs += [(a, b, whole) for i, a in enumerate(models) for b in models[i + 1 :]]
        lasso = "it is for the lasso of single features"
        pairs += [(a, b, lasso) for a in ("adaptive", "refit") for b in ("penalty", "groups")]
        own = "it is a model of its own"
        pairs += [
            (a, "event", f"survival has no such model yet, {own}")
            for a in (*budgets, "curves", "adaptive", "refit")
        ]
        pairs.append(("curves", "standardise", "the columns of curves have one scale already"))
        pairs.append(("curves", "inference", "inference is on linear effects"))
        there = "what needs the rows at hand is not done on a cluster"
        local = ("event", "curves", "adaptive", "refit", "inference", "test", "group_column",
                 "drop_missing")  # fmt: skip
        pairs += [("dask", other, there) for other in local]
        for first, second, why in pairs:
            if first in given and second in given:
                yield first, second, why
        if self.refit and self.selection not in ("min", "1se"):
            yield "refit", "selection", "the relaxation is chosen by folds, min or 1se"

    def _is_given(self, name: str) -> bool:
        default = type(self).__dataclass_fields__[name].default
        return bool(getattr(self, name)) if default == () else getattr(self, name) != default

    def _check_penalty(self) -> None:
        name = plain(self.penalty)
        if self.selection == "theory":
            others = ("penalty", "groups", "alpha", "curves", "adaptive", "refit", "dask")
            alone = not self.is_subset and not any(map(self._is_given, others))
            if not alone or self.loss_name != "squareroot":
                raise ValueError(
                    "--selection theory is for --loss squareroot with the l1 penalty on single "
                    "features: choose by 1se, min or a criterion."
                )
        if name in JOINT and not JOINT[name].empties and not self.is_given:
            raise ValueError(f"no strength of --penalty {name} empties the model: give --alpha.")
        if self.curves is not None and name in JOINT:
            raise ValueError(f"--penalty {name} is not for curves: leave out one of the two.")
        # what needs groups is made when they are known
        if name not in JOINT or JOINT[name].groups is not True or self.groups is None:
            self.make_penalty(Units(None, None, 1))

    def _check_uses(self) -> None:
        """Refuse levels of inference that nothing asked for would use."""
        users = {
            "fdr": ("knockoffs", "slope"),
            "max_false": ("stability",),
            "confidence": ("debiased", "multisplit"),
        }
        asked = {*self.inference, plain(self.penalty)}
        for name, methods in users.items():
            if self._is_given(name) and not asked & set(methods):
                raise ValueError(
                    f"{_flag(name)} is of {' and '.join(methods)}, which was not asked for: leave "
                    "it out, or ask for one."
                )

    def _check_survival(self) -> None:
        if self.event is not None and self.loss_name != "cox":
            raise ValueError(
                f"--event is for survival, --loss cox, not for {self.loss_name}: leave out one."
            )
        if self.loss_name == "cox" and self.event is None:
            raise ValueError(
                "--loss cox needs --event COL, the column that says whether the time ended in an "
                "event (1) or was censored (0)."
            )
        if self.strata is not None and self.event is None:
            raise ValueError("--strata is for survival: give --event, too.")
        if self.order and self.loss_name != "ordinal":
            raise ValueError("--order is for --loss ordinal: give both.")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
