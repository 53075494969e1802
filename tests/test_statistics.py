"""Intervals cover the truth about as often as they say, and ratios admit what they cannot tell.

`benchmarks/intervals.py` does the same at full size.
"""

import math

import numpy as np
import pytest
from scipy.stats import binom, chi2, multinomial, t

from understudy.statistics import (
    clustered_interval,
    gap_closed,
    holm,
    interval,
    items_needed,
    lower_on,
    mean_interval,
    median_interval,
    paired_difference,
    pass_at_k,
    resamples,
    score_draws,
    smallest_difference,
    stochastically_lower,
    wilson,
)

TRIALS = 300
NEAR_95 = range(int(0.92 * TRIALS), int(0.98 * TRIALS) + 1)  # 95 % give or take 2.4 standard errors
REPEATS = 500
WITHIN = range(int(0.93 * REPEATS), int(0.97 * REPEATS) + 1)


def covers(found: dict[str, float | None], truth: float) -> bool:
    assert found["low"] is not None
    assert found["high"] is not None
    return found["low"] <= truth <= found["high"]


# Scores


def test_wilson_is_the_published_interval() -> None:
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", Table I.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)
    assert wilson(0, 0) == (0, 1)


@pytest.mark.parametrize("n", [50, 200, 1000])
def test_wilson_covers(n: int) -> None:
    shares = (0.1, 0.25, 0.5, 0.75, 0.9)
    low, high = np.array([wilson(right, n) for right in range(n + 1)]).T
    coverage = [
        binom.pmf(np.flatnonzero((low <= share) & (share <= high)), n, share).sum()
        for share in shares
    ]
    assert min(coverage) > 0.93
    assert max(coverage) < 0.971  # 0.9703 where 50 items are right with 0.1 or 0.9
    assert 0.945 < np.mean(coverage) < 0.96


@pytest.mark.parametrize("clusters", [10, 57])
def test_clustered_intervals_cover_where_wilson_does_not(clusters: int) -> None:
    """Clusters of unequal sizes whose own shares vary: beta with intra-cluster correlation 0.1."""
    rng = np.random.default_rng(clusters)
    sizes = 1 + np.arange(clusters) * 1000 // clusters**2
    names = np.repeat(np.arange(len(sizes)), sizes)
    place = np.concatenate([np.arange(size) for size in sizes])
    truth, covered, naive = 0.4, 0, 0
    for own in rng.beta(truth * 9, (1 - truth) * 9, (REPEATS, clusters)):
        right = place < rng.binomial(sizes, own)[names]
        low, high = clustered_interval(right, names.tolist())
        covered += low <= truth <= high
        low, high = mean_interval(right)
        naive += low <= truth <= high
    assert covered in WITHIN
    assert naive < 0.88 * REPEATS


@pytest.mark.parametrize("sizes", [[2, 3, 7], [4, 4, 4], [1, 1, 10], [6, 6]])
def test_clustered_variance_is_cr2_with_satterthwaites_freedom(sizes: list[int]) -> None:
    """The closed forms against the matrices of Bell & McCaffrey 2002."""
    names = np.repeat(np.arange(len(sizes)), sizes)
    scores = np.array([1, 1, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0], dtype=float)
    n, mean = len(scores), scores.mean()
    centred = np.eye(n) - 1 / n
    errors = scores - mean
    same = (names == names[:, None]) & ~np.eye(n, dtype=bool)
    alike = np.clip(errors @ same @ errors / (errors.var() * max(1, same.sum())), 0, 1)
    covariance = np.eye(n) + alike * same
    columns, variance = [], 0.0
    for name in range(len(sizes)):
        inside = names == name
        values, vectors = np.linalg.eigh(centred[np.ix_(inside, inside)])
        adjusted = (vectors / np.sqrt(values)) @ vectors.T @ np.ones(inside.sum()) / n
        variance += float(adjusted @ errors[inside]) ** 2
        columns.append(centred[:, inside] @ adjusted)
    spread = np.array(columns) @ covariance @ np.array(columns).T
    freedom = np.trace(spread) ** 2 / (spread**2).sum()

    effect = (n * n * variance + 0.05) / (n * mean * (1 - mean) + 0.05)
    expected = wilson(5, n, t.ppf(0.975, freedom) * math.sqrt(effect))
    assert clustered_interval(scores, names.tolist()) == pytest.approx(expected)


