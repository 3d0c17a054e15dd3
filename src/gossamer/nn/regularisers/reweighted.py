"""Penalties whose weights follow the training: what adaptive regularisers have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gossamer.core.penalty import Penalty
from gossamer.core.validation import finite_number
from gossamer.nn.formulas import TensorForm, tensor_form
from gossamer.nn.keep import largest
from gossamer.nn.rules import Key, Match, match


@dataclass(eq=False)
class Part:
    """A parameter, the form of its penalty, and what training has made of its units."""

    name: str
    parameter: nn.Parameter
    form: TensorForm
    weights: Tensor  # (n_units,) factors of the penalty, constant to autograd
    alive: Tensor  # (n_units,) false for units that are removed for good

    @classmethod
    def of(cls, found: Match) -> Part:
        shape = tuple(found.parameter.shape)
        form = tensor_form(found.penalty, shape, found.name)
        ones = found.parameter.detach().new_ones(form.cells.count)
        fixed = form.unit_weights(ones)
        return cls(found.name, found.parameter, form, ones if fixed is None else fixed, ones > 0)

    def sizes(self) -> Tensor:
        """(n_units,) present sizes, without gradient."""
        return self.form.sizes(self.parameter.detach())

    def cost(self, w: Tensor) -> Tensor:
        """The reweighted penalty at ``w``; units of zero have gradient zero."""
        sizes = self.form.sizes(w)
        charged = (sizes > 0) & (self.weights > 0)
        shapes = self.form.shape_value(torch.where(charged, sizes, 1.0))
        return (torch.where(charged, shapes, 0.0) * self.weights).sum()

    @torch.no_grad()
    def clear(self, kept: Tensor) -> None:
        """Set the units that are not ``kept`` to zero."""
        self.parameter.masked_fill_(~self.form.cells.spread(kept), 0.0)


class Reweighted(ABC):
    r"""A penalty whose weights are set anew as training goes, then pruning by size.

    .. math:: \sum_u c_u \, \text{shape}(\|w_u\|), \qquad c_u \text{ constant to autograd}

    Subclasses say what the factors ``c`` are, in :meth:`_reweigh`, and which units remain, in
    :meth:`_kept`. In any training loop: add :meth:`penalty` to the loss, call :meth:`step` after
    the optimiser's step, :meth:`finalise` at the end. Training may go on after that (fine-tuning):
    :meth:`step` then keeps zeros at zero.
    """

    def __init__(self, model: nn.Module, rules: Mapping[Key, Penalty]) -> None:
        self.parts = [Part.of(found) for found in match(model, rules)]
        self.is_final = False

    @abstractmethod
    def _reweigh(self) -> None:
        """Set the weights of every part from what is known now."""

    @abstractmethod
    def _kept(self) -> list[Tensor]:
        """Of each part, which units (n_units,) would remain if it were pruned now."""

    def penalty(self) -> Tensor:
        """The penalty, to be added to the loss; zero after :meth:`finalise`."""
        if self.is_final:
            return self.parts[0].parameter.new_zeros(())
        return torch.stack([part.cost(part.parameter) for part in self.parts]).sum()

    def step(self) -> None:
        """To be called after each step of the optimiser, before gradients are cleared."""
        for part in self.parts:
            if not part.alive.all():
                part.clear(part.alive)
        if not self.is_final:
            self._reweigh()

    @contextmanager
    def pruned(self) -> Iterator[None]:
        """The model as it would be if it were pruned now, for the length of a ``with`` block."""
        before = [part.parameter.detach().clone() for part in self.parts]
        try:
            for part, kept in zip(self.parts, self._kept(), strict=True):
                part.clear(kept)
            yield
        finally:
            with torch.no_grad():
                for part, value in zip(self.parts, before, strict=True):
                    part.parameter.copy_(value)

    def prune(self) -> float:
        """Set the units that do not remain to zero, for good; the share of zeros is returned."""
        for part, kept in zip(self.parts, self._kept(), strict=True):
            part.alive = part.alive & kept
            part.clear(part.alive)
        return self.sparsity()

    def finalise(self) -> dict[str, float]:
        """Prune, and end the penalty; the :meth:`report` is returned."""
        self.prune()
        self.is_final = True
        return self.report()

    def report(self) -> dict[str, float]:
        """The share of zeros in each parameter, by its name."""
        return {part.name: float((part.parameter == 0).float().mean()) for part in self.parts}

    def sparsity(self) -> float:
        """The share of zeros in all parameters together."""
        zeros = sum(int((part.parameter == 0).sum()) for part in self.parts)
        return zeros / sum(part.parameter.numel() for part in self.parts)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(part.name for part in self.parts)})"


def largest_units(parts: list[Part], keep: float) -> list[Tensor]:
    """Which units are among the largest share ``keep`` of the units of all parts together.

    The largest unit of each part is always kept, so that no layer is cut through.
    """
    sizes = [torch.where(part.alive, part.sizes(), 0.0) for part in parts]
    together = torch.cat(sizes)
    chosen = largest(together, count_of(keep, together)).split([len(size) for size in sizes])
    return [mask & (s > 0) | (s == s.max()) for mask, s in zip(chosen, sizes, strict=True)]


def count_of(keep: float, sizes: Tensor) -> int:
    """How many units a share is, one at least."""
    return max(round(keep * len(sizes)), 1)


def checked_share(keep: float) -> float:
    """``keep`` if it is a share of units."""
    if not 0 < finite_number(keep, "keep") <= 1:
        raise ValueError(f"keep must be a share of units in (0, 1], got {keep!r}.")
    return float(keep)


Score = Callable[[], float]
