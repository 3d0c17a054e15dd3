"""Smooth: the convex problem of the lasso without its kinks, by products of factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gossamer.core.factorisation import Factorisation
from gossamer.core.result import Certificate
from gossamer.nn.language.alternation import Alternation
from gossamer.nn.language.method import METHODS
from gossamer.nn.language.methods.lasso import Lasso, Penalised
from gossamer.penalties import L1
from gossamer.structures import Elements


@METHODS.register
@dataclass
class Smooth(Lasso):
    r"""The problem of :class:`Lasso`, solved by descent on factors of the weight.

    .. math:: \min_{A, B} f(A \odot B) + \tfrac{\lambda}{2} \sum_g c_g
        \left( \|A_g\|^2 + b_g^2 \right)

    A ridge on the factors A of the entries and gates b of the units is the penalty of their product
    at its least: the minima are those of the lasso, and nothing has a kink. L-BFGS finds them from
    dense weights, and the certificate of the lasso judges what it finds. The strength is looked for
    as there.

    Parameters
    ----------
    tol, ridge, power, rho, steps
        As of :class:`Lasso`.
    max_iter : int, default 300
        Steps of L-BFGS, and of conjugate gradients at the end.

    Raises
    ------
    ValueError
        For settings out of their range.

    References
    ----------
    Hoff (2017), Lasso, fractional norm and structured sparse estimation using a Hadamard product
    parametrization. Kolb, Mueller, Bischl and Ruegamer (2023), Smoothing the edges.

    Examples
    --------
    >>> from gossamer.nn.language import InputStatistics, Layer
    >>> seen = InputStatistics(8)
    >>> seen.add(torch.randn(50, 8) @ torch.randn(8, 8))
    >>> layer = Layer("fc", torch.randn(4, 8), seen, Elements(), 0.5)
    >>> solved = Smooth().solve(layer)
    >>> int(solved.mask.sum()), solved.certificate.holds
    (16, True)
    """

    history: ClassVar[int] = 20

    def optimum(self, convex: Penalised, alternation: Alternation) -> tuple[Tensor, Certificate]:
        """Of the convex problem, from dense weights."""
        problem = convex.problem
        form = smooth_form(convex)
        start = form.start(problem.weight.double().cpu().numpy())
        factors = [torch.as_tensor(factor).to(problem.weight).requires_grad_() for factor in start]
        optimiser = torch.optim.LBFGS(
            factors,
            max_iter=_LOOK,
            history_size=self.history,
            tolerance_grad=0,
            tolerance_change=0,
            line_search_fn="strong_wolfe",
        )

        def loss() -> Tensor:
            optimiser.zero_grad()
            off = form.expand(tuple(factors)) - problem.weight
            error = 0.5 * ((off @ problem.hessian) * off).sum()
            value: Tensor = error + form.penalty(tuple(factors))
            value.backward()
            return value

        for _ in range(-(-self.max_iter // _LOOK)):
            optimiser.step(loss)
            weight: Tensor = form.expand(tuple(factors)).detach()
            certificate = convex.certify(weight, -problem.gradient(weight), self.tol)
            if certificate.holds:
                break
        return weight, certificate


_LOOK = 20  # steps between two certificates


def smooth_form(convex: Penalised) -> Factorisation:
    """Of the penalty; entries are its units where a pattern counts them."""
    layer = convex.layer
    on = layer.structure if layer.part.quota is None else Elements()
    weights = convex.weights.double().cpu().numpy()
    form = L1(convex.strength, on=on, weights=weights).factorise(tuple(layer.weight.shape))
    assert form is not None
    return form
