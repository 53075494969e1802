"""How much of the gap between base and teacher was closed, by a study's students or published ones.

Gap closed is (student − base) / (teacher − base), on a benchmark, over all of them, in style, or in
how often a judge prefers the model to the teacher, where the teacher's own share is one half. All
goes through `statistics.gap_closed`: undefined where the teacher is not above the base, and without
bounds where that is not certain.
"""

from typing import Any

import numpy as np

from understudy.statistics import DRAWS, NO_GAP, Array, explained, gap_closed
from understudy.study.grid import Cell
from understudy.study.table import Table

NOT_MEASURED = "not measured on base, student and teacher alike"
NO_ITEMS = "on how many items is not known, so there are no bounds"


def gap(table: Table, kind: str, base: str, amount: int, quantity: str) -> dict[str, Any]:
    """Gap closed by one student over its seeds, against its base over the same seeds.

    Returns:
        "value", "low" and "high" (95 % over items and seeds), shares; and "reason" where there is
        no value or are no bounds.
    """
    students = {
        seed: table.students[Cell(kind, base, amount, seed)]
        for seed in table.seeds_of(kind, base, amount)
    }
    seeds = [
        seed
        for seed, student in students.items()
        if quantity in student and quantity in table.bases.get((base, seed), {})
    ]
    student = table.over(base, seeds, [students[seed][quantity] for seed in seeds])
    below = table.base(base, quantity, seeds)
    if student is None or below is None or quantity not in table.teacher:
        return {"value": None, "low": None, "high": None, "reason": NOT_MEASURED}
    return explained(gap_closed(below, student, table.teacher[quantity]))


def gaps(table: Table) -> list[dict[str, Any]]:
    """Gap closed in everything that the teacher was measured in, by every student that is there.

    Rows with "kind", "base", "amount" (tokens), "quantity", and what `gap` gives.
    """
    return [
        {"kind": kind, "base": base, "amount": amount, "quantity": quantity}
        | gap(table, kind, base, amount, quantity)
        for kind in table.settings.kinds
        for base in table.settings.base_names
        for amount in table.settings.amounts_of(kind)
        if table.seeds_of(kind, base, amount)
        for quantity in table.teacher
    ]


def published_gap(
    base: float,
    student: float,
    teacher: float,
    n: int | None = None,
    rounded_to: float = 0.0,
    seed: int = 0,
) -> dict[str, Any]:
    """Gap closed from three published scores.

    Each score is drawn from the posterior of a share of `n` right answers under a Jeffreys prior,
    on its own. Models tend to be right on the same items, which nothing published tells, so the
    interval is wider than a paired one. What a score lost in print is drawn, too, evenly.

    Args:
        base, student, teacher: scores, more being better; in 0..1 if `n` is given.
        n: of how many items. None: value only, for whatever measure.
        rounded_to: the last printed place: 0.01 for whole percents.
        seed: of the draws.

    Returns:
        As `gap`.
    """
    scores = (base, student, teacher)
    if n is None:
        drawn = [np.full(1 + DRAWS, score) for score in scores]
        value = gap_closed(*drawn)["value"]
        reason = NO_GAP if value is None else NO_ITEMS
        return {"value": value, "low": None, "high": None, "reason": reason}
    rng = np.random.default_rng(seed)
    return explained(gap_closed(*(_printed(score, n, rounded_to, rng) for score in scores)))


def _printed(score: float, n: int, rounded_to: float, rng: np.random.Generator) -> Array:
    """A printed share, then draws of what it may be a print of."""
    exact = (score + rounded_to * (rng.random(DRAWS) - 0.5)).clip(0, 1)
    return np.append(score, rng.beta(exact * n + 0.5, (1 - exact) * n + 0.5))
