"""How much of a model a fine-tuning has changed, and whether two of them changed the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Update:
    """What became of one parameter.

    Attributes
    ----------
    name : str
    changed : bool tensor of its shape
        Entries that moved by more than the tolerance.
    rank : int or None
        Of the change; none of parameters that are no matrices, and where ranks were not asked for.
    """

    name: str
    changed: Tensor
    rank: int | None

    @property
    def sparsity(self) -> float:
        """Share of the entries that stayed."""
        return 1 - float(self.changed.float().mean())

    @property
    def rank_share(self) -> float | None:
        """Rank of the change by the largest that the matrix can have."""
        return None if self.rank is None else self.rank / min(self.changed.shape)


@dataclass(frozen=True)
class Overlap:
    """How much of what two fine-tunings changed is the same.

    Attributes
    ----------
    of_first, of_second : float
        Share of the entries that one has changed which the other has changed too.
    chance_first, chance_second : float
        The same shares if the other had changed as many entries of each parameter at random.
    """

    of_first: float
    of_second: float
    chance_first: float
    chance_second: float

    def to_dict(self) -> dict[str, float]:
        """Plain numbers."""
        return asdict(self)


@dataclass(frozen=True)
class UpdateSparsity:
    """What a fine-tuning changed, parameter by parameter; printed, it is a table.

    Attributes
    ----------
    updates : tuple of Update
    """

    updates: tuple[Update, ...]

    @property
    def sparsity(self) -> float:
        """Share of all entries that stayed."""
        entries = sum(update.changed.numel() for update in self.updates)
        return 1 - sum(int(update.changed.sum()) for update in self.updates) / entries

    @property
    def rank_share(self) -> float | None:
        """Mean over the matrices of the rank of their change, by the largest possible."""
        shares = [u.rank_share for u in self.updates if u.rank_share is not None]
        return sum(shares) / len(shares) if shares else None

    def overlap(self, other: UpdateSparsity) -> Overlap:
        """Compare with another fine-tuning of the same model.

        Raises
        ------
        ValueError
            For an update of other parameters, and where one of the two changed nothing.
        """
        theirs = {update.name: update.changed for update in other.updates}
        if [(u.name, u.changed.shape) for u in self.updates] != [
            (u.name, u.changed.shape) for u in other.updates
        ]:
            raise ValueError("other must be an update of the same model: its parameters differ.")
        pairs = [(update.changed, theirs[update.name]) for update in self.updates]
        first, second = (sum(int(pair[i].sum()) for pair in pairs) for i in (0, 1))
        if not first or not second:
            raise ValueError("overlap needs two updates that changed something.")
        both = sum(int((a & b).sum()) for a, b in pairs)
        chance = sum(int(a.sum()) * int(b.sum()) / a.numel() for a, b in pairs)
        return Overlap(both / first, both / second, chance / first, chance / second)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for a log."""
        rows = [
            {"name": u.name, "entries": u.changed.numel(), "sparsity": u.sparsity, "rank": u.rank}
            for u in self.updates
        ]
        return {"sparsity": self.sparsity, "rank_share": self.rank_share, "parameters": rows}

    def __str__(self) -> str:
        width = max(len("parameter"), *(len(update.name) for update in self.updates))
        lines = [f"{'parameter':<{width}}  {'entries':>12}  unchanged  rank of the change"]
        for u in self.updates:
            rank = "" if u.rank is None else f"{u.rank} of {min(u.changed.shape)}"
            lines.append(
                f"{u.name:<{width}}  {u.changed.numel():>12,}  {u.sparsity:>9.2%}  {rank:>18}"
            )
        return "\n".join([*lines, f"{self.sparsity:.2%} of all entries are unchanged"])


@torch.no_grad()
def update_sparsity(
    before: nn.Module | Mapping[str, Tensor],
    after: nn.Module | Mapping[str, Tensor],
    *,
    tolerance: float = 1e-5,
    dtype: torch.dtype | None = torch.bfloat16,
    ranks: bool = True,
) -> UpdateSparsity:
    r"""The share of a model's parameters that a fine-tuning left where they were.

    .. math:: s = 1 - \tfrac1n \#\{i : |\theta_i^{\text{after}} - \theta_i^{\text{before}}| > \tau\}

    Parameters
    ----------
    before, after : module, or mapping from names to tensors
        The model, or its ``state_dict()``, before and after. Of a module, the parameters count;
        tied ones once.
    tolerance : float >= 0, default 1e-5
        :math:`\tau`, the authors' value.
    dtype : torch.dtype or None, default bfloat16
        What both are rounded to before they are compared, as checkpoints are kept and served: a
        step that is lost in rounding is none. ``None`` compares the values as they are.
    ranks : bool, default True
        Whether to compute the ranks of the changes, one singular value decomposition a matrix.

    Returns
    -------
    UpdateSparsity

    Raises
    ------
    ValueError
        Where names or shapes differ, for nothing to compare, and for a negative tolerance.

    Notes
    -----
    The number depends on step size and number of steps as much as on what is trained: a step of
    Adam is about the learning rate, and the spacing of bfloat16 numbers near 0.02 is 1.2e-4.
    Compare trainings at equal steps.

    References
    ----------
    Mukherjee, Yuan, Hakkani-Tur and Peng (2025), Reinforcement learning finetunes small subnetworks
    in large language models.

    Examples
    --------
    >>> before = {"weight": torch.ones(2, 2)}
    >>> after = {"weight": torch.tensor([[1.0, 1.5], [1.0, 1.0001]])}
    >>> found = update_sparsity(before, after)  # 1.0001 is 1 in bfloat16
    >>> found.sparsity, found.updates[0].rank
    (0.75, 1)
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be at least 0, got {tolerance!r}.")
    old, new = _tensors(before), _tensors(after)
    if not old:
        raise ValueError("before has no parameters to compare.")
    shapes = [{name: tensor.shape for name, tensor in tensors.items()} for tensors in (old, new)]
    odd = sorted({name for name, _ in shapes[0].items() ^ shapes[1].items()})
    if odd:
        raise ValueError(f"before and after must be of one model: {odd[:3]} differ.")
    updates = []
    for name, value in old.items():
        change = _rounded(new[name].to(value.device), dtype) - _rounded(value, dtype)
        rank = int(torch.linalg.matrix_rank(change)) if ranks and change.dim() == 2 else None
        updates.append(Update(name, change.abs() > tolerance, rank))
    return UpdateSparsity(tuple(updates))


def _tensors(model: nn.Module | Mapping[str, Tensor]) -> dict[str, Tensor]:
    items = model.named_parameters() if isinstance(model, nn.Module) else model.items()
    return {name: tensor.detach() for name, tensor in items if tensor.is_floating_point()}


def _rounded(value: Tensor, dtype: torch.dtype | None) -> Tensor:
    rounded = value if dtype is None else value.to(dtype)
    return rounded.to(torch.promote_types(value.dtype, torch.float32))
