"""Sparse embeddings: the formulas, and the papers' claims on a real retrieval task."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sparse_retrieval import newsgroup_halves, train_and_retrieve
from torch import Tensor

from gossamer.nn import (
    FlopsPenalty,
    flops_penalty,
    inverse_document_frequency,
    retrieval_cost,
)


def embeddings(seed: int = 0, n: int = 30, d: int = 7) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn((n, d), generator=generator, dtype=torch.float64)
    return values * (torch.rand((n, d), generator=generator) < 0.4)


# -- formulas ---------------------------------------------------------------------------------
def test_the_penalty_is_its_formula() -> None:
    a, weights = embeddings(), torch.arange(7.0)
    expected = sum(np.mean(np.abs(a.numpy()[:, j])) ** 2 * j**2 for j in range(7))
    assert flops_penalty(a, weights).item() == pytest.approx(expected)
    assert flops_penalty(a).item() == flops_penalty(a, torch.ones(7)).item()


def test_of_binary_embeddings_it_is_the_expected_number_of_multiplications() -> None:
    """Against the count over all pairs: for zeros and ones the relaxation is exact."""
    a = (embeddings() != 0).double()
    multiplications = np.mean([(p * q).sum().item() for p in a for q in a])
    assert flops_penalty(a).item() == pytest.approx(multiplications)
    assert retrieval_cost(a, a).flops == pytest.approx(multiplications)


def test_an_even_spread_is_cheapest() -> None:
    """At a given total of activations, gradient descent on the penalty ends evenly spread."""
    logits = torch.randn(6, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    optimiser = torch.optim.Adam([logits], lr=0.1)
    for _ in range(300):
        optimiser.zero_grad()
        flops_penalty(logits.softmax(dim=0)[None]).backward()
        optimiser.step()
    torch.testing.assert_close(logits.softmax(dim=0), torch.full((6,), 1 / 6), atol=1e-3, rtol=0)


def test_gradients() -> None:
    a = embeddings() + 0.1  # away from the kink at zero
    weights = torch.linspace(0.5, 2, 7, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: flops_penalty(x, weights), a.requires_grad_(True))


def test_idf_is_that_of_bm25() -> None:
    counts = torch.tensor([[2, 1, 0], [0, 4, 0], [0, 1, 0], [1, 1, 0]])
    df = np.array([2, 4, 0])
    expected = np.log(1 + (4 - df + 0.5) / (df + 0.5))
    np.testing.assert_allclose(inverse_document_frequency(counts), expected, rtol=1e-6)


def test_cost_of_uneven_use() -> None:
    queries = torch.tensor([[1.0, 0, 0, 0], [1.0, 1.0, 0, 0]])
    documents = torch.tensor([[3.0, 0, 0, -1.0]])
    cost = retrieval_cost(queries, documents)
    assert (cost.flops, cost.even_flops) == (1.0, 1.5 * 2 / 4)
    assert (cost.query_nonzeros, cost.document_nonzeros) == (1.5, 2.0)
    assert "1 multiplications a pair (0.75 if spread evenly)" in str(cost)


# -- memory of batches ------------------------------------------------------------------------
def test_without_memory_it_is_the_plain_penalty() -> None:
    a, weights = embeddings().float().requires_grad_(True), torch.linspace(0.5, 2, 7)
    plain = flops_penalty(a, weights)
    expected = torch.autograd.grad(plain, a)[0]
    penalty = FlopsPenalty(7, decay=0.0, weights=weights)
    penalty(embeddings(1).float())
    value = penalty(a)
    torch.testing.assert_close(value, plain)
    torch.testing.assert_close(torch.autograd.grad(value, a)[0], expected)


def test_memory_removes_the_bias_of_small_batches() -> None:
    """E(batch mean^2) = mean^2 + variance / batch size: single samples see mostly variance."""
    a = embeddings(n=2000).float()
    whole = flops_penalty(a).item()
    single = torch.stack([flops_penalty(row[None]) for row in a]).mean().item()
    penalty = FlopsPenalty(7, decay=0.99)
    remembered = torch.stack([penalty(row[None]) for row in a])[200:].mean().item()
    assert single > 3 * whole
    assert remembered == pytest.approx(whole, rel=0.1)


def test_the_gradient_is_that_of_the_remembered_mean() -> None:
    penalty = FlopsPenalty(2, decay=0.9)
    for _ in range(300):
        penalty(torch.tensor([[3.0, 1.0]]))
    a = torch.tensor([[3.0, 1.0], [3.0, 1.0]], requires_grad=True)
    penalty(a).backward()
    torch.testing.assert_close(a.grad, torch.tensor([[3.0, 1.0], [3.0, 1.0]]))  # 2 m / n


def test_the_memory_is_saved() -> None:
    penalty, other = FlopsPenalty(7), FlopsPenalty(7)
    penalty(embeddings().float())
    other.load_state_dict(penalty.state_dict())
    assert penalty(embeddings(1).float()) == other(embeddings(1).float())


# -- refusals ---------------------------------------------------------------------------------
def test_bad_arguments_are_refused() -> None:
    a = embeddings()
    with pytest.raises(ValueError, match="activations"):
        flops_penalty(a[0])
    with pytest.raises(ValueError, match=r"weights must have shape \(7,\)"):
        flops_penalty(a, torch.ones(3))
    with pytest.raises(ValueError, match="finite"):
        flops_penalty(a, -torch.ones(7))
    with pytest.raises(ValueError, match="decay"):
        FlopsPenalty(7, decay=1.0)
    with pytest.raises(ValueError, match="columns"):
        FlopsPenalty(3)(a)
    with pytest.raises(ValueError, match="counts"):
        inverse_document_frequency(torch.ones(3))
    with pytest.raises(ValueError, match="queries and documents"):
        retrieval_cost(a, a[:, :3])


# -- the claims, on newsgroups ----------------------------------------------------------------
SMALL = {"n_posts": 2500, "n_training": 2000, "n_words": 1500}
QUICK = {"n_steps": 100, "batch_size": 128}


def test_fewer_multiplications_than_l1_at_equal_recall() -> None:
    """Paria et al. (2020): at least the recall of L1, for less than half of the multiplications."""
    halves = newsgroup_halves(**SMALL)
    by_l1 = train_and_retrieve(
        halves, lambda a: a.abs().sum(dim=1).mean(), 0.03, encode_queries=True, **QUICK
    )
    by_flops = train_and_retrieve(halves, flops_penalty, 3.0, encode_queries=True, **QUICK)
    assert by_flops.recall >= by_l1.recall
    assert by_flops.cost.flops < 0.5 * by_l1.cost.flops
    # the reason: the same number of non-zeros is spread more evenly
    unevenness = [r.cost.flops / r.cost.even_flops for r in (by_flops, by_l1)]
    assert unevenness[0] < 0.5 * unevenness[1]


@pytest.mark.slow  # trains twice on 4000 posts: with fewer the margin drowns in noise
def test_idf_makes_plain_queries_better_at_equal_cost() -> None:
    """Geng et al. (2024): for queries without a model, better NDCG at no more multiplications."""
    halves = newsgroup_halves()
    plain = train_and_retrieve(halves, flops_penalty, 3.0, encode_queries=False)
    aware = train_and_retrieve(
        halves, lambda a: flops_penalty(a, weights=1 / halves.idf), 30.0, encode_queries=False
    )
    assert aware.cost.flops <= plain.cost.flops
    assert aware.ndcg > 1.03 * plain.ndcg
