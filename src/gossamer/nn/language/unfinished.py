"""Unfinished work on a model directory: where it lies, and whether it is what is asked for."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gossamer.nn.language.journal import RECORD

NAME = "unfinished"
_ASKED = "asked"
_FREE = ("device", "threads")  # may change between a run and its resumption


class Unfinished:
    """A folder within the output that is there until all is done.

    It holds what was asked for, what the dense model gave, and the journal of the blocks.

    Parameters
    ----------
    source, output : path
        Of the dense and of the sparse model.
    asked : mapping
        Plain data that decides the result.
    resume : bool

    Raises
    ------
    ValueError
        If there is a model in the output already, or unfinished work that shall not be gone on
        with, or that was asked for otherwise.
    """

    def __init__(self, source: Path, output: Path, asked: Mapping[str, Any], resume: bool) -> None:
        self.folder, self._asked = output / NAME, asked
        if output.resolve() == source.resolve():
            raise ValueError(f"output: {output} is the dense model itself; choose another folder.")
        if self.folder.exists():
            self._check(output, resume)
        elif (output / "config.json").exists():
            raise ValueError(f"output: {output} holds a model already; choose another folder.")

    def _check(self, output: Path, resume: bool) -> None:
        path = self._file(_ASKED)
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        wanted = self._asked
        other = [name for name in wanted if before.get(name) != wanted[name] and name not in _FREE]
        if not (self.folder / RECORD).exists() and (other or not resume):
            shutil.rmtree(self.folder)  # it stopped before anything was done
        elif not resume:
            raise ValueError(
                f"output: {output} holds an unfinished run. Add --resume to go on with it, or "
                f"remove {self.folder}."
            )
        elif other:
            raise ValueError(
                f"{other[0]}: the unfinished run in {output} had {before.get(other[0])!r}, not "
                f"{wanted[other[0]]!r}. Give the same, or remove {self.folder}."
            )

    def begin(self) -> None:
        """Make the folder, where it is not there to go on with."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.remembered(_ASKED, lambda: dict(self._asked))

    def end(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder)

    def remembered(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Plain data that is made once, however often the work is gone on with."""
        path = self._file(name)
        if not path.exists():
            fresh = path.with_suffix(".new")
            fresh.write_text(json.dumps(make()), encoding="utf-8")
            os.replace(fresh, path)  # never seen half written
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.json"
