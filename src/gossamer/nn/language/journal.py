"""Journal: work on a model's blocks that can be interrupted and gone on with."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from gossamer.nn.language.compression import Row
from gossamer.nn.language.quantisation import Quantised
from gossamer.nn.model_files import safetensors_package


@dataclass(eq=False)
class Done:
    """What has become of one block.

    Attributes
    ----------
    state : dict
        Of the block.
    masks : dict from full names of weights to boolean tensors, in the layouts of the weights
    quantised : dict from full names of layers to Quantised
    """

    state: dict[str, Tensor]
    masks: dict[str, Tensor]
    quantised: dict[str, Quantised]

    def to_tensors(self) -> dict[str, Tensor]:
        """All of it by one kind of name."""
        packed = {
            f"{n}:{part}": t for n, q in self.quantised.items() for part, t in q.pack().items()
        }
        kinds = {"state": self.state, "mask": self.masks, "quantised": packed}
        return {
            f"{kind}:{name}": tensor.detach().cpu().contiguous()
            for kind, named in kinds.items()
            for name, tensor in named.items()
        }

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> Done:
        """The reverse."""
        kinds: dict[str, dict[str, Tensor]] = {"state": {}, "mask": {}, "quantised": {}}
        for name, tensor in tensors.items():
            kind, _, own = name.partition(":")
            kinds[kind][own] = tensor
        packed: dict[str, dict[str, Tensor]] = {}
        for name, tensor in kinds["quantised"].items():
            layer, _, part = name.rpartition(":")
            packed.setdefault(layer, {})[part] = tensor
        quantised = {name: Quantised.unpack(parts) for name, parts in packed.items()}
        return cls(kinds["state"], kinds["mask"], quantised)


RECORD = "record.json"


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

    def note(self, turn: int, rows: Sequence[Row], done: Done) -> None:
        """A block is done. A stop at any moment leaves a whole record of the past."""
        safetensors_package().torch.save_file(done.to_tensors(), self._file(turn))
        self.done, self.rows = turn + 1, [asdict(row) for row in rows]
        record = {"work": self._fingerprint, "done": self.done, "rows": self.rows}
        fresh = self._record.with_suffix(".new")
        fresh.write_text(json.dumps(record))
        os.replace(fresh, self._record)

    def block(self, turn: int) -> Done:
        """What has become of a block."""
        return Done.of_tensors(safetensors_package().torch.load_file(self._file(turn)))

    def _file(self, turn: int) -> Path:
        return self.folder / f"block-{turn}.safetensors"

    @property
    def _record(self) -> Path:
        return self.folder / RECORD
