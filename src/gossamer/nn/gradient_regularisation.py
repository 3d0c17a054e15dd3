"""Gradient regularisation: a penalty on the size of the gradient, by finite differences."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

import torch
from torch import Tensor, nn


class GradientRegularisation:
    r"""Gradients of a loss with a penalty on its own gradient's size.

    Minimises ``L(w) + strength / 2 * |grad L(w)|^2``, which prefers flat minima and, in networks
    whose layers multiply, sparse ones. The penalty's gradient is a Hessian times the gradient;
    it is taken as a difference of two gradients, so that a step costs two plain backward passes:

        grad L(w) + strength * (grad L(w + epsilon grad L(w)) - grad L(w)) / epsilon

    As ``epsilon`` goes to zero this is the exact gradient. A large ``epsilon > 0`` (an ascent
    step) is more than an approximation: it strengthens the bias towards sparse solutions, where
    ``epsilon < 0`` (a descent step) weakens it. With ``strength == epsilon`` the step is that of
    sharpness-aware minimisation without normalisation: the gradient at the ascended point.

    Parameters
    ----------
    model : torch.nn.Module
        Its parameters that require gradients are regularised.
    strength : float >= 0
        Of the penalty, in the unit of a step size. It raises a curvature c to
        ``c (1 + strength c)``: steps that were near the edge of stability must become smaller.
    epsilon : float, default 0.05
        Step of the finite difference along the gradient, positive for ascent, negative for
        descent. Far below 1e-4 rounding in single precision takes over.

    Raises
    ------
    ValueError, TypeError
        For a strength below zero, an epsilon of zero, or a model without trainable parameters.

    References
    ----------
    Karakida, Takase, Hayase and Osawa (2023), Understanding gradient regularization in deep
    learning: efficient finite-difference computation and implicit bias.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> _ = model.weight.data.fill_(1.0)
    >>> regularised = GradientRegularisation(model, strength=0.5)
    >>> loss = regularised.backward(lambda: (model.weight**2).sum())
    >>> loss.item(), model.weight.grad.item()  # 2 w + 0.5 * (2 * 2 w)
    (1.0, 4.0)
    """

    def __init__(self, model: nn.Module, strength: float, epsilon: float = 0.05) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}.")
        if not (isfinite(strength) and strength >= 0):
            raise ValueError(f"strength must be a finite number >= 0, got {strength!r}.")
        if not isfinite(epsilon) or epsilon == 0:
            raise ValueError(
                f"epsilon must be a finite number other than zero, got {epsilon!r}; positive "
                "steps along the gradient (ascent), negative against it (descent)."
            )
        self.model, self.strength, self.epsilon = model, float(strength), float(epsilon)
        if not self._parameters():
            raise ValueError("model has no parameter that requires a gradient.")

    def backward(self, closure: Callable[[], Tensor]) -> Tensor:
        """Add the regularised gradient to every parameter's ``grad``; return the loss.

        Takes the place of ``loss.backward()``, between ``optimiser.zero_grad()`` and
        ``optimiser.step()``, with any optimiser.

        Parameters
        ----------
        closure : callable
            Computes the loss of the current batch, a scalar tensor; it is called twice, with the
            same random numbers (dropout drops the same units). What the second call writes into
            buffers (running statistics of normalisation layers) is undone.

        Returns
        -------
        Tensor
            The loss at the parameters, without penalty and detached.
        """
        parameters = self._parameters()
        cuda = {p.device.index for p in parameters if p.device.type == "cuda"}
        with torch.random.fork_rng(devices=sorted(cuda)):
            loss, gradient = _loss_and_gradient(closure, parameters)
        moved = self._gradient_ahead(closure, parameters, gradient)
        share = self.strength / self.epsilon
        for parameter, here, ahead in zip(parameters, gradient, moved, strict=True):
            total = here + share * (ahead - here)
            parameter.grad = total if parameter.grad is None else parameter.grad + total
        return loss

    def _parameters(self) -> list[nn.Parameter]:
        return [p for p in self.model.parameters() if p.requires_grad]

    def _gradient_ahead(
        self, closure: Callable[[], Tensor], parameters: list[nn.Parameter], gradient: list[Tensor]
    ) -> list[Tensor]:
        """The gradient at ``w + epsilon * gradient``; model as it was, to the last bit."""
        changed = [*parameters, *self.model.buffers()]
        before = [tensor.detach().clone() for tensor in changed]
        try:
            with torch.no_grad():
                for parameter, direction in zip(parameters, gradient, strict=True):
                    parameter.add_(direction, alpha=self.epsilon)
            return _loss_and_gradient(closure, parameters)[1]
        finally:
            with torch.no_grad():
                for tensor, value in zip(changed, before, strict=True):
                    tensor.copy_(value)

    def __repr__(self) -> str:
        return f"GradientRegularisation(strength={self.strength}, epsilon={self.epsilon})"


def _loss_and_gradient(
    closure: Callable[[], Tensor], parameters: list[nn.Parameter]
) -> tuple[Tensor, list[Tensor]]:
    with torch.enable_grad():
        loss = closure()
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        raise TypeError("closure must return the loss as a tensor with one number.")
    if not loss.requires_grad:
        raise ValueError(
            "closure returned a loss without a graph: compute it from the model's parameters, "
            "and leave backward() to GradientRegularisation."
        )
    gradient = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    return loss.detach(), list(gradient)
