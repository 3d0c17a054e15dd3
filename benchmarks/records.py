"""Results kept as JSON lines, so that an interrupted run goes on where it ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def read(results: Path) -> list[Record]:
    if not results.exists():
        return []
    return [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]


def append(results: Path, *records: Record) -> None:
    results.parent.mkdir(parents=True, exist_ok=True)
    with results.open("a", encoding="utf-8") as file:
        file.writelines(map(_line, records))


def forget(results: Path, unwanted: Callable[[Record], bool]) -> None:
    """Leave some records out, so that they are measured again."""
    if results.exists():
        kept = [_line(record) for record in read(results) if not unwanted(record)]
        results.write_text("".join(kept), encoding="utf-8")


def _line(record: Record) -> str:
    return json.dumps(record) + "\n"
