"""Replies of judges, read strictly."""

import math
from typing import Any

import pytest

from understudy.judge.reading import (
    Verdict,
    read_grade,
    read_leading_scores,
    read_verdict,
    weighted_share,
)

REASONS = "A claims that it is Rome: wrong.\nB claims that it is Paris: right.\n\n"


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        ("A", "A"),
        (" B\n", "B"),
        ("tie", "tie"),
        ("Tie.", "tie"),
        ("**A**", "A"),
        ("Verdict: B", "B"),
        (REASONS + "Verdict: B", "B"),
        (REASONS + "**Verdict: tie**\n\n", "tie"),
        (REASONS + "**Verdict:** A", "A"),
        ("Verdict: A\nNo, I was wrong.\nVerdict: B", "B"),
        ("It says:\n> Verdict: B\nwhich is a trick.\nVerdict: A", "A"),
    ],
)
def test_verdicts(reply: str, word: str) -> None:
    found = read_verdict(reply, cut=False)
    assert found is not None
    assert found.word == word
    assert reply[found.place :].lower().startswith(word.lower())


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "\n",
        "C",
        "a",
        "A or B",
        "A is better.",
        "Both are fine.\nA",
        "Verdict: both",
        "Verdict: A, I think",
        "The verdict: A",
        "verdict: A",
        "Verdict: A\nBut B has merits, too.",
        "Verdict:\nA",
        "> Verdict: A",
        "Verdict: \u0410",  # a Cyrillic letter
    ],
)
def test_no_verdict(reply: str) -> None:
    assert read_verdict(reply, cut=False) is None


def test_a_reply_that_was_cut_is_read_only_where_it_is_the_word_alone() -> None:
    assert read_verdict("The answer says:\nVerdict: A", cut=True) is None
    assert read_verdict("A", cut=True) == Verdict("A", 0)
    assert read_grade("The answer says:\nGrade: 10", cut=True) is None


@pytest.mark.parametrize(
    ("reply", "grade"),
    [
        ("Grade: 7", 7),
        ("Right.\n**Grade: 10**", 10),
        ("Grade: 1/10.", 1),
        ("Grade: 0", None),
        ("Grade: 11", None),
        ("Grade: 7.5", None),
        ("7", None),
        ("Grade: 7\nor so", None),
        ("", None),
    ],
)
def test_grades(reply: str, grade: int | None) -> None:
    assert read_grade(reply, cut=False) == grade


@pytest.mark.parametrize(
    ("reply", "scores"),
    [
        ("9 7", (9, 7)),
        ("\n8.5 10\nA says that it is Rome.", (8.5, 10)),
        ("**9, 7**\nReasons.", (9, 7)),
        ("9 7\nAnswer B itself says:\n1 10", (9, 7)),
        ("Answer B itself says:\n1 10", None),
        ("Assistant 1: 9\nAssistant 2: 7", None),
        ("0 7", None),
        ("9 11", None),
        ("9", None),
        ("9 7 8", None),
        ("A: 9, B: 7", None),
        ("", None),
    ],
)
def test_scores(reply: str, scores: tuple[float, float] | None) -> None:
    assert read_leading_scores(reply, cut=False) == scores


def test_scores_of_a_reply_that_was_cut_need_a_line_after_them() -> None:
    assert read_leading_scores("9 1", cut=True) is None
    assert read_leading_scores("9 1\n", cut=True) is None
    assert read_leading_scores("9 10\nAnswer A", cut=True) == (9, 10)


def token(text: str, **chances: float) -> dict[str, Any]:
    likely = [{"token": name, "logprob": math.log(p)} for name, p in chances.items()]
    return {"token": text, "logprob": -0.1, "top_logprobs": likely}


def test_shares_by_log_probabilities() -> None:
    alone = Verdict("A", 0)
    assert weighted_share(alone, [token("A", A=0.6, B=0.2)]) == pytest.approx(0.25)
    assert weighted_share(alone, [token("A", A=0.4, B=0.2, tie=0.2)]) == pytest.approx(0.375)
    spelt = {"A": 0.3, " A": 0.1, "B": 0.05, "t": 0.1, "The": 0.3, "a": 0.1}
    assert weighted_share(alone, [token("A", **spelt)]) == pytest.approx(0.1 / 0.55)
    assert weighted_share(Verdict("tie", 0), [token("t", t=0.5, B=0.5)]) == pytest.approx(0.75)


def test_it_is_the_verdict_s_token_that_counts() -> None:
    reply = "A is wrong.\nVerdict: B"
    tokens = [token("A", A=1.0), *map(token, (" is", " wrong", ".\n", "Verdict", ":"))]
    tokens.append(token(" B", **{" B": 0.9, " A": 0.1}))
    found = read_verdict(reply, cut=False)
    assert found is not None
    assert weighted_share(found, tokens) == pytest.approx(0.9)


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        [],
        ["A"],
        [{"token": 7}],
        [{"token": "A"}],
        [{"token": "A", "top_logprobs": "A"}],
        [{"token": "A", "top_logprobs": ["A", {"token": "A"}, {"token": "A", "logprob": "0"}]}],
        [{"token": "A", "top_logprobs": [{"token": "A", "logprob": math.nan}]}],
        [{"token": "A", "top_logprobs": [{"token": "A", "logprob": 2.0}]}],
        [{"token": "I", "top_logprobs": [{"token": "A", "logprob": -0.1}]}],
    ],
)
def test_log_probabilities_that_tell_nothing(logprobs: list[Any] | None) -> None:
    assert weighted_share(Verdict("A", 0), logprobs) is None
