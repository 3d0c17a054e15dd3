r"""The prox of a unit whose entries have steps of their own: a problem in one unknown, its size.

With a multiplier g >= 0 the nearest point of size r is ``w_i = v_i / (1 + steps_i g)``, at distance

    M(r) = min { 1/2 sum_i (w_i - v_i)^2 / steps_i : |w| = r },    M'(r) = -g r,

and M is convex while M' is concave, whatever the steps. What is left is ``min_r M(r) + shape(r)``.
A quadratic that agrees with M in value and slope at the present size turns it into the scalar prox
of the shape:

- with M's own curvature there (Newton): for convex shapes the sizes rise to the optimum from zero,
  and never pass it; a unit that belongs to zero stays there, exactly;
- with the curvature that makes it agree with M also at zero: as M' is concave this quadratic is
  nowhere below M, so that a step is a descent, for shapes of any kind.

Newton's step is taken where it descends, the other one elsewhere. For convex shapes the result is
the prox. For concave shapes, which may have several local minima, it is the best of the two
descents that start from zero and from v: the prox where the steps of a unit are all equal, and in
general a local minimum that is no worse than zero and than v.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gossamer.nn.formulas import TensorForm

_ROUNDS = 20  # Newton needs less than ten; what is left are concave shapes near a double root


class _Sizes(NamedTuple):
    """Where units stand on the curve of their nearest points, all fields (n_units,).

    A point is ``w = q v / (q + p steps)`` with p + q = 1, the multiplier being g = p / q: zero is
    q = 0, and v is p = 0.
    """

    p: Tensor
    q: Tensor
    size: Tensor  # r
    pull: Tensor  # -M'(r)
    curvature: Tensor  # M''(r)
    distance: Tensor  # M(r), of concave shapes
    cost: Tensor  # M(r) + the penalty, of concave shapes


class _Units:
    """Units as the rows of a matrix."""

    def __init__(self, form: TensorForm, v: Tensor, steps: Tensor, weights: Tensor) -> None:
        self.form, self.concave = form, not form.outer.convex
        # Newton doubles the digits: the step after one of this length is lost in rounding
        self.tolerance = torch.finfo(v.dtype).eps ** (2 / 3)
        # cubes of the steps, which may spread over ten decades, leave the range of single precision
        if v.device.type != "mps":
            v, steps, weights = v.double(), steps.double(), weights.double()
        self.v = v
        # lengths are counted in the longest step, lest powers of tiny steps vanish
        longest = steps.max()
        self.steps, self.factor = steps / longest, longest * weights
        if self.concave:
            self.at_zero = 0.5 * (v * v / self.steps).sum(1)

    def stand(self, p: Tensor, q: Tensor) -> _Sizes:
        """The point of multiplier p / q of each unit."""
        p, q = p / (p + q), q / (p + q)
        shrink = torch.addcmul(q[:, None], p[:, None], self.steps).reciprocal_()
        squares = (self.v * shrink).square_()
        weighted = shrink.mul_(squares)
        root = squares.sum(1).sqrt()
        steep = torch.linalg.vecdot(self.steps, weighted)
        curvature = weighted.sum(1) / torch.where(steep > 0, steep, 1.0)
        curvature = torch.where(steep > 0, curvature, 1.0)
        size = q * root
        distance = cost = root
        if self.concave:
            distance = 0.5 * p * p * torch.linalg.vecdot(self.steps, squares)
            cost = distance + self.factor * self.form.shape_value(size)
        return _Sizes(p, q, size, p * root, curvature, distance, cost)

    def aim(self, here: _Sizes, curvature: Tensor) -> tuple[Tensor, Tensor]:
        """p and q after a step to the minimiser of the shape plus a quadratic."""
        centre = here.size + here.pull / curvature
        size = self.form.shape_prox(centre, self.factor / curvature)
        lost = curvature * (centre - size)
        nowhere = (size == 0) & (lost == 0)  # a unit of zeros
        return torch.where(nowhere, 1.0, lost.clamp(min=0)), size

    def majorant(self, here: _Sizes) -> Tensor:
        """Curvature of the quadratic that meets M here and at zero."""
        alive = here.size > 0
        size = torch.where(alive, here.size, 1.0)
        chord = 2 * (self.at_zero - here.distance - size * here.pull) / (size * size)
        return torch.where(alive, torch.maximum(chord, here.curvature), here.curvature)

    def descended(self, here: _Sizes, there: _Sizes) -> _Sizes:
        """``there``, or where it rises the step that descends for sure."""
        ceiling = here.cost * (1 + 32 * torch.finfo(self.v.dtype).eps)
        rises = there.cost > ceiling
        if not rises.any():
            return there
        p, q = self.aim(here, self.majorant(here))
        there = self.stand(torch.where(rises, p, there.p), torch.where(rises, q, there.q))
        return _chosen(there.cost <= ceiling, there, here)

    def descend(self, here: _Sizes) -> _Sizes:
        """The local minimum that descent from ``here`` finds."""
        for _ in range(_ROUNDS):
            there = self.stand(*self.aim(here, here.curvature))
            if self.concave:
                there = self.descended(here, there)
            reach = here.size + here.pull / here.curvature
            still = (there.size - here.size).abs() <= self.tolerance * reach
            here = there
            if still.all():
                break
        return here

    def point(self, here: _Sizes) -> Tensor:
        """w at ``here``."""
        p, q = here.p[:, None], here.q[:, None]
        return self.v * q / torch.addcmul(q, p, self.steps)


def _chosen(first: Tensor, yes: _Sizes, no: _Sizes) -> _Sizes:
    return _Sizes(*(torch.where(first, a, b) for a, b in zip(yes, no, strict=True)))


def prox_of_rows(form: TensorForm, v: Tensor, steps: Tensor, weights: Tensor) -> Tensor:
    """``argmin_w sum (w - v)^2 / (2 steps) + sum_u weights_u shape(|w_u|)``, u being rows.

    v, steps : (n_units, length).   weights : (n_units,).
    """
    units = _Units(form, v, steps, weights)
    one, none = torch.ones_like(units.factor), torch.zeros_like(units.factor)
    best = units.descend(units.stand(one, none))
    if units.concave:
        other = units.descend(units.stand(none, one))
        best = _chosen(other.cost < best.cost, other, best)
    return units.point(best).to(v.dtype)
