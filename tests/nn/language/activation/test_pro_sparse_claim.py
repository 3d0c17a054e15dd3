"""A tiny Llama on the bytes of pydoc's topics: SiLU, ReLUs alone, and ProSparse."""

from __future__ import annotations

import copy
from pydoc_data.topics import topics

import pytest
import torch
from tiny_language import make_llama

from gossamer.nn.language import ProSparse, fine_tune
from gossamer.nn.language.tuning.training import next_token_loss
from gossamer.runtime import activation_zeros, sparsify_activations

LENGTH, BATCH, STEPS = 64, 16, 300
STRENGTHS = {"ReLU": 0.0, "ProSparse 0.01": 0.01, "ProSparse 0.05": 0.05}


def windows():
    """(n, LENGTH) bytes to train on, and (64, LENGTH) from the end, which is held out."""
    text = torch.tensor(list("\n".join(topics.values()).encode("ascii", "replace")))
    rows = text[: len(text) // LENGTH * LENGTH].view(-1, LENGTH)
    return rows[:-640], rows[-640::10]


def batches(rows, seed):
    generator = torch.Generator().manual_seed(seed)
    return list(rows[torch.randint(len(rows), (STEPS, BATCH), generator=generator)])


def judged(model, tokens):
    """Loss, and share of zeros among what the MLPs' last layers read."""
    with torch.no_grad():
        loss = float(next_token_loss(model, tokens))
    zeros = activation_zeros(model, tokens)
    shares = [share for name, share in zeros.items() if name.endswith("down_proj")]
    return loss, sum(shares) / len(shares)


@pytest.mark.slow
def test_hidden_units_become_zero_at_the_loss_of_silu():
    train, held = windows()
    sizes = {"vocab_size": 128, "hidden_size": 64, "intermediate_size": 256}
    start = make_llama(**sizes, max_position_embeddings=LENGTH)
    fine_tune(start, batches(train, 0), steps=STEPS, lr=5e-3)
    drawn = batches(train, 1)
    smooth = copy.deepcopy(start)
    fine_tune(smooth, drawn, steps=STEPS, lr=3e-3)
    found = {"SiLU": judged(smooth, held)}
    for way, strength in STRENGTHS.items():
        model = copy.deepcopy(start)
        sparse = ProSparse(model, strength=strength, total_steps=STEPS)
        fine_tune(model, drawn, steps=STEPS, lr=3e-3, loss=sparse.loss, progress=sparse.step)
        found[way] = judged(model, held)
        sparse.finalise(train[::100], tolerance=0.005)
        found[f"{way}, thresholds"] = judged(model, held)
    for way, (loss, share) in found.items():
        print(f"{way:26} loss {loss:.3f}, zeros {share:.1%}")
    assert found["ProSparse 0.01"][0] < 1.005 * min(found["SiLU"][0], found["ReLU"][0])
    assert found["ProSparse 0.01"][1] > found["ReLU"][1] + 0.1
    assert found["ProSparse 0.05"][0] < 1.02 * found["SiLU"][0]
    assert found["ProSparse 0.05"][1] > 0.85
    for way in STRENGTHS:
        assert found[f"{way}, thresholds"][1] >= found[way][1]
    skipping = sparsify_activations(model, keep={"*.down_proj": 1.0})
    with torch.no_grad():
        torch.testing.assert_close(skipping(held).logits, model(held).logits, atol=1e-3, rtol=1e-3)
