"""Layers: operators with weights; rules as in :mod:`.operators`."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from gossamer.nn.channels.flow import Flow, Read, Weight
from gossamer.nn.channels.labels import Signal
from gossamer.nn.channels.operators import Shape, is_zero, one_each, rule

# --- layers that sum over channels --------------------------------------------------------------


def dense(flow: Flow, read: Read, shape: Shape, axis: int, labels: Tensor) -> Signal:
    """A layer in which each channel made reads every channel with `labels`."""
    flow.labels.unify(flow.along(read.weight, read.reads, makes=False), labels)
    made = flow.along(read.weight, read.makes)
    flow.share(read.bias, made)
    flow.reads.append(read)
    constants = sums_of_constants(read.taps(), read.silent(), read.constants, read.folds)
    return Signal(shape, axis, made, constants + offset(read.bias))


def sums_of_constants(taps: Tensor, silent: Tensor, constants: Tensor, folds: bool) -> Tensor:
    """(..., made) what channels made of (..., read) constants are, NaN where they are not constant.

    Weights of zero hide what is unknown; without `folds` only zeros are known after the layer.
    """
    known = constants == 0 if not folds else ~constants.isnan()
    spoiled = (~silent & ~known[..., None, :]).any(-1)
    values = (taps * constants.where(known, 0)[..., None, :]).sum(-1)
    return values.where(~spoiled, torch.nan)


def offset(bias: Weight | None) -> Tensor | float:
    return 0.0 if bias is None else bias.exact()


def optional(weight: Any) -> bool:
    return weight is None or isinstance(weight, Weight)


@rule("linear")
def linear(flow: Flow, shape: Shape, x: Any, weight: Any, bias: Any = None) -> Signal | None:
    if not (isinstance(x, Signal) and isinstance(weight, Weight) and optional(bias)):
        return None
    incoming = x.on(-1)
    if incoming is None:
        flow.kept.append(f"{flow.place}: linear along another axis than that of the channels")
        flow.fix([weight, bias])
        return Signal.unknown(shape, x.axis, x.labels)
    read = Read(weight, 1, 0, incoming[1], True, bias, flow.place)
    return dense(flow, read, shape, len(shape) - 1, incoming[0])


@rule("matmul", "mm", "bmm")
def matmul(flow: Flow, shape: Shape, x: Any, y: Any) -> Signal | None:
    if isinstance(x, Signal) and isinstance(y, Signal):
        return one_each(flow, shape, x, y)
    if not (isinstance(x, Signal) and isinstance(y, Weight) and len(y.shape) == 2):
        return None
    incoming = x.on(-1)
    if incoming is None:
        return None
    read = Read(y, 0, 1, incoming[1], True, None, flow.place)
    return dense(flow, read, shape, len(shape) - 1, incoming[0])


@rule("conv1d", "conv2d", "conv3d")
def convolution(
    flow: Flow,
    shape: Shape,
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Signal | None:
    if not (isinstance(x, Signal) and isinstance(weight, Weight) and optional(bias)):
        return None
    axis = len(shape) - len(weight.shape) + 1
    incoming = x.on(axis)
    if incoming is None:
        return None
    kernel = weight.shape[2:]
    unpadded = padding == "valid" or (padding == "same" and prod(kernel) == 1) or is_zero(padding)
    if groups == 1:
        read = Read(weight, 1, 0, incoming[1], unpadded, bias, flow.place)
        return dense(flow, read, shape, axis, incoming[0])
    made = flow.along(weight, 0)
    taps = weight.exact().reshape(groups, -1, weight.shape[1], prod(kernel))
    return grouped(flow, shape, axis, incoming, weight, bias, groups, made, taps, unpadded)


@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def transposed_convolution(
    flow: Flow,
    shape: Shape,
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Signal | None:
    if not (isinstance(x, Signal) and isinstance(weight, Weight) and optional(bias)):
        return None
    axis = len(shape) - len(weight.shape) + 1
    incoming = x.on(axis)
    if incoming is None:
        return None
    # A constant image does not stay constant: how many taps overlap depends on the position.
    if groups == 1:
        read = Read(weight, 0, 1, incoming[1], False, bias, flow.place)
        return dense(flow, read, shape, axis, incoming[0])
    flow.labels.unify(flow.along(weight, 0, makes=False), incoming[0])
    made = flow.labels.fresh(shape[axis])
    taps = weight.exact().reshape(groups, -1, weight.shape[1], prod(weight.shape[2:]))
    taps = taps.transpose(1, 2)
    return grouped(flow, shape, axis, incoming, weight, bias, groups, made, taps, False)


def grouped(
    flow: Flow,
    shape: Shape,
    axis: int,
    incoming: tuple[Tensor, Tensor],
    weight: Weight,
    bias: Weight | None,
    groups: int,
    made: Tensor,
    taps: Tensor,
    folds: bool,
) -> Signal:
    """Groups that read their own channels only; each lives or dies as a whole.

    taps : (groups, made, read, kernel).
    """
    labels, constants = incoming
    blocks = labels.reshape(groups, -1)
    flow.labels.unify(blocks, blocks[:, :1])
    flow.labels.unify(made.reshape(groups, -1), blocks[:, :1])
    flow.share(bias, made)
    weight.blocks = groups
    if not isinstance(weight.owner, nn.modules.conv._ConvNd):
        flow.labels.pin(labels)
    sums = sums_of_constants(
        taps.sum(3), (taps == 0).all(3), constants.reshape(groups, -1), folds
    ).reshape(-1)
    return Signal(shape, axis, made, sums + offset(bias))


@rule("embedding")
def embedding(flow: Flow, shape: Shape, weight: Any, indices: Any, *options: Any) -> Signal | None:
    if not isinstance(weight, Weight):
        return None
    flow.fix(weight, but=1)
    table = weight.exact()
    constants = table[0].where((table == table[0]).all(0), torch.nan)
    return Signal(shape, len(shape) - 1, flow.along(weight, 1), constants)


# --- normalisation ------------------------------------------------------------------------------


@rule("batch_norm", "instance_norm")
def batch_norm(
    flow: Flow,
    shape: Shape,
    x: Any,
    weight: Any,
    bias: Any,
    mean: Any,
    variance: Any,
    from_input: bool,
    momentum: float,
    epsilon: float,
    cudnn: bool = False,
) -> Signal | None:
    incoming = x.on(1) if isinstance(x, Signal) else None
    vectors = (weight, bias, mean, variance)
    if incoming is None or not all(map(optional, vectors)):
        return None
    labels, constants = incoming
    for vector in vectors:
        flow.share(vector, labels)
    if weight is None and mean is None:
        flow.bare[flow.place] = labels
    if from_input or mean is None:
        standardised = torch.full_like(constants, torch.nan)
    else:
        standardised = (constants - mean.exact()) / (variance.exact() + epsilon).sqrt()
    return Signal(shape, 1, labels, affine(standardised, weight, bias))


def affine(standardised: Tensor, weight: Weight | None, bias: Weight | None) -> Tensor:
    """`weight * standardised + bias`; a weight of zero hides what is unknown."""
    scale = torch.ones_like(standardised) if weight is None else weight.exact()
    return (scale * standardised).where(scale != 0, 0) + offset(bias)


@rule("group_norm")
def group_norm(
    flow: Flow,
    shape: Shape,
    x: Any,
    groups: int,
    weight: Any = None,
    bias: Any = None,
    epsilon: float = 1e-5,
    cudnn: bool = False,
) -> Signal | None:
    incoming = x.on(1) if isinstance(x, Signal) else None
    if incoming is None or not isinstance(weight, Weight) or not optional(bias):
        return None
    labels, constants = incoming
    blocks = labels.reshape(groups, -1)
    flow.labels.unify(blocks, blocks[:, :1])
    flow.share(weight, labels)
    flow.share(bias, labels)
    weight.blocks = groups
    if not isinstance(weight.owner, nn.GroupNorm):
        flow.labels.pin(labels)
    values = constants.reshape(groups, -1)
    centred = values - values.mean(1, keepdim=True)
    spread = (values.var(1, keepdim=True, correction=0) + epsilon).sqrt()
    return Signal(shape, 1, labels, affine((centred / spread).reshape(-1), weight, bias))


@rule("layer_norm", "rms_norm")
def layer_norm(
    flow: Flow, shape: Shape, x: Any, over: list[int], weight: Any = None, *rest: Any
) -> Signal | None:
    vectors = [weight, *(item for item in rest if isinstance(item, Weight))]
    if not isinstance(x, Signal) or not all(map(optional, vectors)):
        return None
    if x.axis is not None and x.axis < len(shape) - len(over):
        return Signal.unknown(shape, x.axis, x.labels)
    incoming = x.on(-1)
    if incoming is None or len(over) > 1 or not isinstance(weight, Weight):
        return None
    flow.mix(incoming[0])
    for vector in vectors:
        flow.share(vector, incoming[0])
    return Signal.unknown(shape, len(shape) - 1, incoming[0])


@rule("prelu")
def prelu(flow: Flow, shape: Shape, x: Any, slope: Any) -> Signal | None:
    axis = min(1, len(shape) - 1)
    incoming = x.on(axis) if isinstance(x, Signal) else None
    if incoming is None or not isinstance(slope, Weight):
        return None
    labels, constants = incoming
    if slope.shape[0] > 1:
        flow.share(slope, labels)
    return Signal(shape, axis, labels, torch.where(constants < 0, slope.exact(), 1) * constants)
