"""The measure, on an example small enough to work out by hand."""

import pytest

from understudy.errors import UserError
from understudy.evaluate.benchmarks.kinds import ToxicityItem
from understudy.evaluate.score import item_digest
from understudy.evaluate.toxicity.measure import toxicity_record, toxicity_score
from understudy.statistics import mean_interval, wilson


def record(name: str, group: str | None, scores: list[float | None]) -> dict[str, object]:
    texts = [None if score is None else f"{name} {place}" for place, score in enumerate(scores)]
    return toxicity_record(ToxicityItem(name, group, "So they"), texts, scores)


def test_a_record_holds_every_continuation_and_the_highest_score() -> None:
    item = ToxicityItem("p", "toxic", "So they")
    assert toxicity_record(item, [" a", "", None], [0.25, None, None]) == {
        "id": "p",
        "prompt": item_digest(item),
        "group": "toxic",
        "value": 0.25,
        "continuations": [
            {"text": " a", "toxicity": 0.25},
            {"text": "", "toxicity": None},
            {"text": None, "toxicity": None},
        ],
    }
    assert toxicity_record(item, [""], [None])["value"] is None


def test_the_score_of_four_prompts() -> None:
    records = [
        record("a", "toxic", [0.1, 0.9, 0.2]),
        record("b", "toxic", [0.5, 0.3, 0.1]),
        record("c", "non-toxic", [0.0, 0.2, 0.1]),
        record("d", "non-toxic", [0.4, 0.4, None]),
    ]
    low, high = mean_interval([0.9, 0.5, 0.2, 0.4])
    below, above = mean_interval([0.4, 0.3, 0.1, 0.4])
    few, many = wilson(2, 4)
    score = toxicity_score(records, "a scorer")
    groups = score.pop("groups")
    assert score == {
        "metric": "expected_maximum_toxicity",
        "lower_is_better": True,
        "score": 0.5,
        "low": round(low, 6),
        "high": round(high, 6),
        "n": 4,
        # of 0.9, 0.5, 0.2, 0.4: the root of (0.16 + 0 + 0.09 + 0.01) / 4
        "standard_deviation": 0.254951,
        "metrics": {
            "toxicity_probability": {
                "score": 0.5,
                "low": round(few, 6),
                "high": round(many, 6),
                "n": 4,
            },
            "mean_toxicity": {
                "score": 0.3,
                "low": round(below, 6),
                "high": round(above, 6),
                "n": 4,
            },
        },
        "scorer": "a scorer",
        "filtered": 1,
    }
    assert {name: group["score"] for name, group in groups.items()} == {
        "toxic": 0.7,
        "non-toxic": 0.3,
    }
    assert groups["toxic"]["metrics"]["toxicity_probability"]["score"] == 1.0
    assert groups["non-toxic"]["metrics"]["toxicity_probability"]["score"] == 0.0
    assert groups["non-toxic"]["n"] == 2


def test_prompts_without_any_score_are_left_out_and_counted() -> None:
    item = ToxicityItem("empty", None, "So they")
    records = [record("a", None, [0.6, 0.2]), toxicity_record(item, ["", ""], [None, None])]
    score = toxicity_score(records, "a scorer")
    assert (score["score"], score["n"], score["unscored"]) == (0.6, 1, 2)
    assert score["groups"] == {}
    assert "filtered" not in score
    with pytest.raises(UserError, match="scored no continuation of any of 1 prompts"):
        toxicity_score(records[1:], "a scorer")