def test_one_cluster_or_clusters_that_do_not_differ() -> None:
    right = [True] * 12 + [False] * 8
    assert clustered_interval(right, ["one"] * 20) == mean_interval(right)
    low, high = clustered_interval([True] * 40, [n // 10 for n in range(40)])
    assert 0.6 < low < mean_interval([True] * 40)[0]  # Student's quantile at three degrees
    assert high == 1
    halves = clustered_interval([True, False] * 20, [n // 20 for n in range(40)])
    assert halves[1] - halves[0] > 0.8  # two clusters that agree prove little
    single = clustered_interval(right, list(range(20)))
    assert single == pytest.approx(mean_interval(right), abs=0.02)


def test_whole_and_fractional_means() -> None:
    assert mean_interval([True] * 7 + [False] * 3) == pytest.approx(wilson(7, 10), abs=1e-6)
    assert mean_interval([]) == (0, 1)
    assert mean_interval([0.3]) == pytest.approx(wilson(0.3, 1), abs=1e-6)
    low, high = mean_interval([0.4, 0.5] * 50)
    assert 0.43 < low < 0.445 < 0.455 < high < 0.47  # 0.45 ± 0.01 and a little caution
    assert mean_interval([0.0] * 100)[1] == pytest.approx(wilson(0, 100)[1], abs=0.002)


def test_means_of_pass_at_k_cover() -> None:
    """Problems are mostly solved always or never; 10 programs each."""
    rng = np.random.default_rng(6)
    table = np.array([pass_at_k(10, passed, 5) for passed in range(11)])
    own = rng.beta(0.3, 0.7, (REPEATS, 50))
    drawn = table[rng.binomial(10, own)]
    truth = table[rng.binomial(10, rng.beta(0.3, 0.7, 1_000_000))].mean()
    bounds = np.array([mean_interval(values) for values in drawn])
    assert ((bounds[:, 0] <= truth) & (truth <= bounds[:, 1])).sum() in WITHIN


@pytest.mark.parametrize(("n", "low", "high"), [(5, 0, 9), (6, 0, 5), (20, 5, 14), (100, 39, 60)])
def test_medians_have_the_tabled_order_statistics(n: int, low: int, high: int) -> None:
    """Ranks 1 and 6, 6 and 15, 40 and 61: Conover 1999, "Practical nonparametric statistics"."""
    assert median_interval(np.random.default_rng(0).permutation(n), 0, 9) == (low, high)


def test_intervals_of_medians_cover() -> None:
    drawn = np.random.default_rng(0).exponential(size=(1000, 41))
    bounds = [median_interval(row, 0, 100) for row in drawn]
    covered = sum(low <= math.log(2) <= high for low, high in bounds)
    assert covered in range(942, 985)  # 96.4 % by the binomial distribution, give or take 3 errors


def test_lower_on_the_same_items() -> None:
    found = lower_on([5, 5, 5, 5], [4, 4, 5, 6])
    assert found[0] == 0.625
    assert found[1] < 0.625 < found[2]
    assert lower_on([5] * 20, [4] * 20) == pytest.approx((1.0, *wilson(20, 20)), abs=1e-6)


@pytest.mark.parametrize(
    ("first", "second", "lower"),
    [
        ([3, 1, 2], [1, 2, 3], False),  # the same values
        ([1, 2, 100], [2, 1, 50], True),
        ([1, 2, 100], [1.5, 2, 50], False),  # more of the first are below 1.2
        ([2, 3], [3, 1], True),
    ],
)
def test_stochastically_lower(first: list[float], second: list[float], lower: bool) -> None:
    assert stochastically_lower(first, second) is lower


def test_pass_at_k_is_the_share_of_sets_with_a_passing_program() -> None:
    for n, passed, k in [(5, 2, 2), (10, 1, 10), (10, 0, 3), (4, 4, 1), (200, 3, 100)]:
        expected = 1 - math.comb(n - passed, k) / math.comb(n, k)
        assert pass_at_k(n, passed, k) == pytest.approx(expected, abs=1e-12)
    assert pass_at_k(10_000, 1, 5_000) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="pass@2 of 1"):
        pass_at_k(1, 1, 2)


# Differences


def answers(n: int, gained: int, lost: int) -> tuple[list[bool], list[bool]]:
    """Two models on n items, of which only the second has `gained` right, the first `lost`."""
    first = [lost > i for i in range(n)]
    second = [lost <= i < lost + gained for i in range(n)]
    return first, second


def test_paired_intervals_are_the_published_ones() -> None:
    # Fagerland, Lydersen & Laake 2014, "Recommended tests and confidence intervals for paired
    # binomial proportions": 21 children, 1 and 7 of them discordant; Tango's interval, and McNemar.
    found = paired_difference(*answers(21, gained=1, lost=7))
    assert (found.low, found.high) == pytest.approx((-0.517, -0.026), abs=5e-4)
    assert found.value == pytest.approx(-6 / 21)
    assert found.p == pytest.approx(chi2.sf(6**2 / 8, 1))


def test_no_discordant_item_is_not_certainty() -> None:
    found = paired_difference(*answers(60, 0, 0))
    bound = 1.96**2 / (60 + 1.96**2)
    assert (found.low, found.high) == pytest.approx((-bound, bound), abs=1e-4)
    assert (found.value, found.p) == (0, 1)
    assert found.visible == pytest.approx(smallest_difference(60, 0.0))
    same = paired_difference([0.2, 0.6] * 30, [0.2, 0.6] * 30)
    assert same.high == pytest.approx(bound, abs=1e-4)
    every = paired_difference([False] * 5, [True] * 5)
    assert every.high == pytest.approx(1)
    assert 0 < every.low < 1
    with pytest.raises(ValueError, match="no items"):
        paired_difference([], [])


@pytest.mark.parametrize("gained", range(6, 18))
@pytest.mark.parametrize("form", ["whole", "fractional", "clustered"])
def test_p_and_interval_agree(gained: int, form: str) -> None:
    first, second = answers(90, gained, 5)
    if form == "fractional":
        first, second = [0.5 * x for x in first], [0.5 * x for x in second]
    found = paired_difference(
        first, second, [i % 15 for i in range(90)] if form[0] == "c" else None
    )
    assert (found.p < 0.05) == (found.low > 0)


@pytest.mark.parametrize(("n", "gained", "lost"), [(50, 0.15, 0.1), (200, 0.04, 0.02)])
def test_paired_intervals_cover(n: int, gained: float, lost: float) -> None:
    chances = covered = 0.0
    for g in range(int(n * gained * 3)):
        for other in range(int(n * lost * 3)):
            chance = multinomial.pmf(
                [g, other, n - g - other], n, [gained, lost, 1 - gained - lost]
            )
            if chance > 1e-5:
                found = paired_difference(*answers(n, g, other))
                chances += chance
                covered += chance * (found.low <= gained - lost <= found.high)
    assert chances > 0.99
    assert 0.93 <= covered / chances <= 0.97


def test_clustered_paired_intervals_cover_where_independent_ones_do_not() -> None:
    rng = np.random.default_rng(3)
    sizes = np.arange(4, 34)
    names = np.repeat(np.arange(len(sizes)), sizes)
    place = np.concatenate([np.arange(size) for size in sizes])
    shares = np.array([0.15, 0.1, 0.75])
    covered = naive = 0
    for own in rng.dirichlet(shares * 9, (REPEATS, len(sizes))):
        gained, lost = rng.multinomial(sizes, own)[:, :2].T
        second = place < gained[names]
        first = ~second & (place < (gained + lost)[names])
        found = paired_difference(first, second, names.tolist())
        covered += found.low <= 0.05 <= found.high
        found = paired_difference(first, second)
        naive += found.low <= 0.05 <= found.high
    assert covered in WITHIN
    assert naive < 0.88 * REPEATS


def test_fractional_paired_intervals_cover() -> None:
    """Two models whose probabilities are alike: pairing makes the interval narrow."""
    rng = np.random.default_rng(4)
    hard = rng.normal(size=(REPEATS, 60))
    first, second = (1 / (1 + np.exp(-hard - 0.2 * rng.normal(size=hard.shape))) for _ in range(2))
    found = [paired_difference(one, other) for one, other in zip(first, second, strict=True)]
    assert sum(each.low <= 0 <= each.high for each in found) in WITHIN
    assert np.mean([each.high - each.low for each in found]) < 0.04


def test_holm_is_the_papers_step_down() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]) == [1, 1]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


def test_items_needed() -> None:
    # Connor 1987's formula in a public calculator (powerandsamplesize.com): 0.45 and 0.05 → 23.
    assert items_needed(0.4, 0.5) == 23
    assert items_needed(-0.15, 0.45) == 155
    with pytest.raises(ValueError, match="items differ"):
        items_needed(0.2, 0.1)
    with pytest.raises(ValueError, match="items differ"):
        items_needed(0.0, 0.1)


@pytest.mark.parametrize(("difference", "discordant"), [(0.05, 0.2), (0.02, 0.08)])
def test_so_many_items_show_it_four_times_of_five(difference: float, discordant: float) -> None:
    n = items_needed(difference, discordant)
    assert smallest_difference(n, discordant) == pytest.approx(difference, rel=1e-3)
    gained, lost = (discordant + difference) / 2, (discordant - difference) / 2
    rng = np.random.default_rng(5)
    g, other, _ = rng.multinomial(n, [gained, lost, 1 - discordant], 20_000).T
    shown = (g - other) / np.sqrt(g + other) > 1.96  # McNemar's test
    assert 0.78 < shown.mean() < 0.82


def test_items_that_are_alike_show_less() -> None:
    rng = np.random.default_rng(7)
    first, second = rng.random((2, 300)) < 0.5
    names = np.repeat(np.arange(300), 4).tolist()  # four copies of every item
    copied = paired_difference(np.repeat(first, 4), np.repeat(second, 4), names)
    once = paired_difference(first, second)
    assert copied.visible == pytest.approx(once.visible, rel=0.01)
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high), abs=0.001)


