"""Multiply-accumulate operations of a network, module by module."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from gossamer.nn.channels import evaluating, positional


def _attention_flops(query: Any, key: Any, value: Any, *args: Any, **named: Any) -> int:
    return int(sdpa_flop_count(query, key, value))


# The processor's fused attention is missing in PyTorch's own table.
_ATTENTION = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}


def count_macs(model: nn.Module, example_inputs: Tensor | Sequence[Any]) -> dict[str, int]:
    """Multiply-accumulate operations that each module does itself, without its children.

    Matrix products, convolutions and attention count; what works entry by entry, such as
    activations, normalisation and pooling, does not, nor do recurrent layers. A FLOP count in the
    papers' sense is twice this. A module that is called twice counts twice. Sparse layers, compiled
    or trained, count what they store: a module that multiplies by other means than torch's has a
    method ``own_macs(output)``, which says what the call that gave ``output`` took.

    Parameters
    ----------
    model : nn.Module
        Run once, in evaluation mode; left as it is.
    example_inputs : tensor, or sequence of the forward method's positional arguments
        Everything is counted for this batch.

    Returns
    -------
    dict from the module's name to its operations, the model itself being ``""``; modules that do
    none are left out.

    Examples
    --------
    >>> from gossamer.nn.models import LeNet300
    >>> count_macs(LeNet300(), torch.zeros(1, 784))
    {'fc1': 235200, 'fc2': 30000, 'fc3': 1000}
    """
    inputs = positional(example_inputs)
    counter = FlopCounterMode(display=False, custom_mapping=_ATTENTION)
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # its one fused operator is not counted
    try:
        with evaluating(model), torch.no_grad(), _said_by_modules(model) as said, counter:
            model(*inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    totals = {
        name.partition(".")[2]: sum(flops.values()) // 2
        for name, flops in counter.get_flop_counts().items()
        if name != "Global"
    }
    own = dict(totals)
    for name, total in totals.items():
        if name:
            own[_caller(name, totals)] -= total
    return {name: macs for name, macs in (own | said).items() if macs}


@contextmanager
def _said_by_modules(model: nn.Module) -> Iterator[Counter[str]]:
    """The operations of the modules that say it themselves, by name."""
    said: Counter[str] = Counter()

    def note(name: str) -> Any:
        def hook(module: Any, inputs: Any, output: Tensor) -> None:
            said[name] += module.own_macs(output)

        return hook

    handles = [
        module.register_forward_hook(note(name))
        for name, module in model.named_modules()
        if _says_macs(module)
    ]
    try:
        yield said
    finally:
        for handle in handles:
            handle.remove()


def _says_macs(module: nn.Module) -> bool:
    return callable(getattr(module, "own_macs", None))


def _caller(name: str, called: Mapping[str, int]) -> str:
    """The nearest module around one that is called itself, as a list of modules is not."""
    name = name.rpartition(".")[0]
    while name and name not in called:
        name = name.rpartition(".")[0]
    return name


def uses(model: nn.Module, example_inputs: Tensor | Sequence[Any]) -> dict[str, float]:
    """How often an entry of each layer's weight is multiplied, for ``sparsify(costs=...)``.

    With these costs a budget of ``keep=0.3`` is one of multiplications, not of parameters: an
    entry of an early filter is used at every pixel. Of attention, its projections share all that
    it multiplies, and so do the parameters of two axes or more of a module that has none of the
    name ``weight``; recurrent layers and embeddings are not there. A tied weight is there under
    each name of a layer that multiplies by it: its uses are their sum.

    Examples
    --------
    >>> from gossamer.nn.models import LeNet5
    >>> found = uses(LeNet5(), torch.zeros(1, 1, 28, 28))
    >>> found["conv1.weight"], found["fc1.weight"]
    (576.0, 1.0)
    """
    modules = dict(model.named_modules())
    found = {}
    for name, macs in count_macs(model, example_inputs).items():
        module, prefix = modules[name], f"{name}." if name else ""
        weights = {
            prefix + part: weight
            for part in _multiplied(module)
            if (weight := _weight(module, part))
        }
        entries = sum(weights.values())
        found.update(dict.fromkeys(weights, macs / entries if entries else 0.0))
    return found


def _multiplied(module: nn.Module) -> list[str]:
    """The names below a module that its own multiplications are with."""
    if isinstance(module, nn.MultiheadAttention):
        inputs = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
        return [*inputs, "out_proj.weight"]
    if _says_macs(module):
        return [name for name, _ in module.named_parameters(recurse=False) if name != "bias"]
    if _weight(module, "weight"):
        return ["weight"]
    return [name for name, own in module.named_parameters(recurse=False) if own.dim() > 1]


def _weight(module: nn.Module, name: str) -> int:
    """Entries of a weight below ``module``; none where there is none."""
    value: Any = module
    for part in name.split("."):
        value = getattr(value, part, None)
    return value.numel() if isinstance(value, Tensor) else 0
