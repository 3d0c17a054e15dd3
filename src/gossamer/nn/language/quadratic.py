"""The layer's error as a quadratic function of its weight, for inputs scaled to size 1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from gossamer.core.result import Certificate
from gossamer.core.validation import finite_number
from gossamer.nn.language.layer import Layer


@dataclass(eq=False)
class Quadratic:
    r"""The error of a layer's outputs, with a ridge that draws weights to those they had.

    .. math:: f(U) = \tfrac12 \operatorname{tr} (W - U) H (W - U)^\top

    Attributes
    ----------
    weight : (m, p) float32 tensor
        W, each column times its scale.
    hessian : (p, p) float32 tensor
        H with the ridge, divided by the scales of rows and columns: 1 on the diagonal, so that one
        step size fits all inputs.
    scales : (p,) float32 tensor
        Root of the diagonal of H.
    """

    weight: Tensor
    hessian: Tensor
    scales: Tensor

    @classmethod
    def of(cls, layer: Layer, ridge: float) -> Quadratic:
        """The problem of a layer; the ridge is relative to the mean of the diagonal of H."""
        hessian = layer.hessian.clone()
        diagonal = hessian.diagonal()
        size = float(diagonal.mean())
        diagonal.add_(ridge * size if size > 0 else 1.0)
        scales = diagonal.sqrt()
        hessian = hessian / scales / scales[:, None]
        return cls(layer.weight * scales, hessian, scales)

    def gradient(self, weight: Tensor) -> Tensor:
        """(m, p), in the precision of the argument."""
        return (weight - self.weight) @ self.hessian.to(weight)

    def inverse(self, shift: float) -> Tensor:
        """(p, p) inverse of H + shift I."""
        shifted = self.hessian.clone()
        shifted.diagonal().add_(shift)
        return torch.cholesky_inverse(torch.linalg.cholesky(shifted))

    @cached_property
    def factor(self) -> Tensor:
        """(p, p) lower Cholesky factor of H, in float64."""
        return torch.linalg.cholesky(self.hessian.double())

    def objective(self, weight: Tensor, gradient: Tensor | None = None) -> float:
        """f(U), in float64; the gradient there in float64, where it is known, saves a product."""
        precise = weight.double()
        gradient = self.gradient(precise) if gradient is None else gradient
        return 0.5 * float(((precise - self.weight) * gradient).sum())

    @cached_property
    def null_objective(self) -> float:
        """Of a layer without weights."""
        return self.objective(torch.zeros_like(self.weight))

    def bound(self, multipliers: Tensor) -> float:
        r"""The least of f(U) + <Y, U> over all U, in float64.

        .. math:: \langle Y, W \rangle - \tfrac12 \operatorname{tr} Y H^{-1} Y^\top
        """
        precise = multipliers.double()
        below = torch.linalg.solve_triangular(self.factor, precise.T, upper=False)
        return float((precise * self.weight).sum() - 0.5 * below.square().sum())

    def certify(self, weight: Tensor, mask: Tensor, tol: float) -> Certificate:
        r"""How far above the best weights of a support these are.

        Multipliers that are free outside of the support and zero on it bound the optimum from
        below, and minus the gradient outside of the support is near the best of them.
        """
        gradient = self.gradient(weight.double())
        objective = self.objective(weight, gradient)
        gap = objective - self.bound(-gradient * ~mask)
        return self.judged(gap, float((gradient * mask).abs().max()), objective, mask, tol)

    def judged(
        self, gap: float, violation: float, objective: float, mask: Tensor, tol: float
    ) -> Certificate:
        """A gap relative to the objective of a layer without weights."""
        null = self.null_objective
        gap, support = max(gap, 0.0), np.flatnonzero(mask.cpu().numpy())
        value = gap / null if null > 0 else 0.0
        return Certificate(value, tol, "global", gap, violation, objective, null, support)

    def descend(self, weight: Tensor, mask: Tensor) -> Iterator[Tensor]:
        """Weights ever nearer to the best ones of the support, by conjugate gradients.

        All outputs at once: each has its own step, and a product with H is one for all.
        """
        residual = -self.gradient(weight) * mask
        direction, size = residual, residual.square().sum(1, keepdim=True)
        tiny = torch.finfo(size.dtype).tiny
        while True:
            image = (direction @ self.hessian) * mask
            step = size / (direction * image).sum(1, keepdim=True).clamp(min=tiny)
            weight = weight + step * direction
            residual = residual - step * image
            before, size = size, residual.square().sum(1, keepdim=True)
            direction = residual + size / before.clamp(min=tiny) * direction
            yield weight

    def reconstruct(
        self, weight: Tensor, mask: Tensor, tol: float, max_iter: int
    ) -> tuple[Tensor, Certificate]:
        """The best weights of a support, from others on it, as near as the certificate asks."""
        certificate = self.certify(weight, mask, tol)
        done = 0
        for done, better in enumerate(self.descend(weight, mask), start=1):
            if done > max_iter or certificate.holds:
                break
            weight = better
            if done % _LOOK == 0 or done == max_iter:
                certificate = self.certify(weight, mask, tol)
        return weight, certificate


_LOOK = 10  # iterations between two certificates, which cost about four


def check_settings(method: object, tol: float, ridge: float, **counts: int) -> None:
    """Refuse settings that make no sense, by the name of the method."""
    name = type(method).__name__
    check_positive(f"{name}: tol", tol)
    # few tokens, too, then say what each weight should be
    check_positive(f"{name}: ridge", ridge)
    for what, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"{name}: {what} must be an integer >= 1, got {count!r}.")


def check_positive(name: str, value: float) -> None:
    """Refuse what is no finite number above 0."""
    if finite_number(value, name) <= 0:
        raise ValueError(f"{name} must be > 0, got {value!r}.")
