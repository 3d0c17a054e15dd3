"""Compile report: which layout each layer got, what it takes now, and what it took before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from torch import nn

from gossamer.nn.layer_table import as_bytes, as_time

# Where a compiled model keeps its report: plain data, saved with it.
ATTRIBUTE = "compile_report"
DENSE = "dense"


@dataclass(frozen=True)
class Row:
    """One layer, or the whole model.

    Attributes
    ----------
    name, kind : of the layer in the model; its class before
    sparsity : share of its weights that are zero
    layout : what it got; ``"dense"`` where it was left as it was
    dense_seconds, seconds : shortest time of a call before and now
    dense_bytes, bytes : of its parameters and buffers before and now
    """

    name: str
    kind: str
    sparsity: float
    layout: str
    dense_seconds: float
    seconds: float
    dense_bytes: int
    bytes: int

    @property
    def speedup(self) -> float:
        """How often it runs now in the time of once before."""
        return self.dense_seconds / self.seconds if self.seconds else 1.0


@dataclass(frozen=True)
class CompileReport:
    """What :func:`gossamer.compile` has done; printing gives a table.

    Attributes
    ----------
    layers : Row of each layer that might have been replaced, in the order of their first calls
    total : Row of the whole model
    deviation : float
        The largest difference to the outputs before, as a share of the largest output.
    """

    layers: tuple[Row, ...]
    total: Row
    deviation: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a file or a plot."""
        layers = [asdict(row) for row in self.layers]
        return {"layers": layers, "total": asdict(self.total), "deviation": self.deviation}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """The report of :meth:`to_dict`."""
        layers = tuple(Row(**row) for row in record["layers"])
        return cls(layers, Row(**record["total"]), record["deviation"])

    def __str__(self) -> str:
        titles = ("layer", "kind", "sparsity", "layout", "before", "now", "speed-up", "bytes", "")
        rows = [titles, *map(_cells, self.layers), _cells(self.total)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [_line(cells, widths) for cells in rows]
        rule = "-" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def report(model: nn.Module) -> CompileReport:
    """The report of a model that :func:`gossamer.compile` has made, also after saving and loading.

    Raises
    ------
    ValueError
        For other models.

    Examples
    --------
    >>> import torch, gossamer as gs
    >>> model = nn.Sequential(nn.Linear(64, 64))
    >>> with torch.no_grad():
    ...     _ = model[0].weight[:, 4:].zero_()
    >>> found = report(gs.compile(model, torch.zeros(1, 64)))
    >>> found.layers[0].name, round(found.layers[0].sparsity, 3), found.deviation < 1e-4
    ('0', 0.938, True)
    """
    record = getattr(model, ATTRIBUTE, None)
    if record is None:
        raise ValueError("model has no report: it was not made by gossamer.compile().")
    return CompileReport.from_dict(record)


def _cells(row: Row) -> tuple[str, ...]:
    times = (as_time(row.dense_seconds), as_time(row.seconds), f"{row.speedup:.2f}x")
    sizes = (as_bytes(row.dense_bytes), f"-> {as_bytes(row.bytes)}")
    return (row.name or "(model)", row.kind, f"{row.sparsity:.1%}", row.layout, *times, *sizes)


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    left = {0, 1, 3, 8}
    texts = [
        cell.ljust(width) if place in left else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(texts).rstrip()
