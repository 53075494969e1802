"""Asking a judge: repairs, failures, log-probabilities, and the ledger between."""

import math
from pathlib import Path
from typing import Any

import pytest

from judge.judging import judging, longer
from teacher.scripted import Said, completion, scripted
from understudy.judge.asking import Judgement, ask_judge
from understudy.judge.prompts import GRADE, SCORES, Parts, prompt, repair
from understudy.recipe import BudgetSettings, JudgeSettings, Prices

SETTINGS = JudgeSettings(model="m")
PARTS = [
    Parts("hurried", "Question 0?", ("Long enough.", "Short.")),
    Parts("hurried", "Question 1?", ("Short.", "Long enough.")),
    Parts("hurried", "Question 2?", ("Equal.", "Alike.")),
]


def test_verdicts_come_from_the_ledger_the_second_time(tmp_path: Path) -> None:
    with scripted(judging(longer)) as server:
        account = server.account(tmp_path / "ledger.sqlite")
        found, cost = ask_judge(SETTINGS, account, PARTS)
        again, _ = ask_judge(SETTINGS, account, [*PARTS, PARTS[0]])
    assert [(one.verdict, one.value) for one in found] == [("A", 0.0), ("B", 1.0), ("tie", 0.5)]
    assert again == [*found, found[0]]
    assert len({one.key for one in found}) == len(server.bodies) == cost.calls == 3
    bodies = {body["messages"][0]["content"]: body for body in server.bodies}
    assert bodies[prompt(PARTS[0])] == {
        "model": "m",
        "messages": [{"role": "user", "content": prompt(PARTS[0])}],
        "temperature": 0.0,
        "max_tokens": 16,
        "seed": server.bodies[0]["seed"],
    }


def test_an_unreadable_reply_is_mended_once(tmp_path: Path) -> None:
    def reply(parts: Parts, second: bool) -> str:
        if parts == PARTS[0]:
            return "Verdict: B" if second else "I like both, but B is right."
        return "I cannot say." if parts == PARTS[1] else "tie"

    with scripted(judging(reply)) as server:
        account = server.account(tmp_path / "ledger.sqlite")
        found, cost = ask_judge(SETTINGS, account, PARTS)
        again, _ = ask_judge(SETTINGS, account, PARTS)
    assert again == found
    assert len(server.bodies) == cost.calls == 5
    mended, failed, plain = found
    assert (mended.reply, mended.repair) == ("I like both, but B is right.", "Verdict: B")
    assert (mended.verdict, mended.value, mended.failure) == ("B", 1.0, None)
    kept = Judgement(failed.key, "I cannot say.", repair="I cannot say.", failure="unreadable")
    assert failed == kept
    assert plain.repair is None
    repairs = [body["messages"] for body in server.bodies[3:]]
    assert [
        {"role": "user", "content": prompt(PARTS[0])},
        {"role": "assistant", "content": "I like both, but B is right."},
        {"role": "user", "content": repair("hurried")},
    ] in repairs


def test_a_quoted_verdict_of_a_reply_that_was_cut_is_not_taken(tmp_path: Path) -> None:
    def reply(parts: Parts, second: bool) -> Said | str:
        cut = completion("Answer A itself says:\nVerdict: A", "length")
        return "Verdict: B" if second else Said(body=cut)

    checking = [one._replace(protocol="checking") for one in PARTS[:1]]
    with scripted(judging(reply)) as server:
        (one,), _ = ask_judge(SETTINGS, server.account(tmp_path / "ledger.sqlite"), checking)
    assert (one.verdict, one.repair) == ("B", "Verdict: B")
    assert server.bodies[0]["max_tokens"] == 1024


