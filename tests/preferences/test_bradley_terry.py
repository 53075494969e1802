"""Strengths are the likeliest, their intervals cover, and nothing blows up."""

from itertools import combinations

import choix
import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit, logit
from scipy.stats import t

from preferences.made import panel, preference
from understudy.preferences import Preference
from understudy.preferences.bradley_terry import bradley_terry

TRUE = {"base": -0.8, "student": -0.2, "teacher": 0.2, "rival": 0.8}


def values(preferences: list[Preference]) -> np.ndarray:
    found = bradley_terry(preferences, 0)
    assert found.note is None
    return np.array([found.models[model]["value"] for model in sorted(found.models)], dtype=float)


def test_strengths_are_those_of_choix() -> None:
    given = panel(np.random.default_rng(0), TRUE, prompts=200, raters=1, each=1)
    place = {model: number for number, model in enumerate(sorted(TRUE))}
    won = [one.models[::-1] if one.share else one.models for one in given]
    pairs = [(place[winner], place[loser]) for winner, loser in won]
    peer = choix.ilsr_pairwise(len(TRUE), pairs, alpha=0, max_iter=1000, tol=1e-12)
    assert values(given) == pytest.approx(peer - peer.mean(), abs=1e-6)


def test_shares_are_weighed_as_by_logistic_regression() -> None:
    rng = np.random.default_rng(1)
    given = [
        one.model_copy(update={"share": share})
        for one, share in zip(
            panel(rng, TRUE, prompts=150, raters=1, each=1),
            rng.choice([0, 0.25, 0.5, 0.75, 1], size=150),
            strict=True,
        )
    ]
    models = sorted(TRUE)
    design = np.zeros((len(given), len(models)))
    for row, one in zip(design, given, strict=True):
        row[models.index(one.second.model)], row[models.index(one.first.model)] = 1, -1
    family = sm.families.Binomial()
    # Against the first model, whose strength is 0.
    fitted = sm.GLM([one.share for one in given], design[:, 1:], family=family).fit(tol=1e-12)
    peer = np.array([0, *fitted.params])
    assert values(given) == pytest.approx(peer - peer.mean(), abs=1e-6)


def test_two_models_are_apart_by_the_log_odds_of_the_win_rate() -> None:
    shares = [1, 1, 0.5, 0.75, 0, 1]
    weaker, stronger = values([preference(s, item=str(n)) for n, s in enumerate(shares)])
    assert stronger - weaker == pytest.approx(logit(np.mean(shares)))


@pytest.mark.parametrize(("prompts", "raters", "each", "own"), [(80, 1, 1, 0.0), (60, 8, 3, 0.5)])
def test_intervals_cover(prompts: int, raters: int, each: int, own: float) -> None:
    """Truth is what the mean chances of all prompts and raters there might be come to."""
    rng = np.random.default_rng(raters)
    leaning = 0.5, own
    apart = rng.normal(size=100_000) * np.hypot(*leaning) * np.sqrt(2)
    everybody = [
        preference(float(expit(TRUE[two] - TRUE[one] + apart).mean()), models=(one, two))
        for one, two in combinations(TRUE, 2)
    ]
    truth = bradley_terry(everybody, 0).models
    covered = []
    for trial in range(40):
        given = panel(rng, TRUE, prompts=prompts, raters=raters, each=each, leaning=leaning)
        for model, one in bradley_terry(given, trial).models.items():
            assert None not in one.values()
            covered.append(one["low"] <= truth[model]["value"] <= one["high"])  # type: ignore[operator]
    assert 0.9 < np.mean(covered) < 0.995


