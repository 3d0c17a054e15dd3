"""Activation sparsity: inputs of linear layers that are zero, or small enough to be skipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from gossamer.nn.rules import shares_of
from gossamer.runtime.input_scores import CRITERIA, TopInputs, check, cuts_of, importance_of
from gossamer.runtime.layer_inputs import (
    Examples,
    linear_layer,
    linear_layers,
    sampled_inputs,
    turned_layers,
    watch,
)
from gossamer.runtime.skipping_linear import CutInputs, SkippingLinear
from gossamer.runtime.swapping import swapped
from gossamer.runtime.turning import turns_of

RULES = ("threshold", "top_k")
_SAMPLES = 2048  # of each layer that calibration remembers


def sparsify_activations(
    model: nn.Module,
    example_inputs: Examples | None = None,
    keep: float | Mapping[str, float] = 0.5,
    *,
    criterion: str = "auto",
    rule: str = "threshold",
    turn: str | Sequence[str] = (),
    skip: bool = True,
    batch_size: int | None = None,
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
    example_inputs : tensor, sequence of positional or mapping of keyword arguments, optional
        Data to calibrate with, such as windows of tokens (windows, length): the more tokens or
        samples, the closer the share that is kept comes to ``keep``. Not needed where ``keep`` is
        1, nor for the rule ``"top_k"`` and a given criterion.
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
    turn : pattern or patterns of layer names, default none
        Layers whose inputs are first turned to coordinates in which the columns of the weight are
        orthogonal, as WINA asks for, and the examples uncorrelated (the principal components of
        the outputs). Far fewer of these say as much, for a product of (inputs, inputs) more: it
        pays where layers have many outputs, as the first ones of a transformer's MLP.
    skip : bool, default True
        False leaves the layers as they are, in their precision and on their device, and puts zeros
        before them in place of the same inputs: no time is saved, but a model can be judged on many
        tokens at once.
    batch_size : int, optional
        Rows of the examples that the model sees at a time; all by default.
    precision : {"float32", "bfloat16", "int8"}, default "float32"
        Of the weights where inputs are skipped: those rounded to bfloat16 or int8 are half or a
        quarter as much to read.
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
    (ICLR 2025) has thresholds of magnitudes. Shares for each layer are chosen by
    :func:`choose_activation_shares`.

    Examples
    --------
    >>> import torch
    >>> model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    >>> sparse = sparsify_activations(model, torch.randn(200, 64), {"2": 0.25})
    >>> type(sparse[2]).__name__, type(sparse[0]).__name__
    ('SkippingLinear', 'Linear')
    """
    check(criterion, CRITERIA, "criterion")
    check(rule, RULES, "rule")
    names = linear_layers(model)
    shares = shares_of(names, keep)
    if not shares:
        raise ValueError(
            f"keep names no layer of class nn.Linear without hooks: {keep!r} fits none of {names}."
        )
    cut = {name: share for name, share in shares.items() if share < 1}
    turned = [name for name in turned_layers(list(shares), turn) if name in cut]
    found: dict[str, Tensor] = {}
    if turned or (cut and (rule == "threshold" or criterion == "auto")):
        if example_inputs is None:
            raise ValueError(
                "example_inputs are needed to calibrate: give data like that which will come."
            )
        # in so many coordinates as there are inputs, fewer samples than that are not enough
        widths = [linear_layer(model, name).in_features for name in turned]
        count = 2 * max([_SAMPLES // 2, *widths])
        found = sampled_inputs(model, example_inputs, list(cut), count, batch_size)
    turns = turns_of(model, found, turned)

    def make(name: str, module: nn.Module) -> nn.Module | None:
        if name not in shares or (name not in cut and not skip):
            return None
        assert isinstance(module, nn.Linear)
        parts: list[nn.Module] = []
        linear, x = module, found.get(name)
        if name in turns and x is not None:
            parts.append(turns[name].module.to(module.weight.device))
            linear, x = turns[name].turned(module), x.float() @ turns[name].forth
        cuts = None
        if name in cut:
            count = max(1, round(shares[name] * linear.in_features))
            importance = importance_of(linear.weight, criterion, count, x)
            if rule == "top_k":
                parts.append(TopInputs(importance, count).to(module.weight.device))
            elif x is not None:
                cuts = cuts_of(x, importance, 1 - shares[name])
        if skip:
            parts.append(SkippingLinear.of(linear, cuts, precision=precision, threads=threads))
        else:
            parts += (
                [linear] if cuts is None else [CutInputs(cuts.to(linear.weight.device)), linear]
            )
        return parts[0] if len(parts) == 1 else nn.Sequential(*parts)

    return swapped(model, make).eval()


def activation_zeros(model: nn.Module, example_inputs: Examples) -> dict[str, float]:
    """Share of zeros among the inputs of each linear layer: what skipping could leave out.

    Inputs that a :class:`SkippingLinear` cuts count as zeros.

    Examples
    --------
    >>> import torch
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

    watch(model, example_inputs, count, names)
    return {name: zeros[name] / total[name] for name in names if total[name]}
