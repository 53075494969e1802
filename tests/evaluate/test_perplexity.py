"""From losses to perplexities, and what they come to."""

import math
from statistics import fmean

import pytest

from understudy.evaluate.benchmarks.kinds import PerplexityItem
from understudy.evaluate.engines import Losses
from understudy.evaluate.perplexity import Record, perplexity_record, perplexity_score
from understudy.evaluate.score import item_digest
from understudy.statistics import wilson


def item(number: int, group: str | None = None) -> PerplexityItem:
    return PerplexityItem(f"t/{number}", group, "Go on.", "", "So it is.", "Go on.", " So it is.")


def record(number: int, value: float, group: str | None = None, **more: float) -> Record:
    nats = math.log(value)
    losses = Losses(4, nats, more.get("chat", nats), more.get("alone"))
    return perplexity_record(item(number, group), losses)


def test_a_record() -> None:
    losses = Losses(4, math.log(12), math.log(101), 0.0, cut=True, seconds=0.12345)
    assert perplexity_record(item(1, "mail"), losses) == {
        "id": "t/1",
        "prompt": item_digest(item(1, "mail")),
        "group": "mail",
        "expected": "So it is.",
        "tokens": 4,
        "value": 12.0,
        "in_chat": 100.0,
        "unprompted": 1.0,
        "nats": {"value": math.log(12), "in_chat": math.log(101), "unprompted": 0.0},
        "cut": True,
        "seconds": 0.1235,
    }


def test_hopeless_answers_are_clipped_and_those_of_one_token_lack_a_metric() -> None:
    found = perplexity_record(item(1), Losses(1, 5000.0, 4.6, None))
    assert (found["value"], found["in_chat"], found["unprompted"]) == (100, 99.484316, None)
    assert not {"group", "cut", "seconds"} & found.keys()


def test_the_score() -> None:
    values = [2.0, 4.0, 100.0, 6.0, 10.0, 100.0, 8.0, 30.0]
    records = [record(n, value, "ab"[n % 2], alone=1.0) for n, value in enumerate(values)]
    records.append(record(8, 20.0))
    score = perplexity_score(records)
    assert (score["metric"], score["lower_is_better"], score["highest"]) == (
        "perplexity",
        True,
        100,
    )
    assert score["score"] == pytest.approx(fmean([*values, 20]), abs=1e-6)
    assert 1 < score["low"] < score["score"] < score["high"] < 100
    median, clipped = score["metrics"]["median"], score["metrics"]["clipped"]
    assert (median["score"], median["low"], median["high"]) == (10, 4, 100)
    assert (clipped["score"], clipped["low"]) == (
        pytest.approx(2 / 9, abs=1e-6),
        pytest.approx(wilson(2, 9)[0], abs=1e-6),
    )
    assert score["metrics"]["in_chat"]["score"] == score["score"]
    unprompted = score["metrics"]["unprompted"]
    assert (unprompted["score"], unprompted["n"]) == (pytest.approx(math.e, abs=1e-6), 8)
    assert {name: found["score"] for name, found in score["groups"].items()} == {"a": 30, "b": 35}
    assert "cut" not in score


def test_what_no_item_has_is_left_out_and_cuts_are_counted() -> None:
    rows = [record(0, 2.0), record(1, 3.0) | {"cut": True}]
    score = perplexity_score(rows)
    assert list(score["metrics"]) == ["median", "clipped", "in_chat"]
    assert (score["cut"], score["n"]) == (1, 2)
    assert (score["metrics"]["median"]["low"], score["metrics"]["median"]["high"]) == (1, 100)