def test_shares_close_to_0_and_1_as_probabilities_have_them() -> None:
    """A tangle of six models in which Newton's own steps run away."""
    pairs = {"ac": (20, 1e-5), "ad": (1, 1e-3), "ae": (1, 1e-5), "bc": (1, 0.999)}
    pairs |= {"be": (1, 1e-5), "bf": (20, 1e-3), "de": (20, 1e-5), "ef": (1, 0.999)}
    given = [
        preference(1 - share, item=f"{models}{k}", models=(models[0], models[1]))
        for models, (times, share) in pairs.items()
        for k in range(times)
    ]
    found = bradley_terry(given, 0)
    strength = {model: one["value"] for model, one in found.models.items()}
    assert None not in strength.values()
    # The likeliest strengths expect of each model the wins that it has.
    more = dict.fromkeys(strength, 0.0)
    for (first, second), (times, share) in pairs.items():
        apart = times * (share - expit(strength[first] - strength[second]))  # type: ignore[operator]
        more[first] += apart
        more[second] -= apart
    assert list(more.values()) == pytest.approx([0] * 6, abs=1e-9)
    for one in found.models.values():
        assert one["low"] < one["value"] < one["high"]  # type: ignore[operator]


def test_few_prompts_have_the_spread_that_they_show() -> None:
    """Five prompts near a tie, where log-odds are linear: 4 × the standard error of the mean."""
    shares = [0.44, 0.47, 0.5, 0.52, 0.57]
    found = bradley_terry([preference(s, item=str(n)) for n, s in enumerate(shares)], 0)
    error = np.std(shares, ddof=1) / np.sqrt(5)
    half = t.ppf(0.975, 4) * 4 * error / 2  # each model's half of the difference
    assert found.models["b"]["high"] - found.models["b"]["value"] == pytest.approx(  # type: ignore[operator]
        half, rel=0.1
    )


def test_raters_of_different_minds_widen_the_intervals() -> None:
    given = panel(np.random.default_rng(3), TRUE, prompts=200, raters=8, each=3, leaning=(0.0, 0.7))
    several = bradley_terry(given, 0).models
    alone = bradley_terry([one.model_copy(update={"rater": "ann"}) for one in given], 0).models
    for model in TRUE:
        assert several[model]["value"] == alone[model]["value"]
        assert several[model]["low"] < alone[model]["low"]  # type: ignore[operator]
        assert several[model]["high"] > alone[model]["high"]  # type: ignore[operator]


def test_a_seed_gives_the_same_interval_again() -> None:
    given = panel(np.random.default_rng(4), TRUE, prompts=60, raters=4, each=2)
    assert bradley_terry(given, 7) == bradley_terry(given, 7)
    assert bradley_terry(given, 7) != bradley_terry(given, 8)


@pytest.mark.parametrize("share", [1.0, 1 - 1e-12])
def test_who_wins_everything_has_no_bounds(share: float) -> None:
    given = [
        preference(share, item=str(item), models=models)
        for item in range(20)
        for models in (("base", "student"), ("student", "teacher"))
    ]
    found = bradley_terry(given, 0)
    assert found.note is not None
    assert "won everything" in found.note
    # One tie a pair: log-odds of 20.5 to 0.5, and nothing said of base against teacher.
    step = np.log(20.5 / 0.5)
    assert [one["value"] for one in found.models.values()] == pytest.approx([-step, 0, step])
    assert {one[bound] for one in found.models.values() for bound in ("low", "high")} == {None}


@pytest.mark.parametrize("share", [0.3, None])
def test_what_was_never_compared_has_no_strengths(share: float | None) -> None:
    given = [
        preference(share, item=str(item), models=models)
        for item in range(20)
        for models in (("a", "b"), ("c", "d"))
    ]
    found = bradley_terry(given, 0)
    assert found.note is not None
    assert "never compared" in found.note
    assert list(found.models) == ["a", "b", "c", "d"]
    assert all(value is None for one in found.models.values() for value in one.values())


def test_one_prompt_and_one_rater_give_no_interval() -> None:
    given = [preference(0.4), preference(0.7, models=("b", "c"))]
    found = bradley_terry(given, 0)
    assert found.note is None
    assert found.models["a"]["value"] == pytest.approx((2 * logit(0.6) - logit(0.7)) / 3)
    assert (found.models["a"]["low"], found.models["a"]["high"]) == (None, None)
