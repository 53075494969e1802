"""One JSON object says it all: who was counted with whom, and every figure at its place."""

import json
import random
from typing import Any

import numpy as np
import pytest

from preferences.made import panel, preference
from understudy.errors import UserError
from understudy.preferences import Preference
from understudy.preferences.agreement import cohen_kappa, krippendorff_alpha
from understudy.preferences.bias import first_preferred, self_preference, swapped
from understudy.preferences.bradley_terry import bradley_terry
from understudy.preferences.control import difference, style_controlled
from understudy.preferences.length import length_controlled
from understudy.preferences.scores import scores_of, share_of_baseline
from understudy.preferences.summary import summarise
from understudy.preferences.win_rate import win_rate

TEXTS = {
    "base": "It is {k}.",
    "student": "Sure! Here is the answer:\n\n- **{k}**\n\nLet me know if you need more.",
    "teacher": "The answer is {k}, for a reason that takes some words to give.",
}
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0, None)


def by(rater: str, protocol: str, *models: str, n: int, seed: int) -> list[Preference]:
    """Of n prompts in both orders, with shares at random; longer with the prompt's number."""
    rng = random.Random(seed)
    return [
        preference(
            rng.choice(SHARES),
            item=f"p{k}",
            models=(one, other),
            texts=(TEXTS[one].format(k="9" * k), TEXTS[other].format(k=k)),
            rater=rater,
            protocol=protocol,
        )
        for k in range(n)
        for one, other in (models, models[::-1])
    ]


def people(protocol: str, *models: str, n: int = 12) -> list[Preference]:
    names = "ann", "ben", "cai"
    return [one for k, name in enumerate(names) for one in by(name, protocol, *models, n=n, seed=k)]


def rounded(found: Any) -> Any:
    return pytest.approx(found, abs=1e-6)


def as_interval(rate: Any) -> Any:
    return rounded({"value": rate.value, "low": rate.low, "high": rate.high})


def test_people_are_counted_together_and_every_judge_alone() -> None:
    given = [
        *people("hurried", "teacher", "student"),
        *people("checking", "teacher", "student"),
        *by("gpt", "hurried", "teacher", "student", n=12, seed=7),
        *by("claude", "hurried", "teacher", "student", n=12, seed=8),
    ]
    found = summarise(given, 0, {"gpt": None, "claude": None})
    assert (found["n"], found["models"]) == (len(given), ["student", "teacher"])
    assert found["raters"] == ["ann", "ben", "cai", "claude", "gpt"]
    parties = [(one["protocol"], one["rater"], one["raters"]) for one in found["comparisons"]]
    assert parties == [
        ("checking", None, 3),
        ("hurried", None, 3),
        ("hurried", "claude", 1),
        ("hurried", "gpt", 1),
    ]
    assert found["ranking"] == []
    # Unless somebody is named as a judge, all are people.
    assert [one["raters"] for one in summarise(given, 0)["comparisons"]] == [3, 5]


def test_scores_are_totalled_from_either_side() -> None:
    rng = random.Random(3)
    rows = by("gpt", "scores", "teacher", "student", n=12, seed=2)
    rows = [
        one.model_copy(update={"scores": (rng.randint(5, 10), rng.randint(1, 10))})
        if one.share is not None
        else one
        for one in rows
    ]
    scored = [one for one in rows if one.scores]
    (found,) = summarise(rows, 0, {"gpt": None})["comparisons"]
    assert found["scores"]["n"] == len(scored) < len(rows)
    for model, other in (("student", "teacher"), ("teacher", "student")):
        assert found["scores"]["totals"][model] == scores_of(scored, model).sum()
        for name, equal in (("share_of_baseline", False), ("at_equal_length", True)):
            assert found["scores"][name][model] == rounded(
                share_of_baseline(scored, model, other, equal)
            )


