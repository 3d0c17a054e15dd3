"""Rows in parts that never meet: all that is asked of them are sums."""

from __future__ import annotations

import operator
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeAlias

import numpy as np

from gossamer.linear.distributed.part import Part

Combine: TypeAlias = Callable[[list[Any]], Any]


def total(values: list[Any]) -> Any:
    """Their sum."""
    return reduce(operator.add, values)


@dataclass(frozen=True)
class Traffic:
    """What was said between the rows and who asks: rounds, bytes of questions and of answers.

    Bytes are counted once a round: every part hears the same question, and answers of one size are
    added on their way.
    """

    rounds: int = 0
    asked: int = 0
    answered: int = 0


class Partitions(ABC):
    """Parts of the rows; an answer about all rows is combined from those of the parts."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        self.n_features, self.n_outputs = n_features, n_outputs
        self.traffic = Traffic()

    def reduce(
        self, function: Callable[..., Any], *arguments: Any, combine: Combine = total
    ) -> Any:
        """``function(part, *arguments)`` of every part, combined."""
        return self._counted(arguments, self._reduce(function, arguments, combine))

    def ask_one(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """``function(part, *arguments)`` of the first part, where that is."""
        return self._counted(arguments, self._ask_one(function, arguments))

    def _counted(self, question: Any, answer: Any) -> Any:
        old = self.traffic
        self.traffic = Traffic(
            old.rounds + 1, old.asked + _size(question), old.answered + _size(answer)
        )
        return answer

    @abstractmethod
    def _ask_one(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """The answer of the first part."""

    @abstractmethod
    def _reduce(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], combine: Combine
    ) -> Any:
        """The answer; arguments and answers are not changed by anybody."""


def _size(value: Any) -> int:
    return len(pickle.dumps(value, protocol=5))


class ReadParts(Partitions):
    """Parts that are read one after the other, again for every question: one is in memory."""

    def __init__(
        self, batches: Iterable[Any], part_of: Callable[[Any], Part], n_features: int,
        n_outputs: int,
    ) -> None:  # fmt: skip
        super().__init__(n_features, n_outputs)
        self.batches, self.part_of = batches, part_of

    def _reduce(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], combine: Combine
    ) -> Any:
        # one answer at a time: a Gram matrix of every batch would not fit
        answers: Iterator[Any] = (
            function(self.part_of(batch), *arguments) for batch in self.batches
        )
        return reduce(lambda one, other: combine([one, other]), answers)

    def _ask_one(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        return function(self.part_of(next(iter(self.batches))), *arguments)


class ChosenRows(Partitions):
    """The rows of other partitions with weights multiplied by what ``chosen`` says of a part."""

    def __init__(self, whole: Partitions, chosen: Callable[[Part], np.ndarray]) -> None:
        super().__init__(whole.n_features, whole.n_outputs)
        self.whole, self.chosen = whole, chosen

    def _reduce(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], combine: Combine
    ) -> Any:
        return self.whole.reduce(_of_chosen, function, self.chosen, *arguments, combine=combine)

    def _ask_one(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        return self.whole.ask_one(_of_chosen, function, self.chosen, *arguments)


def _of_chosen(
    part: Part, function: Callable[..., Any], chosen: Callable[[Part], np.ndarray], *arguments: Any
) -> Any:
    return function(part.weighted(chosen(part)), *arguments)


@dataclass(frozen=True)
class InFold:
    """Rows dealt out to a fold in turn, within each part; or all but those."""

    fold: int
    n_folds: int
    held_out: bool

    def __call__(self, part: Part) -> np.ndarray:
        inside = np.arange(len(part.y)) % self.n_folds == self.fold
        return inside if self.held_out else ~inside
