"""Groups of columns: from patterns, from prefixes of their names, or from a file."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import translate
from pathlib import Path
from typing import Any

import numpy as np

from gossamer.linear.words import listing


def match_columns(groups: Mapping[str, str | Sequence[str]], names: Iterable[str]) -> np.ndarray:
    """One group label per column, from patterns of column names.

    Parameters
    ----------
    groups : mapping of str to str or list of str
        For each group its columns: names, or patterns with ``*``, ``?`` and ``[...]``.
    names : iterable of str
        The columns to be grouped.

    Raises
    ------
    ValueError
        When a pattern matches nothing, or a column is in no group or in two.

    Examples
    --------
    >>> labels = match_columns({"size": ["height", "weight"], "gene": "g*"},
    ...                        ["height", "weight", "g1", "g2"])
    >>> labels.tolist()
    ['size', 'size', 'gene', 'gene']

    Groups of a table's columns pass on to an encoder's indicators by name:

    >>> import gossamer as gs
    >>> encoder = gs.TableEncoder().fit({"age": [31, 45], "city": ["Ulm", "Bonn"]})
    >>> label_of = dict(zip(["age", "city"], ["person", "place"]))
    >>> [label_of[name] for name in encoder.groups_]
    ['person', 'place', 'place']
    """
    names = list(names)
    position = {name: j for j, name in enumerate(names)}
    labels = np.full(len(names), None, dtype=object)
    for group, patterns in groups.items():
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            if pattern in position:
                found = [position[pattern]]
            else:
                matches = re.compile(translate(pattern)).match
                found = [j for j, name in enumerate(names) if matches(name)]
            if not found:
                raise ValueError(
                    f"group {group!r}: {pattern!r} matches no column of {listing(names)}."
                )
            twice = [names[j] for j in found if labels[j] not in (None, group)]
            if twice:
                raise ValueError(
                    f"column {listing(twice)} is in group {group!r} and in another one: "
                    "name each column once."
                )
            labels[found] = group
    left = [name for name, label in zip(names, labels, strict=True) if label is None]
    if left:
        raise ValueError(
            f"{len(left)} columns are in no group: {listing(left)}. Add them to one, or give a "
            "lone column a group of its own."
        )
    return labels


def prefix_groups(names: Iterable[str], separators: str = "_.") -> np.ndarray:
    """Group columns by the part of their name before the last separator; without one, alone.

    >>> prefix_groups(["eeg_1", "eeg_2", "age"]).tolist()
    ['eeg', 'eeg', 'age']
    """
    names = list(names)
    cuts = [max(name.rfind(mark) for mark in separators) for name in names]
    stems = [name[:cut] if cut > 0 else name for name, cut in zip(names, cuts, strict=True)]
    return np.array(stems, dtype=object)


def read_groups(option: str, names: Iterable[str]) -> np.ndarray:
    """Group labels from a command-line option.

    The option is ``prefix``, ``prefix:`` and the separators (``prefix:_``), or the path of a JSON
    or TOML file that maps each group to its columns, as `match_columns` takes them.
    """
    if option == "prefix" or option.startswith("prefix:"):
        return prefix_groups(names, option.removeprefix("prefix").removeprefix(":") or "_.")
    path = Path(option)
    load = {".json": json.loads, ".toml": tomllib.loads}.get(path.suffix.lower())
    if load is None:
        raise ValueError(f"groups must be 'prefix', 'prefix:_', or a .json or .toml, got {option}.")
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: not found from {Path.cwd()}. Give the path of the groups."
        )
    try:
        groups = load(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid {path.suffix[1:].upper()}: {error}.") from error
    if not isinstance(groups, dict) or not all(map(_is_pattern, groups.values())):
        raise ValueError(f'{path} must map groups to columns: {{"genes": ["g*"], "age": "age"}}.')
    return match_columns(groups, names)


def _is_pattern(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(pattern, str) for pattern in value)
    )
