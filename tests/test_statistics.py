"""Intervals cover the truth about as often as they say, and ratios admit what they cannot tell."""

import numpy as np
import pytest

from understudy.statistics import gap_closed, interval, resamples, score_draws, wilson

TRIALS = 300
NEAR_95 = range(int(0.92 * TRIALS), int(0.98 * TRIALS) + 1)  # 95 % give or take 2.4 standard errors


def covers(found: dict[str, float | None], truth: float) -> bool:
    assert found["low"] is not None
    assert found["high"] is not None
    return found["low"] <= truth <= found["high"]


def test_wilson_is_the_published_interval() -> None:
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", Table I.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)
    assert wilson(0, 0) == (0, 1)


def test_bootstrap_covers() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(TRIALS):
        data = rng.random(80) < 0.4
        covered += covers(interval(resamples(80, trial) @ data / 80), 0.4)
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
