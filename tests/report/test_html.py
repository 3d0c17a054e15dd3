"""The HTML report: well-formed, alone in the world, escaped, and true to its summary."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from gossamer.report import FitSummary, render_report, write_report

Makers = dict[str, Callable[[], FitSummary]]
Pages = Callable[[str], str]
VOID = {"meta", "br", "hr", "img", "link", "input"}
ATTACK = '<script>alert("x")</script>'


class Outline(HTMLParser):
    """Reads a page, failing on tags that are left open or closed twice."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_page_is_well_formed_self_contained_and_small(kind: str, page_of: Pages) -> None:
    page = page_of(kind)
    outline = Outline(page)
    assert page.startswith("<!DOCTYPE html>")
    assert "script" not in outline.tags and "link" not in outline.tags
    for name, value in outline.attributes:
        if name in ("src", "href", "xlink:href", "data", "action"):
            assert value.startswith(("#", "data:")), f"{name}={value}"
        assert not name.startswith("on")
    assert not re.search(r"@import|url\((?!#)", page)
    assert len(page.encode()) < 2_000_000


def test_ids_are_unique_and_references_resolve(kind: str, page_of: Pages) -> None:
    page = page_of(kind)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?: href="|url\()#([^")]+)', page)) == set(ids)


def test_page_says_what_the_summary_holds(kind: str, make: Makers, page_of: Pages) -> None:
    summary, text = make[kind](), Outline(page_of(kind)).text
    certificate = "3.1e-07" if summary.certificate["holds"] else "0.00023"
    assert f"certificate {certificate}" in text
    assert f"{summary.selected.size:,} / {summary.n_features:,}" in text
    for said in (summary.title, summary.loss_why, summary.penalty, *summary.notes):
        assert said in text
    assert "Seed 0." in text and "scipy 1.17.1" in text
    assert "gossamer fit" in text


def test_report_is_written_as_utf8(tmp_path: Path, make: Makers, page_of: Pages) -> None:
    path = write_report(make["counts"](), str(tmp_path / "report.html"))
    assert path.read_text(encoding="utf-8") == page_of("counts")


def test_command_is_quoted_for_the_shell(page_of: Pages) -> None:
    assert "-o 'khan out'" in Outline(page_of("classification")).text


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("classification", "predict tumour: 20 of 20 right on the test set."),
        ("regression", "of the variance explained on the test set."),
        ("counts", "of the deviance explained on the test set."),
        ("nothing", "None of 1,107 features was selected"),
    ],
)
def test_headline(kind: str, said: str, page_of: Pages) -> None:
    found = re.search(r'class="headline">(.*?)</p>', page_of(kind))
    assert found is not None and said in found[1]


def test_sections_follow_the_task(page_of: Pages) -> None:
    classification = page_of("classification")
    assert "Confusion, the test set" in classification and "Calibration" in classification
    assert classification.count('aria-label="Coefficients against') == 4, "one path a class"
    counts = page_of("counts")
    assert "Residuals, the test set" in counts and "Confusion" not in counts
    assert "Stability" not in counts and "one-standard-error" not in counts
    nothing = Outline(page_of("nothing")).text
    assert "The model is its intercept alone." in nothing
    assert "No test set was held out" in nothing


def test_user_text_is_escaped_everywhere(make: Makers) -> None:
    summary = make["regression"]()
    names = [f"{ATTACK}{i}" for i in range(summary.n_features)]
    page = render_report(
        replace(
            summary,
            feature_names=names,
            title=ATTACK,
            target=ATTACK,
            loss_why=ATTACK,
            notes=[ATTACK],
            command=[ATTACK],
            cv_score_name=ATTACK,
            metrics={ATTACK: (1.0, 1.0)},
            versions={ATTACK: ATTACK},
        )
    )
    outline = Outline(page)
    assert "<script" not in page and "script" not in outline.tags
    assert ATTACK in outline.text


def test_class_names_are_escaped(make: Makers) -> None:
    summary = replace(make["classification"](), classes=[ATTACK, "b", "c", "d"])
    assert "<script" not in render_report(summary)


def test_table_holds_all_coefficients(make: Makers, page_of: Pages) -> None:
    summary = make["classification"]()
    assert page_of("classification").count('<td class="size">') == summary.selected.size
    coef = np.ones(summary.n_features * 4).reshape(-1, 4)
    text = Outline(render_report(replace(summary, coef=coef))).text
    assert "The 1,308 smallest are left out here." in text


@pytest.mark.parametrize("kind", ["critical", "global", "coordinate-wise"])
def test_certificate_is_explained(kind: str, make: Makers) -> None:
    summary = make["regression"]()
    facts = {**summary.certificate, "kind": kind}
    text = Outline(render_report(replace(summary, certificate=facts))).text
    assert ("not convex" in text) == (kind != "global")
    assert ("4.3e-07" in text) == (kind == "global")


def test_fit_of_one_strength(make: Makers) -> None:
    summary = make["regression"]()
    at = summary.index_selected
    one = replace(
        summary,
        alphas=summary.alphas[at : at + 1],
        path_coefs=summary.path_coefs[at : at + 1],
        path_nonzero=summary.path_nonzero[at : at + 1],
        path_certificates=summary.path_certificates[at : at + 1],
        cv_mean=None,
        cv_se=None,
        index_min=0,
        index_selected=0,
    )
    text = Outline(render_report(one)).text
    assert "How the strength was picked" not in text
    assert "All 1 fit" in text
