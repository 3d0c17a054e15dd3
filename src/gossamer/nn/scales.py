r"""Relative strengths of a model's layers.

One strength for all layers treats an entry of every layer alike. That is the penalty as written,
but layers differ: entries of a wide layer are small from the start, and a group of many entries
is larger than one of few. A scale multiplies each layer's penalty:

- ``"gain"``: by the inverse of the layer's gain, which is the size of its entries times the root of
  its fan-in, and by the root of the number of entries in a unit. Layers of the usual initial
  weights are treated alike, and one that is written on another scale, such as an embedding with
  entries of size one, neither outlives nor starves the others;
- ``"fan-in"``: by the root of the fan-in, the inverse of the usual size of initial entries, so
  that entries are judged relative to it;
- ``"size"``: by the root of the mean number of entries in a unit, as usual for the group lasso;
- by gradient (:meth:`gossamer.nn.Sparse.scale_by_gradient`): by the root mean square over the
  layer's units of the loss's gradient, so that the same multiple of the strength holds every
  layer at zero.

``"auto"`` is the gain where ``sparsify`` is given a budget, which compares units of all layers,
and the penalty as written where it is not.

Scales are divided by their geometric mean over all entries: the strength keeps its meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np
import torch

from gossamer.core.factorisation import root_mean_square
from gossamer.nn.factorised import FactorisedWeight, whole
from gossamer.nn.gradients import weight_gradients

_KINDS = (None, "gain", "fan-in", "size")


def layer_scales(kind: str | None, weights: Sequence[FactorisedWeight]) -> list[float]:
    """The scale of each weight."""
    if kind not in _KINDS:
        raise ValueError(f"scale must be 'auto' or one of {_KINDS}, got {kind!r}.")
    if kind is None or len(weights) == 1:
        return [1.0] * len(weights)
    if kind == "gain":
        raw = [_unit_root(weight) / _gain(weight) for weight in weights]
    elif kind == "fan-in":
        raw = [prod(weight.form.shape[1:]) ** 0.5 for weight in weights]
    else:
        raw = [_unit_root(weight) for weight in weights]
    return _normalised(raw, weights)


def _unit_root(weight: FactorisedWeight) -> float:
    """Root of the mean number of entries in a unit."""
    return float(np.mean(weight.costs()) / weight.cost) ** 0.5


def _gain(weight: FactorisedWeight) -> float:
    """Size of the entries of a plain weight times the root of its fan-in; usually about one."""
    module, tensor_name = weight.places[0]
    plain = whole(getattr(module, tensor_name).detach())
    size = root_mean_square(plain.double().cpu().numpy())
    return size * prod(weight.form.shape[1:]) ** 0.5


def gradient_scales(
    weights: Sequence[FactorisedWeight], loss: Callable[[], torch.Tensor]
) -> list[float]:
    """Scales by the gradient of ``loss()`` in each weight."""
    raw = []
    for weight, gradient in zip(weights, weight_gradients(weights, loss), strict=True):
        raw.append(float(weight.sizes(whole(gradient)).double().square().mean().sqrt()))
    if min(raw) <= 0:
        dead = [weight.name for weight, size in zip(weights, raw, strict=True) if size <= 0]
        raise ValueError(f"the loss has no gradient in {', '.join(dead)}: it does not use them.")
    return _normalised(raw, weights)


def _normalised(raw: Sequence[float], weights: Sequence[FactorisedWeight]) -> list[float]:
    entries = np.array([prod(weight.form.shape) for weight in weights], dtype=float)
    mean = np.exp(np.average(np.log(raw), weights=entries))
    return [float(size / mean) for size in raw]
