"""Trend filtering of a signal: a banded interior-point method on the dual, and its certificate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import LinAlgError, solve_banded, solveh_banded

from gossamer.core.result import Certificate, Status
from gossamer.penalties.variation import chain_prox

# how much the centring parameter grows, and how near to the border a step may go
_GROWTH, _BORDER = 2.0, 0.99
_MAX_IDLE = 15
# relative to the null objective, below which an objective is rounding
_FLOOR = 1e-12


@dataclass(frozen=True, eq=False)
class Trend:
    """The filtered signal, and how far from optimal it can be.

    values : (n,) the signal.    dual : (n - order - 1,) in [-1, 1], one a possible knot.

    The certificate's value is the gap relative to the objective itself: the null objective, that
    of the mean, can be thousands of times larger where there is a trend.
    """

    values: np.ndarray
    dual: np.ndarray
    certificate: Certificate
    status: Status
    n_iter: int


@dataclass(frozen=True, eq=False)
class Differences:
    r"""Divided differences of one order more than ``order`` at increasing positions ``x``.

    Their L1 norm is the total variation of the derivative of that order:
    :math:`D^{(1)}` are first differences, :math:`D^{(k+1)} = D^{(1)}\,
    \mathrm{diag}(k / (x_{i+k} - x_i))\, D^{(k)}`. Rows hold ``order + 2`` coefficients.
    """

    x: np.ndarray
    order: int

    @cached_property
    def rows(self) -> np.ndarray:
        """(order + 2, n - order - 1) coefficients, one array a place in the row."""
        n = len(self.x)
        rows = np.ones((1, n))
        for k in range(self.order + 1):
            if k:
                rows = rows * (k / (self.x[k:] - self.x[:-k]))
            wider = np.zeros((k + 2, rows.shape[1] - 1))
            wider[1:] += rows[:, 1:]
            wider[:-1] -= rows[:, :-1]
            rows = wider
        return rows

    def times(self, b: np.ndarray) -> np.ndarray:
        m = self.rows.shape[1]
        return sum(row * b[k : k + m] for k, row in enumerate(self.rows))

    def transposed_times(self, u: np.ndarray) -> np.ndarray:
        product, m = np.zeros(len(self.x)), self.rows.shape[1]
        for k, row in enumerate(self.rows):
            product[k : k + m] += row * u
        return product

    def gram(self, weights: np.ndarray) -> np.ndarray:
        """``D diag(1 / weights) D'`` as LAPACK's upper band."""
        width, m = self.rows.shape
        band = np.zeros((width, m))
        for apart in range(min(width, m)):
            for k in range(width - apart):
                upper = self.rows[k + apart, : m - apart] * self.rows[k, apart:]
                band[width - 1 - apart, apart:] += upper / weights[k + apart : k + m]
        return band


def trend_filter(
    y: np.ndarray, differences: Differences, weights: np.ndarray, strength: float, *,
    tol: float = 1e-6, max_iter: int = 100,
    on_step: Callable[[int, float], None] | None = None,
) -> Trend:  # fmt: skip
    r"""Minimise :math:`\frac12 \sum_i s_i (y_i - b_i)^2 + \text{strength}\, \|D b\|_1`.

    Of order zero exactly, in linear time; of others by a primal-dual interior-point method on the
    dual, whose systems are banded: linear time an iteration, some tens of iterations.

    Parameters
    ----------
    y : (n,)
    weights : (n,) > 0, summing to one
    on_step : function of the iteration and the certificate's value, default None

    References
    ----------
    Kim, Koh, Boyd and Gorinevsky (2009), l1 trend filtering.
    Tibshirani (2014), Adaptive piecewise polynomial estimation via trend filtering.
    """
    problem = _Dual(y, differences, weights, strength)
    if problem.size <= 0 or strength == 0:
        return problem.conclude(y.astype(float), np.zeros(max(problem.size, 0)), tol, 0)
    if differences.order == 0:
        values = chain_prox(y, np.full(problem.size, strength), weights)
        running = np.cumsum(weights * (y - values))[:-1] / -strength
        return problem.conclude(values, np.clip(running, -1.0, 1.0), tol, 0)
    polynomial, forces = _polynomial(y, differences, weights)
    if np.abs(forces).max() <= strength:
        trend = problem.conclude(polynomial, forces / strength, tol, 0)
        if trend.certificate.holds:
            return trend
    return problem.interior_point(tol, max_iter, on_step)


def largest_strength(y: np.ndarray, differences: Differences, weights: np.ndarray) -> float:
    """The strength from which on the signal is one polynomial of the order."""
    if len(y) <= differences.order + 1:
        return 0.0
    return float(np.abs(_polynomial(y, differences, weights)[1]).max())


def _polynomial(
    y: np.ndarray, differences: Differences, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The least-squares polynomial of the order, and the dual variables that hold it there."""
    order, x, m = differences.order, differences.x, len(y) - differences.order - 1
    values = np.polynomial.Chebyshev.fit(x, y, order, w=np.sqrt(weights))(x)
    # D'u = residual: its first m equations are a lower triangular band
    band = np.zeros((order + 2, m))
    for k, row in enumerate(differences.rows):
        band[k, : m - k] = row[: m - k]
    return values, solve_banded((order + 1, 0), band, (weights * (y - values))[:m])


