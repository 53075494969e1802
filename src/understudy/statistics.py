"""Intervals: of scores, of differences between models, and of the gap closed.

Everything here is at 95 %. `benchmarks/intervals.py` measures how often the intervals cover.

Resampled quantities, for what is computed from several models' scores, are arrays whose first row
is computed on the data themselves and whose other rows are draws; `interval` turns such an array
into a value with its interval. The same draws serve every model, so that whatever is computed from
two models is paired on items.
"""

import math
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, ndtri, stdtr, stdtrit

Array = NDArray[np.float64]

DRAWS = 2000
NO_GAP = "the teacher is not above the base"
NO_BOUNDS = "the teacher is not reliably above the base, so the ratio has no bounds"
UNBOUNDED = 0.025  # share of draws without a gap, above which no ratio to it has bounds
LEVEL = 0.05
Z95 = 1.959964
PRIOR = 0.05  # squares added to those of few items; with it no interval of a mean covers too little
Interval = dict[str, float | None]


# Scores


def wilson(right: float, n: int, z: float = Z95) -> tuple[float, float]:
    """The 95 % score interval of a share of `right` among `n` (Wilson 1927, equation 2).

    It stays inside 0..1 and has a width where nothing, or everything, is right.

    Args:
        right: how many are.
        n: of how many.
        z: half-width in standard errors, where it is not the normal distribution's.
    """
    if n == 0:
        return 0.0, 1.0
    share, z2 = right / n, z**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def mean_interval(values: ArrayLike) -> tuple[float, float]:
    """The 95 % interval of the mean of scores in 0..1, whole (right or wrong) or fractional.

    Whole scores have Wilson's interval. For fractional ones its n is divided by the design effect:
    the mean's variance as the data show it, over the variance if the scores were whole; and the
    normal quantile becomes Student's. Surveys do the same for shares (Korn & Graubard 1998,
    "Confidence intervals for proportions with small expected number of positive counts estimated
    from survey data"; Franco et al. 2019, "Comparative study of confidence intervals for
    proportions in complex sample surveys").
    """
    return _mean_interval(np.asarray(values, dtype=float), None)


def clustered_interval(values: ArrayLike, clusters: Sequence[Hashable]) -> tuple[float, float]:
    """`mean_interval` for items of one cluster that may be alike, with variance over clusters.

    A single cluster tells nothing of others: the interval is then that of independent items.

    Args:
        values: the items' scores in 0..1.
        clusters: for each item what it belongs to (a subject, a passage). They stand for others of
            their kind that were not drawn.
    """
    return _mean_interval(np.asarray(values, dtype=float), clusters)


def _mean_interval(scores: Array, clusters: Sequence[Hashable] | None) -> tuple[float, float]:
    n = len(scores)
    if n == 0:
        return 0.0, 1.0
    mean = float(scores.mean())
    # Where hardly anything is right, or wrong, too few scores show how much they vary.
    effect, freedom = _design_effect(scores, clusters, mean * (1 - mean), PRIOR)
    return wilson(mean * n, n, _half_width(effect, freedom))


