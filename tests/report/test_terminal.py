"""The terminal summary: one screen, whatever the fit."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import pytest

from gossamer.report import FitSummary, print_summary
from gossamer.report.text import column_width

Makers = dict[str, Callable[[], FitSummary]]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(summary: FitSummary, **options: object) -> list[str]:
    stream = io.StringIO()
    print_summary(summary, stream, **options)  # type: ignore[arg-type]
    return stream.getvalue().splitlines()


def test_fits_one_screen(summary: FitSummary) -> None:
    lines = printed(summary, files=["out/model.gossamer", "out/report.html"])
    assert len(lines) <= 24
    assert max(map(column_width, lines)) <= 80
    text = "\n".join(lines)
    for said in (summary.loss, summary.penalty, "certificate", "out/report.html"):
        assert said in text


def test_long_texts_are_cut_to_one_screen(make: Makers) -> None:
    summary = replace(
        make["classification"](),
        target="a_very_long_target_name " * 9,
        loss_why="why " * 90,
        penalty="penalty " * 40,
        notes=["note " * 60] * 9,
        metrics={f"metric {i}": (1.0, 1.0) for i in range(40)},
        feature_names=["日本語の特徴量の名前" * 5] * 2308,
        classes=["class" * 30] * 4,
    )
    lines = printed(summary, files=["path/" * 30 + "model.gossamer"] * 3)
    assert len(lines) <= 24
    assert max(map(column_width, lines)) <= 80
    assert "7 more notes in the report" in "\n".join(lines)


def test_largest_feature_has_the_longest_bar(make: Makers) -> None:
    summary = make["counts"]()
    bars = [line.count("█") for line in printed(summary) if "█" in line]
    assert bars == sorted(bars, reverse=True) and bars[0] == 22
    first = next(line for line in printed(summary) if "█" in line)
    assert first.startswith(summary.feature_names[summary.selected[0]])


def test_failure_is_said(make: Makers) -> None:
    text = "\n".join(printed(make["nothing"]()))
    assert "Not converged: 0.00023 > 1e-06" in text
    assert "None of 1,107 features was selected" in text


def test_terminal_gets_the_same_text_in_colour(make: Makers) -> None:
    terminal = Terminal()
    print_summary(make["regression"](), terminal)
    assert "predict permeability" in terminal.getvalue()
    assert len(terminal.getvalue().splitlines()) <= 24


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_any_encoding_can_be_written(encoding: str, make: Makers) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    print_summary(make["regression"](), stream)
    stream.flush()
    text = raw.getvalue().decode(encoding)
    assert ("█" in text) == (encoding == "utf-8")
    assert ("####" in text) == (encoding != "utf-8")
