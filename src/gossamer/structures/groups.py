"""Groups: features that are selected together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from gossamer.core.registry import STRUCTURES
from gossamer.core.structure import Structure
from gossamer.core.units import Units

_REMEDY = "Every feature must be in exactly one group; give a lone feature a group of its own."


@STRUCTURES.register
class Groups(Structure):
    """Features grouped by labels or by lists; with K outputs a group holds all its rows.

    Parameters
    ----------
    groups : sequence of labels, or sequence of sequences, or mapping
        Either one label per feature (any hashable: ``["a", "b", "a"]``), or the members of each
        group as positions or column names (``[[0, 2], [1]]``, ``{"age": ["age1", "age2"]}``).
        Groups may have any size and need not be contiguous, but must cover every feature once.

    Raises
    ------
    ValueError
        When groups overlap, leave a feature out, or name an unknown column.

    References
    ----------
    Yuan and Lin (2006), Model selection and estimation in regression with grouped variables.

    Examples
    --------
    >>> import numpy as np
    >>> Groups(["a", "b", "a"]).sizes(np.array([3.0, 1.0, 4.0]))
    array([5., 1.])
    """

    def __init__(self, groups: Sequence[Any] | Mapping[Any, Sequence[Any]] | np.ndarray) -> None:
        self._units: dict[int, Units] = {}
        names: list[Any] = []
        if isinstance(groups, Mapping):
            names, groups = list(groups), list(groups.values())
        if not isinstance(groups, Iterable) or isinstance(groups, str):
            raise TypeError(
                f"groups must be labels, lists of members or a mapping, got {groups!r}."
            )
        groups = list(groups)
        if not groups:
            raise ValueError("groups is empty: give one label per feature, or lists of members.")
        listed = [_is_list(group) for group in groups]
        if any(listed) and not all(listed):
            raise ValueError("groups mixes labels and lists: give one label per feature, or lists.")
        self.names: tuple[Any, ...] = tuple(names)
        self.members: tuple[tuple[Any, ...], ...] | None = None
        self.labels: np.ndarray | None = None
        if all(listed):
            self.members = tuple(tuple(group) for group in groups)
            self.names = self.names or tuple(range(len(groups)))
            if all(not isinstance(m, str) for group in self.members for m in group):
                self.labels = _labels_of_members(self.members)
        else:
            self.names, self.labels = _codes(groups)

    def resolve(self, feature_names: Sequence[str] | None) -> Groups:
        if self.labels is not None:
            return self
        if feature_names is None:
            raise ValueError(
                "groups name columns, but X has no column names: pass a DataFrame, or groups of "
                "column positions."
            )
        position = {name: j for j, name in enumerate(feature_names)}
        assert self.members is not None
        unknown = [m for group in self.members for m in group if m not in position]
        if unknown:
            raise ValueError(f"groups name columns that X does not have: {unknown[:5]}.")
        by_position = [[position[m] for m in group] for group in self.members]
        return Groups(dict(zip(self.names, by_position, strict=True)))

    def partition(self, shape: tuple[int, ...]) -> Units:
        if self.labels is None:
            raise ValueError("groups name columns: pass X as a DataFrame so that they are known.")
        p, n_outputs = shape[0], prod(shape[1:])
        if len(self.labels) != p:
            raise ValueError(f"groups cover {len(self.labels)} features, but X has {p}. {_REMEDY}")
        if n_outputs not in self._units:
            repeated = np.repeat(self.labels, n_outputs)
            self._units[n_outputs] = Units.of_labels(repeated, len(self.names))
        return self._units[n_outputs]

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_units": {}}

    def to_dict(self) -> dict[str, Any]:
        """Plain data that ``Groups(**data)`` accepts."""
        if self.members is None:
            assert self.labels is not None
            return {"groups": [_plain(self.names[code]) for code in self.labels]}
        members = [[_plain(member) for member in group] for group in self.members]
        if self.names == tuple(range(len(members))):
            return {"groups": members}
        return {"groups": dict(zip(map(_plain, self.names), members, strict=True))}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Groups):
            return NotImplemented
        same_names = self.names == other.names and self.members == other.members
        return same_names and np.array_equal(self.labels, other.labels)  # type: ignore[arg-type]

    def __hash__(self) -> int:
        return hash(self.names)

    def __repr__(self) -> str:
        return f"Groups({len(self.names)} groups)"


def _plain(label: Any) -> Any:
    """A label as JSON can hold it."""
    label = label.item() if isinstance(label, np.generic) else label
    return label if isinstance(label, str | int | float) else str(label)


def _is_list(group: Any) -> bool:
    return isinstance(group, Sequence | np.ndarray | set | range) and not isinstance(group, str)


def _codes(labels: list[Any]) -> tuple[tuple[Any, ...], np.ndarray]:
    """Distinct labels in order of appearance, and the number of each feature's label."""
    number: dict[Any, int] = {}
    labels = [label.item() if isinstance(label, np.generic) else label for label in labels]
    codes = np.array([number.setdefault(label, len(number)) for label in labels], dtype=np.intp)
    return tuple(number), codes


def _labels_of_members(members: tuple[tuple[Any, ...], ...]) -> np.ndarray:
    flat = np.array([m for group in members for m in group])
    if flat.size == 0 or not np.issubdtype(flat.dtype, np.integer):
        raise ValueError(f"groups must list column positions or names, got {flat[:5].tolist()}.")
    if any(len(group) == 0 for group in members):
        raise ValueError("groups has an empty group: leave it out.")
    p = int(flat.max()) + 1
    counts = np.bincount(flat[flat >= 0], minlength=p)
    if (flat < 0).any() or (counts != 1).any():
        at = np.flatnonzero(counts != 1)[:5].tolist() or flat[flat < 0][:5].tolist()
        raise ValueError(f"groups leave out, repeat or misplace features {at}. {_REMEDY}")
    labels = np.empty(p, dtype=np.intp)
    labels[flat] = np.repeat(np.arange(len(members)), [len(group) for group in members])
    return labels
