"""docs/systems.toml keeps its format, its page is up to date, and its runner tells the truth."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "docs" / "systems.py"

ROW = {
    "id": 3,
    "title": "A | B",
    "where": "gossamer",
    "check": "python -c 'raise SystemExit(0)'",
    "figure": "1.0x",
}


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("systems", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["systems"] = module  # dataclasses look their own module up
    spec.loader.exec_module(module)
    return module


systems = load_script()


def test_the_page_is_up_to_date() -> None:
    assert systems.PAGE.read_text(encoding="utf-8") == systems.render(systems.read()), (
        "docs/systems.md is stale. Run: python docs/systems.py"
    )


def test_a_good_row_is_read_and_shown(tmp_path: Path) -> None:
    source = tmp_path / "systems.toml"
    # A JSON string or number is one of TOML too.
    fields = "".join(f"{name} = {json.dumps(value)}\n" for name, value in ROW.items())
    source.write_text(f"[[system]]\n{fields}")
    (row,) = systems.read(source)
    assert row == systems.System(**ROW)
    assert r"| 3 | A \| B | `gossamer` |" in systems.render([row])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": "3"}, "id"),
        ({"id": -1}, "id"),
        ({"id": True}, "id"),
        ({"title": " "}, "title"),
        ({"figure": 1.0}, "figure"),
        ({"check": "a\nb"}, "check"),
        ({"where": "gossamer.no_such_thing"}, "where"),
        ({"where": "no_such_package"}, "where"),
        ({"note": "x"}, "note"),
    ],
)
def test_a_malformed_row_is_refused(change: dict[str, Any], field: str) -> None:
    with pytest.raises(systems.MalformedRow, match=field):
        systems.parse_row({**ROW, **change})


def test_a_missing_field_is_refused() -> None:
    with pytest.raises(systems.MalformedRow, match="figure"):
        systems.parse_row({key: value for key, value in ROW.items() if key != "figure"})


@pytest.mark.parametrize("ids", [(3, 3), (4, 3)])
def test_ids_ascend(tmp_path: Path, ids: tuple[int, int]) -> None:
    rest = 'title = "t"\nwhere = "gossamer"\ncheck = "true"\nfigure = "1x"\n'
    source = tmp_path / "systems.toml"
    source.write_text("".join(f"[[system]]\nid = {id_}\n{rest}" for id_ in ids))
    with pytest.raises(systems.MalformedRow, match="ascend"):
        systems.read(source)


def test_an_unknown_table_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "systems.toml"
    source.write_text("[[systems]]\nid = 1\n")
    with pytest.raises(systems.MalformedRow, match=r"\[\[system\]\]"):
        systems.read(source)


def test_run_names_the_failed_check(capsys: pytest.CaptureFixture[str]) -> None:
    good = systems.System(**ROW)
    bad = systems.System(**{**ROW, "id": 4, "check": "python -c 'raise SystemExit(1)'"})
    assert systems.run([good, bad]) == [bad]
    assert "pass  3" in (shown := capsys.readouterr().out)
    assert "FAIL  4" in shown


def test_the_command_fails_when_a_check_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = systems.System(**{**ROW, "check": "no-such-command"})
    monkeypatch.setattr(systems, "read", lambda: [bad])
    assert systems.main(["--run"]) == 1
    monkeypatch.setattr(systems, "read", lambda: [systems.System(**ROW)])
    assert systems.main(["--run"]) == 0
