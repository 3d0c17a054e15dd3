"""What can be asked of `fit_table`, checked before any data are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from gossamer.core.penalty import Penalty
from gossamer.core.registry import LOSSES, PENALTIES

SELECTIONS = ("min", "1se", "aic", "bic", "ebic")
IMPUTES = ("error", "median", "mean")
PENALTY_PARAMETERS = ("l1_ratio", "gamma", "q", "epsilon")


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
        "auto" looks at the target; or "quadratic", "logistic", "multinomial", "poisson", "huber".
    penalty : str
        "l1", "elasticnet", "mcp", "scad", "lq" or "logsum".
    l1_ratio, gamma, q, epsilon : float, optional
        Parameters of the penalties that have them.
    groups : str, optional
        "categorical" (the indicators of a column form a group), "prefix", "prefix:_" or a file,
        see `gossamer.linear.column_groups.read_groups`. By default every feature is on its own.
    alpha : float, optional
        A fixed strength; by default it is chosen.
    cv : int
        Number of folds.
    selection : {"1se", "min", "aic", "bic", "ebic"}
        The default is the sparsest model within one standard error of the best.
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
    resamples : int, optional
        Half-samples for the stability of the selection; 50 by default, fewer for large tables.
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
    penalty: str = "l1"
    l1_ratio: float | None = None
    gamma: float | None = None
    q: float | None = None
    epsilon: float | None = None
    groups: str | None = None
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
    resamples: int | None = None
    tol: float = 1e-6
    seed: int = 0
    jobs: int | None = None
    progress: bool = False
    command: Sequence[str] = ()

    def __post_init__(self) -> None:
        _refuse(not 0 <= self.test_size < 1, "test_size", self.test_size, "in [0, 1)")
        alpha = 1.0 if self.alpha is None else self.alpha
        _refuse(not 0 < alpha < np.inf, "alpha", alpha, "a finite number > 0")
        _refuse(not 0 < self.tol < np.inf, "tol", self.tol, "a number > 0")
        _refuse(self.cv < 2, "cv", self.cv, "at least 2 folds")
        _refuse((self.resamples or 0) < 0, "resamples", self.resamples, ">= 0")
        _refuse(self.seed < 0, "seed", self.seed, ">= 0")
        _refuse(self.jobs is not None and self.jobs < 1, "jobs", self.jobs, ">= 1")
        _refuse(self.selection not in SELECTIONS, "selection", self.selection, f"in {SELECTIONS}")
        _refuse(self.impute not in IMPUTES, "impute", self.impute, f"in {IMPUTES}")
        if self.loss != "auto":
            LOSSES[self.loss]
        self.penalty_of(None, None)

    def penalty_of(self, structure: Any, unit_weights: Any) -> Penalty:
        """The penalty asked for, on a structure (None: on elements), at strength one.

        Raises
        ------
        ValueError
            When a parameter was given that this penalty does not have, or that does not suit it.
        """
        kind = PENALTIES[self.penalty]
        known = {field.name for field in fields(kind)}
        given = {name: getattr(self, name) for name in PENALTY_PARAMETERS}
        given = {name: value for name, value in given.items() if value is not None}
        for name in given:
            if name not in known:
                owners = [
                    k.__name__.lower() for k in PENALTIES if name in {f.name for f in fields(k)}
                ]
                raise ValueError(
                    f"{name} is a parameter of {' and '.join(owners)}, not of {self.penalty}: "
                    "leave it out, or choose another penalty."
                )
        on = {} if structure is None else {"on": structure, "weights": unit_weights}
        return kind(1.0, **given, **on)


def _refuse(wrong: bool, name: str, value: Any, allowed: str) -> None:
    if wrong:
        raise ValueError(f"{name} must be {allowed}, got {value!r}.")