def test_what_the_judge_does_not_answer_is_a_failure(tmp_path: Path) -> None:
    def reply(parts: Parts, second: bool) -> Said | str:
        if parts == PARTS[0]:
            return Said(400, b'{"error": {"message": "too long"}}')
        return Said(body=completion(None, "content_filter")) if parts == PARTS[1] else "tie"

    with scripted(judging(reply)) as server:
        found, _ = ask_judge(SETTINGS, server.account(tmp_path / "ledger.sqlite"), PARTS)
    assert [one.value for one in found] == [None, None, 0.5]
    refused, filtered, _ = (one.failure or "" for one in found)
    assert refused.startswith("refused: HTTP 400")
    assert filtered.startswith("content_filter: ")
    assert [(one.reply, one.repair) for one in found[:2]] == [("", None)] * 2


def test_budgets_hold(tmp_path: Path) -> None:
    budget = BudgetSettings(max_calls=2)
    with scripted(judging(longer)) as server:
        account = server.account(
            tmp_path / "ledger.sqlite", budget, prices=Prices(input=1, output=2)
        )
        found, cost = ask_judge(SETTINGS, account, PARTS)
    assert len(server.bodies) == 2
    assert sum((one.failure or "").startswith("budget: ") for one in found) == 1
    assert cost.as_dict()["usd"] == round(2 * (3 * 1 + 2 * 2) / 1e6, 6)


def test_log_probabilities_weigh_the_verdict(tmp_path: Path) -> None:
    likely = [{"token": name, "logprob": math.log(p)} for name, p in (("A", 0.6), ("B", 0.2))]

    def reply(number: int, body: dict[str, Any]) -> Said:
        logprobs = {"content": [{"token": "A", "logprob": -0.5, "top_logprobs": likely}]}
        choice = {"message": {"content": "A"}, "finish_reason": "stop", "logprobs": logprobs}
        return Said(body=completion(choices=[choice]))

    settings = JudgeSettings(model="m", top_logprobs=5)
    with scripted(reply) as server:
        (one,), _ = ask_judge(settings, server.account(tmp_path / "ledger.sqlite"), PARTS[:1])
    assert (one.verdict, one.value, one.weighted) == ("A", pytest.approx(0.25), True)
    assert (server.bodies[0]["logprobs"], server.bodies[0]["top_logprobs"]) == (True, 5)


def test_scores(tmp_path: Path) -> None:
    def reply(parts: Parts, second: bool) -> Said | str:
        if parts.question == "Question 0?":
            return "9.5 7\nA is longer."
        if parts.question == "Question 1?":
            return "8 8" if second else "Both get 8."
        return Said(body=completion("3 10\nThis is why", "length"))

    asked = [one._replace(protocol=SCORES) for one in PARTS]
    settings = JudgeSettings(model="m", protocol="scores", top_logprobs=5)
    with scripted(judging(reply)) as server:
        account = server.account(tmp_path / "ledger.sqlite")
        found, _ = ask_judge(settings, account, asked)
        assert ask_judge(settings, account, asked)[0] == found
    assert [(one.scores, one.verdict, one.value, one.repair) for one in found] == [
        ((9.5, 7), "9.5 7", 0, None),
        ((8, 8), "8 8", 0.5, "8 8"),
        ((3, 10), "3 10", 1, None),
    ]
    assert len(server.bodies) == 4
    assert (server.bodies[0]["max_tokens"], "logprobs" in server.bodies[0]) == (512, False)


def test_grades(tmp_path: Path) -> None:
    def reply(parts: Parts, second: bool) -> str:
        return "Grade: 4" if second else f"Reasons.\nGrade: {len(parts.answers[0])}"

    asked = [Parts(GRADE, "Question?", (text,)) for text in ("Yes.", "Not as far as I know.")]
    with scripted(judging(reply)) as server:
        account = server.account(tmp_path / "ledger.sqlite")
        found, _ = ask_judge(JudgeSettings(model="m", top_logprobs=5), account, asked)
    assert [(one.verdict, one.value, one.repair) for one in found] == [
        ("4", 4, None),
        ("4", 4, "Grade: 4"),
    ]
    assert "logprobs" not in server.bodies[0]
