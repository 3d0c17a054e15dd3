"""Windows of tokens, cut from a text."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

# A window's tokens are looked for in this many characters for each: prose has four a token.
_CHARACTERS = 16


def tokens_of(
    tokenizer: Any, text: str, length: int, count: int | None = None, seed: int | None = None
) -> Tensor:
    """Cut a text into windows of `length` tokens, none of which overlap.

    Parameters
    ----------
    tokenizer : of a Hugging Face model
        Called without special tokens: a window is a piece of running text.
    text : str
    length : int
        Tokens in a window.
    count : int, optional
        How many windows. The default: all that the text holds.
    seed : int, optional
        Draws the windows from all over the text: a random one in each of `count` equal stretches
        of it, in random order. The default: the first windows of the text.

    Returns
    -------
    LongTensor (count, length)

    Raises
    ------
    ValueError
        If the text is too short.

    Examples
    --------
    >>> import gossamer as gs
    >>> class Letters:
    ...     def __call__(self, text, **settings):
    ...         return {"input_ids": [ord(letter) for letter in text]}
    >>> gs.nn.language.tokens_of(Letters(), "abcdefgh", length=3)
    tensor([[ 97,  98,  99],
            [100, 101, 102]])
    """
    for name, number in (("length", length), ("count", 1 if count is None else count)):
        if number < 1:
            raise ValueError(f"{name}: at least 1, got {number}.")
    if seed is None:
        return _first_windows(tokenizer, text, length, count)
    if count is None:
        raise ValueError("count: how many windows to draw must be said where a seed is given.")
    generator = torch.Generator().manual_seed(seed)
    ends = torch.linspace(0, len(text), count + 1, dtype=torch.float64).long().tolist()
    stretches = [text[start:end] for start, end in pairwise(ends)]
    windows = [_drawn_window(tokenizer, stretch, length, generator) for stretch in stretches]
    if any(window is None for window in windows):
        raise ValueError(
            f"text: it has {len(text)} characters, too few for {count} windows of {length} tokens "
            "from all over it. Give more text, or ask for fewer or shorter windows."
        )
    return torch.tensor(windows)[torch.randperm(count, generator=generator)]


def _first_windows(tokenizer: Any, text: str, length: int, count: int | None) -> Tensor:
    found = _encoded(tokenizer, text if count is None else text[: count * length * _CHARACTERS])
    windows, least = len(found) // length, count or 1
    if windows < least:
        raise ValueError(
            f"text: its {len(found)} tokens make {windows} windows of {length}, and {least} were "
            "asked for. Give more text, or ask for fewer or shorter windows."
        )
    return torch.tensor(found[: windows * length]).view(windows, length)[:count]


def _drawn_window(
    tokenizer: Any, stretch: str, length: int, generator: torch.Generator
) -> list[int] | None:
    """A random window of the stretch, of which no more is tokenised than that takes."""
    excerpt = length * _CHARACTERS
    start = _drawn(max(len(stretch) - excerpt, 0), generator)
    found = _encoded(tokenizer, stretch[start : start + excerpt])
    if len(found) < length:
        return None
    first = _drawn(len(found) - length, generator)
    return found[first : first + length]


def _drawn(most: int, generator: torch.Generator) -> int:
    return int(torch.randint(most + 1, (1,), generator=generator))


def _encoded(tokenizer: Any, text: str) -> list[int]:
    found: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return found
