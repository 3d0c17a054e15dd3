"""Small problems that cover what a solver may meet, and their optima by plain numpy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from gossamer.core.loss import Loss
from gossamer.core.penalty import Penalty
from gossamer.core.problem import Problem
from gossamer.core.registry import LOSSES, PENALTIES
from gossamer.core.structure import Structure
from gossamer.penalties import (
    L1,
    SLOPE,
    AtMost,
    Bounds,
    Exclusive,
    Fused,
    GroupEnvelope,
    L1Ball,
    Overlaps,
    Tree,
)
from gossamer.structures import Elements, Groups, Rows
from gossamer.testing.court import generator
from gossamer.testing.instances import survival_times

_N, _P = 60, 12
_GROUPS = [[0, 5, 7], [1, 2], [3], [4, 6, 8, 9], [10, 11]]
_OPTIONS = ("sample_weight", "offset", "standardise")
_STORES = ("dense C", "dense F", "float32", "csc")
_STRUCTURES = ("elements", "groups", "rows", "sparse groups")


@dataclass(frozen=True, eq=False)
class Case:
    """A problem and the words that tell it from the others."""

    name: str
    problem: Problem

    def __repr__(self) -> str:
        return self.name


def cases(count: int) -> Iterator[Case]:
    """``count`` problems that mix losses, penalties, structures and options at random.

    Penalties, losses and structures take turns, so that each pair of them comes up early.
    """
    rng = generator()
    losses = [kind() for kind in LOSSES]
    kinds = list(PENALTIES)
    for i in range(count):
        loss, kind = losses[i % len(losses)], kinds[i % len(kinds)]
        structure = _STRUCTURES[(i // 2 + i // len(kinds)) % len(_STRUCTURES)]
        store = str(rng.choice(_STORES))
        options = {name: bool(rng.random() < 0.4) for name in ("nonnegative", "weights", *_OPTIONS)}
        options["fit_intercept"] = bool(rng.random() < 0.7)
        chosen = ", ".join(name for name, on in options.items() if on)
        name = f"{i}: {loss!r}, {kind.__name__} on {structure}, {store}, {chosen}"
        yield Case(name, _problem(rng, loss, kind, structure, store, options))


def ordered_cases(count: int) -> Iterator[Case]:
    """``count`` least-squares problems with SLOPE, Fused or Bounds, in all stores."""
    rng = generator()
    quadratic = next(loss for loss in LOSSES if loss.is_quadratic)()
    for i in range(count):
        kind, store = (_slope, _fused, _bounds)[i % 3], _STORES[i // 3 % len(_STORES)]
        names = ("nonnegative", "sample_weight", "offset", "standardise", "fit_intercept")
        options = {name: bool(rng.random() < 0.5) for name in names} | {"weights": False}
        chosen = ", ".join(name for name, on in options.items() if on)
        name = f"{i}: {kind.__name__[1:]}, {store}, {chosen}"
        yield Case(name, _problem(rng, quadratic, kind, "elements", store, options))


def _slope(strength: float, *, on: Structure, weights: None = None, nonnegative: bool) -> SLOPE:
    return SLOPE(strength * np.linspace(1.0, 0.2, _P), on=on, nonnegative=nonnegative)


def _fused(strength: float, *, on: Structure, weights: None = None, nonnegative: bool) -> Fused:
    """Signs are not its business."""
    return Fused(strength)


def _bounds(strength: float, *, on: Structure, weights: None = None, nonnegative: bool) -> Bounds:
    return Bounds(0.0 if nonnegative else -0.3, np.linspace(0.2, 2.0, _P), strength=strength)


def joint_cases() -> Iterator[Case]:
    """Problems with penalties whose units interact; losses take turns."""
    rng = generator()
    nested = ([0], [1, 2], [0, 1, 2, 3, 4], [5, 6], [7, 8, 9, 10, 11])
    overlapping = ([0, 1, 2, 3], [3, 4, 5], [5, 6, 7, 8, 0], [8, 9, 10, 11])
    penalties = (
        GroupEnvelope(0.3, 3), Exclusive(0.2, on=Groups(_GROUPS)), Tree(1.0, nested),
        Overlaps(1.0, overlapping, latent=True), L1Ball(0.8), L1Ball(0.5, on=Rows()),
        Overlaps(1.0, overlapping, (1.0, 0.5, 1.0, 2.0), latent=True),
    )  # fmt: skip
    losses = [kind() for kind in LOSSES if kind.is_smooth and not (kind.coupled or kind.joint)]
    for i, penalty in enumerate(penalties):
        loss = losses[i % len(losses)]
        X = rng.standard_normal((_N, _P)) * np.linspace(0.5, 1.5, _P) + 0.3
        X[:, 1] += 0.8 * X[:, 0]
        y = _target(rng, loss, X)
        y = y[:, 0] if y.ndim == 2 and not isinstance(penalty, L1Ball) else y
        problem = Problem(X, y, loss, penalty, fit_intercept=i % 2 == 0)
        largest = problem.strength_max()
        chosen = penalty.with_strength(0.2 * largest) if np.isfinite(largest) else penalty
        yield Case(f"{loss!r}, {penalty!r}", problem.with_penalty(chosen))


def budget_cases(count: int) -> Iterator[Case]:
    """``count`` problems with budgets, from one unit up to all, mixed at random as well.

    Every second is one of least squares, dense and of free sign, which all solvers take.
    """
    rng = generator()
    losses = [kind() for kind in LOSSES]
    for i in range(count):
        plain = i % 2 == 1
        loss = LOSSES["quadratic"]() if plain else losses[i // 2 % len(losses)]
        on = Elements() if plain else (Elements(), Groups(_GROUPS), Rows())[i // 2 % 3]
        store = _STORES[i // 2 % len(_STORES)] if not plain else "dense C"
        options = {name: bool(rng.random() < 0.4) for name in _OPTIONS}
        options["fit_intercept"] = bool(rng.random() < 0.7)
        X, y, arguments = _data(rng, loss, options)
        y = y if not plain or y.ndim == 1 else y[:, 0]
        count_all = on.units((_P, loss.n_outputs(loss.encode(y)))).count
        budget = AtMost(
            count_all if i % 7 == 6 else int(rng.integers(1, 5)), on=on,
            ridge=float(rng.choice([0.0, 0.1])), nonnegative=not plain and i % 10 == 4,
        )  # fmt: skip
        name = f"{i}: {loss!r}, {budget!r}, {store}, {sorted(arguments)}"
        yield Case(name, Problem(_stored(X, store), y, loss, budget, **arguments))


def _problem(
    rng: np.random.Generator, loss: Loss, kind: Any, structure: str, store: str, options: dict
) -> Problem:
    X, y, arguments = _data(rng, loss, options)
    y = y[:, 0] if kind in (_slope, _fused, _bounds) else y
    n_outputs = loss.n_outputs(loss.encode(y))
    shape = (_P, n_outputs)
    penalty = _penalty(rng, kind, structure, shape, options)
    problem = Problem(_stored(X, store), y, loss, penalty, **arguments)
    return problem.with_penalty(penalty.with_strength(0.2 * problem.strength_max()))


def _data(
    rng: np.random.Generator, loss: Loss, options: dict[str, bool]
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """X, y and the problem's other arguments."""
    X = rng.standard_normal((_N, _P)) * np.linspace(0.5, 1.5, _P) + 0.3
    X[:, 1] += 0.8 * X[:, 0]
    X[rng.random((_N, _P)) < 0.4] = 0.0
    y = _target(rng, loss, X)
    # all labels count: fewer could be separated, and flat penalties then have no optimum
    least = 1 if loss.classifies else 0
    arguments = {
        "fit_intercept": options["fit_intercept"],
        "standardise": options["standardise"],
        "sample_weight": rng.integers(least, 4, _N) if options["sample_weight"] else None,
        "offset": 0.5 * rng.standard_normal(_N) if options["offset"] else None,
    }
    if loss.coupled:
        arguments["offset"] = None
    return X, y, arguments


