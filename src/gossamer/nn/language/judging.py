"""Judging a language model on a text: its perplexity, and how it goes on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gossamer.nn.language.likelihood import perplexity

#: shows progress: of (steps, description), gives a function to be called after each step
Watch = Callable[[int, str], AbstractContextManager[Callable[[], object]]]

_HELD_OUT = 0.1  # of the calibration text, where no other text is given to judge by
_PROMPT, _CONTINUED = 24, 40  # tokens, at most


@dataclass(frozen=True)
class Texts:
    """What to calibrate on, what to judge by, and remarks about them."""

    calibration: str
    judged: str
    judged_name: str
    notes: list[str]

    @classmethod
    def read(cls, calibration: str | Path, judged: str | Path | None) -> Texts:
        text = _read_text(calibration)
        if judged is not None:
            return cls(text, _read_text(judged), Path(judged).name, [])
        cut = int(len(text) * (1 - _HELD_OUT))
        name = f"the last tenth of {Path(calibration).name}"
        note = f"Perplexity is that of {name}, which was held out of the calibration."
        return cls(text[:cut], text[cut:], name, [note])


def _read_text(path: str | Path) -> str:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no text file {path}.")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8: {error}.") from error
    if not text.strip():
        raise ValueError(f"{path} is empty: give a text of some thousand words.")
    return text


def judge(model: nn.Module, tokenizer: Any, windows: Tensor, watch: Watch) -> dict[str, Any]:
    """Perplexity on the windows, and how the model goes on with the first one's beginning."""
    with watch(len(windows), "perplexity") as advance:
        logs = []
        for window in windows:
            logs.append(torch.tensor(perplexity(model, window[None])).log())
            advance()
    found = torch.stack(logs).mean().exp()
    return {"perplexity": float(found), "continued": _continued(model, tokenizer, windows[:1])}


def _continued(model: Any, tokenizer: Any, window: Tensor) -> str:
    """The likeliest next tokens, one by one, after the beginning of a window."""
    from transformers import GenerationConfig

    start = prompt_of(window).to(model.device)
    greedy = GenerationConfig(
        do_sample=False,
        max_new_tokens=min(_CONTINUED, window.shape[1] - start.shape[1]),
        pad_token_id=tokenizer.pad_token_id or 0,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.no_grad():
        whole = model.generate(
            start, attention_mask=torch.ones_like(start), generation_config=greedy
        )
    text: str = tokenizer.decode(whole[0, start.shape[1] :])
    return text


def prompt_of(windows: Tensor) -> Tensor:
    """The beginnings of windows; the continuation is no longer than the rest."""
    return windows[:, : min(_PROMPT, windows.shape[1] // 2)]
