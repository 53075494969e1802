"""Answers in, preferences and grades out."""

import json
from pathlib import Path
from typing import Any

import pytest

from judge.judging import judging, longer, rows_of, write_answers
from teacher.scripted import scripted
from understudy.errors import UserError
from understudy.judge.cases import cost_words, pairs, singles
from understudy.judge.grades import grade
from understudy.judge.match import Item
from understudy.judge.prompts import Parts
from understudy.judge.sets import Row, read_rows
from understudy.judge.stage import gathered, judge, judge_run
from understudy.preferences import read_preferences
from understudy.recipe import JudgeSettings, Prices

HURRIED = JudgeSettings(model="m")
CHECKING = JudgeSettings(model="m", protocol="checking")
TEXTS = {
    "teacher": ["Long answer 0.", "Long answer 1.", "Long answer 2."],
    "student": ["Answer 0.", "Answer 1.", "An answer 2 that is longer."],
    "base": ["?", "Answer 1.", ""],
}


def always_first(parts: Parts, repair: bool) -> str:
    """By form the first, by facts the one that says what the reference does."""
    if parts.protocol == "hurried":
        return "A"
    right = ["AB"[place] for place, text in enumerate(parts.answers) if text == parts.reference]
    return f"Checked.\nVerdict: {right[0] if len(right) == 1 else 'tie'}"


def test_models_of_a_run_are_compared_in_both_orders(tmp_path: Path) -> None:
    known = ["Answer 0.", None, None]
    files = {name: write_answers(tmp_path / name, texts, known) for name, texts in TEXTS.items()}
    with scripted(judging(always_first)) as server:
        account = server.account(tmp_path / "ledger.sqlite")
        judges = [HURRIED, CHECKING]
        facts = judge_run(files, judges, lambda _: account, tmp_path, 1, {})
        first = {path.name: path.read_bytes() for path in tmp_path.glob("*.json*")}
        assert judge_run(files, judges, lambda _: account, tmp_path, 1, {}) == facts
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.json*")} == first
    assert json.loads(first["judge.json"]) == facts
    assert facts["prompts"] == 3
    assert facts["unmatched"] == {}
    assert [(one["protocol"], one["judgements"]) for one in facts["judges"]] == [
        ("hurried", 18),
        ("checking", 18),
    ]
    # Student and base answer alike once: one prompt in either order, and against the teacher.
    assert facts["cost"]["calls"] == len(server.bodies) == 30

    rows = rows_of(tmp_path / "judgements.jsonl")
    shown = [(row["item"], row["first"], row["second"]) for row in rows[:18]]
    assert len(set(shown)) == 18
    assert {(item, second, first) for item, first, second in shown} == set(shown)
    assert rows[0] == {
        "item": "p0",
        "first": "teacher",
        "second": "student",
        "judge": "m",
        "protocol": "hurried",
        "key": rows[0]["key"],
        "reply": "A",
        "verdict": "A",
        "share": 0.0,
        "weighted": False,
        "repair": None,
        "failure": None,
    }
    given = list(read_preferences(tmp_path / "preferences.jsonl"))
    assert [(one.item, *one.models, one.share, one.protocol) for one in given] == [
        tuple(row[key] for key in ("item", "first", "second", "share", "protocol")) for row in rows
    ]
    assert given[0].text_of("student") == "Answer 0."

    found = {(row["protocol"], *row["models"]): row for row in facts["preferences"]["comparisons"]}
    hurried = found["hurried", "student", "teacher"]
    assert hurried["win_rate"]["value"] == 0.5
    assert hurried["position"]["value"] == 1.0
    assert hurried["swapped"]["same"]["value"] == 0.0
    checking = found["checking", "student", "teacher"]
    assert checking["win_rate"]["value"] == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert checking["swapped"]["same"]["value"] == 1.0


def test_scores_stand_beside_the_judgements_and_are_totalled(tmp_path: Path) -> None:
    files = {name: write_answers(tmp_path / name, TEXTS[name]) for name in ("teacher", "student")}

    def reply(parts: Parts, repair: bool) -> str:
        if parts.answers[0] == "Answer 1.":
            return "Neither."
        return " ".join("8" if len(text) > 10 else "5" for text in parts.answers)

    scoring = JudgeSettings(model="m", protocol="scores")
    with scripted(judging(reply)) as server:
        account = server.account(tmp_path / "ledger.sqlite")
        facts = judge_run(files, [scoring], lambda _: account, tmp_path, 1, {})
    rows = rows_of(tmp_path / "judgements.jsonl")
    assert [row.get("scores") for row in rows] == [[8, 5], [5, 8], [8, 5], None, [8, 8], [8, 8]]
    assert [row["share"] for row in rows] == [0, 1, 0, None, 0.5, 0.5]
    given = list(read_preferences(tmp_path / "preferences.jsonl"))
    assert [one.scores and [*one.scores] for one in given] == [row.get("scores") for row in rows]
    (told,) = facts["preferences"]["comparisons"]
    assert told["scores"]["n"] == 5
    assert told["scores"]["totals"] == {"student": 31, "teacher": 40}
    share = told["scores"]["share_of_baseline"]["student"]
    assert share["value"] == pytest.approx(31 / 40)
    assert share["low"] < 31 / 40 < share["high"]
    assert (told["wins"], told["ties"], told["losses"], told["not_judged"]) == (0, 2, 3, 1)


