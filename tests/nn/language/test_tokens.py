"""Windows of tokens: where they come from, and what is refused."""

from __future__ import annotations

import pytest
import torch

from gossamer.nn.language import tokens_of


class Characters:
    def __call__(self, text: str, **settings: object) -> dict[str, list[int]]:
        assert settings["add_special_tokens"] is False
        return {"input_ids": [ord(letter) for letter in text]}


TEXT = "".join(chr(i) for i in range(32, 1032))  # a thousand different tokens, in order


def test_without_a_seed_the_first_windows() -> None:
    tokens = tokens_of(Characters(), TEXT, length=10, count=3)
    assert torch.equal(tokens, torch.arange(32, 62).view(3, 10))
    assert tokens_of(Characters(), TEXT, length=300).shape == (3, 300)


@pytest.mark.parametrize("length", [1, 10, 100])
def test_drawn_windows_are_pieces_of_the_text_from_all_over_it(length: int) -> None:
    tokens = tokens_of(Characters(), TEXT, length, count=8, seed=0)
    assert torch.equal(tokens - tokens[:, :1], torch.arange(length).expand(8, length))
    starts = (tokens[:, 0] - 32).sort().values
    assert torch.equal(starts // 125, torch.arange(8))  # one in each eighth
    assert len(tokens.unique()) == 8 * length  # none overlap


def test_the_seed_decides() -> None:
    drawn = [tokens_of(Characters(), TEXT, 10, count=8, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 0}, "length: at least 1, got 0"),
        ({"length": 5, "count": 0}, "count: at least 1, got 0"),
        ({"length": 2000}, "1000 tokens make 0 windows of 2000"),
        ({"length": 300, "count": 4}, "1000 tokens make 3 windows of 300, and 4 were"),
        ({"length": 300, "count": 4, "seed": 0}, "too few for 4 windows of 300 tokens"),
        ({"length": 5, "seed": 0}, "count: how many windows"),
    ],
)
def test_what_is_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tokens_of(Characters(), TEXT, **settings)
