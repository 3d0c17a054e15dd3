"""Recipe: the choices of a sparse training run together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gossamer.core.structure import Structure
from gossamer.nn.pruning.allocation import Allocation
from gossamer.nn.pruning.criterion import Criterion
from gossamer.nn.pruning.growth import Growth
from gossamer.nn.pruning.registries import ALLOCATIONS, CRITERIA, GROWTHS, SCHEDULES, piece_of
from gossamer.nn.pruning.schedule import Schedule
from gossamer.structures import Elements

On = Structure | Mapping[Any, Structure | None]


@dataclass(frozen=True)
class Recipe:
    """What is pruned, by what, how much of each layer, when, and what grows back.

    Every choice is a name or a piece with its settings.

    Parameters
    ----------
    criterion : str or Criterion, default "magnitude"
    allocation : str or Allocation, default "global"
    schedule : str or Schedule, default "cubic"
        What :func:`gossamer.nn.prune` does at once needs none.
    growth : str or Growth, default None
    on : Structure or mapping, default Elements()
        Of all weights with two axes or more; or rules as for :func:`gossamer.nn.sparsify`, such as
        ``{"conv*": gs.Channels(), "head": None, "*": gs.Elements()}``, ``None`` leaving weights
        alone.
    start : str or Criterion, default "random"
        Chooses the first masks where the schedule starts sparse.
    rescale : bool, default False
        Whether weights that are cut before the first step are scaled up to the Euclidean size they
        had, so that signals keep their size. Models with normalisation layers see to that by
        themselves, and are left as they are.

    Examples
    --------
    >>> Recipe(criterion="magnitude", allocation="uniform", schedule="cubic")
    Recipe(criterion='magnitude', allocation='uniform', schedule='cubic')
    """

    criterion: str | Criterion = "magnitude"
    allocation: str | Allocation = "global"
    schedule: str | Schedule = "cubic"
    growth: str | Growth | None = None
    on: On = field(default_factory=Elements)
    start: str | Criterion = "random"
    rescale: bool = False

    def __repr__(self) -> str:
        plain = Recipe()
        shown = [
            f"{name}={value!r}"
            for name, value in vars(self).items()
            if name in ("criterion", "allocation", "schedule") or value != getattr(plain, name)
        ]
        return f"Recipe({', '.join(shown)})"

    def pieces(self) -> Pieces:
        """Fresh pieces of this recipe, which remember what they see."""
        return Pieces(
            criterion=piece_of(CRITERIA, self.criterion, Criterion),
            allocation=piece_of(ALLOCATIONS, self.allocation, Allocation),
            schedule=piece_of(SCHEDULES, self.schedule, Schedule),
            growth=None if self.growth is None else piece_of(GROWTHS, self.growth, Growth),
            start=piece_of(CRITERIA, self.start, Criterion),
        )


@dataclass(eq=False)
class Pieces:
    """A recipe's pieces for one training."""

    criterion: Criterion
    allocation: Allocation
    schedule: Schedule
    growth: Growth | None
    start: Criterion


def recipe_of(asked: str | Recipe | None, changes: Mapping[str, Any]) -> Recipe:
    """A recipe from its name, from a pattern such as ``"2:4"``, or as it is; with changes."""
    from gossamer.nn.pruning.recipes import RECIPES

    given = {name: value for name, value in changes.items() if value is not None}
    if asked is None:
        recipe = Recipe()
    elif isinstance(asked, Recipe):
        recipe = asked
    elif isinstance(asked, str) and (pattern := pattern_of(asked)) is not None:
        recipe = Recipe(on=pattern)
    elif isinstance(asked, str):
        key = asked.lower().replace("_", "-")
        if key not in RECIPES:
            raise ValueError(f"recipe {asked!r} is not known. Known: {', '.join(RECIPES)}.")
        recipe = RECIPES[key]
    else:
        raise TypeError(
            f'recipe must be a name such as "gmp", a pattern such as "2:4" or a gs.nn.Recipe, got '
            f"{asked!r}."
        )
    return replace(recipe, **given)


def pattern_of(text: str) -> Structure | None:
    """The structure that ``"2:4"`` or ``"16x1"`` means; ``None`` where the text is no pattern."""
    found = re.fullmatch(r"\s*(\d+)\s*([:x])\s*(\d+)\s*", text)
    if found is None:
        return None
    from gossamer.structures import Blocks, NofM

    first, second = int(found[1]), int(found[3])
    return NofM(first, second) if found[2] == ":" else Blocks((first, second))