def test_a_large_difference_makes_its_own_discordant_items() -> None:
    smallest = smallest_difference(50, 0.0)
    assert smallest == smallest_difference(50, 0.1)
    assert smallest is not None
    assert items_needed(smallest, smallest) == 50
    assert smallest_difference(50, 0.4) > smallest  # type: ignore[operator]
    assert smallest_difference(3, 0.5) is None
    assert smallest_difference(2, 0.5) is None


# Draws


def test_bootstrap_covers() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(TRIALS):
        data = rng.random(40) < 0.4
        covered += covers(interval(resamples(40, trial) @ data / 40), 0.4)
    assert covered in NEAR_95


@pytest.mark.parametrize("n", [50, 400])
def test_paired_differences_and_gaps_cover(n: int) -> None:
    """Three models on items of differing hardness: right where ability exceeds it, with noise."""
    rng = np.random.default_rng(1)
    able = {"base": -0.5, "student": -0.3, "teacher": 1.5}

    def right(items: int) -> list[np.ndarray]:
        hard = rng.normal(size=items)
        return [ability > hard + rng.normal(size=items) for ability in able.values()]

    base, student, teacher = (float(np.mean(each)) for each in right(1_000_000))
    differences = gaps = 0
    for trial in range(TRIALS):
        draws = score_draws(right(n), trial)
        differences += covers(interval(draws[:, 1] - draws[:, 0]), student - base)
        gaps += covers(gap_closed(*draws.T), (student - base) / (teacher - base))
    assert differences in NEAR_95
    assert gaps in NEAR_95


