r"""The perspective relaxation of a budget, and the bound that any of its points proves.

.. math:: \min_{w, z} \; q(w) + \tfrac12 \sum_j \rho_j w_j^2 / z_j \quad\text{s.t.}\quad
          \sum_j z_j \le m,\; 0 \le z_j \le 1,\; |w_j| \le b_j z_j

with ``q`` convex. Linearised at any ``w``, with gradient ``g``, it proves

.. math:: q(w) - g^\top w - \sum_{\text{forced}} h_j(g_j) - \text{the } m \text{ largest } h_j(g_j)

where ``h_j`` is Huber's function ``g^2 / (2 rho)``, linear from ``g = rho b`` on. The bound holds
whether or not ``w`` solves the relaxation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gossamer.core.unit_form import TINY
from gossamer.kernels import bind, perspective
from gossamer.solvers.subset_model import SubsetModel

_SWEEPS, _NEW_COLUMNS, _ROUNDS, _ROOT_ROUNDS = 30, 150, 12, 60
# the relaxed number of units, off by this share of the budget, and slopes by this share
_ENOUGH, _STEEP = 0.02, 1e-3


@dataclass(eq=False)
class Node:
    """Supports that contain ``forced`` and otherwise choose among ``free``.

    bound : no such support has a lower value.
    price : multiplier of the budget; places, values : the coefficients of the relaxation.
    gates : (n_free,) how far each free column is in.
    """

    forced: np.ndarray
    free: np.ndarray
    bound: float
    price: float
    places: np.ndarray
    values: np.ndarray
    gates: np.ndarray

    def __lt__(self, other: Node) -> bool:
        return self.bound < other.bound


def relax(model: SubsetModel, node: Node, k: int, cutoff: float, *, root: bool = False) -> Node:
    """The node with its bound raised, and without columns that no support below ``cutoff`` has."""
    budget = k - len(node.forced)
    bending = model.ridge + model.lift
    places = _first_columns(model, node)
    w = np.zeros(model.shape[1])
    w[node.places] = node.values
    out = np.ones(len(w), dtype=bool)
    out[node.free] = out[node.forced] = False
    w[out] = 0.0
    gram = _own_gram(model, places)
    price, low, high, stretch = node.price, 0.0, np.inf, 1.25
    best, forced, free = node.bound, node.forced, node.free
    for _ in range(_ROOT_ROUNDS if root else _ROUNDS):
        slope, kink = _shape(price, bending, model.bounds)
        gradient = _descend(model, places, gram, w, slope, kink, bending, forced)
        bound, gains = _bound(model, w, gradient, bending, forced, free, budget)
        best = max(best, bound)
        if best >= cutoff:
            break
        forced, free, budget = _screened(gains, bound, cutoff, forced, free, budget)
        if budget == 0 or len(free) <= budget:
            break
        gates = np.minimum(np.abs(w[free]) / np.maximum(kink[free], TINY), 1.0)
        steep = np.abs(gradient[free]) - slope[free]
        unseen = np.isin(free, places, invert=True) & (steep > _STEEP * slope[free])
        if unseen.any():
            order = np.argsort(-np.where(unseen, steep, -np.inf))[:_NEW_COLUMNS]
            places = np.union1d(places, free[order[unseen[order]]])
            gram = _own_gram(model, places)
            continue
        excess = gates.sum() - budget
        if abs(excess) <= _ENOUGH * budget or high < 1.01 * low or price < 1e-14 * model.total:
            break
        low, high = (price, high) if excess > 0 else (low, price)
        if low > 0 and high < np.inf:
            price = float(np.sqrt(low * high))
        else:
            price *= stretch if excess > 0 else 1 / stretch
            stretch *= stretch
    gates = np.minimum(np.abs(w[free]) / np.maximum(kink[free], TINY), 1.0)
    used = np.flatnonzero(w)
    return Node(forced, free, best, price, used, w[used], gates)


def _first_columns(model: SubsetModel, node: Node) -> np.ndarray:
    used = node.places[np.isin(node.places, node.free)]
    if not len(used):
        used = node.free[np.argsort(-np.abs(model.right[node.free]))[:_NEW_COLUMNS]]
    return np.union1d(used, node.forced)


def _own_gram(model: SubsetModel, places: np.ndarray) -> np.ndarray:
    gram = model.gram(places, places)
    # without curvature of its own a column would jump
    gram.flat[:: len(places) + 1] = max(1.0 - model.lift, 1e-10)
    return gram


def _shape(price: float, bending: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The relaxed cost of a column whose unit costs ``price``: its slope, and how far that goes."""
    with np.errstate(divide="ignore", invalid="ignore"):
        kink = np.minimum(np.sqrt(2 * price / bending), bounds)
        return 0.5 * bending * kink + price / kink, kink


def _descend(
    model: SubsetModel, places: np.ndarray, gram: np.ndarray, w: np.ndarray, slope: np.ndarray,
    kink: np.ndarray, bending: np.ndarray, forced: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Descend on some columns; the gradient of ``q`` in all."""
    local = w[places].copy()
    precision = 1e-5 * np.sqrt(2 * model.total)
    run = bind(perspective.perspective_descent)
    run(gram, gram @ local - model.right[places], local, bending[places], slope[places],
        kink[places], model.bounds[places], np.isin(places, forced), _SWEEPS,
        precision)  # fmt: skip
    w[places] = local
    used = np.flatnonzero(local)
    return model.gram_times(places[used], local[used]) - model.lift * w - model.right


def _bound(
    model: SubsetModel, w: np.ndarray, gradient: np.ndarray, bending: np.ndarray,
    forced: np.ndarray, free: np.ndarray, budget: int,
) -> tuple[float, np.ndarray]:  # fmt: skip
    size, box = np.abs(gradient), model.bounds
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = size * size / (2 * bending)
        beyond = box * size - 0.5 * bending * box * box
        gains = np.where(size == 0, 0.0, np.where(size <= bending * box, inside, beyond))
    base = model.total - 0.5 * float(w @ (gradient + model.right)) - float(gains[forced].sum())
    among = gains[free]
    top = np.partition(among, len(among) - budget)[len(among) - budget :]
    return base - float(top.sum()), among


def _screened(
    gains: np.ndarray, bound: float, cutoff: float, forced: np.ndarray, free: np.ndarray,
    budget: int,
) -> tuple[np.ndarray, np.ndarray, int]:  # fmt: skip
    """What the bound decides by itself: a column whose gain is missed is forced, one that would
    take the place of too large a gain is out."""
    if len(free) <= budget:
        return forced, free, budget
    order = np.partition(gains, [len(gains) - budget - 1, len(gains) - budget])
    last, next_ = order[len(gains) - budget], order[len(gains) - budget - 1]
    needed = (gains >= last) & (bound + gains - next_ >= cutoff)
    if needed.sum() > budget:
        needed[:] = False
    hopeless = (gains < last) & (bound + last - gains >= cutoff)
    stays = ~(needed | hopeless)
    return np.append(forced, free[needed]), free[stays], budget - int(needed.sum())
