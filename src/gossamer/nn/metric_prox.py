r"""The prox of a penalty in the diagonal metric of an adaptive optimiser.

An optimiser that moves entry i by ``steps_i`` times its gradient has the metric
``D = diag(1 / steps)``, in which the proximal step is

    argmin_w  1/2 sum_i d_i (w_i - v_i)^2 + Omega(w).

Single entries take their scalar prox with a step each; an inner L1 comes first. Units of several
entries keep their direction when all entries have one step, and else go to ``stretched``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gossamer.core.tiling import Tiling
from gossamer.factorisations.cells import Labelled
from gossamer.nn.formulas import TensorForm
from gossamer.nn.stretched import prox_of_rows

# Entries at a time on a processor: what the formulas put between stays in its cache.
_PIECE = 1 << 16


def prox(form: TensorForm, v: Tensor, steps: Tensor | float) -> Tensor:
    """The prox of a penalty at ``v`` in the metric ``diag(1 / steps)``.

    Parameters
    ----------
    form : TensorForm
        Of the penalty, for the shape of ``v``.
    v : tensor of floats
    steps : tensor of the shape of ``v``, or a number, > 0

    Returns
    -------
    tensor of the shape of ``v``, exactly zero where the penalty says so

    References
    ----------
    Yun, Lozano and Yang (2021), Adaptive proximal gradient methods for structured neural networks.
    Deleu and Bengio (2021), Structured sparsity inducing adaptive optimizers for deep learning.
    Yu (2013), On decomposing the proximal map: an inner L1 goes first, in a diagonal metric too.

    Examples
    --------
    >>> import gossamer as gs
    >>> from gossamer.nn.formulas import tensor_form
    >>> v = torch.tensor([[3.0, 4.0], [0.6, 0.8]])
    >>> form = tensor_form(gs.L1(1.0, on=gs.Rows()), (2, 2))
    >>> prox(form, v, 1.0)
    tensor([[2.4000, 3.2000],
            [0.0000, 0.0000]])

    Where an entry has long steps, it gives way first:

    >>> prox(form, v, torch.tensor([[0.1, 2.0], [0.1, 2.0]]))
    tensor([[2.9260, 2.6558],
            [0.5051, 0.1682]])
    """
    if v.dtype in (torch.float16, torch.bfloat16):
        exact = steps.float() if isinstance(steps, Tensor) else steps
        return prox(form, v.float(), exact).to(v.dtype)
    steps = torch.as_tensor(steps, dtype=v.dtype, device=v.device)
    u = v
    if form.inner is not None:
        u = u.sign() * (u.abs() - steps * form.thresholds(v)).clamp(min=0)
    if form.nonnegative:
        u = u.clamp(min=0)
    weights = form.unit_weights(v)
    if form.elementwise:
        kept = _of_entries(form, u, steps, weights)
    elif steps.dim() == 0:
        kept = _of_units(form, u, steps, weights)
    else:
        kept = _of_stretched_units(form, u, steps, weights)
    if weights is not None:
        kept = torch.where(form.cells.spread(weights) > 0, kept, u)
    return kept


def _of_entries(form: TensorForm, u: Tensor, steps: Tensor, weights: Tensor | None) -> Tensor:
    if weights is not None:
        steps = steps * form.cells.spread(weights)
    # adding zero turns -0.0 into 0.0
    if steps.dim() == 0:
        return _by_pieces(lambda piece: form.shape_prox(piece, steps) + 0.0, u)
    return _by_pieces(lambda *piece: form.shape_prox(*piece) + 0.0, u, steps)


def _of_units(form: TensorForm, u: Tensor, step: Tensor, weights: Tensor | None) -> Tensor:
    """All entries have one step: the unit keeps its direction."""
    sizes = form.sizes(u)
    kept = form.shape_prox(sizes, step if weights is None else step * weights)
    return form.cells.scale(u, kept / torch.where(sizes > 0, sizes, 1.0)) + 0.0


def _of_stretched_units(
    form: TensorForm, u: Tensor, steps: Tensor, weights: Tensor | None
) -> Tensor:
    weights = u.new_ones(form.cells.count) if weights is None else weights
    cells = form.cells
    if isinstance(cells, Tiling):
        rows = _rows_of_tiles(cells, u), _rows_of_tiles(cells, steps)
        kept = _rows_by_pieces(form, *rows, weights)
        return _tiles_of_rows(cells, kept) + 0.0
    flat, kept = u.reshape(-1), torch.empty_like(u.reshape(-1))
    for units, positions in _buckets(cells):
        at, chosen = torch.from_numpy(positions).to(u.device), weights[units.tolist()]
        kept[at] = _rows_by_pieces(form, flat[at], steps.reshape(-1)[at], chosen)
    return kept.reshape(u.shape) + 0.0


def _rows_by_pieces(form: TensorForm, v: Tensor, steps: Tensor, weights: Tensor) -> Tensor:
    pieces = _pieces(len(v), v.shape[1], v.device)
    return torch.cat([prox_of_rows(form, v[at], steps[at], weights[at]) for at in pieces])


def _by_pieces(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """An elementwise function of tensors of one shape."""
    flat = [tensor.reshape(-1) for tensor in tensors]
    pieces = _pieces(len(flat[0]), 1, flat[0].device)
    found = [function(*(tensor[at] for tensor in flat)) for at in pieces]
    return torch.cat(found).reshape(tensors[0].shape)


def _pieces(count: int, length: int, device: torch.device) -> Iterator[slice]:
    """Slices of ``count`` rows of some length: all rows at once where there is no cache to fit."""
    rows = max(1, _PIECE // max(1, length)) if device.type == "cpu" else max(1, count)
    return (slice(start, start + rows) for start in range(0, max(1, count), rows))


def _gate_axes(cells: Tiling) -> tuple[list[int], list[int]]:
    """The axes of the view along which units differ, and the others."""
    pairs = list(enumerate(zip(cells.gates, cells.view, strict=True)))
    return (
        [axis for axis, (gate, size) in pairs if gate == size],
        [axis for axis, (gate, size) in pairs if gate != size],
    )


def _rows_of_tiles(cells: Tiling, w: Tensor) -> Tensor:
    """(n_units, length): each unit a row."""
    between, within = _gate_axes(cells)
    return w.reshape(cells.view).permute(between + within).reshape(cells.count, -1)


def _tiles_of_rows(cells: Tiling, rows: Tensor) -> Tensor:
    """The inverse of :func:`_rows_of_tiles`."""
    between, within = _gate_axes(cells)
    order = between + within
    tiles = rows.reshape([cells.view[axis] for axis in order])
    return tiles.permute(np.argsort(order).tolist()).reshape(cells.shape)


@lru_cache(maxsize=64)
def _buckets(cells: Labelled) -> list[tuple[np.ndarray, np.ndarray]]:
    """Units of equal length: their numbers, and the (n, length) positions of their entries."""
    order = np.argsort(cells.labels, kind="stable")
    lengths = np.bincount(cells.labels, minlength=cells.count)
    starts: Any = np.cumsum(lengths) - lengths
    found = []
    for length in np.unique(lengths[lengths > 0]):
        units = np.flatnonzero(lengths == length)
        found.append((units, order[starts[units][:, None] + np.arange(length)]))
    return found