def test_a_comparison_says_what_the_parts_say() -> None:
    rows = by("gpt", "hurried", "teacher", "student", n=30, seed=1)
    (found,) = summarise(rows, 0, {"gpt": None})["comparisons"]
    judged = [one for one in rows if one.share is not None]
    wins, turned = win_rate(rows, "student"), swapped(rows)
    assert wins.rate is not None
    assert turned is not None
    assert found["models"] == ["student", "teacher"]
    assert found["win_rate"] == as_interval(wins.rate)
    assert found["standard_error"] == rounded(wins.rate.standard_error)
    counts = [found[name] for name in ("wins", "ties", "losses", "not_judged")]
    assert counts == list(wins[1:])
    assert found["judged"] == len(judged) == sum(counts[:3])
    assert found["items"] == len({one.item for one in judged})
    assert found["position"] == as_interval(first_preferred(rows))
    assert found["swapped"] == {"items": turned.items, "same": as_interval(turned.same)}
    assert found["self_preference"] is found["scores"] is None

    texts = [(one.text_of("student"), one.text_of("teacher")) for one in judged]
    shares = np.array([one.share_of("student") for one in judged], dtype=float)
    items = [one.item for one in judged]
    longer = np.array([len(theirs) - len(ours) for ours, theirs in texts])
    equal = length_controlled(shares, longer, clusters=items)
    length = found["length"]["controlled"]
    assert length["terms"] == ["intercept", "length"]
    assert length["coefficients"] == rounded(equal.coefficients)
    assert [length[name] for name in ("value", "low", "high")] == rounded(list(equal[:3]))
    characters = np.mean([len(one.text_of("teacher")) for one in rows])
    assert found["length"]["mean_characters"]["teacher"] == rounded(characters)
    assert set(found["length"]["longer_preferred"]) == {"value", "low", "high"}

    apart = [difference(*pair) for pair in texts]
    columns = {name: np.array([one[name] for one in apart]) for name in apart[0]}
    styled = style_controlled(shares, columns, items)
    assert found["style"]["controlled"]["value"] == rounded(styled.win_rate)
    assert found["style"]["effects"] == {
        name: rounded(effect) for name, effect in styled.effects.items()
    }
    assert found["style"]["explained"] == rounded(styled.explained)


def test_the_order_of_preferences_does_not_matter() -> None:
    given = [
        *people("hurried", "teacher", "student"),
        *people("hurried", "student", "base"),
        *by("gpt", "hurried", "teacher", "base", n=12, seed=7),
    ]
    mixed = random.Random(0).sample(given, len(given))
    assert summarise(mixed, 3, {"gpt": None}) == summarise(given, 3, {"gpt": None})


def test_more_than_two_models_are_ranked() -> None:
    strengths = {"base": -1.0, "student": 0.0, "teacher": 1.0}
    rows = panel(np.random.default_rng(0), strengths, prompts=80, raters=5, each=2)
    found = summarise(rows, 5)
    pairs = [one["models"] for one in found["comparisons"]]
    assert pairs == [["base", "student"], ["base", "teacher"], ["student", "teacher"]]
    (ranking,) = found["ranking"]
    assert (ranking["protocol"], ranking["rater"], ranking["note"]) == ("hurried", None, None)
    values = {model: one["value"] for model, one in ranking["strengths"].items()}
    assert sorted(values, key=values.__getitem__) == ["base", "student", "teacher"]
    fitted = bradley_terry(rows, 5).models
    assert values == rounded({model: one["value"] for model, one in fitted.items()})


