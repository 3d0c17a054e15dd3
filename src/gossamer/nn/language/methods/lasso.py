"""Lasso: the support of a convex problem, solved to a certificate."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gossamer.core.result import Certificate
from gossamer.core.validation import finite_number
from gossamer.nn.keep import nth_largest
from gossamer.nn.language.alternation import Alternation
from gossamer.nn.language.layer import Layer, Solved
from gossamer.nn.language.method import METHODS, Method
from gossamer.nn.language.quadratic import Quadratic, check_positive, check_settings


@METHODS.register
@dataclass
class Lasso(Method):
    r"""The units that survive an l1 penalty, and then the best weights on them.

    .. math:: \min_U \tfrac12 \operatorname{tr} (W - U)(H + r I)(W - U)^\top
        + \lambda \sum_g \frac{\|U_g\|}{\|W_g\|^q}, \qquad
        \|U_g\|^2 = \sum_{(i, j) \in g} H_{jj} U_{ij}^2

    With single entries as units g it is an adaptive lasso for each output, with blocks an adaptive
    group lasso: what was large before is charged less, and so shrinks less. Alternating directions
    solve all outputs at once. The strength follows their iterates until as many units survive as
    may stay, and then rests until multipliers within the penalty's bounds certify the optimum. Of
    patterns such as 2:4 entries are the units, and each tile keeps the largest.

    Parameters
    ----------
    tol : float > 0, default 1e-3
        Allowed duality gap, relative to the objective of a layer without weights.
    ridge : float > 0, default 0.01
        r relative to the mean of the diagonal of H.
    power : float >= 0, default 1
        q; at 0 all units are charged alike, and supports are worse.
    rho : float > 0, default 1
        Of the alternating directions.
    steps : int, default 20
        While the strength is looked for.
    max_iter : int, default 300
        Steps with that strength, and steps of conjugate gradients at the end.

    Raises
    ------
    ValueError
        For settings out of their range.

    Notes
    -----
    The certificate is that of the convex problem. ``facts`` have its strength and the error of its
    own optimum, which the penalty has shrunk, before the best weights on its support are found.

    References
    ----------
    Aghasi, Abdi and Romberg (2020), Fast convex pruning of deep neural networks. Zou (2006), The
    adaptive lasso and its oracle properties.

    Examples
    --------
    >>> from gossamer.nn.language import InputStatistics
    >>> from gossamer.structures import Elements
    >>> seen = InputStatistics(8)
    >>> seen.add(torch.randn(50, 8) @ torch.randn(8, 8))
    >>> layer = Layer("fc", torch.randn(4, 8), seen, Elements(), 0.5)
    >>> solved = Lasso().solve(layer)
    >>> int(solved.mask.sum()), solved.certificate.holds
    (16, True)
    """

    tol: float = 1e-3
    ridge: float = 0.01
    power: float = 1.0
    rho: float = 1.0
    steps: int = 20
    max_iter: int = 300

    def __post_init__(self) -> None:
        check_settings(self, self.tol, self.ridge, steps=self.steps, max_iter=self.max_iter)
        check_positive(f"{type(self).__name__}: rho", self.rho)
        finite_number(self.power, f"{type(self).__name__}: power", 0.0)

    def solve(self, layer: Layer) -> Solved:
        problem = Quadratic.of(layer, self.ridge)
        convex = Penalised.of(problem, layer, self.power)
        alternation = Alternation(problem, problem.weight, self.rho)
        convex = self.priced(convex, alternation)
        shrunk, certificate = self.optimum(convex, alternation)
        # where fewer survive than may stay, those that would be next
        close = shrunk - problem.gradient(shrunk)
        mask = layer.mask(convex.shares(close).square())
        weight, _ = problem.reconstruct(shrunk * mask, mask, self.tol / 10, self.max_iter)
        error = layer.error(shrunk / problem.scales)
        facts = {"strength": convex.strength, "shrunk_error": error}
        return Solved(weight / problem.scales, mask, certificate, facts)

    def priced(self, convex: Penalised, alternation: Alternation) -> Penalised:
        """With the strength at which about as many units survive as may stay."""
        beyond = convex.layer.count + 1

        def nearest(target: Tensor) -> Tensor:
            nonlocal convex
            sizes = convex.sizes(target) / convex.weights
            least = float(nth_largest(sizes, beyond)) if beyond <= len(sizes) else 0.0
            convex = replace(convex, strength=least * self.rho)
            return convex.shrunk(target, self.rho)

        for _ in range(self.steps):
            alternation.step(nearest)
        return convex

    def optimum(self, convex: Penalised, alternation: Alternation) -> tuple[Tensor, Certificate]:
        """Of the convex problem, from where the iterates are."""
        for done in range(1, self.max_iter + 1):
            alternation.step(lambda target: convex.shrunk(target, self.rho))
            if done % _LOOK == 0 or done == self.max_iter:
                certificate = convex.certify(alternation.sparse, alternation.multipliers, self.tol)
                if certificate.holds:
                    break
        return alternation.sparse, certificate


_LOOK = 10  # steps between two certificates


@dataclass(frozen=True, eq=False)
class Penalised:
    """A layer's error plus the weighted sum of its units' sizes.

    Attributes
    ----------
    weights : (units,) tensor
    """

    problem: Quadratic
    layer: Layer
    weights: Tensor
    strength: float = 0.0

    @classmethod
    def of(cls, problem: Quadratic, layer: Layer, power: float) -> Penalised:
        """Weighted by the inverse of the sizes that units have, in the mean 1."""
        sizes = layer.sums(problem.weight.square()).sqrt()
        least = float(sizes.mean()) * _SMALL or 1.0
        weights = sizes.clamp(min=least).pow(-power)
        return cls(problem, layer, weights / weights.mean())

    def sizes(self, weight: Tensor) -> Tensor:
        """(units,)"""
        return self.layer.sums(weight.square()).sqrt()

    def shares(self, weight: Tensor) -> Tensor:
        """A weight relative to what its units are charged."""
        return weight / self.layer.spread(self.weights)

    def shrunk(self, target: Tensor, rho: float) -> Tensor:
        """The proximal operator of the penalty over rho: each unit nearer to zero."""
        sizes = self.sizes(target)
        sizes = sizes.clamp(min=torch.finfo(sizes.dtype).tiny)
        factors = (1 - self.strength / rho * self.weights / sizes).clamp(min=0)
        return target * self.layer.spread(factors)

    def certify(self, weight: Tensor, multipliers: Tensor, tol: float) -> Certificate:
        """Judge a weight by any multipliers, which are made as small as the penalty asks."""
        precise, weights = weight.double(), self.strength * self.weights.double()
        sizes = self.sizes(multipliers.double())
        factors = (weights / sizes.clamp(min=torch.finfo(sizes.dtype).tiny)).clamp(max=1)
        feasible = multipliers * self.layer.spread(factors)
        gradient = self.problem.gradient(precise)
        error = self.problem.objective(weight, gradient)
        objective = error + float(weights @ self.sizes(precise))
        violation = float((gradient + feasible).abs().max())
        gap = objective - self.problem.bound(feasible)
        return self.problem.judged(gap, violation, objective, weight != 0, tol)


_SMALL = 1e-3  # relative to the mean, the least size that a unit is charged by
