"""Groups that share members: lists of positions or names, as a user gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Members = tuple[tuple[Any, ...], ...]


def group_lists(groups: Any, owner: str) -> Members:
    """The groups as tuples of positions or names; refused when one is empty or repeats one."""
    given = list(groups.values()) if isinstance(groups, Mapping) else groups
    try:
        lists = [list(group) for group in given if not isinstance(group, str) or _refuse(group)]
    except TypeError as error:
        raise TypeError(
            f"{owner}: groups must be lists of column positions or names, got {groups!r}."
        ) from error
    if not lists:
        raise ValueError(f"{owner}: groups is empty: give one list of members or more.")
    members = tuple(tuple(m if isinstance(m, str) else _position(m, owner) for m in group)
                    for group in lists)  # fmt: skip
    for number, group in enumerate(members):
        if not group or len(set(group)) < len(group):
            what = "repeats a member" if group else "is empty"
            raise ValueError(f"{owner}: group {number} {what}: list its members once, {group!r}.")
    return members


def _refuse(group: str) -> bool:
    raise TypeError(f"{group!r} is text")


def _position(member: Any, owner: str) -> int:
    try:
        position = member.__index__()
    except AttributeError:
        raise TypeError(
            f"{owner}: groups must list column positions or names, got {member!r}."
        ) from None
    if position < 0:
        raise ValueError(f"{owner}: groups must list positions from 0 on, got {member!r}.")
    return int(position)


def has_names(members: Members) -> bool:
    """Whether a member is the name of a column."""
    return any(isinstance(member, str) for group in members for member in group)


def by_position(members: Members, names: Sequence[str] | None, owner: str) -> Members:
    """The groups with column names replaced by positions."""
    if names is None:
        raise ValueError(
            f"{owner}: groups name columns, but X has no column names: pass a DataFrame, or "
            "groups of column positions."
        )
    position = {name: j for j, name in enumerate(names)}
    unknown = [m for group in members for m in group if isinstance(m, str) and m not in position]
    if unknown:
        raise ValueError(f"{owner}: groups name columns that X does not have: {unknown[:5]}.")
    return tuple(tuple(position.get(m, m) for m in group) for group in members)
