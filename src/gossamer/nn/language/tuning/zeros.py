"""Zeros of pruned weights, kept under the adapters of peft."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gossamer.nn.language.tuning.remade import remade_linear
from gossamer.nn.pruning.masks import Masks


def keep_zeros(model: nn.Module) -> Masks:
    r"""Keep the zeros of pruned weights under a peft model's adapters, through every merge.

    Where LoRA stands on a linear layer, the model computes with

    .. math:: W + M \\circ \\Delta

    from now on, M being one where W is not zero: what trains is what ``merge_and_unload()``,
    ``merge_adapter()`` and saving afterwards put into the weights, to rounding. The weight of the
    change is made in both passes and kept in neither. Of all other adapters the merged weights
    get their zeros back, which is not quite what trained; a warning names such layers, unless the
    adapter only rescales, as IA3 does.

    Parameters
    ----------
    model : nn.Module
        A ``PeftModel``, or a model into which adapters were injected, not merged, on a pruned base.

    Returns
    -------
    Masks
        Of the base weights under adapters; they can be printed.

    Raises
    ------
    ValueError
        For a model without peft's adapters, and with merged ones.

    References
    ----------
    Munoz, Yuan and Jain (2024), SQFT: Low-cost model adaptation in low-precision sparse foundation
    models, masks the change of LoRA so in training.

    Examples
    --------
    .. code-block:: python

        tuned = get_peft_model(pruned, LoraConfig(r=8, target_modules="all-linear"))
        gs.nn.language.keep_zeros(tuned)
        gs.nn.language.fine_tune(tuned, batches, steps=100)  # or any trainer
        sparse = tuned.merge_and_unload()
    """
    layers = dict(_adapted(model))
    if not layers:
        raise ValueError("model has no adapters of peft on weights: get_peft_model() comes first.")
    if any(layer.merged for layer in layers.values()):
        raise ValueError("model has merged adapters: unmerge_adapter() first.")
    odd = []
    for name, layer in layers.items():
        is_masked = _is_plain_lora(layer)
        if not (is_masked or "ia3_l" in layer.adapter_layer_names):
            odd.append(name)
        layer.register_buffer(
            "alive", layer.get_base_layer().weight.detach() != 0, persistent=False
        )
        keeps = _MaskedLoRA if is_masked else _ZerosKept
        layer.__class__ = type(f"ZeroKeeping{type(layer).__name__}", (keeps, type(layer)), {})
    if odd:
        warnings.warn(
            f"keep_zeros: the adapters of {odd[:3]} can be masked at the merge only; what is "
            "merged is not quite what trains.",
            stacklevel=2,
        )
    return Masks(model, {each.get_base_layer().weight: each.alive for each in layers.values()})


def _adapted(model: nn.Module) -> Iterator[tuple[str, Any]]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in model.named_modules():
        if isinstance(module, BaseTunerLayer) and not isinstance(module, _ZerosKept):
            weight = getattr(module.get_base_layer(), "weight", None)
            if isinstance(weight, nn.Parameter) and hasattr(module, "merge"):
                yield name, module


def _is_plain_lora(layer: Any) -> bool:
    """Whether the outputs are those of the weight plus what ``get_delta_weight`` gives."""
    from peft.tuners import lora

    is_linear = isinstance(layer, lora.Linear) and not layer.lora_variant
    return is_linear and not any(layer.lora_bias.values())


class _ZerosKept:
    """Mixed into a layer of peft: its base weight keeps its zeros."""

    alive: Tensor
    get_base_layer: Any

    def merge(self, *args: Any, **named: Any) -> None:
        super().merge(*args, **named)  # type: ignore[misc]
        self._kill_()

    def unmerge(self, *args: Any, **named: Any) -> None:
        super().unmerge(*args, **named)  # type: ignore[misc]
        self._kill_()

    @torch.no_grad()
    def _kill_(self) -> None:
        self.get_base_layer().weight.masked_fill_(~self.alive, 0)


class _MaskedLoRA(_ZerosKept):
    """Mixed into LoRA on a linear layer: the change is masked in training as at the merge."""

    def get_delta_weight(self, adapter: str) -> Tensor:
        change: Tensor = super().get_delta_weight(adapter)  # type: ignore[misc]
        return change * self.alive

    def forward(self: Any, inputs: Tensor, *args: Any, **named: Any) -> Tensor:
        if self.disable_adapters or self.merged:
            outputs: Tensor = super().forward(inputs, *args, **named)  # type: ignore[misc]
            return outputs
        if args or named:
            raise ValueError("keep_zeros: one adapter is used for a whole batch, no adapter_names.")
        outputs = self.get_base_layer()(inputs)
        for adapter in self.active_adapters:
            if adapter in self.lora_A:
                outputs = outputs + remade_linear(
                    self.lora_dropout[adapter](inputs),
                    partial(self._change, adapter),
                    (self.lora_A[adapter].weight, self.lora_B[adapter].weight),
                )
        return outputs

    def _change(self: Any, adapter: str) -> Tensor:
        """Of the weight (outputs, inputs), of its type."""
        change = self.get_delta_weight(adapter).to(self.get_base_layer().weight.dtype)
        return change.t() if self.fan_in_fan_out else change
