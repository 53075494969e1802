"""What a study measured, as draws: of every model, every quantity, over items and over seeds.

Every quantity of a model is an array whose first row is computed on the data and whose other rows
are draws over items (prompts), in common for all models; so whatever is computed from two models is
paired on items (see `statistics`). Over seeds a quantity is a mean with weights, the same for every
quantity and kind on a base: what is computed from a base and its students is paired on seeds, too.

The weights of a draw are 1 / S plus noise that makes the mean of S seeds' values m and standard
deviation s a draw of m + s / sqrt(S) * t, Student's with S - 1 degrees of freedom: the interval of
a mean of few normal values. A bootstrap over three seeds would be far too sure of itself
(benchmarks/study_intervals.py measures both).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from understudy.statistics import DRAWS, Array
from understudy.study.grid import Cell
from understudy.study.settings import StudySettings

OVERALL = "overall"  # the mean of all benchmarks' scores
STYLE = "style"  # minus the distance of style; the teacher's is that of its own second answers
PREFERRED = (
    "preferred by "  # and a protocol: share of prompts on which it is preferred to the teacher
)
HALLUCINATION = "hallucination"  # share of what the base does not know that is told wrongly, surely

Values = dict[str, Array]  # by quantity, shape (1 + DRAWS,)


@dataclass(frozen=True)
class Table:
    """The draws of a study.

    Attributes:
        settings: the study's.
        benchmarks: names of those that were measured on all models.
        parameters: of each base, by name.
        teacher: its quantities: benchmarks, OVERALL, STYLE, and 0.5 for every PREFERRED.
        bases: by (base, seed); beside these HALLUCINATION. What was not measured is not there.
        students: as for bases, by cell; a study that is not finished has some of them.
        training: of each student: "steps", "tokens" (trained on, repetitions counted),
            "heldout_loss" (of the weights that were kept).
        seed: of the draws over seeds.
    """

    settings: StudySettings
    benchmarks: list[str]
    parameters: dict[str, int]
    teacher: Values
    bases: dict[tuple[str, int], Values]
    students: dict[Cell, Values]
    training: dict[Cell, dict[str, Any]] = field(default_factory=dict)
    seed: int = 0
    _known: dict[tuple[str, tuple[int, ...]], Array] = field(default_factory=dict, repr=False)

    @property
    def quantities(self) -> list[str]:
        """All that was measured on some student or base, in a fixed order."""
        measured = [*self.students.values(), *self.bases.values()]
        return list(dict.fromkeys(name for values in measured for name in values))

    def seeds_of(self, kind: str, base: str, amount: int) -> list[int]:
        """The seeds whose student is there."""
        seeds = self.settings.seeds
        return [seed for seed in seeds if Cell(kind, base, amount, seed) in self.students]

    def student(self, kind: str, base: str, amount: int, quantity: str) -> Array | None:
        """A student's quantity over its seeds, shape (1 + DRAWS,); None where there is none."""
        own = {
            seed: self.students[Cell(kind, base, amount, seed)]
            for seed in self.seeds_of(kind, base, amount)
        }
        seeds = [seed for seed, values in own.items() if quantity in values]
        return self.over(base, seeds, [own[seed][quantity] for seed in seeds])

    def base(self, base: str, quantity: str, seeds: Sequence[int] | None = None) -> Array | None:
        """A base's quantity over seeds; `seeds`: only these, to go with students of as many."""
        seeds = [
            seed
            for seed in (self.settings.seeds if seeds is None else seeds)
            if quantity in self.bases.get((base, seed), {})
        ]
        return self.over(base, seeds, [self.bases[base, seed][quantity] for seed in seeds])

    def over(self, base: str, seeds: Sequence[int], values: Sequence[Array]) -> Array | None:
        """The mean over seeds of values that were drawn over items; None if there are none.

        Args:
            base: on which all of them are.
            seeds: of each.
            values: of each, shape (1 + DRAWS,).
        """
        if not values:
            return None
        stacked = np.stack(values)
        weights = self._weights(base, tuple(seeds))
        # Items and seeds are drawn apart: the spread over seeds is that of the data, in which what
        # differs by items alone is already.
        drawn: Array = stacked.mean(axis=0) + (weights - 1 / len(values)) @ stacked[:, 0]
        return drawn

    def _weights(self, base: str, seeds: tuple[int, ...]) -> Array:
        key = (base, seeds)
        if key not in self._known:
            place = self.settings.base_names.index(base)
            at = [self.settings.seeds.index(seed) for seed in seeds]
            rng = np.random.default_rng([self.seed, place, *at])
            self._known[key] = seed_weights(len(seeds), rng)
        return self._known[key]


def seed_weights(count: int, rng: np.random.Generator) -> Array:
    """Weights over `count` seeds, rows (the data, then draws) × seeds; each row's sum is 1."""
    even = np.full((1, count), 1 / count)
    if count == 1:  # nothing is known of other seeds
        return np.repeat(even, DRAWS + 1, axis=0)
    noise = rng.standard_normal((DRAWS, count))
    noise -= noise.mean(axis=1, keepdims=True)
    scale = np.sqrt(rng.chisquare(count - 1, DRAWS) * count)
    return np.vstack([even, even + noise / scale[:, None]])
