"""Sums over bases have Welch's interval, and take only seeds that have everything."""

import numpy as np
import pytest
from scipy.stats import norm, t, ttest_ind

from understudy.statistics import DRAWS
from understudy.study.contrast import welch

LEAN = np.ones(1)


def flat(values: list[float]) -> np.ndarray:
    """Seeds' values without noise of items, shape (seeds, 1, 1 + DRAWS)."""
    return np.repeat(np.array(values)[:, None, None], 1 + DRAWS, axis=2)


def half_width(rows: np.ndarray) -> float:
    low, high = np.percentile(rows[0, 1:], [2.5, 97.5])
    return float(high - low) / 2


def drawn(values: list[np.ndarray], weights: list[float]) -> np.ndarray:
    """Of many generators, so that the percentiles are nearly exact."""
    many = [welch(values, weights, LEAN, np.random.default_rng(seed)) for seed in range(30)]
    return np.concatenate([many[0][:, :1], *(rows[:, 1:] for rows in many)], axis=1)


def test_difference_of_two_bases_is_welchs() -> None:
    one, other = [0.2, 0.26, 0.35], [0.5, 0.51, 0.53, 0.52]
    rows = drawn([flat(other), flat(one)], [1, -1])
    published = ttest_ind(other, one, equal_var=False).confidence_interval()
    assert rows[0, 0] == pytest.approx((published.low + published.high) / 2)
    assert half_width(rows) == pytest.approx((published.high - published.low) / 2, rel=0.03)


def test_degrees_of_freedom_are_those_of_the_bases_that_spread() -> None:
    spread, still = [0.1, 0.2, 0.6], [0.3, 0.3, 0.3]
    error = np.std(spread, ddof=1) / np.sqrt(3)
    alike = drawn([flat(spread)] * 3, [1 / 3] * 3)
    assert half_width(alike) == pytest.approx(t.ppf(0.975, 6) * error / np.sqrt(3), rel=0.03)
    one = drawn([flat(spread), flat(still), flat(still)], [1 / 3] * 3)
    assert half_width(one) == pytest.approx(t.ppf(0.975, 2) * error / 3, rel=0.05)


def test_noise_of_items_comes_on_top_and_alone_where_seeds_agree() -> None:
    noise = np.append(0, 0.1 * np.random.default_rng(1).standard_normal(DRAWS))
    rows = welch([flat([0.3, 0.3]) + noise] * 2, [0.5, 0.5], LEAN, np.random.default_rng(0))
    np.testing.assert_allclose(rows[0], 0.3 + noise)
    single = welch([flat([0.3]) + noise], [1.0], LEAN, np.random.default_rng(0))
    np.testing.assert_allclose(single[0], 0.3 + noise)
    wider = welch([flat([0.3, 0.4]) + noise] * 2, [0.5, 0.5], LEAN, np.random.default_rng(0))
    assert half_width(wider) > 1.2 * norm.ppf(0.975) * 0.1
