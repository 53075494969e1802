"""The grid: which students a study makes, and in which order."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from understudy.study.settings import StudySettings

ItemT = TypeVar("ItemT")


@dataclass(frozen=True, order=True)
class Cell:
    """One student: a kind and amount (tokens) of imitation data, a base by name, and a seed."""

    kind: str
    base: str
    amount: int
    seed: int

    @property
    def folder(self) -> Path:
        """Where in a study's folder its stages are."""
        return Path("cells", self.kind, self.base, str(self.amount), f"seed-{self.seed}")

    def __str__(self) -> str:
        return f"{self.kind} {self.amount:,} tokens, {self.base}, seed {self.seed}"


def cells(settings: StudySettings) -> list[Cell]:
    """All cells, so ordered that first answers come early.

    One seed after the other; in a seed first the ends of the grid, then what lies between.
    """
    found = []
    for seed in settings.seeds:
        ranked = []
        for kind in settings.kinds:
            for base_rank, base in enumerate(outside_in(settings.base_names)):
                for rank, amount in enumerate(outside_in(settings.amounts_of(kind))):
                    ranked.append((rank + base_rank, Cell(kind, base, amount, seed)))
        found += [cell for _, cell in sorted(ranked, key=lambda one: one[0])]
    return found


def outside_in(items: Sequence[ItemT]) -> list[ItemT]:
    """The last, the first, the last but one, the second, ... of some items."""
    left, found = list(items), []
    while left:
        found.append(left.pop())
        if left:
            found.append(left.pop(0))
    return found


def middle(items: Sequence[ItemT]) -> ItemT:
    """The one in the middle, the lower of two."""
    return items[(len(items) - 1) // 2]
