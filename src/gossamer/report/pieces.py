"""Losses and penalties by the names of their field, with the parameters that each has."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gossamer.core.loss import Loss
from gossamer.core.penalty import Penalty
from gossamer.core.registry import LOSSES, PENALTIES
from gossamer.core.structure import Structure
from gossamer.penalties import L1, SLOPE, Exclusive, Fused

LOSS_PARAMETERS = ("level", "power", "dispersion", "delta", "ties")
PENALTY_PARAMETERS = ("l1_ratio", "gamma", "q", "epsilon", "ridge", "sparsity")
DEFAULT_FDR = 0.1


@dataclass(frozen=True)
class Units:
    """What is penalised together: a structure (None: single features), weights, and how many."""

    on: Structure | None
    weights: np.ndarray | None
    count: int

    @property
    def arguments(self) -> dict[str, Any]:
        """As penalties take them."""
        return {} if self.on is None else {"on": self.on, "weights": self.weights}


@dataclass(frozen=True)
class Joint:
    """A penalty whose units share something, made in a way of its own."""

    make: Callable[..., Penalty]
    parameters: tuple[str, ...] = ()
    groups: bool | None = None  # whether they must (True) or must not (False) be given
    empties: bool = True  # whether a large strength gives the null model, where paths start


def _slope(units: Units, fdr: float = DEFAULT_FDR) -> Penalty:
    return SLOPE.bh(units.count, q=fdr, on=units.on)


def _exclusive(units: Units) -> Penalty:
    return Exclusive(1.0, **units.arguments)


def _fused(units: Units, sparsity: float = 0.5) -> Penalty:
    return Fused(1.0, sparsity=sparsity)


def _sparse_group(units: Units, l1_ratio: float = 0.5) -> Penalty:
    return L1(l1_ratio) + L1(1 - l1_ratio, **units.arguments)


JOINT: Mapping[str, Joint] = {
    "slope": Joint(_slope, ("fdr",)),
    "sparsegroup": Joint(_sparse_group, ("l1_ratio",), groups=True),
    "exclusive": Joint(_exclusive, groups=True, empties=False),
    "fused": Joint(_fused, ("sparsity",), groups=False),
}


def plain(name: str) -> str:
    """A name as registries know it: ``squared-hinge`` is ``squaredhinge``."""
    return name.lower().replace("-", "").replace("_", "")


def make_loss(name: str, given: Mapping[str, Any]) -> Loss:
    """The loss of a name with the parameters given.

    Raises
    ------
    ValueError
        When there is none of this name, or it has no such parameter.
    """
    kind = LOSSES[name]
    owners = {loss.__name__.lower(): tuple(inspect.signature(loss).parameters) for loss in LOSSES}
    loss: Loss = kind(**_own(given, plain(name), owners, "loss"))
    return loss


def make_penalty(name: str, given: Mapping[str, Any], units: Units) -> Penalty:
    """The penalty of a name on some units, at strength one.

    Raises
    ------
    ValueError
        When there is none of this name, it has no such parameter, or groups do not suit it.
    """
    name = plain(name)
    owners = {key: joint.parameters for key, joint in JOINT.items()}
    for kind in PENALTIES:
        owners[kind.__name__.lower()] = unit_parameters(kind)
    joint = JOINT.get(name)
    if joint is None and name not in owners:
        try:
            PENALTIES[name]
        except ValueError as error:
            raise ValueError(f"{str(error).rstrip('.')}, {', '.join(JOINT)}.") from None
    own = _own(given, name, owners, "penalty")
    if joint is None:
        penalty: Penalty = PENALTIES[name](1.0, **own, **units.arguments)
        return penalty
    if joint.groups is not None and joint.groups != (units.on is not None):
        needs = "needs groups of features: give" if joint.groups else "takes single features:"
        rest = "--groups" if joint.groups else "leave out --groups"
        raise ValueError(f"penalty {name} {needs} {rest}.")
    return joint.make(units, **own)


def unit_parameters(kind: type) -> tuple[str, ...]:
    """What a unit penalty has beside its strength."""
    parameters = inspect.signature(kind).parameters.values()
    return tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)[1:]


def _own(
    given: Mapping[str, Any], name: str, owners: Mapping[str, tuple[str, ...]], kind: str
) -> dict[str, Any]:
    """The parameters given, each of which must be one of the piece's own."""
    own = {key: value for key, value in given.items() if value is not None}
    for key in own:
        if key not in owners[name]:
            others = " and ".join(sorted(owner for owner, keys in owners.items() if key in keys))
            raise ValueError(
                f"{key} is a parameter of {others}, not of {name}: leave it out, or choose "
                f"another {kind}."
            )
    return own