def test_only_the_checking_judge_sees_the_reference(tmp_path: Path) -> None:
    item = Item("p", "Why?", reference="Since.", answers={"a": "So.", "b": "No."})
    (case, _) = pairs([item], ["a", "b"])
    assert case.parts("checking").reference == case.parts("grade").reference == "Since."
    for protocol in ("hurried", "style", "scores"):
        assert case.parts(protocol).reference is None


def test_pairs_with_a_baseline() -> None:
    items = [Item("p", "Why?", answers=dict.fromkeys("abc", "So.")), Item("q", "How?")]
    assert [case.models for case in pairs(items, "abc")][::2] == [*map(tuple, ("ab", "ac", "bc"))]
    chosen = [case.models for case in pairs(items, "abc", "b")]
    assert chosen == [*map(tuple, ("ab", "ba", "bc", "cb"))]
    with pytest.raises(UserError, match="no model is called d; there are a, b, c"):
        pairs(items, "abc", "d")
    with pytest.raises(UserError, match="answers of two models"):
        pairs(items[1:], "abc")
    with pytest.raises(UserError, match="no answer"):
        singles(items[1:])


def test_failures_have_no_share(tmp_path: Path) -> None:
    files = {name: write_answers(tmp_path / name, TEXTS[name]) for name in ("teacher", "student")}

    def reply(parts: Parts, repair: bool) -> str:
        broken = parts.question == "Question 0?" and parts.answers[0].startswith("Long")
        return "None." if broken else longer(parts)

    with scripted(judging(reply)) as server:
        account = server.account(tmp_path / "ledger.sqlite")
        facts = judge_run(files, [HURRIED], lambda _: account, tmp_path, 1, {})
    (told,) = facts["judges"]
    assert (told["failures"], told["repaired"]) == ({"unreadable": 1}, 0)
    (row,) = facts["preferences"]["comparisons"]
    assert (row["judged"], row["not_judged"]) == (5, 1)
    kept = rows_of(tmp_path / "judgements.jsonl")[0]
    assert (kept["share"], kept["reply"], kept["failure"]) == (None, "None.", "unreadable")
    assert next(read_preferences(tmp_path / "preferences.jsonl")).share is None


def test_a_judge_cannot_be_there_twice(tmp_path: Path) -> None:
    cases = pairs([Item("p", "Why?", answers={"a": "So.", "b": "No."})], ["a", "b"])
    with pytest.raises(UserError, match="m hurried is there twice"):
        judge(cases, [HURRIED, HURRIED], lambda _: pytest.fail("asked"), tmp_path, 1, {})


def test_a_limit_draws_prompts_and_a_larger_one_more(tmp_path: Path) -> None:
    answers = {
        name: [Row(None, f"Question {number}?", name) for number in range(40) if number != skipped]
        for name, skipped in (("a", 3), ("b", 5))
    }
    drawn = [gathered(answers, None, None, limit, 7)[0] for limit in (5, 20, 100)]
    assert [len(items) for items in drawn] == [5, 20, 38]
    ids = [[item.id for item in items] for items in drawn]
    assert set(ids[0]) < set(ids[1]) < set(ids[2])
    assert [id for id in ids[2] if id in ids[1]] == ids[1]
    assert ids[0] != [item.id for item in gathered(answers, None, None, 5, 8)[0]]


def test_what_it_will_cost_is_said_before(tmp_path: Path) -> None:
    cases = pairs([Item("p", "Why?", answers={"a": "So.", "b": "No."})], ["a", "b"])
    settings = JudgeSettings(model="m", prices=Prices(input=1, output=2))
    with scripted(judging(longer)) as server:
        account = server.account(tmp_path / "ledger.sqlite", prices=settings.prices)
        asked: Any = [(settings, "hurried")]
        before = cost_words(cases, asked, lambda _: account)
        judge(cases, [settings], lambda _: account, tmp_path, 1, {})
        after = cost_words(cases, asked, lambda _: account)
    assert before.startswith("judge m, hurried: 2 calls, about ")
    assert "at most $" in before
    assert after.startswith("judge m, hurried: 0 calls")


def test_grades_and_their_differences(tmp_path: Path) -> None:
    texts = {"a": ["Good.", "Good.", "Good."], "b": ["Bad.", "Good.", "None."]}
    rows = {name: read_rows(write_answers(tmp_path / name, given)) for name, given in texts.items()}
    items, unmatched = gathered(rows, None, None, None, 0)

    def reply(parts: Parts, repair: bool) -> str:
        return {"Good.": "Grade: 10", "Bad.": "Grade: 1"}.get(parts.answers[0], "?")

    with scripted(judging(reply)) as server:
        account = server.account(tmp_path / "ledger.sqlite")
        judges = [HURRIED, CHECKING]
        facts = grade(singles(items), judges, lambda _: account, tmp_path, unmatched)
    assert json.loads((tmp_path / "grades.json").read_text()) == facts
    (told,) = facts["judges"]
    assert (told["judge"], told["failures"], told["judgements"]) == ("m", {"unreadable": 1}, 6)
    assert {name: (one["mean"], one["n"]) for name, one in told["models"].items()} == {
        "a": (10, 3),
        "b": (5.5, 2),
    }
    assert all(
        1 <= one["low"] <= one["mean"] <= one["high"] <= 10 for one in told["models"].values()
    )
    (difference,) = told["differences"]
    assert difference["value"] == pytest.approx(-4.5)
    assert difference["low"] < -4.5 < difference["high"]
    assert (difference["first"], difference["second"], difference["n"]) == ("a", "b", 2)
    row = rows_of(tmp_path / "grades.jsonl")[0]
    assert (row["item"], row["model"], row["judge"], row["grade"]) == ("p0", "a", "m", 10)
