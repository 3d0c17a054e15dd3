"""The rows: a table, the model that suits it, and the peers that fit that model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

import gossamer as gs
from benchmarks.tables.data import Data, data, orthonormal
from gossamer.core.loss import Loss
from gossamer.losses import (
    Cox,
    Gamma,
    Logistic,
    Multinomial,
    NegativeBinomial,
    Ordinal,
    Poisson,
    Quadratic,
    Quantile,
    SquareRoot,
)


@dataclass(frozen=True)
class Case:
    """``share`` of the smallest strength that selects nothing; budgets have none."""

    table: str
    model: str
    loss: Callable[[], Loss]
    penalty: Callable[[float], gs.Penalty]
    peers: tuple[str, ...]
    share: float = 0.1
    grouped: bool = False

    def data(self) -> Data:
        return orthonormal(data(self.table)) if self.grouped else data(self.table)

    def problem(self) -> gs.Problem:
        table = self.data()
        penalty = partial(self.penalty, **_groups(table)) if self.grouped else self.penalty
        problem = gs.Problem(table.X, table.y, self.loss(), penalty(1.0))
        if isinstance(problem.penalty, gs.AtMost):
            return problem
        strength = self.share * problem.strength_max() if self.share else 0.0
        return problem.with_penalty(penalty(strength))


def _groups(table: Data) -> dict:
    sizes = np.bincount(table.group)
    return {"on": gs.Groups(table.group), "weights": np.sqrt(sizes)}


def _alike(strength: float, on: gs.Groups, weights: np.ndarray) -> gs.MCP:
    """All groups weigh the same: a weight multiplies MCP here, and its strength in grpreg."""
    return gs.MCP(strength, on=on)


def _at_most(k: int) -> Callable[[float], gs.Penalty]:
    return lambda _: gs.AtMost(k)


MIXED = partial(gs.ElasticNet, l1_ratio=0.5)
CASES = (
    Case("hitters", "lasso", Quadratic, gs.L1, ("R glmnet", "scikit-learn")),
    Case("diabetes", "elastic net 0.5", Quadratic, MIXED, ("R glmnet", "scikit-learn")),
    Case("meats", "lasso", Quadratic, gs.L1, ("celer", "R glmnet"), 0.01),
    Case("permeability", "lasso", Quadratic, gs.L1, ("skglm", "celer", "R glmnet")),
    Case("credit", "MCP", Quadratic, gs.MCP, ("R ncvreg", "skglm")),
    Case("hitters", "SCAD", Quadratic, gs.SCAD, ("R ncvreg",)),
    Case("tissue", "multinomial lasso", Multinomial, gs.L1, ("R glmnet",)),
    Case("khan", "multinomial lasso", Multinomial, gs.L1, ("R glmnet",)),
    Case("meats_multi", "multi-task lasso", Quadratic, partial(gs.L1, on=gs.Rows()),
         ("R glmnet", "scikit-learn"), 0.01),
    Case("breast_cancer", "logistic lasso", Logistic, gs.L1, ("R glmnet", "skglm", "glum"), 0.02),
    Case("permeability", "MCP", Quadratic, gs.MCP, ("R ncvreg", "skglm"), 0.3),
    Case("nci60_melanoma", "logistic elastic net", Logistic, MIXED, ("R glmnet",)),
    Case("caravan", "logistic lasso", Logistic, gs.L1, ("R glmnet", "glum")),
    Case("bikeshare", "Poisson lasso", Poisson, gs.L1, ("R glmnet", "glum"), 0.02),
    Case("doctor_visits", "Poisson elastic net", Poisson, MIXED, ("R glmnet", "glum")),
    Case("nmes1988", "negative binomial lasso", NegativeBinomial, gs.L1, ("glum",)),
    Case("nmes1988", "negative binomial", NegativeBinomial, gs.L1, ("R MASS", "glum"), 0.0),
    Case("ames_prices", "Gamma lasso", Gamma, gs.L1, ("glum",), 0.02),
    Case("ames_prices", "Gamma", Gamma, gs.L1, ("R MASS",), 0.0),
    Case("dlbcl", "Cox lasso", Cox, gs.L1, ("R glmnet", "scikit-survival"), 0.3),
    Case("flchain", "Cox lasso", Cox, gs.L1, ("R glmnet", "scikit-survival")),
    Case("publication", "Cox elastic net", Cox, MIXED, ("R glmnet",)),
    Case("rotterdam", "Cox, Efron's ties", partial(Cox, ties="efron"), gs.L1, ("R survival",), 0.0),
    Case("birthwt_bwt", "group lasso", Quadratic, gs.L1, ("R grpreg", "skglm"), 0.1, True),
    Case("birthwt_low", "logistic group lasso", Logistic, gs.L1, ("R grpreg",), 0.1, True),
    Case("birthwt_bwt", "group MCP", Quadratic, _alike, ("R grpreg",), 0.3, True),
    Case("hitters", "median, L1", Quantile, gs.L1, ("R quantreg", "scikit-learn")),
    Case("ames_numbers", "0.9 quantile, L1", partial(Quantile, 0.9), gs.L1,
         ("R quantreg", "scikit-learn")),
    Case("credit", "square-root lasso", SquareRoot, gs.L1, ("skglm",)),
    Case("attrition", "proportional odds", Ordinal, gs.L1, ("R MASS",), 0.0),
    Case("hitters", "best 8", Quadratic, _at_most(8), ("abess", "R L0Learn")),
    Case("meats", "best 10", Quadratic, _at_most(10), ("abess", "R L0Learn")),
    Case("permeability", "best 10", Quadratic, _at_most(10), ("abess", "R L0Learn")),
    Case("caravan", "best 5, logistic", Logistic, _at_most(5), ("abess", "R L0Learn")),
    Case("hitters", "L0", Quadratic, gs.L0, ("R L0Learn",), 0.05),
)  # fmt: skip
