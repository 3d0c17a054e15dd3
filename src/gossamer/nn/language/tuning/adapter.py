"""Adapters: trainable changes of frozen layers, put into the weights in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gossamer.nn.language.architectures import is_linear
from gossamer.nn.rules import Key, match

On = str | type[nn.Module] | Callable[[str, nn.Module], bool] | Mapping[Key, bool | None]


class Adapted(nn.Module):
    """A frozen layer and the trainable change of it, in the layer's place.

    A subclass registers its parameters beside ``layer`` and gives :meth:`forward` and
    :meth:`changed_weight`.

    Parameters
    ----------
    layer : nn.Module
        Linear, or ``Conv1D`` of transformers, whose weight is (inputs, outputs).
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, inputs: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} needs forward().")

    def changed_weight(self) -> Tensor:
        """The weight with the change in it, of the layout and type of the layer's."""
        raise NotImplementedError(f"{type(self).__name__} needs changed_weight().")

    @torch.no_grad()
    def merge_(self) -> None:
        """Put the change into the layer."""
        self.layer.weight.copy_(self.changed_weight())

    def own(self) -> dict[str, nn.Parameter]:
        """What is trained, by name."""
        frozen = {id(parameter) for parameter in self.layer.parameters()}
        return {name: p for name, p in self.named_parameters() if id(p) not in frozen}

    @property
    def weight(self) -> Tensor:
        """With the change: PyTorch's attention and encoder layers read it past :meth:`forward`."""
        return self.changed_weight()

    @property
    def bias(self) -> nn.Parameter | None:
        """Of the layer."""
        bias: nn.Parameter | None = self.layer.bias
        return bias


class Adapter:
    """A trainable change of some layers of a model, all else being frozen.

    Making one attaches it: every layer stands behind a module with a few parameters of its own,
    which are the only ones that train. A subclass sets what it needs, calls this constructor and
    says in :meth:`adapt` what stands in a layer's place; it registers in ``ADAPTERS``.

    Parameters
    ----------
    model : nn.Module
        Changed in place: adapted, and frozen but for the adapter.
    on : pattern of layers' names, class, callable or mapping of such to True or None, default "*"
        Which linear layers are adapted, as rules of :func:`gossamer.nn.rules.match`. A weight that
        another layer shares, such as an output layer's with the embedding, is left alone.

    Attributes
    ----------
    model : nn.Module
    layers : dict from layers' names to Adapted

    Raises
    ------
    TypeError
        For a model that is no module.
    ValueError
        Where ``on`` selects no linear layer, and for a model that an adapter is on.
    """

    def __init__(self, model: nn.Module, on: On = "*") -> None:
        if isinstance(model, nn.Module) and any(isinstance(m, Adapted) for m in model.modules()):
            raise ValueError("model has an adapter already: merge() or remove() that first.")
        self.model = model
        found = linear_layers(model, on)
        self._trained_before = {p: p.requires_grad for p in model.parameters()}
        model.requires_grad_(False)
        self.layers = {name: self.adapt(name, layer) for name, layer in found.items()}
        self._swap({self.layers[name].layer: self.layers[name] for name in self.layers})
        self._is_on = True

    def adapt(self, name: str, layer: nn.Module) -> Adapted:
        """What stands in the place of a layer; at first it does what the layer does."""
        raise NotImplementedError(f"{type(self).__name__} needs adapt().")

    def at(self, progress: float) -> None:
        """Called before each step of a training, with the share of its steps that are done."""

    def hold(self, optimiser: Optimizer) -> Any:
        """Called with the optimiser of a training: what acts after its steps, until ``remove()``.

        Nothing, unless a subclass has something.
        """
        return None

    def parameters(self) -> list[nn.Parameter]:
        """What is trained."""
        return list(self._named().values())

    @property
    def trained(self) -> int:
        """How many entries are trained."""
        return sum(parameter.numel() for parameter in self.parameters())

    def merge(self) -> nn.Module:
        """Put the change into the weights; the model is as it was made, of plain layers."""
        self._require_on()
        for adapted in self.layers.values():
            adapted.merge_()
        return self.remove()

    def remove(self) -> nn.Module:
        """Take the adapter off without its change; what trained before does so again."""
        self._require_on()
        self._swap({adapted: adapted.layer for adapted in self.layers.values()})
        for parameter, flag in self._trained_before.items():
            parameter.requires_grad_(flag)
        self._is_on = False
        return self.model

    def state_dict(self) -> dict[str, Tensor]:
        """The change alone."""
        return {name: parameter.detach().clone() for name, parameter in self._named().items()}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over the change of another training.

        Raises
        ------
        ValueError
            Where names or shapes are not those of this adapter.
        """
        known = self._named()
        odd = sorted(set(state) ^ set(known)) or [
            name for name, value in state.items() if value.shape != known[name].shape
        ]
        if odd:
            raise ValueError(f"The state is of another adapter: {odd[:3]} do not match.")
        for name, value in state.items():
            known[name].copy_(value)

    def __repr__(self) -> str:
        total = sum(p.numel() for p in self._trained_before)
        return (
            f"{type(self).__name__}({len(self.layers)} layers, {self.trained:,} trained entries, "
            f"{self.trained / total:.2%} of the model's)"
        )

    def _named(self) -> dict[str, nn.Parameter]:
        return {
            f"{name}.{own}": parameter
            for name, adapted in self.layers.items()
            for own, parameter in adapted.own().items()
        }

    def _swap(self, others: Mapping[Any, nn.Module]) -> None:
        """Put modules in the places of others, wherever these stand."""
        for parent in list(self.model.modules()):
            if isinstance(parent, Adapted):
                continue
            for name, child in parent._modules.items():
                if child is not None and child in others:
                    parent._modules[name] = others[child].train(child.training)

    def _require_on(self) -> None:
        if not self._is_on:
            raise ValueError("The adapter is off the model already: make a new one.")


def linear_layers(model: nn.Module, on: On = "*") -> dict[str, Any]:
    """The linear layers that rules select and whose weights nothing shares, by name."""
    rules = on if isinstance(on, Mapping) else {on: True}
    flags = _flags(model)
    try:
        for parameter in flags:
            parameter.requires_grad_(True)  # what is frozen already can be adapted all the same
        found = match(model, rules, bool, '{"*.mlp.*": True}')
    finally:
        for parameter, flag in flags.items():
            parameter.requires_grad_(flag)
    layers = {
        each.name.removesuffix(".weight"): each.module
        for each in found
        if each.penalty and is_linear(each.module) and each.tensor_name == "weight"
        if all(module is each.module for _, module, _ in each.tied)
    }
    if not layers:
        raise ValueError(f"on={on!r} selects no linear layer with a weight of its own.")
    if "weight" in layers:
        raise ValueError("model is a linear layer itself: put it into nn.Sequential(...).")
    return layers


def _flags(model: Any) -> dict[nn.Parameter, bool]:
    parameters: Iterator[nn.Parameter] = (
        model.parameters() if isinstance(model, nn.Module) else iter(())
    )
    return {p: p.requires_grad for p in parameters if p.is_floating_point()}
