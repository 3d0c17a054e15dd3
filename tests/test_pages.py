"""Every Python block of the README, the contributor's guide and the documentation runs."""

from __future__ import annotations

import doctest
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
PAGES = sorted(
    page
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"))
    if not {"_build", "gallery", "generated"} & set(page.relative_to(ROOT).parts)
    and BLOCK.search(page.read_text(encoding="utf-8"))
)


def run_page(page: Path, module: ModuleType) -> None:
    """Run a page's blocks in order; those with prompts are checked against what they show."""
    text = page.read_text(encoding="utf-8")
    for block in BLOCK.finditer(text):
        source, line = block[1], text.count("\n", 0, block.start(1))
        if source.startswith(">>>"):
            test = doctest.DocTestParser().get_doctest(source, {}, page.name, str(page), line)
            test.globs = module.__dict__  # names made in one block serve the next
            try:
                doctest.DebugRunner(optionflags=FLAGS).run(test, clear_globs=False)
            except doctest.DocTestFailure as failure:
                example, at = failure.example, line + failure.example.lineno + 1
                pytest.fail(
                    f"{page.name}:{at}: {example.source}expected {example.want}got {failure.got}",
                    pytrace=False,
                )
        else:
            code = compile("\n" * line + source, str(page), "exec")
            exec(code, module.__dict__)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType(f"page_{page.stem}")
    # classes that a page defines are pickled by name
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.chdir(tmp_path)
    run_page(page, module)


def test_the_readme_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"^```text\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert shown is not None
    run_page(ROOT / "README.md", ModuleType("readme"))
    assert capsys.readouterr().out == shown[1]


def test_a_wrong_page_fails(tmp_path: Path) -> None:
    page = tmp_path / "wrong.md"
    page.write_text("```python\n>>> 1 + 1\n3\n```\n")
    with pytest.raises(pytest.fail.Exception, match=r"wrong.md:2: 1 \+ 1"):
        run_page(page, ModuleType("wrong"))
    page.write_text("```python\n1 / 0\n```\n")
    with pytest.raises(ZeroDivisionError):
        run_page(page, ModuleType("wrong"))
