"""MaskSparsity: only the units that will be removed are made small."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from gossamer.core.penalty import Penalty
from gossamer.nn.regularisers.reweighted import Reweighted, checked_share, largest_units
from gossamer.nn.rules import Key


class MaskSparsity(Reweighted):
    r"""A penalty on the units that are chosen for removal, and none on those that stay.

    .. math:: \sum_{u \text{ to be removed}} \text{shape}(\|w_u\|)

    A sparse regularisation of all units also shrinks those that are kept, and so takes capacity
    from the network that remains. Here units are chosen first, by their size: when this object is
    made, or again by :meth:`select` (after training with the same penalty on all units, say). Then
    only they are driven to zero, so that removing them changes little.

    Parameters
    ----------
    model : torch.nn.Module
        Trained already.
    rules : mapping of pattern, module class or callable to Penalty
        Which weights and how, as for ``gossamer.nn.sparsify``: ``L1`` on the scales of batch
        normalisation, one a channel (``{"bn*.weight": gs.L1(5e-4)}``), as in the paper, or on
        whole filters (``{"conv*": gs.L1(1e-3, on=gs.Channels())}``).
    keep : float in (0, 1]
        Share of the units that is to remain.
    each : bool, default True
        Of each parameter, or (False) of all together, ranked by size: then sizes must compare
        across layers, which scales that a later normalisation undoes do not.

    Raises
    ------
    ValueError, TypeError
        For rules that do not fit, or a ``keep`` that is no share.

    References
    ----------
    Jiang, Zhao, Zhao, An, Tang and Wang (2023), Pruning-aware sparse regularization for network
    pruning.

    Examples
    --------
    >>> import gossamer as gs, torch
    >>> model = nn.Linear(3, 4, bias=False)
    >>> _ = model.weight.data.copy_(torch.arange(12.0).reshape(4, 3))
    >>> masked = MaskSparsity(model, {"*": gs.L1(0.1, on=gs.Channels())}, keep=0.5)
    >>> masked.penalty().backward()
    >>> model.weight.grad.norm(dim=1)
    tensor([0.1000, 0.1000, 0.0000, 0.0000])
    """

    def __init__(
        self, model: nn.Module, rules: Mapping[Key, Penalty], keep: float, each: bool = True
    ) -> None:
        super().__init__(model, rules)
        self.keep, self.each = checked_share(keep), each
        self._fixed = [part.weights for part in self.parts]
        self.select()

    def select(self) -> None:
        """Choose the units to be removed, by their present sizes."""
        pools = [[part] for part in self.parts] if self.each else [self.parts]
        self._chosen = [kept for pool in pools for kept in largest_units(pool, self.keep)]
        for part, fixed, kept in zip(self.parts, self._fixed, self._chosen, strict=True):
            part.weights = fixed * ~kept

    def _reweigh(self) -> None:
        """The choice stands until :meth:`select`."""

    def _kept(self) -> list[Tensor]:
        return self._chosen
