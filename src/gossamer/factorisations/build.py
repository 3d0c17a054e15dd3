"""The smooth form of ``sum_u |w_u|^q`` on the units of a structure."""

from __future__ import annotations

import numpy as np

from gossamer.core.factorisation import Factorisation
from gossamer.core.structure import Structure
from gossamer.factorisations.cells import cells_of
from gossamer.factorisations.difference import Difference
from gossamer.factorisations.product import Level, Product
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
) -> Factorisation:
    """The smooth form of ``strength * sum_u weight_u |w_u|^q``, of total power k = 2 / q.

    Parameters
    ----------
    form : {"auto", "product", "shared", "power", "difference"}
        "product": k factors, for integer k. "shared": one factor times the power k - 1 of another,
        for any k, with two factors' memory. "power": one factor to the power k, for single
        entries. "difference": a difference of powers, for single entries.
        "auto" takes the product where k is an integer, else the shared form; where coefficients
        must not be negative, the power of single entries and the shared form of units.

    Raises
    ------
    ValueError
        When the form is unknown or does not fit.
    """
    depth = 2 / q
    cells = cells_of(structure, shape)
    whole = abs(depth - round(depth)) < 1e-9
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}.")
    if form == "auto":
        form = ("power" if cells.is_full else "shared") if nonnegative else ""
        form = form or ("product" if whole else "shared")
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