def _target(rng: np.random.Generator, loss: Loss, X: np.ndarray) -> np.ndarray:
    signal = X[:, 0] - 0.7 * X[:, 4] + 0.5 * X[:, 10] + 0.5 * rng.standard_normal(len(X))
    several = np.stack([signal, X[:, 2] - X[:, 6], 0.5 * X[:, 0] + 0.1], axis=1)
    # labels with enough noise that no penalty that is flat far out lets coefficients run away
    noisy = several + 1.5 * rng.standard_normal(several.shape)
    columns = loss.is_quadratic or (loss.takes_columns and rng.random() < 0.3)
    numbers = several if columns else signal
    amounts = np.exp(np.clip(numbers, -2, 2))
    candidates = (
        np.argmax(noisy, axis=1) if loss.coupled else numbers,
        np.round(amounts),
        amounts,
        (noisy[:, 0] > 0).astype(float),
        survival_times(signal),
    )
    for y in candidates:
        try:
            loss.encode(y)
        except ValueError:
            continue
        return y
    raise AssertionError(f"{loss!r} accepts none of the targets the laws know.")


def _penalty(
    rng: np.random.Generator, kind: Any, structure: str, shape: tuple[int, int], options: dict
) -> Penalty:
    groups = Groups(_GROUPS)
    on = {"elements": Elements(), "rows": Rows()}.get(structure, groups)
    weights = None
    if options["weights"]:
        count = on.units(shape).count
        weights = rng.choice([0.5, 1.0, 2.0], count)
        weights[count // 2] = 0.0
    penalty = kind(1.0, on=on, weights=weights, nonnegative=options["nonnegative"])
    return L1(0.5) + penalty if structure == "sparse groups" else penalty


def _stored(X: np.ndarray, store: str) -> Any:
    match store:
        case "dense F":
            return np.asfortranarray(X)
        case "float32":
            return X.astype(np.float32)
        case "csc":
            return sparse.csc_array(X)
    return X


# -- the optimum in plain numpy --------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Explicit:
    """A problem with its columns scaled and its intercept written out."""

    problem: Problem
    X: np.ndarray

    @classmethod
    def of(cls, problem: Problem) -> Explicit:
        X = problem.X.toarray() if sparse.issparse(problem.X) else np.asarray(problem.X)
        X = X.astype(float)
        scale = problem.design.scale
        return cls(problem, X if scale is None else X / scale)

    def objective(self, w: np.ndarray, b: np.ndarray) -> float:
        values = self.problem.loss.value(self.predict(w, b), self.problem.y)
        return float(self.problem.sample_weight @ values + self.problem.penalty.value(w))

    def predict(self, w: np.ndarray, b: np.ndarray) -> np.ndarray:
        offset = 0.0 if self.problem.offset is None else self.problem.offset
        return self.X @ w + b + offset

    def gradients(self, w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of the mean loss, in the coefficients and in the intercept."""
        u = self.problem.loss.gradient(self.predict(w, b), self.problem.y)
        u = u * self.problem.sample_weight[:, None]
        return self.X.T @ u, u.sum(axis=0) * self.problem.fit_intercept

    def optimum(self, max_iter: int = 20_000) -> float:
        """The objective that proximal gradient with momentum and restarts comes down to.

        Infinite for a loss with kinks, where it would not come down.
        """
        if not self.problem.loss.is_smooth:
            return np.inf
        shape = self.problem.shape
        w, b = np.zeros(shape), np.zeros(shape[1])
        ahead, ahead_b, momentum, step = w, b, 1.0, 1.0
        least, idle = self.objective(w, b), 0
        for _ in range(max_iter):
            new, new_b, step = self._step(ahead, ahead_b, step)
            uphill = ((ahead - new) * (new - w)).sum() + ((ahead_b - new_b) * (new_b - b)).sum()
            momentum = 1.0 if uphill > 0 else momentum
            following = 0.5 * (1 + np.sqrt(1 + 4 * momentum**2))
            push = (momentum - 1) / following
            ahead, ahead_b = new + push * (new - w), new_b + push * (new_b - b)
            w, b, momentum = new, new_b, following
            value = self.objective(w, b)
            idle = 0 if value < least - 1e-15 * (1 + abs(least)) else idle + 1
            least = min(least, value)
            if idle > 200:
                break
        return least

    def _step(
        self, w: np.ndarray, b: np.ndarray, step: float
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """A prox step short enough for the gradient's change along it to be bounded."""
        gradient, slope = self.gradients(w, b)
        while True:
            new = self.problem.penalty.prox(w - step * gradient, step)
            new_b = b - step * slope
            after, after_slope = self.gradients(new, new_b)
            move = np.append((new - w).ravel(), new_b - b)
            change = np.append((after - gradient).ravel(), after_slope - slope)
            if np.abs(change @ move) * step <= move @ move + 1e-30:
                return new, new_b, step
            step /= 2
