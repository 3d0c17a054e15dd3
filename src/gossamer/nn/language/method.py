"""Method: how the weights of one linear layer are chosen, and what they become."""

from __future__ import annotations

from torch import Tensor

from gossamer.core.registry import Registry
from gossamer.core.structure import Structure
from gossamer.nn.language.layer import Layer, Solved
from gossamer.structures import Elements

METHODS: Registry[Method] = Registry("method", "gossamer.nn.language.methods")


class Method:
    """Solves the problem of one :class:`Layer` in its own way. A subclass is a dataclass of its
    settings; it has :meth:`scores`, where weights that stay do not change, or :meth:`solve`."""

    @property
    def on(self) -> Structure:
        """What lives or dies together where the user does not say."""
        return Elements()

    def scores(self, layer: Layer) -> Tensor:
        """(m, p) how much each weight matters; a unit matters as the sum over its weights."""
        raise NotImplementedError(f"{type(self).__name__} needs scores() or solve().")

    def solve(self, layer: Layer) -> Solved:
        """The layer's sparse weight."""
        mask = layer.mask(self.scores(layer))
        return Solved(layer.weight * mask, mask)
