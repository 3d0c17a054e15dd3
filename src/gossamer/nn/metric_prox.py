r"""The prox of a penalty in the diagonal metric of an adaptive optimiser.

An optimiser that moves entry i by ``steps_i`` times its gradient has the metric
``D = diag(1 / steps)``, in which the proximal step is

    argmin_w  1/2 sum_i d_i (w_i - v_i)^2 + Omega(w).

Single entries take their scalar prox with a step each. A unit of several entries with steps of
their own has no closed form, but one unknown, its size r. With a multiplier g >= 0 the nearest
point of size r is ``w_i = v_i / (1 + steps_i g)``, at distance

    M(r) = min { 1/2 sum_i d_i (w_i - v_i)^2 : |w| = r },    M'(r) = -g r,

and M is convex while M' is concave, whatever the metric. What is left is ``min_r M(r) + shape(r)``.
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


def prox(form: TensorForm, v: Tensor, steps: Tensor | float) -> Tensor:
    """The prox of a penalty at ``v`` in the metric ``diag(1 / steps)``.

    Parameters
    ----------
    form : TensorForm
        Of the penalty, for the shape of ``v``.
    v : tensor of floats
    steps : tensor of the shape of ``v``, or a number, > 0

    Returns
    -------
    tensor of the shape of ``v``, exactly zero where the penalty says so

    References
    ----------
    Yun, Lozano and Yang (2021), Adaptive proximal gradient methods for structured neural networks.
    Deleu and Bengio (2021), Structured sparsity inducing adaptive optimizers for deep learning.
    Yu (2013), On decomposing the proximal map: an inner L1 goes first, in a diagonal metric too.

    Examples
    --------
    >>> import gossamer as gs
    >>> from gossamer.nn.formulas import tensor_form
    >>> v = torch.tensor([[3.0, 4.0], [0.6, 0.8]])
    >>> form = tensor_form(gs.L1(1.0, on=gs.Rows()), (2, 2))
    >>> prox(form, v, 1.0)
    tensor([[2.4000, 3.2000],
            [0.0000, 0.0000]])

    Where an entry has long steps, it gives way first:

    >>> prox(form, v, torch.tensor([[0.1, 2.0], [0.1, 2.0]]))
    tensor([[2.9260, 2.6558],
            [0.5051, 0.1682]])
    """
    if v.dtype in (torch.float16, torch.bfloat16):
        exact = steps.float() if isinstance(steps, Tensor) else steps
        return prox(form, v.float(), exact).to(v.dtype)
    steps = torch.as_tensor(steps, dtype=v.dtype, device=v.device)
    u = v
    if form.inner is not None:
        u = u.sign() * (u.abs() - steps * form.thresholds(v)).clamp(min=0)
    if form.nonnegative:
        u = u.clamp(min=0)
    weights = form.unit_weights(v)
    if form.elementwise:
        kept = _of_entries(form, u, steps, weights)
    elif steps.dim() == 0:
        kept = _of_units(form, u, steps, weights)
    else:
        kept = _of_stretched_units(form, u, steps, weights)
    if weights is not None:
        kept = torch.where(form.cells.spread(weights) > 0, kept, u)
    return kept + 0.0  # turns -0.0 into 0.0


def _of_entries(form: TensorForm, u: Tensor, steps: Tensor, weights: Tensor | None) -> Tensor:
    if weights is not None:
        steps = steps * form.cells.spread(weights)
    return form.shape_prox(u, steps)


def _of_units(form: TensorForm, u: Tensor, step: Tensor, weights: Tensor | None) -> Tensor:
    """All entries have one step: the unit keeps its direction."""
    sizes = form.sizes(u)
    kept = form.shape_prox(sizes, step if weights is None else step * weights)
    return form.cells.scale(u, kept / torch.where(sizes > 0, sizes, 1.0))


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
    distance: Tensor  # M(r)
    cost: Tensor  # M(r) + the penalty


class _Stretched:
    """Units whose entries have steps of their own."""

    def __init__(self, form: TensorForm, v: Tensor, steps: Tensor, weights: Tensor | None) -> None:
        self.form, self.v, self.weights = form, v, weights
        # lengths are counted in the longest step, lest powers of tiny steps vanish
        self.unit = steps.max()
        self.steps = steps / self.unit
        factor = self.unit.expand(form.cells.count)
        self.factor = factor if weights is None else factor * weights
        self.at_zero = 0.5 * form.cells.sums(v * v / self.steps)

    def stand(self, p: Tensor, q: Tensor) -> _Sizes:
        """The point of multiplier p / q of each unit."""
        cells, steps = self.form.cells, self.steps
        p, q = p / (p + q), q / (p + q)
        shrink = 1.0 / (cells.spread(q) + cells.spread(p) * steps)
        z = self.v * shrink
        squares = z * z
        root = cells.sums(squares).sqrt()
        weighted = squares * shrink
        steep = cells.sums(steps * weighted)
        distance = 0.5 * p * p * cells.sums(steps * squares)
        size = q * root
        shape = self.factor * self.form.shape_value(size)
        curvature = cells.sums(weighted) / torch.where(steep > 0, steep, 1.0)
        return _Sizes(
            p, q, size, p * root, torch.where(steep > 0, curvature, 1.0), distance, distance + shape
        )

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

    def descend(self, here: _Sizes) -> _Sizes:
        """The local minimum that descent from ``here`` finds."""
        rounding = 32 * torch.finfo(self.v.dtype).eps
        for _ in range(_ROUNDS):
            there = self.stand(*self.aim(here, here.curvature))
            ceiling = here.cost * (1 + rounding)
            rises = there.cost > ceiling
            if rises.any():
                p, q = self.aim(here, self.majorant(here))
                p, q = torch.where(rises, p, there.p), torch.where(rises, q, there.q)
                there = self.stand(p, q)
                there = _chosen(there.cost <= ceiling, there, here)
            reach = here.size + here.pull / here.curvature
            still = (there.size - here.size).abs() <= rounding * reach
            here = there
            if still.all():
                break
        return here

    def point(self, here: _Sizes) -> Tensor:
        """w at ``here``."""
        cells = self.form.cells
        p, q = cells.spread(here.p), cells.spread(here.q)
        return self.v * q / (q + p * self.steps)


def _chosen(first: Tensor, yes: _Sizes, no: _Sizes) -> _Sizes:
    return _Sizes(*(torch.where(first, a, b) for a, b in zip(yes, no, strict=True)))


def _of_stretched_units(
    form: TensorForm, u: Tensor, steps: Tensor, weights: Tensor | None
) -> Tensor:
    units = _Stretched(form, u, steps, weights)
    one, none = u.new_ones(form.cells.count), u.new_zeros(form.cells.count)
    best = units.descend(units.stand(one, none))
    if not form.outer.convex:
        other = units.descend(units.stand(none, one))
        best = _chosen(other.cost < best.cost, other, best)
    return units.point(best)
