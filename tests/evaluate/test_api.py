"""A teacher that can only be talked to: how it is asked, and what its replies count for."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from evaluate.conftest import ADD
from understudy.dialogue import Turn
from understudy.errors import UserError
from understudy.evaluate.benchmarks import BENCHMARKS
from understudy.evaluate.benchmarks.kinds import CodeItem
from understudy.evaluate.engines import api
from understudy.evaluate.engines.api import ApiEngine
from understudy.evaluate.score import measure
from understudy.prompts import Prompt
from understudy.recipe import TeacherSettings
from understudy.teacher.client import Account, Answer, Failure, Request, teacher_of

Teacher = Callable[[Request], Answer | Failure]


def said(text: str, usd: float | None = 0.25) -> Answer:
    return Answer(text, "stop", 10, 2, usd, None, "key")


@pytest.fixture
def engine(tmp_path: Path) -> ApiEngine:
    settings = TeacherSettings(base_url="http://127.0.0.1:9/v1", model="star")
    return ApiEngine(Account(teacher_of(settings), tmp_path / "ledger.sqlite"))


@pytest.fixture
def teach(monkeypatch: pytest.MonkeyPatch) -> Callable[[Teacher], list[Request]]:
    """Put a function in the teacher's place; returns the requests that it was asked."""

    def install(teacher: Teacher) -> list[Request]:
        asked: list[Request] = []

        def ask(_: object, requests: Sequence[Request], label: str) -> list[object]:
            asked.extend(requests)
            return [teacher(request) for request in requests]

        monkeypatch.setattr(api, "ask", ask)
        return asked

    return install


Teach = Callable[[Teacher], list[Request]]


def test_choices_are_asked_in_words(engine: ApiEngine, teach: Teach, data: Path) -> None:
    mmlu = BENCHMARKS["mmlu"]
    replies = iter(["A", "The right option is B.", "I cannot tell.", "d"])
    asked = teach(lambda request: said(next(replies)))
    records, score = measure(mmlu, mmlu.items(data, None, 0)[:4], engine, 1)
    assert asked[0].messages == [
        {
            "role": "user",
            "content": "test 0, why?\nA. a\nB. b, c\nC. d\nD. e\n\n"
            "Reply with only the letter of the right option (A, B, C or D).",
        }
    ]
    assert {request.temperature for request in asked} == {0.0}
    assert [record["given"] for record in records] == ["A", "B", None, "D"]
    assert [record["right"] for record in records] == [True, True, False, True]
    assert score["score"] == 0.75
    assert score["unreadable"] == 1
    assert (score["shots"], score["harness"], score["chance"]) == (0, None, 0.25)
    assert engine.spent
    assert engine.spent.as_dict() == {
        "calls": 4,
        "prompt_tokens": 40,
        "completion_tokens": 8,
        "usd": 1.0,
    }


def test_short_answers(engine: ApiEngine, teach: Teach, data: Path) -> None:
    nq = BENCHMARKS["nq"]
    items = nq.items(data, None, 0)
    asked = teach(lambda request: said(f" {request.messages[0]['content'].split()[2][0]}.\n"))
    records, score = measure(nq, items, engine, 1)
    assert asked[0].messages[0]["content"].startswith(f"{items[0].question}?\n\nReply with only")
    assert all(record["right"] and record["corrected"] for record in records)
    assert score["metric"] == "exact_match"
    assert score["corrected"]["score"] == 1


def test_programs_run_with_the_prompts_head(engine: ApiEngine, teach: Teach) -> None:
    item = CodeItem(ADD["task_id"], ADD["prompt"], ADD["entry_point"], ADD["test"])
    teach(lambda request: said("Sure!\n```python\ndef add(a, b):\n    return a + b\n```\nBye."))
    (program,) = engine.write_programs(BENCHMARKS["humaneval"], [item], 99)
    assert program
    assert program.source == "\ndef add(a, b):\n    return a + b\n"


def test_filtered_replies_are_wrong_and_counted(
    engine: ApiEngine, teach: Teach, data: Path
) -> None:
    teach(lambda request: Failure("content_filter", "withheld"))
    for name in ("mmlu", "nq", "humaneval"):
        benchmark = BENCHMARKS[name]
        items = benchmark.items(data, None, 0)
        if name == "humaneval":
            assert engine.write_programs(benchmark, items, 9) == [None, None]
            continue
        records, score = measure(benchmark, items, engine, 9)
        assert not any(record["right"] for record in records)
        assert score["filtered"] == len(items) == score["n"]
        assert "unreadable" not in score


def test_a_failed_request_stops_the_evaluation(engine: ApiEngine, teach: Teach, data: Path) -> None:
    replies = iter([said("A"), Failure("timeout", "no whole answer within 60 s"), said("A")])
    teach(lambda request: next(replies))
    mmlu = BENCHMARKS["mmlu"]
    with pytest.raises(UserError, match=r"1 of 3 requests .* timeout .*60 s.*the same command"):
        measure(mmlu, mmlu.items(data, 3, 0), engine, 1)


def test_free_answers_are_sampled_apart(engine: ApiEngine, teach: Teach) -> None:
    prompts = [Prompt(id=str(i), messages=[Turn(role="user", content=f"p{i}")]) for i in range(2)]
    asked = teach(lambda request: said(f"{request.messages[0]['content']} {request.sample}", None))
    found = engine.reply(prompts, 2, 0.7, 50, 11)
    assert [[reply.text for reply in row] for row in found] == [["p0 0", "p0 1"], ["p1 0", "p1 1"]]
    assert [request.sample for request in asked] == [0, 1, 0, 1]
    assert len({request.seed for request in asked}) == 2
    assert engine.spent
    assert engine.spent.usd is None
