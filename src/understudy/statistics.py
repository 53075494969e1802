"""Intervals: of a share, of differences between models, and of the gap closed.

Resampled quantities are arrays whose first row is computed on the data themselves and whose other
rows are draws; `interval` turns such an array into a value with its 95 % interval. The same draws
serve every model, so that whatever is computed from two models is paired on items.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DRAWS = 2000
UNBOUNDED = 0.025  # share of draws without a gap, above which no ratio to it has bounds
Z95 = 1.959964
Interval = dict[str, float | None]


def wilson(right: float, n: int) -> tuple[float, float]:
    """The 95 % score interval of a share of `right` among `n` (Wilson 1927, equation 2).

    It stays inside 0..1 and has a width where nothing, or everything, is right.
    """
    if n == 0:
        return 0.0, 1.0
    share, z2 = right / n, Z95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def resamples(items: int, seed: int) -> Array:
    """How often each item counts: a row of ones (the data), then DRAWS bootstrap rows."""
    drawn = np.random.default_rng(seed).multinomial(items, [1 / items] * items, DRAWS)
    return np.vstack([np.ones(items), drawn])


def score_draws(right: Sequence[Sequence[bool]], seed: int) -> Array:
    """Scores of several models on the same items, rows (data, then DRAWS) × models.

    Draws come from the posterior of the shares of all joint outcomes (who was right on an item)
    under a Jeffreys prior, a Dirichlet with 1/2 for each of the 2^models outcomes. Unlike a
    bootstrap it leaves room for outcomes that did not occur: two models that agree on every item
    are not known to agree on the next.

    Args:
        right: for each model whether each item was right, in one order of items.
        seed: of the draws.
    """
    table = np.asarray(right, dtype=bool)
    models, _ = table.shape
    outcome = (1 << np.arange(models)) @ table
    counts = np.bincount(outcome, minlength=1 << models)
    shares = np.random.default_rng(seed).dirichlet(counts + 0.5, DRAWS)
    is_right = (np.arange(1 << models)[:, None] >> np.arange(models)) & 1
    return np.vstack([table.mean(axis=1), shares @ is_right])


def interval(rows: Array) -> Interval:
    """The first row's value with the 95 % percentile interval of the others; None for nan."""
    value = None if np.isnan(rows[0]) else round(float(rows[0]), 6)
    drawn = rows[1:][~np.isnan(rows[1:])]
    if value is None or not len(drawn):
        return {"value": value, "low": None, "high": None}
    low, high = np.percentile(drawn, [2.5, 97.5])
    return {"value": value, "low": round(float(low), 6), "high": round(float(high), 6)}


def gap_closed(base: Array, student: Array, teacher: Array) -> Interval:
    """(student − base) / (teacher − base), row by row, where more is better.

    Without bounds where more than 2.5 % of the draws have no gap (the ratio's interval is then
    unbounded: Fieller 1954), and without value where the data have none.
    """
    gap = teacher - base
    found = interval(ratio(student - base, np.where(gap > 0, gap, 0)))
    if np.mean(gap[1:] <= 0) > UNBOUNDED:
        found["low"] = found["high"] = None
    return found


def ratio(above: Array, below: Array) -> Array:
    """above / below, nan where below is 0."""
    return np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)
