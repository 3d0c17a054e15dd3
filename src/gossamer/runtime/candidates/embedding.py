"""Embeddings: rows that are zero are not stored, and of others only what is not zero."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gossamer.runtime.candidates import Options, candidates_for
from gossamer.runtime.layout_module import LayoutModule, watched
from gossamer.runtime.layouts import CSR


class FewerRowsEmbedding(nn.Module):
    """An embedding without its rows of zeros: indices of these give one common row of zeros.

    Parameters
    ----------
    weight : (num_embeddings, embedding_dim) tensor

    Examples
    --------
    >>> weight = torch.tensor([[0.0, 0.0], [1.0, 2.0], [0.0, 0.0]])
    >>> embedding = FewerRowsEmbedding(weight)
    >>> embedding.values.shape, embedding(torch.tensor([1, 2]))
    (torch.Size([2, 2]), tensor([[1., 2.], [0., 0.]]))
    """

    values: Tensor
    places: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        weight = weight.detach()
        living = (weight != 0).any(1)
        places = torch.where(living, living.cumsum(0) - 1, living.sum()).to(torch.int32)
        self.register_buffer("places", places[:, None])
        self.register_buffer("values", F.pad(weight[living], (0, 0, 0, 1)))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """x (...) of whole numbers to (..., embedding_dim)."""
        return F.embedding(F.embedding(x, self.places).squeeze(-1), self.values)


class RuntimeEmbedding(LayoutModule):
    """An embedding whose rows are in a layout, such as CSR: value and column of each non-zero.

    Examples
    --------
    >>> import numpy as np
    >>> weight = np.array([[0.0, 3.0], [1.0, 0.0]], np.float32)
    >>> RuntimeEmbedding(CSR.build(weight))(torch.tensor([[1], [0]]))
    tensor([[[1., 0.]],
            [[0., 3.]]])
    """

    def forward(self, x: Tensor) -> Tensor:
        """x (...) of whole numbers to (..., embedding_dim)."""
        if torch.compiler.is_compiling():
            return self.untraced(x)
        if watched(x):
            return F.embedding(x, self.dense_weight())
        layout = self.layout
        wanted = x.reshape(-1).numpy()
        if wanted.size and not 0 <= wanted.min() <= wanted.max() < layout.rows:
            raise IndexError(f"x must be from 0 to {layout.rows - 1}.")
        return torch.from_numpy(layout.take(wanted)).view(*x.shape, layout.inputs)

    def to_dense(self) -> nn.Module:
        """The embedding of torch's that gives the same."""
        return nn.Embedding.from_pretrained(self.dense_weight()).eval()

    def own_macs(self, output: Tensor) -> int:
        """None: values are fetched."""
        return 0


@candidates_for(nn.Embedding)
def embedding(
    module: nn.Embedding, inputs: tuple[Any, ...], options: Options
) -> Iterator[nn.Module]:
    """The embedding in fewer bytes, where that is what is asked for."""
    weight = module.weight.detach()
    # one with max_norm changes its weight at each call
    if options.objective != "memory" or module.max_norm is not None:
        return
    if not (weight != 0).any(1).all():
        yield FewerRowsEmbedding(weight)
    if weight.dtype == torch.float32 and weight.device.type == "cpu":
        layout = CSR.build(weight.numpy())
        if layout.nbytes < weight.nbytes:
            yield RuntimeEmbedding(layout)
