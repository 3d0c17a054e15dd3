"""Smooth forms of structures: one, several that multiply, groups that overlap."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from gossamer.core.factorisation import Factorisation
from gossamer.core.structure import Structure
from gossamer.factorisations.cells import Labelled, cells_of, unit_weights
from gossamer.factorisations.difference import Difference
from gossamer.factorisations.harmonic import Harmonic
from gossamer.factorisations.product import Level, Product
from gossamer.factorisations.spectral import MatrixProduct
from gossamer.structures import Elements

FORMS = ("auto", "product", "shared", "power", "difference")


def factorise_power(
    strength: float,
    q: float,
    structure: Structure,
    shape: tuple[int, ...],
    *,
    weights: np.ndarray | None = None,
    nonnegative: bool = False,
    form: str = "auto",
) -> Factorisation | None:
    """The smooth form of ``strength * sum_u weight_u |w_u|^q``, of total power k = 2 / q.

    On :class:`~gossamer.structures.Spectrum` the units are singular values, and the form is a
    product of k matrices: ``None`` where k is no integer.

    Parameters
    ----------
    form : {"auto", "product", "shared", "power", "difference"}
        "product": k factors, for integer k. "shared": one factor times the power k - 1 of another,
        for any k, with two factors' memory. "power": one factor to the power k, for single
        entries. "difference": a difference of powers, for single entries.
        "auto" takes the product of two factors for k = 2 and the shared form else, which is no
        larger for any k; for non-negative single entries the power.

    Raises
    ------
    ValueError
        When the form is unknown or does not fit.
    """
    depth = 2 / q
    whole = abs(depth - round(depth)) < 1e-9
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}.")
    if structure.is_spectral:
        if form not in ("auto", "product"):
            raise ValueError(f"form={form!r} does not make a matrix of low rank: use 'product'.")
        return MatrixProduct(strength, tuple(shape), round(depth)) if whole else None
    cells = cells_of(structure, shape)
    if form == "auto":
        form = "product" if depth == 2 else "shared"
        form = "power" if nonnegative and cells.is_full else form
    single = cells if cells.is_full else cells_of(Elements(), shape)
    if form in ("power", "difference") and not cells.is_full:
        raise ValueError(f"form={form!r} is for single entries: use 'product' or 'shared'.")
    if form == "product" and not whole:
        raise ValueError(f"form='product' needs an integer 2/q, got {depth:.4g}: use 'shared'.")
    if form == "difference":
        if nonnegative:
            raise ValueError("form='difference' makes negative weights: use 'power'.")
        return Difference(strength, shape, depth, weights)
    if form == "power":
        levels = [Level(single, depth)]
    elif form == "shared":
        levels = [Level(single), Level(cells, depth - 1)]
    else:
        levels = [Level(single)] + [Level(cells)] * (round(depth) - 1)
    return Product(strength, tuple(levels), weights, nonnegative)


def factorise_gates(
    strength: float, structures: Sequence[Structure], shape: tuple[int, ...]
) -> Product:
    """A gate on every unit of several structures at once: all of an entry's gates multiply it.

    Nested structures, from the finest to the coarsest, make a tree, whose leaves die alone and
    whose branches take their leaves along. Crossing ones, such as the outputs and the inputs of a
    layer, make outer gates: neurons and inputs are selected together.

    Parameters
    ----------
    strength : float
    structures : sequence of Structure
    shape : of the weight

    Examples
    --------
    >>> from gossamer.structures import Channels
    >>> form = factorise_gates(1.0, (Channels(0), Channels(1)), (2, 2))
    >>> form.depth, form.shapes
    (3.0, ((2, 2), (2,), (2,)))
    >>> round(form.value(np.array([[8.0, 0.0], [0.0, 0.0]])), 6)
    4.0
    """
    levels = [Level(cells_of(structure, shape)) for structure in (Elements(), *structures)]
    return Product(float(strength), tuple(levels))


def factorise_overlaps(
    strength: float,
    groups: Sequence[Sequence[int] | np.ndarray],
    shape: tuple[int, ...],
    weights: np.ndarray | None = None,
) -> Harmonic:
    """``strength * sum_g weight_g |w_g|_2`` for groups that overlap in any way, nested included.

    Supports are what is left when groups are taken away; for unions of groups see
    :class:`Latent`.

    Parameters
    ----------
    strength : float
    groups : sequence of arrays of flat positions
        Entries that are in none are free.
    shape : of the weight
    weights : (n_groups,), default None

    Raises
    ------
    ValueError
        When a group is empty, repeats an entry, or has one that is not in the weight.

    References
    ----------
    Jenatton, Audibert and Bach (2011), Structured variable selection with sparsity-inducing norms.

    Examples
    --------
    >>> form = factorise_overlaps(1.0, ([0, 1], [1, 2]), (3,))
    >>> form.value(np.array([3.0, 4.0, 0.0]))
    9.0
    """
    size = prod(shape)
    given = unit_weights(
        np.ones(len(groups)) if weights is None else weights, len(groups), "factorise_overlaps"
    )
    layers: list[tuple[np.ndarray, list[float]]] = []
    for number, group in enumerate(groups):
        members = np.asarray(group, dtype=np.intp)
        distinct = np.unique(members)
        if not 0 < distinct.size == members.size or distinct[0] < 0 or distinct[-1] >= size:
            raise ValueError(
                f"factorise_overlaps: group {number} must list one or more of the positions "
                f"0 ... {size - 1}, each once, got {list(group)[:10]}."
            )
        # groups that do not meet share a layer; cell 0 of each holds what is in none of them
        layer = next((known for known in layers if not known[0][members].any()), None)
        if layer is None:
            layer = (np.zeros(size, dtype=np.intp), [0.0])
            layers.append(layer)
        layer[0][members] = len(layer[1])
        layer[1].append(float(given[number]))
    levels = tuple(Labelled(tuple(shape), labels, len(known)) for labels, known in layers)
    return Harmonic(float(strength), levels, tuple(np.array(known) for _, known in layers))
