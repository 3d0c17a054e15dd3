"""What became of a model's layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from gossamer.nn.language.layer import Layer, Solved
from gossamer.nn.language.quantisation import Quantised
from gossamer.nn.pruning.masks import Masks


@dataclass(frozen=True)
class Row:
    """One layer.

    Attributes
    ----------
    name : str
    weights, alive : int
    error : float
        Of its outputs on the calibration text, relative to their norm.
    seconds : float
    certificate : dict or None
        Of the layer's problem, without the support.
    facts : dict
        What else the method says.
    """

    name: str
    weights: int
    alive: int
    error: float
    seconds: float
    certificate: dict[str, Any] | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, layer: Layer, solved: Solved, seconds: float) -> Row:
        plain = None if solved.certificate is None else solved.certificate.to_dict()
        if plain is not None:
            del plain["support"]
        alive, error = int(solved.mask.sum()), layer.error(solved.weight)
        return cls(layer.name, solved.mask.numel(), alive, error, seconds, plain, solved.facts)


@dataclass(frozen=True, eq=False)
class Compression:
    """A compressed model: printed, it is a table of its layers.

    Attributes
    ----------
    masks : Masks
        Which weights live; ``masks.hold(optimiser)`` keeps the others at zero while one trains on.
    layers : tuple of Row
    method : str
    quantised : dict from layers' names to Quantised
        Of methods that round: the weights as small integers.
    """

    masks: Masks
    layers: tuple[Row, ...]
    method: str
    quantised: dict[str, Quantised] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    @property
    def sparsity(self) -> float:
        """Share of the weights of all these layers that are gone."""
        return 1 - sum(row.alive for row in self) / sum(row.weights for row in self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a file."""
        rows = [asdict(row) for row in self]
        return {"method": self.method, "sparsity": self.sparsity, "layers": rows}

    def __str__(self) -> str:
        width = max(len("layer"), *(len(row.name) for row in self))
        lines = [f"{'layer':<{width}}  {'weights':>11}  sparsity   error"]
        for row in self:
            share = 1 - row.alive / row.weights
            lines.append(
                f"{row.name:<{width}}  {row.weights:>11,}  {share:>8.1%}  {row.error:>6.3f}"
            )
        total = sum(row.weights for row in self)
        return "\n".join([*lines, f"{'all':<{width}}  {total:>11,}  {self.sparsity:>8.1%}"])
