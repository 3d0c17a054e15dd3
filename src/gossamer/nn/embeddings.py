"""Sparse embeddings for retrieval: what an inverted index costs, as a penalty and as a measure."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


def flops_penalty(activations: Tensor, weights: Tensor | None = None) -> Tensor:
    r"""Smooth stand-in for the multiplications of an inverted index.

    A query and a document multiply in dimension j when both are not zero there, which happens
    with probability ``p_j^2`` for embeddings of one distribution. The mean of ``|a_j|`` stands
    for ``p_j``:

    .. math:: \sum_j ( \omega_j \, \mathrm{mean}_i |a_{ij}| )^2

    Unlike L1, which counts non-zeros wherever they are, the squares make crowded dimensions
    expensive: at a given number of non-zeros the cost is least when they are spread evenly.

    Parameters
    ----------
    activations : (n, d) tensor
        Embeddings of a batch. Small batches overestimate the square of the mean:
        :class:`FlopsPenalty` remembers earlier batches.
    weights : (d,) tensor of numbers >= 0, default None
        Where queries are plain words that need no model, ``1 / idf`` (see
        :func:`inverse_document_frequency`) makes common words, which every query uses, expensive
        and spares rare ones, which decide.

    Returns
    -------
    Tensor
        A differentiable number >= 0.

    References
    ----------
    Paria et al. (2020), Minimizing FLOPs to learn efficient sparse representations.
    Geng et al. (2024), Towards competitive search relevance for inference-free learned sparse
    retrievers.

    Examples
    --------
    >>> crowded = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    >>> spread = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> flops_penalty(crowded).item(), flops_penalty(spread).item()
    (1.0, 0.5)
    """
    means = _means(activations)
    _check_weights(weights, len(means))
    return (means if weights is None else means * weights).square().sum()


class FlopsPenalty(nn.Module):
    r""":func:`flops_penalty` with a memory of earlier batches, for small batches.

    The mean of each dimension is a running one, ``m <- decay m + (1 - decay) batch mean``. The
    penalty is ``sum_j (weights_j m_j)^2``; its gradient is ``2 weights_j^2 m_j`` times that of the
    batch mean, so that the strength needs no change when decay does.

    Parameters
    ----------
    n_dimensions : int > 0
    decay : float in [0, 1), default 0.9
        Zero forgets at once: the plain penalty.
    weights : (n_dimensions,) tensor of numbers >= 0, default None

    Examples
    --------
    >>> penalty = FlopsPenalty(2, decay=0.5)
    >>> penalty(torch.tensor([[2.0, 0.0]])).item(), penalty(torch.tensor([[0.0, 2.0]])).item()
    (4.0, 2.2...)
    """

    mean: Tensor
    total: Tensor
    weights: Tensor | None

    def __init__(
        self, n_dimensions: int, decay: float = 0.9, weights: Tensor | None = None
    ) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be in [0, 1), got {decay!r}.")
        _check_weights(weights, n_dimensions)
        self.decay = decay
        self.register_buffer("mean", torch.zeros(n_dimensions))
        self.register_buffer("total", torch.zeros(()))  # share of the mean that has been seen
        self.register_buffer("weights", weights)

    def forward(self, activations: Tensor) -> Tensor:
        means = _means(activations)
        if means.shape != self.mean.shape:
            raise ValueError(
                f"activations must have {len(self.mean)} columns, as FlopsPenalty was made for, "
                f"got {len(means)}."
            )
        with torch.no_grad():
            self.mean.mul_(self.decay).add_(means, alpha=1 - self.decay)
            self.total.mul_(self.decay).add_(1 - self.decay)
            running = self.mean / self.total
        # the value of the running mean, with the gradient of the batch's
        means = running + (means - means.detach())
        return (means if self.weights is None else means * self.weights).square().sum()


def inverse_document_frequency(counts: Tensor) -> Tensor:
    """``log(1 + (n - df + 1/2) / (df + 1/2))`` of every term, as in BM25; always above zero.

    Parameters
    ----------
    counts : (n, d) tensor
        Occurrences of d terms in n documents; what is not zero counts once.

    Examples
    --------
    >>> inverse_document_frequency(torch.tensor([[1, 3], [0, 1], [0, 2], [0, 1]]))
    tensor([1.2040, 0.1054])
    """
    if counts.dim() != 2:
        raise ValueError(f"counts must be (documents, terms), got shape {tuple(counts.shape)}.")
    frequency = (counts != 0).sum(dim=0).to(torch.get_default_dtype())
    return torch.log1p((len(counts) - frequency + 0.5) / (frequency + 0.5))


@dataclass(frozen=True)
class RetrievalCost:
    """What scoring a query against a document costs, on average over all pairs.

    flops : multiplications of an inverted index, ``sum_j p_j(queries) p_j(documents)``.
    even_flops : what they would be if all dimensions were used equally often.
    query_nonzeros, document_nonzeros : entries that are not zero, of one embedding.
    """

    flops: float
    even_flops: float
    query_nonzeros: float
    document_nonzeros: float

    def __str__(self) -> str:
        return (
            f"{self.flops:.3g} multiplications a pair ({self.even_flops:.3g} if spread evenly), "
            f"{self.query_nonzeros:.1f} and {self.document_nonzeros:.1f} non-zeros"
        )


def retrieval_cost(queries: Tensor, documents: Tensor) -> RetrievalCost:
    """Measure the cost of an inverted index over ``documents``, asked with ``queries``.

    Parameters
    ----------
    queries, documents : (n, d) and (m, d) tensors

    Examples
    --------
    >>> embeddings = torch.tensor([[1.0, 0.0], [1.0, 2.0]])
    >>> retrieval_cost(embeddings, embeddings)
    RetrievalCost(flops=1.25, even_flops=1.125, query_nonzeros=1.5, document_nonzeros=1.5)
    """
    if queries.dim() != 2 or documents.dim() != 2 or queries.shape[1] != documents.shape[1]:
        raise ValueError(
            "queries and documents must be (n, d) and (m, d), got shapes "
            f"{tuple(queries.shape)} and {tuple(documents.shape)}."
        )
    in_query = (queries != 0).double().mean(dim=0)
    in_document = (documents != 0).double().mean(dim=0)
    asked, stored = in_query.sum().item(), in_document.sum().item()
    flops = (in_query @ in_document).item()
    return RetrievalCost(flops, asked * stored / len(in_query), asked, stored)


def _means(activations: Tensor) -> Tensor:
    if activations.dim() != 2 or len(activations) == 0:
        raise ValueError(
            f"activations must be (n, d) with n > 0, got shape {tuple(activations.shape)}."
        )
    return activations.abs().mean(dim=0)


def _check_weights(weights: Tensor | None, n_dimensions: int) -> None:
    if weights is None:
        return
    if weights.shape != (n_dimensions,):
        raise ValueError(
            f"weights must have shape ({n_dimensions},), one a dimension, got "
            f"{tuple(weights.shape)}."
        )
    if not (torch.isfinite(weights) & (weights >= 0)).all():
        raise ValueError("weights must be finite numbers >= 0.")
