"""Win rates are AlpacaEval's, and their intervals cover whoever else might rate."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit

from preferences.made import preference
from understudy.preferences.win_rate import Rate, crossed, rate, win_rate
from understudy.statistics import clustered_interval

TRIALS = 300


def everything(prompts: int, raters: int) -> tuple[list[int], list[int]]:
    """The prompts and the raters of all preferences."""
    prompt, rater = np.indices((prompts, raters)).reshape(2, -1).tolist()
    return prompt, rater


def test_ties_are_half_wins_and_what_was_not_judged_is_left_out() -> None:
    shares = (1.0, 0.75, 0.5, 0.25, None)
    found = win_rate([preference(share, item=str(share)) for share in shares], "b")
    assert found[1:] == (2, 1, 1, 1)
    assert found.rate is not None
    assert found.rate.value == pytest.approx(0.625)
    # As AlpacaEval: the sample's standard deviation over √n.
    assert found.rate.standard_error == pytest.approx(np.std(shares[:4], ddof=1) / 2)
    other = win_rate([preference(share, item=str(share)) for share in shares], "a")
    assert other[1:] == (1, 1, 2, 1)
    assert other.rate is not None
    assert other.rate.value == pytest.approx(0.375)
    assert (other.rate.low, other.rate.high) == pytest.approx(
        (1 - found.rate.high, 1 - found.rate.low)
    )


def test_nothing_judged_and_a_model_that_is_not_there() -> None:
    assert win_rate([preference(None)], "a") == (None, 0, 0, 0, 1)
    assert win_rate([], "a").rate is None
    with pytest.raises(KeyError, match="c"):
        win_rate([preference(1.0)], "c")


def test_one_prompt_and_one_rater_tell_nothing_of_others() -> None:
    found = rate([1.0], ["p"], ["ann"])
    assert found is not None
    assert (found.value, found.standard_error) == (1, None)
    assert found.low < 0.3


def test_one_raters_interval_is_over_prompts() -> None:
    rng = np.random.default_rng(0)
    shares = np.repeat(rng.random(40), 2)
    prompts = np.repeat(np.arange(40), 2).tolist()
    found = rate(shares, prompts, ["judge"] * 80)
    assert found is not None
    assert (found.low, found.high) == clustered_interval(shares, prompts)
    # Twice the same is not twice as much.
    once = np.std(shares[::2], ddof=1) / math.sqrt(40)
    assert found.standard_error == pytest.approx(once)


def test_one_prompts_interval_is_over_raters() -> None:
    raters = np.repeat(np.arange(20), 2).tolist()
    shares = np.repeat(np.arange(20) % 2, 2)
    found = rate(shares, ["p"] * 40, raters)
    assert found is not None
    assert (found.low, found.high) == clustered_interval(shares, raters)


def test_a_judge_that_always_takes_the_first_has_a_win_rate_of_half() -> None:
    both_orders = [
        preference(0.0, item=str(item), models=models)
        for item in range(30)
        for models in (("a", "b"), ("b", "a"))
    ]
    found = win_rate(both_orders, "a").rate
    assert found is not None
    assert (found.value, found.standard_error) == (0.5, 0)
    assert 0.3 < found.low < 0.5 < found.high < 0.7


@pytest.mark.parametrize("raters", [3, 12])
def test_the_error_over_prompts_and_raters_is_statsmodels(raters: int) -> None:
    """Balanced designs: there the correction for few clusters is statsmodels', G / (G − 1)."""
    rng = np.random.default_rng(raters)
    prompts, names = everything(40, raters)
    odds = rng.normal(size=40)[prompts] + rng.normal(size=raters)[names]
    shares = np.round(expit(odds + rng.normal(size=len(odds))) * 4) / 4
    found = rate(shares, prompts, names)
    fitted = sm.OLS(shares, np.ones(len(shares))).fit(
        cov_type="cluster", cov_kwds={"groups": np.column_stack([prompts, names])}
    )
    assert found is not None
    assert found.standard_error == pytest.approx(fitted.bse[0], abs=1e-9)


def test_where_prompts_and_raters_all_have_the_same_mean_there_is_an_interval() -> None:
    """A checkerboard: the variance over both would be negative."""
    prompts, raters = everything(6, 6)
    shares = (np.array(prompts) + np.array(raters)) % 2
    crossed = rate(shares, prompts, raters)
    assert crossed is not None
    assert crossed.standard_error == 0
    assert 0.2 < crossed.low < 0.5 < crossed.high < 0.8


def test_the_variance_over_both_is_at_least_that_over_either() -> None:
    variance, freedom = crossed(np.array([[4.0, 1, 0], [3, 4, 0], [2, 6, 0]]), 11, 5)
    assert variance.tolist() == [5, 4, 0]
    assert freedom == pytest.approx([25 / (16 / 10 + 9 / 4), 16 / (1 / 10 + 16 / 4), 4])


@pytest.mark.parametrize(
    ("prompts", "raters", "each"), [(80, 5, 3), (80, 10, 3), (120, 40, 3), (80, 3, 3)]
)
def test_intervals_cover_other_prompts_and_other_raters(
    prompts: int, raters: int, each: int
) -> None:
    """Raters' leanings have a standard deviation of 1/2 in log-odds, prompts' of 1."""
    rng = np.random.default_rng(raters)
    truth = float(expit(0.5 + math.hypot(1, 0.5) * rng.normal(size=400_000)).mean())
    prompt = np.repeat(np.arange(prompts), each)
    covered = over_prompts = 0
    for _ in range(TRIALS):
        rater = np.argsort(rng.random((prompts, raters)), axis=1)[:, :each].ravel()
        odds = 0.5 + rng.normal(size=prompts)[prompt] + 0.5 * rng.normal(size=raters)[rater]
        shares = rng.random(len(odds)) < expit(odds)
        found = rate(shares, prompt.tolist(), rater.tolist())
        assert isinstance(found, Rate)
        covered += found.low <= truth <= found.high
        low, high = clustered_interval(shares, prompt.tolist())
        over_prompts += low <= truth <= high
    assert covered > 0.92 * TRIALS
    assert over_prompts < covered
    assert over_prompts < 0.93 * TRIALS