def test_draws_of_fractional_scores_and_of_clusters() -> None:
    rng = np.random.default_rng(2)
    scores = rng.random((2, 200))
    draws = score_draws(scores.tolist(), 0)
    assert draws.shape == (2001, 2)
    assert draws[0] == pytest.approx(scores.mean(axis=1))
    change = interval(draws[:, 1] - draws[:, 0])
    error = (scores[1] - scores[0]).std() / math.sqrt(200)
    assert change["high"] - change["low"] == pytest.approx(2 * 1.96 * error, rel=0.1)  # type: ignore[operator]

    alike = np.repeat(rng.random((2, 40)) < 0.5, 5, axis=1)  # five copies of every item
    names = [f"passage {i // 5}" for i in range(200)]
    together, apart = (score_draws(alike.tolist(), 0, clusters) for clusters in (names, None))
    assert together[0] == pytest.approx(apart[0])
    assert together[1:, 0].std() == pytest.approx(math.sqrt(5) * apart[1:, 0].std(), rel=0.1)


def test_agreement_on_every_item_is_not_certainty() -> None:
    draws = score_draws([[False] * 60, [False] * 60], 0)
    found = interval(draws[:, 1] - draws[:, 0])
    assert found["value"] == 0
    assert -0.1 < found["low"] < -0.02  # type: ignore[operator]
    assert 0.02 < found["high"] < 0.1  # type: ignore[operator]


def test_gap_closed_is_fieller_cautious() -> None:
    base, student, teacher = (np.array([1.0, 1.1, 0.9]) * scale for scale in (0.1, 0.4, 0.5))
    assert gap_closed(base, student, teacher)["value"] == pytest.approx(0.75)
    unsure = gap_closed(np.array([0.1, 0.1, 0.2]), np.full(3, 0.15), np.array([0.2, 0.3, 0.1]))
    assert unsure == {"value": pytest.approx(0.5), "low": None, "high": None}
    none = gap_closed(np.full(3, 0.2), np.full(3, 0.1), np.full(3, 0.1))
    assert none == {"value": None, "low": None, "high": None}


def test_the_papers_gaps() -> None:
    """Gudibande et al. 2023, Table 1, NQ: base, student and ChatGPT in percent."""
    for base, student, closed in [(17, 10, -0.5), (17, 22, 0.36), (20, 15, -0.45), (20, 27, 0.64)]:
        found = gap_closed(*(np.full(2, score / 100) for score in (base, student, 31)))
        assert found["value"] == pytest.approx(closed, abs=0.005)
