"""Smooth forms on real tables end where the exact solver does, on the same support."""

from __future__ import annotations

import numpy as np
import pytest
from real_tables import TABLES

import gossamer as gs

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

# of the objective of the null model: what a smooth form may be above the optimum
GAP = 1e-6


class Coefficients(nn.Module):
    """A linear model whose weight lies as tables have it, (features, outputs)."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_features, n_outputs))
        self.bias = nn.Parameter(torch.zeros(n_outputs))

    def forward(self, X):
        return X @ self.weight + self.bias


def standardised(name):
    """X of distinct columns, standardised, so that the optimum is unique; y of variance one."""
    table = TABLES[name]()
    X = np.unique(table.X, axis=1) if table.groups is None else np.asarray(table.X)
    X = X[:, X.std(axis=0) > 0]
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    if table.loss == "quadratic":
        return X, (table.y - table.y.mean(axis=0)) / table.y.std(axis=0), table
    return X, table.y, table


class Case:
    """A table, its exact optimum, and the same problem as a module."""

    def __init__(self, name, penalty, share, *, on=None, form="auto", module=nn.Linear):
        self.X, self.y, table = standardised(name)
        if table.groups is not None and penalty == "groups":
            labels = np.repeat(range(len(table.groups)), list(map(len, table.groups)))
            on = gs.Groups(labels.tolist())
        on = on or gs.Elements()
        loss = gs.losses.Quadratic() if table.loss == "quadratic" else gs.losses.Logistic()
        self.strength = share * gs.Problem(self.X, self.y, loss, gs.L1(1.0, on=on)).strength_max()
        self.penalty = gs.L1(self.strength, on=on)
        self.problem = gs.Problem(self.X, self.y, loss, self.penalty)
        self.exact = self.problem.solve(tol=1e-10)
        torch.manual_seed(0)
        targets = torch.tensor(self.y, dtype=torch.float64)
        self.data = torch.from_numpy(self.X), targets.reshape(len(targets), -1)
        self.quadratic = table.loss == "quadratic"
        self.is_table = module is Coefficients
        self.model = module(self.X.shape[1], self.data[1].shape[1]).double()
        # a row of coefficients is a column of a linear layer's weight
        rows = isinstance(on, gs.Rows) and not self.is_table
        rule = gs.L1(self.strength, on=gs.Channels(1) if rows else on)
        self.sparse = gs.nn.sparsify(self.model, {"*": rule}, form=form)

    def loss(self):
        X, y = self.data
        made = self.model(X)
        if self.quadratic:
            return ((made - y) ** 2).sum(dim=1).mean() / 2
        return nn.functional.binary_cross_entropy_with_logits(made, y)

    def objective(self):
        self.optimiser.zero_grad()
        value = self.loss() + self.sparse.penalty()
        value.backward()
        return value

    def lbfgs(self, iterations=1500):
        self.optimiser = torch.optim.LBFGS(
            self.model.parameters(), max_iter=iterations, history_size=50, tolerance_grad=1e-12,
            tolerance_change=1e-16, line_search_fn="strong_wolfe",
        )  # fmt: skip
        self.optimiser.step(self.objective)
        return self

    def adam(self, steps, lr=0.1):
        self.optimiser = torch.optim.Adam(self.sparse.param_groups(lr=lr))
        decay = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda t: 10 ** (-3.5 * t / steps)
        )
        for _ in range(steps):
            self.objective()
            self.optimiser.step()
            decay.step()
        return self

    @property
    def coefficients(self):
        weight = self.model.weight.detach().numpy()
        return weight if self.is_table else weight.T

    def gap(self):
        """Of the penalised objective, not of the smooth one, over that of the null model."""
        value = self.problem.objective(self.coefficients, self.model.bias.detach().numpy())
        best = self.problem.objective(self.exact.coef, self.exact.intercept)
        return (value - best) / self.problem.null_objective

    def support(self, coefficients):
        return np.flatnonzero(self.penalty.sizes(np.reshape(coefficients, self.problem.shape)))

    def check(self):
        """Distance to stationarity, gap and support, before and after the zeros are exact."""
        assert self.gap() < GAP
        (row,) = self.sparse.report(self.loss)
        assert row.distance < 1e-2 * self.strength
        assert row.imbalance < 1e-6
        self.sparse.finalise(loss=self.loss)
        assert self.gap() < GAP
        np.testing.assert_array_equal(
            self.support(self.coefficients), self.support(self.exact.coef)
        )


FAST = {
    "lasso, players": lambda: Case("hitters", "l1", 0.03),
    "lasso, meats": lambda: Case("meats", "l1", 0.3),
    "lasso, births": lambda: Case("birthwt_bwt", "l1", 0.1),
    "group lasso, births": lambda: Case("birthwt_bwt", "groups", 0.3, module=Coefficients),
    "group logistic, births": lambda: Case("birthwt_low", "groups", 0.3, module=Coefficients),
    "logistic, births": lambda: Case("birthwt_low", "l1", 0.1),
    "multi-task, meats": lambda: Case("meats_multi", "l1", 0.5, on=gs.Rows()),
}

SLOW = {
    "lasso, collinear meats": lambda: Case("meats", "l1", 0.03),
    "lasso, permeability": lambda: Case("permeability", "l1", 0.3),
    "logistic, insurance": lambda: Case("caravan", "l1", 0.1),
    "logistic, insurance, weak": lambda: Case("caravan", "l1", 0.02),
    "multi-task, collinear meats": lambda: Case("meats_multi", "l1", 0.1, on=gs.Rows()),
}


@pytest.mark.parametrize("case", FAST.values(), ids=FAST)
def test_lbfgs_is_exact(case):
    case().lbfgs().check()


@pytest.mark.slow
@pytest.mark.parametrize("case", SLOW.values(), ids=SLOW)
def test_lbfgs_is_exact_on_hard_tables(case):
    case().lbfgs(4000).check()


@pytest.mark.parametrize("form", ["product", "shared", "power", "difference"])
def test_every_form_of_the_lasso_is_exact(form):
    Case("hitters", "l1", 0.1, form=form).lbfgs().check()


ADAM = {
    "lasso": lambda: Case("hitters", "l1", 0.3),
    "group lasso": lambda: Case("birthwt_bwt", "groups", 0.3, module=Coefficients),
    "logistic": lambda: Case("birthwt_low", "l1", 0.2),
}


@pytest.mark.parametrize("case", ADAM.values(), ids=ADAM)
def test_adam_is_exact(case):
    case().adam(2000).check()