def test_alpha_is_among_people_and_among_judges() -> None:
    crowd = people("hurried", "teacher", "student")
    judges = [
        *by("gpt", "hurried", "teacher", "student", n=12, seed=7),
        *by("claude", "hurried", "teacher", "student", n=12, seed=8),
    ]
    alone = by("ann", "checking", "teacher", "student", n=12, seed=9)
    found = summarise([*crowd, *judges, *alone], 0, {"gpt": None, "claude": None})
    alphas = {one["among"]: one for one in found["agreement"]["alpha"]}
    assert len(alphas) == len(found["agreement"]["alpha"]) == 2
    assert {one["protocol"] for one in alphas.values()} == {"hurried"}
    assert (alphas["people"]["raters"], alphas["judges"]["raters"]) == (3, 2)
    assert alphas["people"]["items"] == 12

    said: dict[tuple[str, str], list[float]] = {}
    for one in crowd:
        if one.share is not None:
            said.setdefault((one.item, one.rater), []).append(one.share_of("student") or 0.0)
    values = [float(np.mean(shares)) for shares in said.values()]
    alpha = krippendorff_alpha([item for item, _ in said], values, "ordinal", 0)
    assert alphas["people"]["value"] == rounded(alpha["value"])


def test_kappa_is_between_parties_and_peoples_verdict_is_that_of_most() -> None:
    def said(rater: str, protocol: str, shares: list[float | None]) -> list[Preference]:
        return [
            preference(share, item=f"p{k}", rater=rater, protocol=protocol)
            for k, share in enumerate(shares)
        ]

    # For b: 1, -1, a tie, 1, and nobody could judge the last.
    crowd = [
        *said("ann", "checking", [1.0, 0.0, 1.0, 0.75, None]),
        *said("ben", "checking", [1.0, 0.0, 0.0, None, None]),
        *said("cai", "checking", [0.0, 0.5, None, 0.5, None]),
    ]
    # A judge that turns with the sides has a tie: 1, -1, -1, a tie.
    judge = [
        *said("gpt", "hurried", [1.0, 0.25, 0.0, 1.0, 1.0]),
        preference(1.0, item="p3", models=("b", "a"), rater="gpt"),
    ]
    found = summarise([*crowd, *judge], 0, {"gpt": None})["agreement"]["kappa"]
    expected = cohen_kappa([1, -1, 0, 1], [1, -1, -1, 0])
    assert found == [
        {
            "between": ["people (checking)", "gpt (hurried)"],
            "items": 4,
            **{name: rounded(value) for name, value in expected.items()},
        }
    ]


@pytest.mark.parametrize(("judge", "own"), [("gpt", "teacher"), ("teacher", None)])
def test_self_preference_is_against_others_of_the_protocol(judge: str, own: str | None) -> None:
    rows = [
        *people("hurried", "teacher", "student"),
        *by(judge, "hurried", "teacher", "student", n=12, seed=7),
    ]
    elsewhere = by("dan", "checking", "teacher", "student", n=12, seed=11)
    found = summarise([*rows, *elsewhere], 0, {judge: own})["comparisons"]
    assert [one["self_preference"] for one in found[:2]] == [None, None]
    expected = self_preference(rows, judge, "teacher")
    assert expected is not None
    assert found[2]["self_preference"].pop("model") == "teacher"
    assert found[2]["self_preference"] == as_interval(expected)


@pytest.mark.parametrize(
    "given",
    [
        [],
        [preference(None)],
        [preference(1.0)],
        [preference(0.5), preference(0.5, models=("b", "a"))],
        [preference(1.0, item=f"p{k}", texts=("same", "same")) for k in range(3)],
        [preference(1.0), preference(0.0, models=("b", "c")), preference(None, models=("c", "d"))],
        [preference(k % 2, item=f"p{k}", texts=("# a", "- b\n" * k), rater="x") for k in range(9)],
        [preference(1.0, rater=f"r{k}", texts=("", "")) for k in range(9)],
    ],
)
def test_whatever_is_missing_is_null(given: list[Preference]) -> None:
    found = summarise(given, 0, {"x": "a"})
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_model_is_not_compared_with_itself() -> None:
    with pytest.raises(UserError, match=r"ann on p0: both answers are by a; compare two models"):
        summarise([preference(1.0, models=("a", "a"))], 0)
