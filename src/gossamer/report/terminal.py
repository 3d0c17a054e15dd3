"""A fit on one terminal screen: at most 24 lines of 80 columns."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten as cut
from textwrap import wrap
from typing import TextIO

import numpy as np

from gossamer.report import wording
from gossamer.report.summary import FitSummary
from gossamer.report.text import column_width, counted, number, pad, shorten

COLUMNS, LINES = 80, 24
_LABEL = 13
_NAME = 26
_BAR = 22
_EIGHTHS = " ▏▎▍▌▋▊▉"

Line = tuple[str, str]  # style, text


def print_summary(
    summary: FitSummary, stream: TextIO | None = None, *, files: Sequence[str | Path] = ()
) -> None:
    """Print what was fitted, how good it is, and what matters most.

    Parameters
    ----------
    summary : FitSummary
    stream : text stream, optional
        Standard output by default. A terminal gets colours, any other stream plain text.
    files : sequence of str or path
        Files that were written, named at the end.
    """
    stream = sys.stdout if stream is None else stream
    encoding = getattr(stream, "encoding", None) or "utf-8"
    lines = [(style, _encodable(text, encoding)) for style, text in _lines(summary, files)]
    if stream.isatty():
        from rich.console import Console
        from rich.text import Text

        console = Console(file=stream, highlight=False)
        for style, text in lines:
            console.print(Text(text, style=style), soft_wrap=True)
    else:
        stream.writelines(text.rstrip() + "\n" for _, text in lines)


def _encodable(text: str, encoding: str) -> str:
    """The text with bars of # and ? for what the stream cannot write (a pipe on Windows, say)."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        for block in "█" + _EIGHTHS[4:]:
            text = text.replace(block, "#")
        for block in _EIGHTHS[1:4]:
            text = text.replace(block, " ")
        for fancy, plain in {"−": "-", "…": "~", "–": "-", "α": "alpha"}.items():
            text = text.replace(fancy, plain)
        return text.encode(encoding, "replace").decode(encoding)
    return text


def _lines(summary: FitSummary, files: Sequence[str | Path]) -> list[Line]:
    head: list[Line] = [("bold", text) for text in wrap(wording.headline(summary), COLUMNS)[:2]]
    head.append(("", ""))
    why = f" ({summary.loss_why})" if summary.loss_why else ""
    head += _row("data", _data(summary))
    head += _row("loss", summary.loss + why)
    head += _row("penalty", summary.penalty)
    name = "size" if summary.is_budget else "strength"
    head += _row(name, f"{wording.level(summary)}: {wording.criterion(summary)}", 2)
    holds = summary.certificate["holds"]
    head += _row("certificate", _certificate(summary), 2, "green" if holds else "bold red")
    head += _row("quality", _metrics(summary), 2)
    for finding in summary.findings:
        names = ", ".join(map(str, finding.selected)) or "none"
        head += _row(finding.method, f"{finding.brief}: {names}", 2)

    tail: list[Line] = []
    for note in summary.notes[:2]:
        tail += _row("note", note, 1, "yellow")
    if len(summary.notes) > 2:
        tail += _row("", f"{counted(len(summary.notes) - 2, 'more note')} in the report")
    if files:
        tail += _row("written", ", ".join(map(str, files)), 2)
    if tail:
        tail.insert(0, ("", ""))
    return head + _features(summary, LINES - len(head) - len(tail)) + tail


def _row(label: str, text: str, most: int = 1, style: str = "") -> list[Line]:
    """A labelled text over at most `most` lines."""
    room = COLUMNS - _LABEL
    parts = wrap(text, room)
    if len(parts) > most:
        parts = [*parts[: most - 1], cut(" ".join(parts[most - 1 :]), room, placeholder=" …")]
    parts = [shorten(part, room) for part in parts]
    return [(style, pad(label if i == 0 else "", _LABEL) + part) for i, part in enumerate(parts)]


def _data(summary: FitSummary) -> str:
    held_out = f" and {summary.n_test:,} test" if summary.n_test else ""
    return (
        f"{summary.n_train:,} training{held_out} samples, {counted(summary.n_features, 'feature')}"
    )


def _certificate(summary: FitSummary) -> str:
    facts = summary.certificate
    text = f"{wording.verdict(summary)}: {number(facts['value'], 2)}"
    text += f" {'≤' if facts['holds'] else '>'} {number(facts['tol'], 2)} asked"
    return f"{text}, in {number(summary.seconds, 2)} s"


def _metrics(summary: FitSummary) -> str:
    parts = []
    for name, (train, test) in summary.metrics.items():
        values = (
            f"{number(train, padded=True)} train"
            if test is None
            else f"{number(test, padded=True)} test"
        )
        parts.append(f"{name} {values}")
    return ", ".join(parts) or wording.quality(summary)


def _features(summary: FitSummary, room: int) -> list[Line]:
    """A blank line and the largest features with their bars, in at most `room` lines."""
    selected = summary.selected
    if not selected.size:
        return []
    rows = max(1, room - 3)
    shown = selected[:rows]
    coef = np.asarray(summary.coef, dtype=float)
    largest = summary.sizes[selected[0]]
    lines: list[Line] = [("", ""), ("dim", _heading(summary))]
    for feature in shown:
        name = pad(shorten(summary.feature_names[feature], _NAME), _NAME)
        values = np.atleast_1d(coef[feature])
        most = int(np.argmax(np.abs(values)))
        bar = _bar(summary.sizes[feature] / largest)
        text = f"{name}  {bar} {number(values[most], padded=True):>10}"
        if coef.ndim == 2 and summary.classes is not None:
            text += f"  {shorten(summary.classes[most], COLUMNS - column_width(text) - 2)}"
        lines.append(("cyan" if values[most] > 0 else "magenta", text))
    if selected.size > shown.size:
        lines.append(("dim", f"… and {selected.size - shown.size:,} more"))
    return lines


def _heading(summary: FitSummary) -> str:
    name = "size" if summary.curves else "coefficient"
    what = "largest, and its class" if np.ndim(summary.coef) == 2 else name
    return f"{pad('feature', _NAME)}  {pad('', _BAR)}  {what}"


def _bar(share: float) -> str:
    """A bar of `_BAR` columns in steps of an eighth of a column, never empty."""
    eighths = max(1, round(share * _BAR * 8))
    full, rest = divmod(eighths, 8)
    return pad("█" * full + (_EIGHTHS[rest] if rest else ""), _BAR)