def median_interval(values: ArrayLike, least: float, most: float) -> tuple[float, float]:
    """The 95 % interval of a median, between two of the ordered values (Thompson 1936, "On
    confidence ranges for the median"); it covers at least that often, whatever the distribution.

    Args:
        values: any.
        least, most: bounds of all possible values, which stand where fewer than 6 are known.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    n = len(ordered)
    # So many that fewer than these lie below the median with a probability of under 0.025.
    below = int(np.searchsorted(bdtr(np.arange(n + 1), n, 0.5), LEVEL / 2))
    if not below:
        return least, most
    return float(ordered[below - 1]), float(ordered[-below])


def pass_at_k(n: int, passed: int, k: int) -> float:
    """The unbiased estimate of pass@k from `n` programs for a problem, of which `passed` pass.

    Chen et al. 2021, "Evaluating Large Language Models Trained on Code", section 2.1, equation 1:
    the share of the sets of k among the n that hold a passing one. A benchmark's pass@k is the mean
    over its problems, and its interval `mean_interval` of them.

    Raises:
        ValueError: unless 1 ≤ k ≤ n and 0 ≤ passed ≤ n.
    """
    if not (1 <= k <= n and 0 <= passed <= n):
        raise ValueError(f"pass@{k} of {n} programs, {passed} passed")
    failed = n - passed
    return 1 - math.prod(max(0, failed - drawn) / (n - drawn) for drawn in range(k))


# Differences


class Difference(NamedTuple):
    """How much higher one model scores than another on the same items.

    Attributes:
        value: the difference of the means, in -1..1.
        low, high: its 95 % interval.
        p: of no difference; below 0.05 where the interval leaves out 0.
        visible: the smallest difference that so many items of such models show with a power of
            80 %; None where they show none.
    """

    value: float
    low: float
    high: float
    p: float
    visible: float | None


def paired_difference(
    first: ArrayLike, second: ArrayLike, clusters: Sequence[Hashable] | None = None
) -> Difference:
    """How much higher `second` scores than `first` on the same items, with its 95 % interval.

    Right and wrong answers: the score interval for paired shares (Tango 1998, "Equivalence test and
    confidence interval for the difference in proportions for the paired-sample design"), which
    leaves out 0 where McNemar's test (1947, without correction) rejects. Fractional scores and
    clusters: the same, with the gains and losses as counts, n divided by the design effect, and
    Student's quantile; see `mean_interval`.

    Args:
        first: scores in 0..1, one an item.
        second: the other model's, in the same order.
        clusters: as for `clustered_interval`.

    Raises:
        ValueError: there are no items.
    """
    change = np.asarray(second, dtype=float) - np.asarray(first, dtype=float)
    n = len(change)
    if not n:
        raise ValueError("no items to compare on")
    gained, lost = float(change.clip(min=0).sum()), float(-change.clip(max=0).sum())
    value = (gained - lost) / n
    discordant = (gained + lost) / n
    effect, freedom = _design_effect(change, clusters, discordant - value**2)
    width = _half_width(effect, freedom)
    error = math.sqrt((gained + lost) * effect)
    statistic = abs(gained - lost) / error if error else 0.0
    return Difference(
        value=value,
        low=-_tango(lost, gained, n, width),
        high=_tango(gained, lost, n, width),
        p=float(2 * stdtr(freedom, -statistic)),
        visible=smallest_difference(n * (Z95 / width) ** 2, discordant),
    )


def lower_on(first: ArrayLike, second: ArrayLike) -> tuple[float, float, float]:
    """The share of the items on which `second` is lower than `first`, and its 95 % interval.

    A tie is half.
    """
    change = np.asarray(second, dtype=float) - np.asarray(first, dtype=float)
    lower = (1 - np.sign(change)) / 2
    return float(lower.mean()), *mean_interval(lower)


def stochastically_lower(first: ArrayLike, second: ArrayLike) -> bool:
    """Whether as many values of `second` as of `first` or more lie below any bound, and more below
    some: first-order stochastic dominance, of these values themselves.

    Args:
        first, second: as many values each, in any order.
    """
    above, below = np.sort(np.asarray(first)), np.sort(np.asarray(second))
    return bool((below <= above).all() and (below < above).any())


def _tango(gained: float, lost: float, n: int, z: float) -> float:
    """The upper end of Tango's interval (1998) of a difference: the largest that is not rejected.

    That is: (gained − lost − n·difference)² is at most z² times its variance under the difference,
    where the share lost is its maximum-likelihood estimate given the difference.
    """
    accepted, rejected = (gained - lost) / n, 1.0
    for _ in range(50):
        difference = (accepted + rejected) / 2
        slope = (2 * n - gained + lost) * difference - gained - lost
        root = math.sqrt(slope**2 + 8 * n * lost * difference * (1 - difference))
        share_lost = (root - slope) / (4 * n)
        variance = n * (2 * share_lost + difference * (1 - difference))
        if (gained - lost - n * difference) ** 2 <= z**2 * variance:
            accepted = difference
        else:
            rejected = difference
    return accepted


def holm(p_values: Sequence[float]) -> list[float]:
    """P values adjusted for being several, in the same order (Holm 1979).

    Claiming only what stays below 0.05 claims anything false in at most one family of twenty.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = largest
    return adjusted


def items_needed(difference: float, discordant: float, power: float = 0.8) -> int:
    """How many items show a difference between two models at 95 % with that power.

    Connor 1987, "Sample size for testing differences in proportions for the paired-sample design",
    page 209.

    Args:
        difference: of their scores, not 0.
        discordant: the share of items that one has right and the other wrong.
        power: how often it is to show.

    Raises:
        ValueError: no difference, or one larger than `discordant`, which cannot be.
    """
    if not 0 < abs(difference) <= discordant <= 1:
        raise ValueError(f"a difference of {difference} where {discordant} of the items differ")
    spread = Z95 * math.sqrt(discordant) + ndtri(power) * math.sqrt(discordant - difference**2)
    return math.ceil((spread / difference) ** 2)


def smallest_difference(n: float, discordant: float, power: float = 0.8) -> float | None:
    """The smallest difference that `n` items show: `items_needed` the other way round.

    A difference larger than `discordant` takes as many discordant items as it is large, all to one
    side. None where not even a difference of 1 would show.
    """
    z = ndtri(power)
    if n + z**2 < Z95**2:
        return None
    reach = (Z95 * math.sqrt(n) + z * math.sqrt(n + z**2 - Z95**2)) / (n + z**2)
    return float(reach * max(math.sqrt(discordant), reach)) if reach <= 1 else None


def _design_effect(
    values: Array, clusters: Sequence[Hashable] | None, variance: float, prior: float = 0.0
) -> tuple[float, float]:
    """The mean's variance over that of independent values of `variance`, and degrees of freedom.

    The variance over clusters is CR2 (Bell & McCaffrey 2002, "Bias reduction in standard errors for
    linear regression with multi-stage samples"), here in closed form for a mean. Without clusters,
    every item is one: the usual variance and n − 1. Whole values without clusters have the variance
    that they are said to have, so that the effect is 1 and the normal distribution holds; so has a
    single value. Where neither values nor clusters differ they show no effect, and it is taken to
    be 1.

    Args:
        values: one an item.
        clusters: see `clustered_interval`.
        variance: of independent whole values.
        prior: added to both sums of squares.
    """
    n = len(values)
    codes = _numbers(clusters) if clusters is not None else None
    if codes is None or not codes.any():
        if n == 1 or np.isin(values, (-1, 0, 1)).all():
            return 1.0, math.inf
        codes = np.arange(n)
    errors = values - values.mean()
    sums, sizes = np.bincount(codes, weights=errors), np.bincount(codes)
    squares = float((sums**2 / (1 - sizes / n)).sum())
    independent = n * variance
    effect = (squares + prior) / (independent + prior) if squares > 1e-9 * independent else 1.0
    pairs = float((errors**2).mean() * (sizes * (sizes - 1)).sum())
    alike = ((sums**2).sum() - (errors**2).sum()) / pairs if pairs else 0.0
    return effect, _freedom(sizes, min(1.0, max(0.0, alike)))


def _freedom(sizes: NDArray[np.intp], alike: float) -> float:
    """Satterthwaite's degrees of freedom of a mean's CR2 variance, trace² / Frobenius norm².

    Of the matrix of the covariances of the clusters' sums of deviations from the mean, each over
    √(1 − its share of the items): Bell & McCaffrey 2002, with the correlation within clusters as
    Imbens & Kolesár 2016 advise ("Robust standard errors in small samples: some practical advice").

    Args:
        sizes: of the clusters.
        alike: the correlation within them, in 0..1.
    """
    share = sizes / sizes.sum()
    weight = 1 / (1 - share)
    own = sizes * (1 - alike) + sizes**2 * alike  # the variance of a cluster's sum
    total = own.sum()
    shared = 2 * share * own - share**2 * total  # what the mean takes of it
    a, b, c = (weight @ product for product in (share**2, own**2, share * own))
    norm = 2 * a * b + 2 * c**2 - 4 * total * a * c + (total * a) ** 2
    norm += weight**2 @ ((own - shared) ** 2 - shared**2)
    return float((weight @ (own - shared)) ** 2 / norm)


def _numbers(clusters: Sequence[Hashable]) -> NDArray[np.intp]:
    """Numbers from 0 for the clusters' names, in the order of their first items."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in clusters], dtype=np.intp)


def _half_width(effect: float, freedom: float) -> float:
    """In standard errors of independent values."""
    return float(stdtrit(freedom, 1 - LEVEL / 2)) * math.sqrt(effect)


# Draws


def resamples(items: int, seed: int) -> Array:
    """How often each item counts: a row of ones (the data), then DRAWS bootstrap rows."""
    drawn = np.random.default_rng(seed).multinomial(items, [1 / items] * items, DRAWS)
    return np.vstack([np.ones(items), drawn])


def score_draws(
    scores: Sequence[Sequence[float]], seed: int, clusters: Sequence[Hashable] | None = None
) -> Array:
    """Means of several models' scores on the same items, rows (data, then DRAWS) × models.

    Right and wrong answers: draws come from the posterior of the shares of all joint outcomes (who
    was right on an item) under a Jeffreys prior, a Dirichlet with 1/2 for each of the 2^models
    outcomes. Unlike a bootstrap it leaves room for outcomes that did not occur: two models that
    agree on every item are not known to agree on the next.

    Fractional scores, and clusters: the Bayesian bootstrap (Rubin 1981) over items, or over whole
    clusters. It knows of no outcome that did not occur, and is too sure with few clusters.

    Args:
        scores: for each model every item's score in 0..1, in one order of items.
        seed: of the draws.
        clusters: as for `clustered_interval`.
    """
    table = np.asarray(scores, dtype=float)
    rng = np.random.default_rng(seed)
    if clusters is None and np.isin(table, (0, 1)).all():
        return np.vstack([table.mean(axis=1), _outcome_draws(table.astype(bool), rng)])
    units = _numbers(clusters) if clusters is not None else np.arange(table.shape[1])
    sizes = np.bincount(units)
    sums = np.stack([np.bincount(units, weights=row) for row in table], axis=1)
    rows = [table.mean(axis=1)]
    for _ in range(DRAWS):
        weight = rng.standard_exponential(len(sizes))
        rows.append(weight @ sums / (weight @ sizes))
    return np.vstack(rows)


def _outcome_draws(right: NDArray[np.bool_], rng: np.random.Generator) -> Array:
    models = len(right)
    outcome = (1 << np.arange(models)) @ right
    counts = np.bincount(outcome, minlength=1 << models)
    shares = rng.dirichlet(counts + 0.5, DRAWS)
    is_right = (np.arange(1 << models)[:, None] >> np.arange(models)) & 1
    drawn: Array = shares @ is_right
    return drawn


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


def explained(found: Interval) -> dict[str, Any]:
    """A gap closed with a "reason" where it has no value or no bounds."""
    if found["value"] is None:
        return {**found, "reason": NO_GAP}
    return {**found, "reason": NO_BOUNDS} if found["low"] is None else {**found}


def ratio(above: Array, below: Array) -> Array:
    """above / below, nan where below is 0."""
    return np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)
