"""Smooth forms on real tables end where the exact solver does, on the same support."""

from __future__ import annotations

import warnings

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


# -- beyond convexity: Lq at depths 3 and 4, against the best of many starts of other solvers ------


def starts(n_features, count):
    """Zero, then random coefficients of several sizes."""
    rng = np.random.default_rng(0)
    scales = np.array([0.1, 1.0, 3.0])[np.arange(count - 1) % 3]
    return [
        np.zeros(n_features),
        *(s * rng.standard_normal(n_features) / n_features**0.5 for s in scales),
    ]


class Bridge:
    """Lq on a table, without an intercept; objectives relative to that of the null model."""

    def __init__(self, name, depth, share):
        self.X, y, _ = standardised(name)
        self.y, self.q = y.ravel(), 2 / depth
        self.strength = share * self._problem(1.0).strength_max()

    def _problem(self, strength):
        penalty = gs.Lq(strength, q=self.q)
        return gs.Problem(self.X, self.y, gs.losses.Quadratic(), penalty, fit_intercept=False)

    def objective(self, w):
        residual = self.y - self.X @ w
        penalty = 2 * len(self.y) * self.strength * (np.abs(w) ** self.q).sum()
        return (residual @ residual + penalty) / (self.y @ self.y)

    def smooth(self, w):
        """The smooth form by L-BFGS, finalised."""
        X, y = torch.from_numpy(self.X), torch.from_numpy(self.y.copy())[:, None]
        model = nn.Linear(self.X.shape[1], 1, bias=False).double()
        with torch.no_grad():
            model.weight.copy_(torch.from_numpy(w))
        sparse = gs.nn.sparsify(model, {"*": gs.Lq(self.strength, q=self.q)})
        optimiser = torch.optim.LBFGS(
            model.parameters(), max_iter=600, history_size=50, tolerance_grad=1e-10,
            tolerance_change=1e-14, line_search_fn="strong_wolfe",
        )  # fmt: skip

        def loss():
            return ((model(X) - y) ** 2).mean() / 2

        def closure():
            optimiser.zero_grad()
            value = loss() + sparse.penalty()
            value.backward()
            return value

        optimiser.step(closure)
        sparse.finalise(loss=loss)
        return model.weight.detach().numpy().ravel()

    def descent(self, w):
        """Coordinate descent on the prox of Lq."""
        return self._problem(self.strength).solve(w0=w, tol=1e-8).coef.ravel()

    def skglm(self, w):
        from skglm import datafits, penalties, solvers
        from skglm.utils.jit_compilation import compiled_clone

        shape = penalties.L2_3 if self.q > 0.6 else penalties.L0_5
        solver = solvers.AndersonCD(tol=1e-8, max_iter=100, fit_intercept=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numba's remarks, and what did not converge
            return solver.solve(
                np.asfortranarray(self.X), self.y, compiled_clone(datafits.Quadratic()),
                compiled_clone(shape(self.strength)), w_init=w.copy(), Xw_init=self.X @ w,
            )[0]  # fmt: skip

    def lasso_path(self, count):
        """Optima of the lasso, from half of the largest strength down."""
        loss = gs.losses.Quadratic()
        largest = gs.Problem(self.X, self.y, loss, gs.L1(1.0)).strength_max()
        for strength in largest * np.geomspace(0.5, 0.003, count):
            problem = gs.Problem(self.X, self.y, loss, gs.L1(strength), fit_intercept=False)
            yield problem.solve(tol=1e-6).coef.ravel()

    def best(self, solve, count):
        return min(self.objective(solve(w)) for w in starts(self.X.shape[1], count))


@pytest.mark.parametrize("share", [0.3, 0.05])
@pytest.mark.parametrize("depth", [3, 4])
def test_one_run_of_the_smooth_form_is_as_good_as_descents_from_20_starts(depth, share):
    bridge = Bridge("hitters", depth, share)
    found = bridge.smooth(np.zeros(bridge.X.shape[1]))
    assert bridge.objective(found) <= bridge.best(bridge.descent, 20) * (1 + 1e-9)
    # coordinate descent starts there and stays
    np.testing.assert_allclose(bridge.descent(found), found, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.3, 0.05])
@pytest.mark.parametrize("depth", [3, 4])
@pytest.mark.parametrize("name", ["hitters", "meats", "permeability"])
def test_starts_along_the_lasso_are_as_good_as_20_of_the_best_peer(name, depth, share):
    """Depth 2 first, at 20 strengths: its optima are where depths 3 and 4 start from."""
    bridge = Bridge(name, depth, share)
    found = min(bridge.objective(bridge.smooth(w)) for w in bridge.lasso_path(20))
    peer = bridge.best(bridge.skglm, 20)
    assert found <= peer * (1 + 1e-7)
