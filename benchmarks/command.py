"""What the benchmarks' commands have in common: arguments, and where their text goes."""

from __future__ import annotations

import argparse
from pathlib import Path

BEGIN, END = "<!-- begin: measured -->", "<!-- end: measured -->"


def command(
    package: str | None, text: str | None, results: Path, page: str
) -> argparse.ArgumentParser:
    """A parser with the arguments that all benchmarks take.

    Parameters
    ----------
    package : what ``python -m`` is given
    text : its docstring
    results : where they are kept, unless another file is asked for
    page : of the documentation, which ``--out`` is meant for
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {package}", description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("--results", type=Path, default=results, help="where to go on")
    add("--again", action="store_true", help="measure again what is in the results")
    add("--report", action="store_true", help="measure nothing")
    add("--out", type=Path, help=f"page to be updated ({page}), with pictures beside")
    add("--quick", action="store_true", help="a small part, under a minute, nothing kept")
    return parser


def hand_over(text: str, page: Path | None) -> None:
    """Put the text between the page's marks, or print it where there is no page."""
    if page is None:
        print(text)
        return
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
