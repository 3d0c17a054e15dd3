"""The map of published systems: read docs/systems.toml, write docs/systems.md, run the checks.

Usage: ``python docs/systems.py [--run]``. The format stands at the head of docs/systems.toml.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

DOCS = Path(__file__).resolve().parent
SOURCE = DOCS / "systems.toml"
PAGE = DOCS / "systems.md"

HEAD = """\
# Published systems

What of the literature runs here, where it lives, and the command that proves it.
Generated from `docs/systems.toml`: every row's check passes (`python docs/systems.py --run`).

"""


class MalformedRow(ValueError):
    """A row of docs/systems.toml that does not keep the format."""


@dataclass(frozen=True)
class System:
    """One row: a published system and where this library answers it."""

    id: int
    title: str
    where: str
    check: str
    figure: str


def parse_row(row: dict[str, Any]) -> System:
    """The row as a `System`; raises `MalformedRow` saying which field is wrong and how."""
    name = f"row {row.get('id', '?')}"
    wanted = [field.name for field in fields(System)]
    if set(row) != set(wanted):
        missing, unknown = sorted(set(wanted) - set(row)), sorted(set(row) - set(wanted))
        raise MalformedRow(f"{name}: missing fields {missing}, unknown fields {unknown}.")
    if type(row["id"]) is not int or row["id"] < 0:
        raise MalformedRow(f"{name}: id must be a whole number from 0 on, got {row['id']!r}.")
    for field in wanted[1:]:
        if not isinstance(row[field], str) or not row[field].strip() or "\n" in row[field]:
            raise MalformedRow(f"{name}: {field} must be one line of text, got {row[field]!r}.")
    try:
        resolve_name(row["where"])
    except (ImportError, AttributeError, ValueError) as error:
        raise MalformedRow(f"{name}: where = {row['where']!r} does not exist: {error}") from error
    return System(**row)


def read(source: Path = SOURCE) -> list[System]:
    """Every row of the file, checked."""
    content = tomllib.loads(source.read_text(encoding="utf-8"))
    if unknown := sorted(set(content) - {"system"}):
        raise MalformedRow(f"{source.name}: unknown entries {unknown}; rows start with [[system]].")
    systems = [parse_row(row) for row in content.get("system", [])]
    for previous, system in pairwise(systems):
        if system.id <= previous.id:
            raise MalformedRow(
                f"row {system.id}: stands after row {previous.id}; ids are unique and ascend."
            )
    return systems


def render(systems: Sequence[System]) -> str:
    """The page that shows the rows."""
    if not systems:
        return HEAD + "No system is listed yet.\n"
    lines = ["| id | system | where | check | last measured |", "|---|---|---|---|---|"]
    for system in systems:
        cells = (
            str(system.id),
            system.title,
            f"`{system.where}`",
            f"`{system.check}`",
            system.figure,
        )
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return HEAD + "\n".join(lines) + "\n"


def run(systems: Sequence[System]) -> list[System]:
    """Run every check; return the systems whose check failed."""
    # `python` in a check is the interpreter that runs this script.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    failed = []
    for system in systems:
        # By way of env: it, not Python, looks the command up in the new PATH.
        command = ["env", f"PATH={path}", *shlex.split(system.check)]
        passed = subprocess.run(command, cwd=DOCS.parent).returncode == 0
        print(f"{'pass' if passed else 'FAIL'}  {system.id}  {system.check}", flush=True)
        if not passed:
            failed.append(system)
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write docs/systems.md from docs/systems.toml.")
    parser.add_argument("--run", action="store_true", help="run every check instead")
    options = parser.parse_args(arguments)
    try:
        systems = read()
    except MalformedRow as error:
        print(f"docs/systems.toml: {error}", file=sys.stderr)
        return 1
    if not options.run:
        PAGE.write_text(render(systems), encoding="utf-8")
        return 0
    failed = run(systems)
    print(f"{len(systems) - len(failed)} of {len(systems)} checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
