"""Win rates at equal length: with the terms of AlpacaEval 2, alone and for several models."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit
from scipy.stats import norm

from understudy.preferences.length import bounded, jointly_length_controlled, length_controlled

ITEMS = 600
DEVIATES = np.linspace(-6, 6, 201)


def judged(seed: int, models: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares, differences and the baseline's lengths, where short ones go with what is easy."""
    rng = np.random.default_rng(seed)
    baseline = rng.integers(200, 3000, ITEMS).astype(float)
    delta = baseline - rng.integers(200, 2000, (models, ITEMS))
    logits = (
        -0.5
        + np.arange(models)[:, None] / 2
        - 1.5 * np.stack([bounded(row) for row in delta])
        - 2.0 * bounded(baseline)
        + rng.normal(size=ITEMS)
    )
    return (rng.random((models, ITEMS)) < expit(logits)).astype(float), delta, baseline


def truth(model: int, baseline: np.ndarray) -> float:
    """The win rate at equal length of what `judged` makes."""
    logits = -0.5 + model / 2 - 2.0 * bounded(baseline)
    weights = norm.pdf(DEVIATES)
    return float((expit(logits[:, None] + DEVIATES) @ weights).mean() / weights.sum())


def test_the_fit_is_statsmodels() -> None:
    rng = np.random.default_rng(1)
    delta, difficulty, shares = rng.normal(300, 500, 400), rng.normal(size=400), rng.random(400)
    found = length_controlled(shares, delta, difficulty)
    columns = [np.ones(400), np.tanh(delta / delta.std(ddof=1)), difficulty]
    theirs = sm.GLM(shares, np.column_stack(columns), family=sm.families.Binomial()).fit(tol=1e-12)
    assert found.terms == ("intercept", "length", "difficulty")
    assert list(found.coefficients.values()) == pytest.approx(theirs.params, abs=1e-6)
    equal = theirs.predict(np.column_stack([columns[0], np.zeros(400), difficulty]))
    assert found.win_rate == pytest.approx(equal.mean(), abs=1e-6)
    assert found.low < found.win_rate < found.high


def test_a_model_that_wins_by_length_alone_does_not_win_at_equal_length() -> None:
    rng = np.random.default_rng(2)
    delta = rng.normal(-800, 400, 2000)  # longer than the baseline
    shares = (rng.random(2000) < expit(-2 * bounded(delta))).astype(float)
    found = length_controlled(shares, delta)
    assert shares.mean() > 0.75
    assert found.low < 0.5 < found.high
    assert found.coefficients["length"] == pytest.approx(-2, abs=0.4)


def test_answers_of_one_length_have_the_raw_win_rate() -> None:
    shares = np.array([0.0, 1.0, 1.0, 0.5] * 20)
    found = length_controlled(shares, np.full(80, 7))
    assert found.win_rate == pytest.approx(shares.mean(), abs=1e-6)
    assert found.coefficients["length"] == 0


def test_intervals_cover_where_the_baselines_length_stands_in() -> None:
    covered = {"alone": 0, "jointly": 0}
    for seed in range(4):
        shares, delta, baseline = judged(seed)
        together = jointly_length_controlled(shares, delta, baseline)
        for model in range(3):
            alone = length_controlled(shares[model], delta[model], baseline_characters=baseline)
            for name, one in {"alone": alone, "jointly": together[model]}.items():
                covered[name] += one.low < truth(model, baseline) < one.high
    assert covered["alone"] >= 10
    assert covered["jointly"] >= 10


def test_length_alone_is_blamed_for_what_the_instructions_ask() -> None:
    rng = np.random.default_rng(3)
    baseline = rng.integers(200, 3000, ITEMS).astype(float)
    delta = baseline - rng.integers(300, 600, ITEMS)  # the model never writes much
    expected = expit(-bounded(delta) - 3 * bounded(baseline))
    better = length_controlled(expected, delta, baseline_characters=baseline)
    assert better.terms == ("intercept", "length", "baseline_length")
    assert list(better.coefficients.values()) == pytest.approx([0, -1, -3], abs=1e-3)
    assert better.win_rate == pytest.approx(expit(-3 * bounded(baseline)).mean(), abs=1e-4)
    plain = length_controlled(expected, delta)
    assert plain.coefficients["length"] < -2
    assert plain.win_rate > better.win_rate + 0.1


def test_items_that_come_twice_are_clustered() -> None:
    shares, delta, _ = judged(seed=4, models=1)
    once = length_controlled(shares[0], delta[0])
    names = [item for item in range(ITEMS) for _ in "ab"]
    twice = length_controlled(shares[0].repeat(2), delta[0].repeat(2), clusters=names)
    assert twice[:3] == pytest.approx(once[:3], abs=1e-3)


@pytest.mark.parametrize("mirrored", [False, True])
def test_wins_that_length_tells_without_fail_have_no_bounds(mirrored: bool) -> None:
    shares = np.repeat([1.0, 0.0], [10, 2])
    delta = np.concatenate([np.arange(200.0, 300, 10), [500, 510]])  # never near equal length
    found = length_controlled(1 - shares if mirrored else shares, delta)
    assert (found.low, found.high) == (0, 1)


def test_no_items() -> None:
    with pytest.raises(ValueError, match="no preferences"):
        length_controlled(np.array([]), np.array([]))
    with pytest.raises(ValueError, match="no preferences"):
        jointly_length_controlled(np.full((1, 3), np.nan), np.ones((1, 3)), np.ones(3))


def test_the_joint_fit_finds_what_was_put_in() -> None:
    found = jointly_length_controlled(*judged(seed=7))
    for one in found:
        assert one.terms == tuple(one.coefficients)
        assert one.coefficients["length"] == pytest.approx(-1.5, abs=0.6)
        assert one.coefficients["spread"] == pytest.approx(1, abs=0.5)
    assert [one.win_rate for one in found] == sorted(one.win_rate for one in found)


def test_the_joint_fit_takes_models_that_were_not_judged_on_everything() -> None:
    shares, delta, baseline = judged(seed=6)
    whole = jointly_length_controlled(shares, delta, baseline)
    shares[1, ::3] = np.nan
    delta[1, ::3] = 1e9  # must not count
    gaps = jointly_length_controlled(shares, delta, baseline)
    assert gaps[1].win_rate == pytest.approx(whole[1].win_rate, abs=0.05)
    assert gaps[0].win_rate == pytest.approx(whole[0].win_rate, abs=0.02)
