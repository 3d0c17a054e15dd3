"""The plot of a compiled model: two bars a layer, and two for the whole model."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from gossamer import report
from gossamer.runtime.compile_report import CompileReport, Row


def row(name: str, layout: str, before: float, now: float) -> Row:
    return Row(name, "Linear", 0.9, layout, before, now, 4000, 400)


def test_bars_are_the_times() -> None:
    layers = row("fc1", "csr", 8e-5, 2e-5), row("fc2", "dense", 1e-5, 1e-5)
    found = CompileReport(layers, row("", "", 1e-4, 4e-5), 0.0)
    ax = report.plot_compiled(found)
    FigureCanvasAgg(ax.figure).draw()
    widths = [round(bar.get_width(), 6) for bar in ax.patches]
    assert widths == [80, 10, 100, 20, 10, 40]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["fc1", "fc2", "whole model"]
    assert [text.get_text().strip() for text in ax.texts] == ["csr 4.00x", "dense 1.00x", "2.50x"]
    again = report.plot_compiled(found.to_dict())
    assert [bar.get_width() for bar in again.patches] == [bar.get_width() for bar in ax.patches]


def test_nothing_to_show() -> None:
    empty: dict[str, Any] = {"layers": [], "total": {}}
    (text,) = report.plot_compiled(empty).texts
    assert text.get_text() == "No layer could be replaced."


def test_what_is_no_report_is_refused() -> None:
    for thing in ({}, [1.0], None):
        with pytest.raises(TypeError, match=r"runtime\.report\(model\)"):
            report.plot_compiled(thing)
