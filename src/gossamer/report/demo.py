"""The table of the demonstration: tumours told apart by their genes."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from gossamer.linear.table import Table, as_table, read_table

TARGET = "tumour"
_TUMOURS = np.array(["Burkitt", "Ewing", "neuroblastoma", "rhabdomyosarcoma"], dtype=object)


def khan() -> tuple[Table, Table]:
    """Training and test table of the small round blue cell tumours, split as by their authors.

    63 and 20 samples, 2308 genes, and the column ``tumour``.

    Raises
    ------
    FileNotFoundError
        When the package that holds the data is not installed.

    References
    ----------
    Khan et al. (2001), Classification and diagnostic prediction of cancers using gene expression
    profiling and artificial neural networks.
    """
    spec = find_spec("ISLP")
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    if not folders:
        raise FileNotFoundError(
            "the demonstration reads its table from the data package ISLP, which is not installed. "
            "Run: pip install --no-deps ISLP"
        )
    return _part(Path(folders[0]) / "data", "train"), _part(Path(folders[0]) / "data", "test")


def _part(folder: Path, part: str) -> Table:
    genes = read_table(folder / f"Khan_x{part}.csv")
    codes = read_table(folder / f"Khan_y{part}.csv").column("x")
    columns = {name: genes.column(name) for name in genes.names}
    return as_table({**columns, TARGET: _TUMOURS[codes - 1]}, "Khan: small round blue cell tumours")