@dataclass(frozen=True, eq=False)
class _Dual:
    """max_v ``y' A'v - |A'v|^2 / (2 s)`` over ``|v| <= 1``, with ``A = strength D``."""

    y: np.ndarray
    differences: Differences
    weights: np.ndarray
    strength: float

    @property
    def size(self) -> int:
        return len(self.y) - self.differences.order - 1

    @cached_property
    def null_objective(self) -> float:
        mean = self.weights @ self.y
        return float(self.weights @ (self.y - mean) ** 2 / 2)

    def interior_point(
        self, tol: float, max_iter: int, on_step: Callable[[int, float], None] | None
    ) -> Trend:
        m, scale = self.size, max(2 * self.null_objective, 1e-300)
        gram = self.strength**2 / scale * self.differences.gram(self.weights)
        v, upper, lower = np.zeros(m), np.full(m, 1.0 / m), np.full(m, 1.0 / m)
        target, idle = 0.0, 0
        best: tuple[float, np.ndarray, np.ndarray] | None = None
        status, n_iter = Status.MAX_ITER, 0
        for n_iter in range(max_iter + 1):
            values, slopes = self._primal(v)
            slopes = slopes / scale
            gap = float(np.abs(slopes).sum() - v @ slopes)
            misfit = self.weights @ (self.y - values) ** 2 / (2 * scale)
            value = gap / max(misfit + float(np.abs(slopes).sum()), _FLOOR)
            if on_step is not None:
                on_step(n_iter, value)
            if best is None or gap < 0.9 * best[0]:
                best, idle = (gap, values, v), 0
            else:
                idle += 1
            if value <= tol:
                status = Status.CONVERGED
                break
            if idle > _MAX_IDLE:
                status = Status.STALLED
                break
            room_up, room_down = 1 - v, 1 + v
            centred = upper @ room_up + lower @ room_down
            target = max(2 * m * _GROWTH / float(centred), 1.2 * target)
            step = self._newton(gram, v, slopes, upper, lower, target)
            if step is None:
                status = Status.STALLED
                break
            v, upper, lower = step
        assert best is not None
        return self.conclude(best[1], best[2], tol, n_iter, status)

    def _primal(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The signal that belongs to a dual point, and A times it."""
        pulled = self.strength * self.differences.transposed_times(v)
        values = self.y - pulled / self.weights
        return values, self.strength * self.differences.times(values)

    @staticmethod
    def _newton(
        gram: np.ndarray, v: np.ndarray, slopes: np.ndarray, upper: np.ndarray, lower: np.ndarray,
        target: float,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:  # fmt: skip
        """A step towards the central path, kept inside; ``None`` where the system is singular."""
        room_up, room_down = 1 - v, 1 + v
        band = gram.copy()
        band[-1] += upper / room_up + lower / room_down
        right = slopes - 1 / (target * room_up) + 1 / (target * room_down)
        try:
            move = solveh_banded(band, right, overwrite_ab=True, check_finite=False)
        except LinAlgError:
            return None
        if not np.isfinite(move).all():
            return None
        move_up = -upper + (1 / target + move * upper) / room_up
        move_down = -lower + (1 / target - move * lower) / room_down
        length = 1.0
        for room, change in (
            (upper, move_up), (lower, move_down), (room_up, -move), (room_down, move)
        ):  # fmt: skip
            closing = change < 0
            if closing.any():
                length = min(length, _BORDER * float((-room[closing] / change[closing]).min()))
        return v + length * move, upper + length * move_up, lower + length * move_down

    def conclude(
        self, values: np.ndarray, v: np.ndarray, tol: float, n_iter: int,
        status: Status = Status.CONVERGED,
    ) -> Trend:  # fmt: skip
        """With the certificate of ``values`` by the dual point ``v``."""
        charge = slopes = np.zeros(0)
        pulled = np.zeros(len(self.y))
        if self.size > 0:
            slopes = self.strength * self.differences.times(values)
            pulled = self.strength * self.differences.transposed_times(v)
            charge = np.abs(slopes)
        objective = float(self.weights @ (self.y - values) ** 2 / 2 + charge.sum())
        dual = float(self.y @ pulled - pulled @ (pulled / self.weights) / 2)
        gap, null = max(objective - dual, 0.0), self.null_objective
        # of what is almost complementary, the larger part counts: a knot, or none
        largest = charge.max(initial=0.0)
        is_knot = (charge > 1e-10 * largest) & (charge > largest * (1 - np.abs(v)))
        value = gap / max(objective, _FLOOR * null) if null > 0 else gap
        certificate = Certificate(
            value=value, tol=tol, kind="global", gap=gap,
            violation=np.nan, objective=objective, null_objective=null,
            support=np.flatnonzero(is_knot) + self.differences.order,
        )  # fmt: skip
        if status is Status.CONVERGED and not certificate.holds:
            status = Status.STALLED
        return Trend(values, v, certificate, status, n_iter)
