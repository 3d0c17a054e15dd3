"""Rectifying: activations that are zero wherever they are not large, in place of smooth ones."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

_CLASSES = (
    nn.SiLU, nn.GELU, nn.ReLU, nn.Mish, nn.Softplus, nn.ELU, nn.LeakyReLU, nn.Hardswish,
)  # fmt: skip


class Rectifier(nn.Module):
    """FATReLU: ``x`` where it is above a threshold, and zero elsewhere; a ReLU at threshold 0.

    References
    ----------
    Kurtz et al., "Inducing and Exploiting Activation Sparsity for Fast Neural Network Inference"
    (ICML 2020).

    Examples
    --------
    >>> Rectifier(0.5)(torch.tensor([-1.0, 0.2, 3.0]))
    tensor([0., 0., 3.])
    """

    threshold: Tensor

    def __init__(self, threshold: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("threshold", torch.tensor(float(threshold)))

    def forward(self, x: Tensor) -> Tensor:
        """x with zeros."""
        return x.masked_fill(x <= self.threshold, 0.0)

    def extra_repr(self) -> str:
        """Above what something stays."""
        return f"threshold={float(self.threshold):g}"


def rectify(
    model: nn.Module, on: str | Sequence[str] | None = None
) -> dict[str, tuple[nn.Module, Rectifier]]:
    """Put rectifiers in the places of a model's activation functions.

    Parameters
    ----------
    model : nn.Module
        Changed in place. Its activation functions must be modules, as they are in Hugging Face's
        transformers.
    on : pattern or patterns of module names, default all activation functions

    Returns
    -------
    dict
        By the name of each place, what was there and what is.

    Raises
    ------
    ValueError
        For a model without such modules, and patterns that fit none.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(2, 4), nn.GELU(), nn.Linear(4, 1))
    >>> list(rectify(model)), model[1]
    (['1'], Rectifier(threshold=0))
    """
    patterns = (on,) if isinstance(on, str) else on
    places = {
        name: module
        for name, module in model.named_modules(remove_duplicate=False)
        if name
        and (
            _is_activation(module)
            if patterns is None
            else any(fnmatchcase(name, pattern) for pattern in patterns)
        )
    }
    if not places:
        raise ValueError(
            f"on: {on!r} fits no module. "
            if patterns
            else "The model has no activation function "
            "that is a module: make it one, such as nn.SiLU(), or name those that are by on=."
        )
    made = {module: Rectifier().train(module.training) for module in places.values()}
    for name, module in places.items():
        put(model, name, made[module])
    return {name: (module, made[module]) for name, module in places.items()}


def put(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module into the place of that name."""
    parent, _, leaf = name.rpartition(".")
    model.get_submodule(parent)._modules[leaf] = module


def _is_activation(module: nn.Module) -> bool:
    return isinstance(module, _CLASSES) or type(module).__module__ == "transformers.activations"
