"""Verdicts and scores by numbers worked out by hand."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.evaluate.benchmarks import find_benchmark
from understudy.evaluate.benchmarks.kinds import (
    Benchmark,
    ChoiceItem,
    CodeItem,
    Extract,
    Kind,
    ShortItem,
)
from understudy.evaluate.engines import Pick, Program, Programs, Words
from understudy.evaluate.sandbox import Outcome
from understudy.evaluate.score import (
    INVALID,
    Record,
    choice_record,
    code_record,
    item_digest,
    plain_form,
    read_answer,
    same_answer,
    score_of,
    short_record,
)
from understudy.statistics import clustered_interval, mean_interval, wilson
from understudy.teacher.client import Cost

FLIES = ("a bee", "an oak tree", "a stone")  # 5, 11 and 7 characters


class Asked:
    """As much of an engine as a score tells of."""

    def __init__(self, prompting: Literal["text", "chat"], spent: Cost | None) -> None:
        self.prompting, self.spent = prompting, spent


TEXT, CHAT, RAW = Asked("text", None), Asked("chat", Cost()), Asked("text", Cost())


def benchmark(kind: Kind, *metrics: str, **more: Any) -> Benchmark:
    return Benchmark("own", kind, metrics, 2, None, lambda *_: [], **more)


def scored(benchmark: Benchmark, records: Sequence[Record], asked: Asked = TEXT) -> dict[str, Any]:
    return score_of(benchmark, records, asked)  # type: ignore[arg-type]


def flying(*right: int) -> ChoiceItem:
    continuations = tuple(f" {option}" for option in FLIES)
    return ChoiceItem(
        "fly", None, "Which flies?", FLIES, right, "Q: Which flies?\nA:", continuations
    )


def short(*answers: str) -> ShortItem:
    return ShortItem("who", None, "who is it", answers, "Q: who is it?\nA:")


# Options


def test_the_likeliest_option_and_the_likeliest_by_character() -> None:
    both = benchmark("choice", "accuracy", "accuracy_norm")
    # −1.04, −1 and −1.05 a character; with the space before them −0.87, −0.92 and −0.92.
    pick = Pick((-5.2, -11.0, -7.35), seconds=0.25)
    record = choice_record(both, flying(0), pick)
    assert record == {
        "id": "fly",
        "prompt": item_digest(flying(0)),
        "right": True,
        "seconds": 0.25,
        "expected": "A",
        "log_likelihoods": [-5.2, -11.0, -7.35],
        "given": "A",
        "accuracy_norm": False,
    }
    record = choice_record(both, flying(1), pick)
    assert (record["right"], record["accuracy_norm"]) == (False, True)
    turned = benchmark("choice", "accuracy_norm", "accuracy")
    record = choice_record(turned, flying(1), pick)
    assert (record["right"], record["accuracy"]) == (True, False)


def test_the_first_of_equals_is_taken() -> None:
    accuracy = benchmark("choice", "accuracy")
    records = [choice_record(accuracy, flying(i), Pick((-2.0, -1.0, -1.0))) for i in range(3)]
    assert [record["right"] for record in records] == [False, True, False]


def test_any_of_several_right_options_is_right() -> None:
    accuracy = benchmark("choice", "accuracy")
    record = choice_record(accuracy, flying(0, 2), Pick((-3.0, -2.0, -1.0)))
    assert (record["right"], record["expected"], record["given"]) == (True, "AC", "C")
    assert choice_record(accuracy, flying(0, 2), Pick(option=0, reply="A"))["right"] is True
    assert choice_record(accuracy, flying(0, 2), Pick(option=1, reply="B"))["right"] is False


def test_the_probability_of_the_right_options_among_all() -> None:
    mc2 = benchmark("choice", "mc2")
    for far in (0.0, -2000.0):  # where every probability is 0 in floating point
        nats = tuple(math.log(share) + far for share in (0.1, 0.3, 0.2))
        assert choice_record(mc2, flying(0, 2), Pick(nats))["right"] == pytest.approx(0.5)
    assert choice_record(mc2, flying(1), Pick(option=1, reply="B"))["right"] is True


def test_a_teachers_letters_have_no_length() -> None:
    both = benchmark("choice", "accuracy", "accuracy_norm")
    record = choice_record(both, flying(0), Pick((-1.0, -1.1, -5.0), option=0, reply="A"))
    assert (record["right"], record["accuracy_norm"], record["reply"]) == (True, True, "A")


def test_what_is_withheld_and_what_names_no_option_are_wrong_and_counted_apart() -> None:
    accuracy = benchmark("choice", "accuracy")
    picks = [Pick(), Pick(reply="Hm."), Pick(reply="Hm, hm."), Pick(option=0, reply="A")]
    records = [choice_record(accuracy, flying(0), pick) for pick in picks]
    assert [record["right"] for record in records] == [False, False, False, True]
    assert [record.get("filtered") for record in records] == [True, None, None, None]
    found = scored(accuracy, records, CHAT)
    assert (found["score"], found["filtered"], found["unreadable"]) == (0.25, 1, 2)
    assert not {"filtered", "unreadable"} & set(scored(accuracy, records[3:], CHAT))


# Short answers


@pytest.mark.parametrize(
    ("given", "gold", "harness", "corrected"),
    [
        ("Paris", "paris", True, True),
        ("the Eiffel Tower", "Eiffel tower!", True, True),
        ("An apple a day", "apple day", True, True),
        ("THE BEATLES", "Beatles", False, True),  # articles go before case does
        ("banana", "bnn", False, False),  # letters inside words stay
        ("Atheism", "ism", False, False),
        ("Paris", "Paris ", False, True),  # a gold answer keeps its space
        ("Paris !", "Paris", False, True),
        ("New  York", "New York", False, True),
        ("U.S.A.", "usa", True, True),
        ("plan a", "plan", False, True),
        ("", "the", False, True),
        ("1984", "1985", False, False),
    ],
)
def test_answers_to_natural_questions(
    given: str, gold: str, harness: bool, corrected: bool
) -> None:
    nq = find_benchmark("nq")
    record = short_record(nq, short(gold), Words((f" {given} ",)))
    assert (record["right"], record["corrected"]) == (harness, corrected)


@given(st.text(max_size=40))
def test_plain_form_is_final(text: str) -> None:
    once = plain_form(text)
    assert once == once.strip()
    assert plain_form(f"The {text}!") == plain_form(text)


def test_a_short_answer_is_right_by_any_gold_one_and_its_record_keeps_what_was_said() -> None:
    nq = find_benchmark("nq")
    item = short("Ann", "The Beth")
    record = short_record(nq, item, Words((" Beth ",), 0.5))
    assert record == {
        "id": "who",
        "prompt": item_digest(item),
        "right": True,
        "seconds": 0.5,
        "expected": ["Ann", "The Beth"],
        "given": "Beth",
        "reply": " Beth ",
        "corrected": True,
    }
    assert "reply" not in short_record(nq, item, Words(("Cid",)))
    withheld = short_record(nq, short("a"), Words((None,)))  # which an empty answer equals
    assert (withheld["right"], withheld["corrected"], withheld["filtered"]) == (False, False, True)


@pytest.mark.parametrize(
    ("text", "strict", "flexible"),
    [
        (" 1,000 + 234 = 1,234\n#### 1,234", True, True),
        (" So it is $1,234.", False, True),
        (" #### 1234.", True, True),
        (" #### $1234", False, True),
        (" #### 1234\n\n#### 5", True, False),  # the first; the last
        (" #### 1235", False, False),
        (" I cannot tell", False, False),
        ("", False, False),
    ],
)
def test_answers_to_sums(text: str, strict: bool, flexible: bool) -> None:
    gold = "It is <<1000+234=1234>>.\n#### 1,234"
    record = short_record(find_benchmark("gsm8k"), short(gold), Words((text,)))
    assert (record["right"], record["flexible"]) == (strict, flexible)
    assert "corrected" not in record


def test_what_a_pattern_finds() -> None:
    groups = r"is (\d+)|be ([a-z]+)?"
    assert read_answer(Extract(groups), "it is 7, may be so") == "7"
    assert read_answer(Extract(groups, match=-1), "it is 7, may be so") == "so"
    assert read_answer(Extract(groups, match=1), "it is 7, may be so") == "so"
    assert read_answer(Extract(groups, match=2), "it is 7, may be so") == INVALID
    assert read_answer(Extract(groups), "let it be ") == INVALID  # no group took part
    assert read_answer(Extract(r"\w+ "), "so be it") == "so"
    assert read_answer(Extract(r"\d"), "none") == INVALID
    assert read_answer(Extract(), "\n all of it\t") == "all of it"


def test_rules_of_comparing() -> None:
    assert same_answer(Extract(), "It's.", "ITS")
    assert not same_answer(Extract(ignore_punctuation=False), "It's", "its")
    assert not same_answer(Extract(ignore_case=False), "It's", "its")
    assert same_answer(Extract(ignored=(r"\d", "b+")), "ab1bc", "ac")  # in their order
    assert not same_answer(Extract(ignored=("bb", r"\d")), "ab1bc", "ac")


# Programs

HEAD = "def f():\n"
CODE = benchmark("code", "pass@1")
PASSED, FAILED = Outcome(True, "passed"), Outcome(False, "AssertionError")


def code(*texts: str | None, corrected: str | None = None) -> Programs:
    made = [None if t is None else Program(t, HEAD + t, corrected) for t in texts]
    return Programs(tuple(made), 1.5)


def solved(passed: Sequence[bool], name: str = "f") -> Record:
    item = CodeItem(name, None, HEAD, "f", "")
    ends = [[PASSED if each else FAILED] * 2 for each in passed]
    return code_record(item, code(*"x" * len(passed)), ends)


def test_a_program_its_correction_and_none() -> None:
    item = CodeItem("f", None, HEAD, "f", "")
    assert solved([True]) == {
        "id": "f",
        "prompt": item_digest(item),
        "right": True,
        "seconds": 1.5,
        "expected": "passes its test",
        "given": "x",
        "why": "passed",
    }
    record = code_record(item, code("x", corrected=" x"), [[FAILED, PASSED]])
    assert (record["right"], record["why"]) == (False, "AssertionError")
    assert (record["corrected"], record["corrected_why"]) == (True, "passed")
    record = code_record(item, code(None), [[]])
    assert (record["right"], record["why"], record["filtered"]) == (False, "withheld", True)


def test_several_programs_an_item() -> None:
    item = CodeItem("f", None, HEAD, "f", "")
    ends = [[PASSED, PASSED], [FAILED, PASSED], []]
    record = code_record(item, code("x", "y", None, corrected="z"), ends)
    assert record["right"] == pytest.approx(1 / 3)
    assert record["corrected"] == pytest.approx(2 / 3)
    assert (record["samples"], record["passed"], record["filtered"]) == (3, 1, True)
    assert record["given"] == ["x", "y", ""]
    assert record["why"] == ["passed", "AssertionError", "withheld"]


def test_pass_at_k() -> None:
    records = [solved([True] * passed + [False] * (12 - passed), str(passed)) for passed in (0, 3)]
    found = scored(CODE, records)
    assert (found["metric"], found["score"]) == ("pass@1", 0.125)
    # Of 12 programs 3 pass: sets of 10 without one need 10 of the 9 that fail.
    assert found["metrics"]["pass@10"]["score"] == 0.5
    assert list(found["metrics"]) == ["pass@10"]
    one = scored(CODE, [solved([True] + [False] * 10)])["metrics"]["pass@10"]
    assert one["score"] == pytest.approx(10 / 11, abs=1e-6)
    assert one["low"] < one["score"] <= one["high"]
    assert scored(CODE, [solved([True]), solved([False])])["metrics"] == {}


# Scores


def right(marks: str, groups: str = "", **more: Any) -> list[Record]:
    """Records by a letter an item: 1 right, 0 wrong; of the groups of these names."""
    found: list[Record] = [
        {"id": str(i), "right": mark == "1", "given": "A", **more} for i, mark in enumerate(marks)
    ]
    return [r | ({"group": groups[i]} if groups else {}) for i, r in enumerate(found)]


def test_a_score_and_its_interval() -> None:
    found = scored(benchmark("choice", "accuracy"), right("1100100000"))
    low, high = wilson(3, 10)
    assert (found["score"], found["n"]) == (0.3, 10)
    assert (found["low"], found["high"]) == pytest.approx((low, high), abs=1e-6)
    assert (found["metric"], found["kind"], found["shots"]) == ("accuracy", "choice", 2)
    assert (found["groups"], found["categories"], found["harness"]) == ({}, {}, None)
    assert "over_groups" not in found


def test_other_metrics_stand_beside_the_first() -> None:
    records = right("1100") + right("0000", accuracy_norm=True)
    found = scored(benchmark("choice", "accuracy", "accuracy_norm"), records)
    # Where a record lacks one, its first is taken.
    assert (found["score"], found["metrics"]["accuracy_norm"]["score"]) == (0.25, 0.75)
    assert "corrected" not in found
    found = scored(benchmark("short", "exact_match"), right("1100", corrected=True))
    assert (found["score"], found["corrected"]["score"]) == (0.5, 1.0)
    halves = [record | {"right": 0.5} for record in right("0000")]
    assert scored(benchmark("choice", "mc2"), halves)["score"] == 0.5


def test_groups_and_categories() -> None:
    named = benchmark("choice", "accuracy", categories=(("a", "x"), ("b", "x"), ("z", "none")))
    found = scored(named, right("110100", "aabbcc"))
    assert {g: (s["score"], s["n"]) for g, s in found["groups"].items()} == {
        "a": (1.0, 2),
        "b": (0.5, 2),
        "c": (0.0, 2),
    }
    assert {c: (s["score"], s["n"]) for c, s in found["categories"].items()} == {"x": (0.75, 4)}
    assert found["over_groups"]["score"] == 0.5
    low, high = clustered_interval([1, 1, 0, 1, 0, 0], list("aabbcc"))
    assert (found["over_groups"]["low"], found["over_groups"]["high"]) == pytest.approx(
        (low, high), abs=1e-6
    )


def test_items_that_are_alike_have_the_wider_interval_where_that_is_declared() -> None:
    records = right("1111000011110000", "aaaabbbbccccdddd")
    values = [record["right"] for record in records]
    apart = scored(benchmark("short", "exact_match"), records)
    alike = scored(benchmark("short", "exact_match", clustered=True), records)
    assert (apart["low"], apart["high"]) == pytest.approx(mean_interval(values), abs=1e-6)
    expected = clustered_interval(values, list("aaaabbbbccccdddd"))
    assert (alike["low"], alike["high"]) == pytest.approx(expected, abs=1e-6)
    assert alike["high"] - alike["low"] > apart["high"] - apart["low"] + 0.1
    assert (apart["clustered"], alike["clustered"]) == (False, True)
    assert "over_groups" not in alike


@pytest.mark.parametrize(
    ("asked", "shots", "follows"), [(TEXT, 3, True), (CHAT, 0, False), (RAW, 3, False)]
)
def test_only_a_text_model_is_asked_as_the_harness_asks(
    asked: Asked, shots: int, follows: bool
) -> None:
    found = scored(find_benchmark("nq"), right("10"), asked)
    assert found["shots"] == shots
    named = {"task": "nq_open", "version": "4.0", "release": "0.4.13"}
    assert found["harness"] == (named if follows else None)


def test_a_digest_stands_for_the_whole_item() -> None:
    one = flying(0)
    assert item_digest(one) == item_digest(flying(0))
    assert len({item_digest(each) for each in (one, flying(1), flying(0, 1))}) == 3
