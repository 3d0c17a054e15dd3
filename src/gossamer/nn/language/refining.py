"""Refining: what stays of a block is trained until the block does what the dense model does."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gossamer.nn.language.architectures import is_transposed, matrix_of
from gossamer.nn.language.journal import Done
from gossamer.nn.language.quantisation import Quantised
from gossamer.nn.language.stream import Stream, converted, hidden_of


@dataclass(frozen=True)
class BlockTuning:
    r"""Trains the living weights of each block by themselves.

    .. math:: \min_U \; \frac1n \sum_t
        \frac{\|\mathrm{block}_U(h_t) - y_t\|^2}{\|y_t\|^2}, \qquad U \text{ within its mask},

    where h are the hidden states that the sparse blocks before give and y those that the dense
    model has after the block, so that the block makes up for what earlier ones changed. By Adam,
    with steps that fall as a half cosine. Weights that are rounded are trained through the
    rounding, whose gradient is taken as one.

    Parameters
    ----------
    epochs : int >= 1, default 4
        Passes over the calibration text.
    lr : float > 0, default 0.02
        The first step size, relative to the root mean square of each layer's weights, which differs
        much between models.
    seed : int, default 0
        Of the order of batches.

    References
    ----------
    Zeng, Liu, Yang, Chen, Mei and Fu (2025), GQSA: group quantization and sparsity for accelerating
    large language model inference: the first of its two stages. Guo, Wu, Wang, Liu, Yang, Shi and
    Wang (2024), EBFT: effective and block-wise fine-tuning for sparse LLMs.
    """

    epochs: int = 4
    lr: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.epochs, bool) or not isinstance(self.epochs, int) or self.epochs < 1:
            raise ValueError(f"epochs must be an integer >= 1, got {self.epochs!r}.")
        if not self.lr > 0:
            raise ValueError(f"lr must be > 0, got {self.lr!r}.")

    def tune(
        self, block: nn.Module, prefix: str, done: Done, stream: Stream, turn: int, targets: Tensor
    ) -> float:
        """Train a block's weights, and put them and their codes in place.

        Returns the relative error of its outputs over the last epoch.
        """
        work = copy.deepcopy(block).float().requires_grad_(False)
        weights = {
            name.removeprefix(prefix).removesuffix(".weight"): _Weight.of(name, prefix, work, done)
            for name in done.masks
        }
        rows = list(stream.batches(stream.states(turn)))
        steps = self.epochs * len(rows)
        optimiser = torch.optim.Adam([
            {"params": [weight.value], "lr": self.lr * weight.size} for weight in weights.values()
        ])  # fmt: skip
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        generator = torch.Generator().manual_seed(self.seed)
        errors: list[float] = []
        with torch.enable_grad():
            for _ in range(self.epochs):
                for at in torch.randperm(len(rows), generator=generator).tolist():
                    place, hidden = rows[at]
                    outputs = self._run(work, weights, hidden, stream)
                    wanted = targets[place].to(outputs)
                    error = _relative(outputs, wanted)
                    optimiser.zero_grad()
                    error.backward()
                    optimiser.step()
                    falling.step()
                    errors.append(float(error.detach()))
        for name, weight in weights.items():
            full, quantised = f"{prefix}{name}", weight.finished()
            if quantised is not None:
                done.quantised[full] = quantised
            with torch.no_grad():
                matrix_of(block.get_submodule(name)).copy_(weight())
        return float(torch.tensor(errors[-len(rows) :]).mean().sqrt())

    def _run(
        self, work: nn.Module, weights: Mapping[str, _Weight], hidden: Tensor, stream: Stream
    ) -> Tensor:
        args, kwargs = converted(stream.arguments(len(hidden)), _single)
        tensors = {
            f"{name}.weight": weight().T if weight.transposed else weight()
            for name, weight in weights.items()
        }
        with _precision(hidden):
            return hidden_of(
                functional_call(work, tensors, (hidden.to(stream.device).float(), *args), kwargs)
            ).float()


def _relative(outputs: Tensor, wanted: Tensor) -> Tensor:
    """The mean over tokens of the squared error relative to the squared size."""
    sizes = wanted.square().sum(-1).clamp(min=1e-12)
    return ((outputs - wanted).square().sum(-1) / sizes).mean()


def _precision(hidden: Tensor) -> AbstractContextManager[Any]:
    """Products in the model's own type where it is coarser than single precision."""
    if hidden.dtype in (torch.bfloat16, torch.float16):
        return torch.autocast(hidden.device.type, hidden.dtype)
    return nullcontext()


def _single(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


class _Weight:
    """One layer's weight (outputs, inputs) in training."""

    def __init__(
        self, value: Tensor, mask: Tensor, quantised: Quantised | None, transposed: bool
    ) -> None:
        self.value = value.clone().contiguous().requires_grad_(True)
        self.mask, self.quantised, self.transposed = mask, quantised, transposed
        self.size = float(value[mask].square().mean().sqrt()) if bool(mask.any()) else 0.0

    @classmethod
    def of(cls, name: str, prefix: str, work: nn.Module, done: Done) -> _Weight:
        path = name.removesuffix(".weight")
        layer = work.get_submodule(path.removeprefix(prefix))
        mask, transposed = done.masks[name], is_transposed(layer)
        value = matrix_of(layer)
        mask = (mask.T if transposed else mask).to(value.device)
        return cls(value, mask, done.quantised.get(path), transposed)

    def __call__(self) -> Tensor:
        if self.quantised is None:
            return self.value * self.mask
        quantiser = self.quantised.quantiser
        return quantiser.smooth(self.value, quantiser.grid(self.value)) * self.mask

    def finished(self) -> Quantised | None:
        if self.quantised is None:
            return None
        quantiser, value = self.quantised.quantiser, self.value.detach()
        grid = quantiser.grid(value)
        return Quantised(quantiser, grid, quantiser.codes(value, grid), self.mask)
