"""Shares: how much of each block stays, by what the blocks do on the calibration text."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from numbers import Real
from pathlib import Path

import torch
from torch import Tensor, nn

from gossamer.nn.channels import evaluating
from gossamer.nn.language.architectures import matrix_of
from gossamer.nn.language.compressing import plan_of
from gossamer.nn.language.layer_curves import curves, least_error
from gossamer.nn.language.likelihood import check_tokens
from gossamer.nn.language.methods.wanda import Wanda
from gossamer.nn.language.stream import Stream, gathering

_OUTLIER = 5.0  # times the mean
Layers = dict[str, nn.Module]


def shares(
    model: nn.Module,
    calibration: Tensor,
    keep: float = 0.5,
    by: str = "outliers",
    *,
    spread: float = 0.08,
    blocks: str | None = None,
    batch_size: int = 4,
) -> dict[str, float]:
    r"""What to keep of each layer, more in blocks that matter more: for ``compress(keep=...)``.

    The measure :math:`d_b` of a block becomes the share of each of its layers,

    .. math:: k_b = k + 2 \lambda \, (z_b - \bar z), \qquad
        z_b = \frac{d_b - \min d}{\max d - \min d},

    with the mean :math:`\bar z` over the weights of all blocks, so that on the whole the share k of
    the weights stays, and no block is farther than :math:`2\lambda` from it.

    Parameters
    ----------
    model : nn.Module
        Dense; it is run once on the windows, block by block.
    calibration : (n, length) integer tensor
    keep : float in (0, 1)
        On the whole.
    by : {"outliers", "influence", "sensitivity"}
        "outliers": the share of a block's weights whose :math:`|w_{ij}| \|x_j\|` is above five
        times the mean of the block. "influence": one minus the mean cosine between the hidden
        states before and after it. "sensitivity": each layer for itself, such that the sum of
        the squared errors of the layers' outputs, relative to their norms, is least, as
        :class:`Wanda` alone would leave them.
    spread : float, default 0.08
        :math:`\lambda`.
    blocks, batch_size
        As in :func:`compress`.

    Returns
    -------
    dict from names of layers to shares

    Raises
    ------
    ValueError
        For an unknown measure, and where a share would not be in (0, 1].

    References
    ----------
    Yin, Wu, Zhang, Hsieh, Wang, Jia, Li, Liang, Pechenizkiy, Wang and Liu (2024), Outlier weighed
    layerwise sparsity (OWL): a missing secret sauce for pruning LLMs to high sparsity.

    Men, Xu, Zhang, Wang, Lin, Lu, Han and Chen (2024), ShortGPT: layers in large language models
    are more redundant than you expect.
    """
    check_tokens("calibration", calibration)
    if by not in WAYS:
        raise ValueError(f"by: one of {', '.join(WAYS)}, got {by!r}.")
    for name, value in (("keep", keep), ("spread", spread)):
        if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value < 1:
            raise ValueError(f"{name}: a number in (0, 1), got {value!r}.")
    plan = plan_of(model, Wanda(), 1.0, None, blocks)
    turns = range(len(plan.stack))
    device = next(plan.stack.parameters()).device
    with tempfile.TemporaryDirectory(prefix="gossamer-") as place, evaluating(model):
        stream = Stream(model, plan.stack, calibration, Path(place), batch_size, device)
        stream.begin()
        if by == SENSITIVITY:
            slopes = [row for turn in turns for row in curves(stream, turn, plan.layers(turn))]
            layers = {name: at for turn in turns for name, at in plan.layers(turn).items()}
            sizes = [matrix_of(layer).numel() for layer in layers.values()]
            return dict(zip(layers, least_error(slopes, sizes, keep, spread), strict=True))
        measured = [MEASURES[by](stream, turn, plan.layers(turn)) for turn in turns]
    weights = [
        sum(matrix_of(layer).numel() for layer in plan.layers(turn).values()) for turn in turns
    ]
    found = shared_out(measured, weights, keep, spread)
    return {name: found[turn] for turn in turns for name in plan.layers(turn)}


def shared_out(
    measured: Sequence[float], weights: Sequence[int], keep: float, spread: float
) -> list[float]:
    """The share of each block, by its measure; blocks that are all alike get the same.

    >>> shared_out([0.0, 1.0, 3.0], [10, 10, 20], keep=0.5, spread=0.06)
    [0.43, 0.47, 0.55]
    """
    d, sizes = (torch.tensor(values, dtype=torch.float64) for values in (measured, weights))
    z = (d - d.min()) / (d.max() - d.min()).clamp(min=1e-30)
    found: list[float] = (keep + 2 * spread * (z - (z * sizes).sum() / sizes.sum())).tolist()
    if min(found) <= 0 or max(found) > 1:
        raise ValueError(
            f"spread: with {spread} and keep={keep} blocks would keep {min(found):.2f} to "
            f"{max(found):.2f}; give a smaller one."
        )
    return [round(share, 12) for share in found]


def outliers(stream: Stream, turn: int, layers: Layers) -> float:
    """The share of scores |w| |x| that are far above the mean of their block."""
    with gathering(layers) as seen:
        stream.advance(turn)
    scores = torch.cat(
        [
            (matrix_of(layer).float().abs() * seen[name].mean_squares.sqrt()).flatten()
            for name, layer in layers.items()
        ]
    )
    return float((scores > _OUTLIER * scores.mean()).float().mean())


def influence(stream: Stream, turn: int, layers: Layers) -> float:
    """How far a block turns the hidden states, as one minus the cosine."""
    stream.advance(turn)
    windows = zip(stream.states(turn), stream.states(turn + 1), strict=True)
    cosines = [
        torch.cosine_similarity(before.float(), after.float(), dim=-1).mean()
        for before, after in windows
    ]
    return 1 - float(torch.stack(cosines).mean())


MEASURES: dict[str, Callable[[Stream, int, Layers], float]] = {
    "outliers": outliers,
    "influence": influence,
}
SENSITIVITY = "sensitivity"
WAYS = (*MEASURES, SENSITIVITY)
