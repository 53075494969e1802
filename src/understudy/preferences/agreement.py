"""How far raters agree, beyond what chance would bring."""

import math
from collections.abc import Hashable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from understudy.preferences.win_rate import count, numbered
from understudy.statistics import DRAWS, Z95, Interval, interval, wilson

Level = Literal["nominal", "ordinal", "interval"]


def krippendorff_alpha(
    units: Sequence[Hashable], values: ArrayLike, level: Level, seed: int
) -> Interval:
    """Krippendorff's alpha of any number of raters, with its 95 % bootstrap interval over units.

    Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability". A value that is missing is
    left out; a unit with one value alone counts for nothing. Without any unit of two values, or
    where all values are the same, there is no alpha: None. In simulated panels of 2 to 5 raters and
    5 grades the interval covers in 88 to 95 % at 20 units, 93 to 97 % from 80 on; where all agree
    on everything it has no width.

    Args:
        units: what each value was given to.
        values: numbers, one for each time that a rater rated a unit.
        level: nominal values are the same or not, ordinal ones differ by how many values lie
            between them, interval ones by their squared difference.
        seed: of the bootstrap.
    """
    scale, which = np.unique(np.asarray(values, dtype=float), return_inverse=True)
    # A unit is what it has of every value, wherever it has any: counts at (unit, value).
    cells, counts = np.unique(numbered(units) * len(scale) + which, return_counts=True)
    unit, value = np.divmod(cells, len(scale))
    size = np.bincount(unit, weights=counts)
    paired = size[unit] > 1
    unit, value, counts = (
        np.unique(unit[paired], return_inverse=True)[1],
        value[paired],
        counts[paired],
    )
    if not len(unit):
        return {"value": None, "low": None, "high": None}
    size = np.bincount(unit, weights=counts)

    def alpha(weights: NDArray[Any]) -> float:
        totals = np.bincount(value, weights=weights[unit] * counts, minlength=len(scale))
        n = totals.sum()
        if level == "nominal":
            apart = size**2 - np.bincount(unit, weights=counts**2)
            expected = (n**2 - (totals**2).sum()) / (n - 1)
        else:
            place = np.cumsum(totals) - totals / 2 if level == "ordinal" else scale
            place = place - totals @ place / n
            sums = np.bincount(unit, weights=counts * place[value])
            apart = size * np.bincount(unit, weights=counts * place[value] ** 2) - sums**2
            expected = n * (totals @ place**2) / (n - 1)
        return 1 - weights @ (apart / (size - 1)) / expected if expected > 1e-12 else math.nan

    rng = np.random.default_rng(seed)
    n = len(size)
    drawn = (np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(DRAWS))
    return interval(np.array([alpha(np.ones(n)), *map(alpha, drawn)]))


def cohen_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> Interval:
    """Cohen's kappa of two raters (Cohen 1960) with its 95 % interval.

    Its variance is that of Fleiss, Cohen & Everitt 1969, "Large sample standard errors of kappa and
    weighted kappa". The interval is Wilson's of the share of items that they agree on, with n over
    the design effect that this variance comes to: at large n the same as ± 1.96 standard errors,
    and with a width where they agree on everything (where there is no variance, the effect is taken
    to be 1). None where both always say the same one thing. In simulation it covers in 83 to 96 %
    at 20 items (± 1.96 standard errors: 76 to 93), 90 to 95 at 50 and 94 to 96 at 250.

    Args:
        first, second: what each said of the same items, in one order.
    """
    n = len(first)
    if not n:
        return {"value": None, "low": None, "high": None}
    codes = numbered([*first, *second]).reshape(2, n)
    size = count(codes)
    counts = np.zeros((size, size))
    np.add.at(counts, tuple(codes), 1)
    table, own, others = counts / n, counts.sum(axis=1) / n, counts.sum(axis=0) / n
    agreed, chance = float(np.trace(counts)) / n, float(own @ others)
    if chance == 1:
        return {"value": None, "low": None, "high": None}
    shift = others[:, None] + own[None, :]
    slope = -(1 - agreed) * shift + (1 - chance) * np.eye(size)
    spread = (table * slope**2).sum() - (agreed * chance - 2 * chance + agreed) ** 2
    binomial = agreed * (1 - agreed)
    known = min(spread, binomial) > 1e-12
    effect = float(spread / (1 - chance) ** 2 / binomial) if known else 1.0
    bounds = wilson(agreed * n, n, Z95 * math.sqrt(effect))
    value, low, high = ((share - chance) / (1 - chance) for share in (agreed, *bounds))
    return {"value": value, "low": low, "high": high}
