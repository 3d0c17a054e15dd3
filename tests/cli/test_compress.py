"""The command that makes a language model sparse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_language import write_model_and_text

from gossamer import cli
from gossamer.report.plots import style


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model_and_text(tmp_path_factory.mktemp("dense"))


@pytest.fixture
def compress(
    run: Callable[..., Any], dense: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Run ``gossamer compress`` quickly; plots are drawn but not turned into SVG."""
    monkeypatch.setattr(style, "to_svg", lambda ax, name: "<svg></svg>")

    def go(*words: str) -> Any:
        quick = ["-c", str(dense / "text.txt"), "--samples", "4", "--length", "16", "-o", "out"]
        return run("compress", str(dense), *quick, *words)

    return go


def test_a_directory_that_from_pretrained_loads_and_a_report(compress: Callable[..., Any]) -> None:
    transformers = pytest.importorskip("transformers")
    done = compress("--sparsity", "0.75", "--seed", "3")
    assert done.code == 0, done.err
    out = done.folder / "out"
    written = {file.name for file in out.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= written
    assert {"report.html", "report.json"} <= written
    assert "unfinished" not in written
    model = transformers.AutoModelForCausalLM.from_pretrained(out)
    weight = model.model.layers[1].mlp.down_proj.weight
    assert int(weight.count_nonzero()) == weight.numel() // 4
    told = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert told["settings"]["seed"] == 3
    assert told["command"][:2] == ["gossamer", "compress"]
    assert done.out.startswith("75.0% of the weights of 21 layers are zero: perplexity ")
    assert str(out / "report.html") in done.out


def test_quiet_and_verbose(compress: Callable[..., Any]) -> None:
    done = compress("--quiet", "--verbose", "--pattern", "2:4", "--method", "magnitude")
    assert (done.code, done.out) == (0, "")
    assert "held out" in done.err


def test_ctrl_c_leaves_what_resume_goes_on_with(
    compress: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from gossamer.nn.language import directories

    inner = directories.compress

    def cut(*given: Any, progress: Any, **settings: Any) -> Any:
        def stop(done: int, count: int) -> None:
            progress(done, count)
            if done == 2:
                raise KeyboardInterrupt

        return inner(*given, progress=stop, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(directories, "compress", cut)
        stopped = compress()
    assert stopped.code == 130
    assert "the same command with --resume goes on" in stopped.err
    assert compress().code == 2
    assert compress("--resume").code == 0


def test_progress_is_shown_to_who_looks_on(
    compress: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "_watched", lambda options: True)
    done = compress()
    assert "perplexity: 16 of 16" in done.err
    assert "wanda, block by block: 3 of 3" in done.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--sparsity", "1.5"], "sparsity"),
        (["--method", "wand"], "wanda"),
        (["--patern", "2:4"], "Did you mean --pattern?"),
        (["--evaluate", "no.txt"], "no.txt"),
        (["--samples", "5000"], "too few for 5000 windows"),
        (["--threads", "0"], "threads"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_refusals(compress: Callable[..., Any], words: list[str], told: str) -> None:
    refused = compress(*words)
    assert refused.code == 2
    assert refused.err.startswith("gossamer: ")
    assert told in refused.err
    assert not (refused.folder / "out").exists()


def test_missing_packages_are_named_with_the_remedy(
    compress: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = {"transformers", "jinja2"}
    real = cli.find_spec
    monkeypatch.setattr(cli, "find_spec", lambda name: None if name in missing else real(name))
    refused = compress()
    assert refused.code == 2
    assert refused.err == (
        "gossamer: gossamer compress needs transformers, jinja2: pip install 'gossamer[llm,cli]'.\n"
    )
