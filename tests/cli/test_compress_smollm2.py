"""A real language model, compressed by a command that is killed on its way and goes on."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.language import texts
from benchmarks.language.models import smollm2_folder

BLOCKS = 30


@pytest.mark.slow
def test_half_of_smollm2_goes_through_a_kill(tmp_path: Path) -> None:
    """Prints what `pytest -m slow -s` is for: time, memory and perplexity."""
    (tmp_path / "calibration.txt").write_text(texts.docstrings())
    (tmp_path / "pydoc.txt").write_text(texts.pydoc())
    out = tmp_path / "out"
    command = [
        sys.executable, "-m", "gossamer", "compress", str(smollm2_folder()),
        "--sparsity", "0.5", "--method", "wanda",
        "--calibration", str(tmp_path / "calibration.txt"),
        "--evaluate", str(tmp_path / "pydoc.txt"), "-o", str(out),
    ]  # fmt: skip
    begun = time.perf_counter()
    killed_after(3, command, out / "unfinished" / "record.json")
    assert not (out / "model.safetensors").exists()
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True)
    seconds = time.perf_counter() - begun
    assert done.returncode == 0, done.stderr

    told = json.loads((out / "report.json").read_text(encoding="utf-8"))
    perplexity = told["perplexity"]
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    memory = used.ru_maxrss * 1024
    print(
        f"\n64 x 512 tokens, {torch.get_num_threads()} threads: {seconds:.0f} s and "
        f"{used.ru_utime + used.ru_stime:.0f} of CPU with the kill and judging, "
        f"{memory / 1e9:.2f} GB; perplexity on pydoc {perplexity['dense']:.2f} before, "
        f"{perplexity['sparse']:.2f} after"
    )
    assert memory < 4e9
    assert perplexity["dense"] < perplexity["sparse"] < 3 * perplexity["dense"]
    assert len(told["layers"]) == 7 * BLOCKS
    with safe_open(out / "model.safetensors", framework="pt") as file:
        for row in told["layers"]:
            weight = file.get_tensor(f"{row['name']}.weight")
            assert int(weight.count_nonzero()) <= row["alive"] == weight.numel() // 2


def killed_after(blocks: int, command: list[str], record: Path) -> None:
    """Run the command until its record says that so many blocks are done; then kill it."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None and done(record) < blocks:
            time.sleep(0.2)
        assert process.poll() is None, "it was over before it could be killed"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def done(record: Path) -> int:
    return json.loads(record.read_text())["done"] if record.exists() else 0
