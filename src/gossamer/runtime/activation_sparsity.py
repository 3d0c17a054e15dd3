"""Activation sparsity: inputs of linear layers that are zero, or small enough to be skipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from gossamer.nn.rules import shares_of
from gossamer.runtime.example_calls import Example
from gossamer.runtime.skipping_linear import SkippingLinear
from gossamer.runtime.swapping import has_hooks, swapped

CRITERIA = ("auto", "magnitude", "wina")
RULES = ("threshold", "top_k")
_SAMPLES = 2048  # of each call of a layer that calibration remembers


class TopInputs(nn.Module):
    """Of each sample, only the ``count`` inputs with the largest ``|x_c| importance_c``.

    Parameters
    ----------
    importance : (inputs,) tensor
    count : int
        Inputs that tie with the last of them stay too.

    Examples
    --------
    >>> TopInputs(torch.tensor([1.0, 1.0, 9.0]), 2)(torch.tensor([[3.0, -4.0, 1.0]]))
    tensor([[ 0., -4.,  1.]])
    """

    importance: Tensor

    def __init__(self, importance: Tensor, count: int) -> None:
        super().__init__()
        self.register_buffer("importance", importance)
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        """x (..., inputs), with zeros."""
        if self.count >= x.shape[-1]:
            return x
        scores = x.abs() * self.importance
        last = scores.topk(self.count).values[..., -1:]
        return x.masked_fill(scores < last, 0.0)

    def extra_repr(self) -> str:
        """What it keeps."""
        return f"count={self.count} of {self.importance.numel()}"


def sparsify_activations(
    model: nn.Module,
    example_inputs: Tensor | Sequence[Any] | Mapping[str, Any] | None = None,
    keep: float | Mapping[str, float] = 0.5,
    *,
    criterion: str = "auto",
    rule: str = "threshold",
    precision: str = "float32",
    threads: int | None = None,
) -> nn.Module:
    """A copy of a trained model whose linear layers skip their least important inputs.

    Without any training: each layer computes ``y = sum of x_c W[:, c] + b`` over the inputs whose
    score is above a threshold, and does not read the other columns of the weight, which is what a
    linear layer spends its time on where samples come one by one, as in a language model.

    Parameters
    ----------
    model : nn.Module
        Its layers of class ``nn.Linear`` are replaced by :class:`SkippingLinear`, in the copy.
        Those with hooks stay.
    example_inputs : tensor, sequence of the forward method's arguments, or mapping by their names
        Data to calibrate with: the more tokens or samples, the closer the share that is kept comes
        to ``keep``. Not needed where ``keep`` is 1, nor for the rule ``"top_k"`` and a given
        criterion.
    keep : float or mapping of patterns of layer names to floats, default 0.5
        Share of the inputs that a layer keeps. 1 skips those that are zero, as after a ReLU, and
        changes no output. A mapping leaves layers alone that no pattern names; the first one that
        fits counts.
    criterion : {"auto", "magnitude", "wina"}, default "auto"
        The score of input c: ``|x_c|``, or ``|x_c| * ||W[:, c]||_2``. If the columns of the weight
        are orthogonal, the second one gives the smallest error that so few inputs can have; if they
        are not, either may be ahead, and ``"auto"`` takes for each layer the one whose outputs are
        closer to the full ones on the examples.
    rule : {"threshold", "top_k"}, default "threshold"
        One threshold a layer, the quantile of the scores in the examples, which is compared within
        the product; or the best inputs of each sample, which must be sorted out first.
    precision : {"float32", "bfloat16", "int8"}, default "float32"
        Of the weights: those rounded to bfloat16 or int8 are half or a quarter as much to read.
    threads : int, optional
        As of :class:`LayoutModule`.

    Returns
    -------
    nn.Module
        In evaluation mode. It can be saved by :func:`gossamer.nn.save_model`.

    References
    ----------
    Chen et al., "WINA: Weight Informed Neuron Activation for Accelerating Large Language Model
    Inference" (2025). Liu et al., "Training-Free Activation Sparsity in Large Language Models"
    (ICLR 2025) has thresholds of magnitudes, and also chooses each layer's share by a greedy search
    that is not done here: give ``keep`` for each layer.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    >>> sparse = sparsify_activations(model, torch.randn(200, 64), {"2": 0.25})
    >>> type(sparse[2]).__name__, type(sparse[0]).__name__
    ('SkippingLinear', 'Linear')
    """
    _check(criterion, CRITERIA, "criterion")
    _check(rule, RULES, "rule")
    shares = _shares(model, keep)
    cut = {name: share for name, share in shares.items() if share < 1}
    found: dict[str, Tensor] = {}
    if cut and (rule == "threshold" or criterion == "auto"):
        found = _inputs(model, example_inputs, list(cut))

    options: dict[str, Any] = {"precision": precision, "threads": threads}

    def make(name: str, module: nn.Module) -> nn.Module | None:
        if name not in shares:
            return None
        assert isinstance(module, nn.Linear)
        if name not in cut:
            return SkippingLinear.of(module, **options)
        count = max(1, round(shares[name] * module.in_features))
        importance = _importance(module, criterion, count, found.get(name))
        if rule == "top_k":
            skipping = SkippingLinear.of(module, **options)
            return nn.Sequential(TopInputs(importance, count), skipping)
        threshold = _lower_quantile(found[name].abs() * importance, 1 - shares[name])
        return SkippingLinear.of(module, threshold / importance, **options)

    return swapped(model, make).eval()


def activation_zeros(
    model: nn.Module, example_inputs: Tensor | Sequence[Any] | Mapping[str, Any]
) -> dict[str, float]:
    """Share of zeros among the inputs of each linear layer: what skipping could leave out.

    Inputs that a :class:`SkippingLinear` cuts count as zeros.

    Examples
    --------
    >>> model = nn.Sequential(nn.ReLU(), nn.Linear(2, 2))
    >>> activation_zeros(model, torch.tensor([[1.0, -1.0], [-2.0, -3.0]]))
    {'1': 0.75}
    """
    names = [n for n, m in model.named_modules() if isinstance(m, nn.Linear | SkippingLinear)]
    zeros = dict.fromkeys(names, 0)
    total = dict.fromkeys(names, 0)

    def count(name: str, x: Tensor) -> None:
        module = model.get_submodule(name)
        cuts = module.cuts if isinstance(module, SkippingLinear) else 0.0
        zeros[name] += int((x.abs() <= cuts).sum())
        total[name] += x.numel()

    _watch(model, example_inputs, count, names)
    return {name: zeros[name] / total[name] for name in names if total[name]}


def _check(given: str, known: tuple[str, ...], argument: str) -> None:
    if given not in known:
        raise ValueError(f"{argument} must be one of {', '.join(known)}, got {given!r}.")


def _shares(model: nn.Module, keep: float | Mapping[str, float]) -> dict[str, float]:
    """The share that each linear layer keeps, by its name."""
    # a class that inherits from nn.Linear may do something else, or have its weight read by others
    names = [
        name
        for name, module in model.named_modules()
        if type(module) is nn.Linear and not has_hooks(module)
    ]
    shares = shares_of(names, keep)
    if not shares:
        raise ValueError(
            f"keep names no layer of class nn.Linear without hooks: {keep!r} fits none of {names}."
        )
    return shares


def _importance(linear: nn.Linear, criterion: str, count: int, x: Tensor | None) -> Tensor:
    """What the magnitudes of the inputs are multiplied by; x (samples, inputs) decides "auto"."""
    weight = linear.weight.detach().to("cpu", torch.float32)
    known = {"magnitude": torch.ones(linear.in_features), "wina": weight.norm(dim=0)}
    if criterion != "auto":
        return known[criterion]
    assert x is not None
    dropped = {name: x - TopInputs(factors, count)(x) for name, factors in known.items()}
    return known[min(dropped, key=lambda name: float((dropped[name] @ weight.T).norm()))]


def _lower_quantile(scores: Tensor, share: float) -> Tensor:
    """The score up to which this share of them lies."""
    skipped = round(share * scores.numel())
    return scores.flatten().kthvalue(skipped).values if skipped else torch.tensor(0.0)


def _inputs(model: nn.Module, example_inputs: Any, names: Sequence[str]) -> dict[str, Tensor]:
    """(samples, inputs) of each layer in a pass over the examples."""
    if example_inputs is None:
        raise ValueError(
            "example_inputs are needed to calibrate: give data like that which will come."
        )
    found: dict[str, list[Tensor]] = {name: [] for name in names}

    def note(name: str, x: Tensor) -> None:
        flat = x.detach().flatten(0, -2)
        some = flat[:: -(-len(flat) // _SAMPLES)] if len(flat) else flat
        found[name].append(some.to("cpu", torch.float32, copy=True))

    _watch(model, example_inputs, note, names)
    unused = [name for name, inputs in found.items() if not sum(map(len, inputs))]
    if unused:
        raise ValueError(
            f"example_inputs bring nothing to {unused}: give more, or leave these out of keep."
        )
    return {name: torch.cat(inputs) for name, inputs in found.items()}


def _watch(model: nn.Module, example_inputs: Any, note: Any, names: Sequence[str]) -> None:
    """Call ``note(name, x)`` with the inputs of the named layers in a pass over the examples."""
    with ExitStack() as stack:
        for name in names:
            handle = model.get_submodule(name).register_forward_pre_hook(
                lambda module, inputs, name=name: note(name, inputs[0])
            )
            stack.callback(handle.remove)
        Example.of(example_inputs).run_once(model)
