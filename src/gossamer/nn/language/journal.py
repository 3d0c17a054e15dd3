"""Journal: work on a model's blocks that can be interrupted and gone on with."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from gossamer.nn.language.compression import Row
from gossamer.nn.model_files import safetensors_package

_MASK = "mask:"


class Journal:
    """A folder with what has been done: a record in JSON, and a safetensors file a block.

    Attributes
    ----------
    done : int
        Blocks.
    rows : list of dict
        What is known of their layers.
    """

    def __init__(self, folder: Path, fingerprint: Mapping[str, str]) -> None:
        self.folder, self._fingerprint = folder, dict(fingerprint)
        self.done, self.rows = 0, list[dict[str, Any]]()

    @classmethod
    def open(cls, folder: Path, fingerprint: Mapping[str, str]) -> Journal:
        """The journal of this work, as far as it has come.

        Raises
        ------
        ValueError
            For a folder with other work.
        """
        self = cls(folder, fingerprint)
        if self._record.exists():
            known = json.loads(self._record.read_text())
            odd = [name for name in fingerprint if known["work"].get(name) != fingerprint[name]]
            if odd:
                raise ValueError(
                    f"folder {str(folder)!r} has work with another {' and '.join(odd)}: name "
                    "another folder, or remove this one."
                )
            self.done, self.rows = known["done"], known["rows"]
        return self

    def note(
        self,
        turn: int,
        rows: Sequence[Row],
        state: Mapping[str, Tensor],
        masks: Mapping[str, Tensor],
    ) -> None:
        """A block is done. A stop at any moment leaves a whole record of the past."""
        tensors = dict(state) | {_MASK + name: mask for name, mask in masks.items()}
        whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
        safetensors_package().torch.save_file(whole, self._file(turn))
        self.done, self.rows = turn + 1, [asdict(row) for row in rows]
        record = {"work": self._fingerprint, "done": self.done, "rows": self.rows}
        fresh = self._record.with_suffix(".new")
        fresh.write_text(json.dumps(record))
        os.replace(fresh, self._record)

    def block(self, turn: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The state of a block that is done, and its masks."""
        tensors = safetensors_package().torch.load_file(self._file(turn))
        masks = {n.removeprefix(_MASK): t for n, t in tensors.items() if n.startswith(_MASK)}
        return {n: t for n, t in tensors.items() if not n.startswith(_MASK)}, masks

    def _file(self, turn: int) -> Path:
        return self.folder / f"block-{turn}.safetensors"

    @property
    def _record(self) -> Path:
        return self.folder / "record.json"
