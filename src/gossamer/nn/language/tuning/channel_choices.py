"""Which channels of frozen weights a batch needs, guessed from the weights at low rank."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gossamer.nn.keep import largest
from gossamer.nn.language.architectures import matrix_of
from gossamer.nn.language.tuning.coupled import Attention, Mlp


class LowRank:
    r"""A frozen weight at low rank: the nearest one by its largest singular values.

    .. math:: \hat W = W V_r V_r^\top

    Kept as its factors, so that a token takes r (inputs + outputs) multiplications.

    Examples
    --------
    >>> layer = torch.nn.Linear(3, 2, bias=False)
    >>> LowRank(layer, 2)(torch.ones(5, 3)).allclose(layer(torch.ones(5, 3)), atol=1e-5)
    True
    """

    @torch.no_grad()
    def __init__(self, layer: Any, rank: int) -> None:
        matrix = matrix_of(layer).float()
        _, vectors = torch.linalg.eigh(matrix.T @ matrix)
        self.right = vectors[:, -rank:]
        self.left = matrix @ self.right

    def __call__(self, inputs: Tensor) -> Tensor:
        """(..., outputs) of inputs (..., p), in float32 and without a bias."""
        return (inputs.float() @ self.right) @ self.left.T


class Choice:
    """Channels that a few layers share, of which a batch computes the largest.

    Parameters
    ----------
    share : float in (0, 1)
        Of the channels.

    Attributes
    ----------
    makers, readers : tuple of str
        The layers that make the channels, of which the first asks for the choice, and those that
        read them.
    places : dict from layers' names to integer tensors
        Of each layer, the channels that are computed.
    """

    makers: tuple[str, ...]
    readers: tuple[str, ...] = ()

    def __init__(self, share: float) -> None:
        self.share = share
        self.places: dict[str, Tensor] = {}

    def scores(self, inputs: Tensor) -> Tensor:
        """(channels,) how much each matters for inputs (tokens, p)."""
        raise NotImplementedError(f"{type(self).__name__} needs scores().")

    def spread(self, chosen: Tensor) -> dict[str, Tensor]:
        """Of each layer, its channels that belong to those chosen."""
        raise NotImplementedError(f"{type(self).__name__} needs spread().")

    @torch.no_grad()
    def choose(self, inputs: Tensor) -> None:
        """Set ``places`` for inputs (..., p) of the layers that make the channels."""
        scores = self.scores(inputs.detach().reshape(-1, inputs.shape[-1]))
        count = max(1, round(self.share * len(scores)))
        self.places = self.spread(largest(scores, count).nonzero()[:, 0])


class MlpChoice(Choice):
    r"""Hidden units by :math:`\|\sigma(\hat G X) \odot \hat U X\|_2` over the tokens."""

    def __init__(
        self, mlp: Mlp, share: float, rank: int, activation: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__(share)
        self.makers, self.readers = tuple(mlp.makers), (mlp.name,)
        self._guesses = [LowRank(layer, rank) for layer in mlp.makers.values()]
        self._activation = activation

    def scores(self, inputs: Tensor) -> Tensor:
        gate, *others = (guess(inputs) for guess in self._guesses)
        hidden = self._activation(gate)
        for other in others:
            hidden = hidden * other
        return hidden.norm(dim=0)

    def spread(self, chosen: Tensor) -> dict[str, Tensor]:
        return dict.fromkeys((*self.makers, *self.readers), chosen)


class QueryKeyChoice(Choice):
    """Channels of queries and keys by the product of their norms over the tokens.

    Of the heads that share keys, the mean of the queries' norms counts.
    """

    def __init__(self, attention: Attention, share: float, rank: int) -> None:
        super().__init__(share)
        self._attention = attention
        self.makers = tuple(attention.makers)[:2]
        queries, keys, _ = attention.makers.values()
        self._queries, self._keys = LowRank(queries, rank), LowRank(keys, rank)

    def scores(self, inputs: Tensor) -> Tensor:
        queries, keys = self._queries(inputs).norm(dim=0), self._keys(inputs).norm(dim=0)
        grouped = queries.view(self._attention.shared, -1, self._attention.size).mean(1)
        return grouped.flatten() * keys

    def spread(self, chosen: Tensor) -> dict[str, Tensor]:
        queries, keys = self.makers
        return {queries: of_all_heads(chosen, self._attention), keys: chosen}


class ValueChoice(Choice):
    """Channels of values by their norms over the tokens, with what the output layer reads."""

    def __init__(self, attention: Attention, share: float, rank: int) -> None:
        super().__init__(share)
        self._attention = attention
        self.makers, self.readers = tuple(attention.makers)[2:], (attention.name,)
        self._values = LowRank(attention.makers[self.makers[0]], rank)

    def scores(self, inputs: Tensor) -> Tensor:
        return self._values(inputs).norm(dim=0)

    def spread(self, chosen: Tensor) -> dict[str, Tensor]:
        read = of_all_heads(chosen, self._attention)
        return {self.makers[0]: chosen, self.readers[0]: read}


def of_all_heads(channels: Tensor, attention: Attention) -> Tensor:
    """Of channels of shared heads, those of all heads that share them."""
    each = attention.heads // attention.shared
    group, channel = channels // attention.size, channels % attention.size
    heads = group * each + torch.arange(each, device=channels.device)[:, None]
    return (heads * attention.size + channel).flatten().sort().values
