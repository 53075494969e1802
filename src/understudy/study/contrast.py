"""What a study's findings compare: sums of models' scores, seed by seed, and sums over bases.

On one base the interval over seeds is Student's with S − 1 degrees of freedom (see `table`). Of
several bases the seeds are independent and may spread differently, which is Welch's problem: the
sum has the variance of all of them together, and degrees of freedom after Satterthwaite (Welch
1947, "The generalization of 'Student's' problem when several different population variances are
involved"; Satterthwaite 1946, "An approximate distribution of estimates of variance components").
Sums of the bases' own Student draws are too wide: of three bases with three seeds each they cover
in 99 % of studies, being half as wide again (benchmarks/study_intervals.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from understudy.statistics import DRAWS, Array
from understudy.study.grid import Cell
from understudy.study.table import Table, Values

BASE, TEACHER = "base", "teacher"

Model = str | tuple[str, int]  # BASE, TEACHER, or a student by its kind and amount
BySeed = dict[int, Array]  # shape of each (rows, 1 + DRAWS)


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of models' scores, each the mean of some quantities."""

    weights: Mapping[Model, float]
    quantities: Sequence[str]

    def on(self, table: Table, base: str, seed: int) -> Array | None:
        """Its draws on a base with a seed, shape (1 + DRAWS,); None where some of it is missing."""
        total = np.zeros(1 + DRAWS)
        for model, weight in self.weights.items():
            values = _values(table, model, base, seed)
            for quantity in self.quantities:
                if quantity not in values:
                    return None
                total = total + weight * values[quantity] / len(self.quantities)
        return None if np.isnan(total[0]) else total


def student(kind: str, amounts: Sequence[int]) -> dict[Model, float]:
    """The weights of a student's mean over amounts of one kind."""
    return {(kind, amount): 1 / len(amounts) for amount in amounts}


def minus(weights: Mapping[Model, float]) -> dict[Model, float]:
    """The weights with the other sign."""
    return {model: -weight for model, weight in weights.items()}


def by_seed(table: Table, contrasts: Sequence[Contrast]) -> dict[str, BySeed]:
    """The contrasts' draws on every base with every seed that has all of them."""
    found: dict[str, BySeed] = {}
    for base in table.settings.base_names:
        for seed in table.settings.seeds:
            rows = [contrast.on(table, base, seed) for contrast in contrasts]
            known = [row for row in rows if row is not None]
            if len(known) == len(rows):
                found.setdefault(base, {})[seed] = np.stack(known)
    return found


def over_bases(
    table: Table, values: Mapping[str, BySeed], weights: Mapping[str, float], lean: Array
) -> Array:
    """Draws of a sum over bases of means over seeds, shape (rows, 1 + DRAWS).

    Args:
        table: for its seed, and for the draws over seeds on one base alone.
        values: by base, the rows that `by_seed` found.
        weights: of the bases in the sum.
        lean: weights of the rows in what is tested, whose degrees of freedom the draws have.
    """
    if len(weights) == 1:
        ((base, weight),) = weights.items()
        seeds, drawn = list(values[base]), np.stack([*values[base].values()], axis=1)
        means = [table.over(base, seeds, list(row)) for row in drawn]
        return weight * np.stack([mean for mean in means if mean is not None])
    on = [np.stack([*values[base].values()]) for base in weights]
    return welch(on, list(weights.values()), lean, np.random.default_rng(table.seed))


def welch(
    values: Sequence[Array], weights: Sequence[float], lean: Array, rng: np.random.Generator
) -> Array:
    """Draws of a weighted sum of independent means, shape (rows, 1 + DRAWS); see the module.

    A mean of one seed enters without spread, as nothing is known of other seeds.

    Args:
        values: of each mean, shape (seeds, rows, 1 + DRAWS), drawn over items in common.
        weights: of each.
        lean: weights of the rows in what is tested.
        rng: for the draws over seeds.
    """
    drawn = np.sum([w * some.mean(axis=0) for w, some in zip(weights, values, strict=True)], axis=0)
    spread = [
        (weight / np.sqrt(len(some) * (len(some) - 1)), some[:, :, 0])
        for weight, some in zip(weights, values, strict=True)
        if len(some) > 1
    ]
    errors = np.array([w**2 * np.square(_centred(v @ lean)).sum() for w, v in spread])
    if not errors.any():
        return drawn
    freedom = errors.sum() ** 2 / sum(errors**2 / [len(v) - 1 for _, v in spread])
    scale = np.sqrt(rng.chisquare(freedom, DRAWS) / freedom)
    for weight, seen in spread:
        # Of what was measured, not of its draws over items, whose noise is in the mean already.
        drawn[:, 1:] += weight * _centred(seen).T @ rng.standard_normal((len(seen), DRAWS)) / scale
    return drawn


def _centred(values: Array) -> Array:
    return values - values.mean(axis=0)


def _values(table: Table, model: Model, base: str, seed: int) -> Values:
    if model == TEACHER:
        return table.teacher
    if isinstance(model, str):
        return table.bases.get((base, seed), {})
    kind, amount = model
    return table.students.get(Cell(kind, base, amount, seed), {})
