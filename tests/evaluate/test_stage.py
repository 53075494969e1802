"""The stages evaluate and answers: files, resuming, and what is said where nothing can run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from evaluate.conftest import ADD, DOUBLE
from understudy.dialogue import Dialogue, Turn
from understudy.errors import UserError
from understudy.evaluate import score, stage
from understudy.evaluate.answers import answer, recorded
from understudy.evaluate.engines import Pick, Program, Reply
from understudy.evaluate.engines.local import LocalEngine
from understudy.evaluate.sandbox import Outcome
from understudy.evaluate.stage import evaluate
from understudy.files import read_json, read_jsonl, write_jsonl
from understudy.prompts import Prompt
from understudy.recipe import AnswersSettings, EvaluateSettings
from understudy.teacher.client import Answer, Cost


class Canned:
    """An engine that knows some answers and can be told to die."""

    name, identity = "canned", "canned-1"
    prompting: Literal["text", "chat"] = "text"

    def __init__(self, spent: Cost | None = None, dies_at: str = "") -> None:
        self.spent, self.dies_at = spent, dies_at
        self.asked: list[str] = []

    def _begin(self, name: str, count: int) -> None:
        if name == self.dies_at:
            raise KeyboardInterrupt
        self.asked.append(name)
        for _ in range(count if self.spent else 0):
            self.spent.add(Answer("", "stop", 3, 1, 0.5, None, ""))  # type: ignore[union-attr]

    def choose(self, benchmark: Any, items: Sequence[Any]) -> list[Pick]:
        self._begin("mmlu", len(items))
        return [Pick(0, [-1.0, -2.0, -3.0, -4.0]) for _ in items]

    def answer_shortly(self, benchmark: Any, items: Sequence[Any]) -> list[str | None]:
        self._begin("nq", len(items))
        return [" no " + item.question[-1] + " " * (i % 2) for i, item in enumerate(items)]

    def write_programs(self, _: Any, items: Sequence[Any], most: int) -> list[Program | None]:
        self._begin("humaneval", len(items))
        bodies = [ADD["canonical_solution"], " " + DOUBLE["canonical_solution"][4:]]
        programs = [Program(b, i.prompt + b) for b, i in zip(bodies, items, strict=True)]
        broken = programs[1]
        fixed = DOUBLE["prompt"] + DOUBLE["canonical_solution"]
        return [programs[0], Program(broken.reply, "def broken(:", fixed)]

    def reply(self, prompts: Sequence[Prompt], samples: int, *_: Any) -> list[list[Reply]]:
        self._begin("answers", len(prompts) * samples)
        return [[Reply(f"{p.id} {s}", "stop") for s in range(samples)] for p in prompts]


@pytest.fixture
def sandboxed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own two programs, run here: the sandbox has tests of its own."""

    def run_programs(sources: Sequence[str], label: str) -> list[Outcome]:
        outcomes = []
        for source in sources:
            try:
                exec(source, {})
                outcomes.append(Outcome(True, "passed"))
            except Exception as error:
                outcomes.append(Outcome(False, type(error).__name__))
        return outcomes

    monkeypatch.setattr(stage, "sandbox_kind", lambda: "bubblewrap")
    monkeypatch.setattr(score, "run_programs", run_programs)


def rows(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_jsonl(path)]


@pytest.mark.usefixtures("sandboxed")
def test_scores_and_items(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    facts = evaluate(Canned(), EvaluateSettings(), data, out, 0)
    scores = read_json(out / "scores.json")
    assert (scores["model"], scores["prompting"]) == ("canned", "text")
    assert scores["not_measured"] == {}
    mmlu, nq, humaneval = (scores["benchmarks"][name] for name in ("mmlu", "nq", "humaneval"))
    assert mmlu["score"] == pytest.approx(2 / 6, abs=1e-6)
    assert mmlu["low"] < mmlu["score"] < mmlu["high"]
    assert (mmlu["metric"], mmlu["shots"], mmlu["chance"]) == ("accuracy", 5, 0.25)
    assert mmlu["harness"] == "lm-evaluation-harness 0.4.13"
    assert mmlu["groups"]["abstract_algebra"]["n"] == 4
    assert mmlu["groups"]["world_religions"]["score"] == 0.5
    assert (nq["n"], nq["score"], nq["corrected"]["score"]) == (5, 0.6, 1.0)
    assert (humaneval["score"], humaneval["corrected"]["score"]) == (0.5, 1.0)
    assert facts == {
        "scores": {"mmlu": mmlu["score"], "nq": 0.6, "humaneval": 0.5},
        "not_measured": {},
    }
    first = rows(out / "items" / "mmlu.jsonl")[0]
    assert first == {
        "id": "abstract_algebra/1",
        "right": True,
        "expected": "A",
        "given": "A",
        "group": "abstract_algebra",
        "log_likelihoods": [-1.0, -2.0, -3.0, -4.0],
    }
    programs = rows(out / "items" / "humaneval.jsonl")
    assert [(row["id"], row["right"], row["why"]) for row in programs] == [
        ("Own/0", True, "passed"),
        ("Own/1", False, "SyntaxError"),
    ]


@pytest.mark.usefixtures("sandboxed")
def test_killed_it_goes_on_with_the_next_benchmark(data: Path, tmp_path: Path) -> None:
    out, settings = tmp_path / "out", EvaluateSettings()
    calm = evaluate(Canned(Cost()), settings, data, tmp_path / "calm", 0)
    with pytest.raises(KeyboardInterrupt):
        evaluate(Canned(Cost(), dies_at="humaneval"), settings, data, out, 0)
    assert not (out / "scores.json").exists()
    second = Canned(Cost())
    assert evaluate(second, settings, data, out, 0) == calm
    assert second.asked == ["humaneval"]
    assert calm["cost"] == {
        "calls": 13,
        "prompt_tokens": 39,
        "completion_tokens": 13,
        "usd": 6.5,
    }
    names = ["scores.json", *(f"items/{name}.jsonl" for name in ("mmlu", "nq", "humaneval"))]
    for name in names:
        assert (out / name).read_bytes() == (tmp_path / "calm" / name).read_bytes()


@pytest.mark.parametrize("change", ["model", "limit", "data", "seed"])
def test_what_was_finished_for_something_else_is_measured_again(
    data: Path, tmp_path: Path, change: str
) -> None:
    settings = EvaluateSettings(benchmarks=["nq"])
    evaluate(Canned(), settings, data, tmp_path / "out", 0)
    engine, seed = Canned(), 0
    if change == "model":
        engine.identity = "canned-2"
    elif change == "limit":
        settings = EvaluateSettings(benchmarks=["nq"], limit=2)
    elif change == "seed":
        seed = 1
    else:
        path = data / "NQ-open.dev.jsonl"
        path.write_text(path.read_text().replace("no 5", "no five"))
    evaluate(engine, settings, data, tmp_path / "out", seed)
    assert engine.asked == ["nq"]


def test_without_a_sandbox_programs_are_not_measured(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "sandbox_kind", lambda: None)
    engine = Canned()
    evaluate(engine, EvaluateSettings(benchmarks=["humaneval", "nq"]), data, tmp_path, 0)
    scores = read_json(tmp_path / "scores.json")
    assert engine.asked == ["nq"]
    assert list(scores["benchmarks"]) == ["nq"]
    assert "sandbox" in scores["not_measured"]["humaneval"]


def test_mistakes_come_before_any_work(data: Path, tmp_path: Path) -> None:
    engine = Canned()
    (data / "NQ-open.dev.jsonl").unlink()
    for settings, folder, message in [
        (EvaluateSettings(benchmarks=["mmlu", "nope"]), data, "no benchmark 'nope'"),
        (EvaluateSettings(benchmarks=[]), data, "is empty"),
        (EvaluateSettings(benchmarks=["mmlu", "nq"]), data, "NQ-open.dev.jsonl: no such file"),
        (EvaluateSettings(), tmp_path / "none", "none: no such folder"),
    ]:
        with pytest.raises(UserError, match=message):
            evaluate(engine, settings, folder, tmp_path / "out", 0)
    assert engine.asked == []


def named(path: Path, *pairs: tuple[str, str]) -> str:
    """A contamination.jsonl that names these items."""
    write_jsonl(path, [{"benchmark": b, "item": i, "rule": "verbatim"} for b, i in pairs])
    return str(path)


def test_contaminated_items_are_left_out(data: Path, tmp_path: Path) -> None:
    plain = EvaluateSettings(benchmarks=["mmlu", "nq"])
    evaluate(Canned(), plain, data, tmp_path / "out", 0)
    before = read_json(tmp_path / "out" / "scores.json")["benchmarks"]
    assert "excluded" not in before["mmlu"]
    pairs = [("mmlu", "abstract_algebra/1"), ("mmlu", "abstract_algebra/1"), ("nq", "nq/999")]
    path = named(tmp_path / "contamination.jsonl", *pairs, ("other", "world_religions/1"))
    settings = plain.model_copy(update={"exclude": path})
    engine = Canned()
    evaluate(engine, settings, data, tmp_path / "out", 0)
    after = read_json(tmp_path / "out" / "scores.json")["benchmarks"]
    assert engine.asked == ["mmlu"]  # nothing was left out of nq, which is not asked again
    assert (after["mmlu"]["n"], after["mmlu"]["excluded"]) == (before["mmlu"]["n"] - 1, 1)
    assert after["mmlu"]["groups"]["abstract_algebra"]["n"] == 3
    assert (after["nq"]["n"], after["nq"]["excluded"]) == (before["nq"]["n"], 0)
    ids = [row["id"] for row in rows(tmp_path / "out" / "items" / "mmlu.jsonl")]
    assert len(ids) == 5
    assert "abstract_algebra/1" not in ids


def test_mistakes_in_what_is_to_be_left_out(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "contamination.jsonl"
    everything = [("nq", f"nq/{number}") for number in range(1, 9)]
    engine = Canned()
    for content, message in [
        (None, "contamination.jsonl: no such file"),
        ("[1]\n", "line 1: no texts under benchmark and item"),
        ('{"benchmark": "nq", "item": "nq/1"}\n{"benchmark": "nq", "item": 1}\n', "line 2: no"),
        ("{", "line 1: broken JSON"),
        (everything, "names all 5 items of nq"),
    ]:
        if isinstance(content, str):
            path.write_text(content)
        elif content:
            named(path, *content)
        with pytest.raises(UserError, match=message):
            evaluate(
                engine, EvaluateSettings(benchmarks=["nq"], exclude=str(path)), data, tmp_path, 0
            )
    assert engine.asked == []


def test_a_local_model_gives_the_same_bytes_again(
    model_dir: Path, data: Path, tmp_path: Path
) -> None:
    settings = EvaluateSettings(benchmarks=["mmlu", "nq"])
    for name in ("one", "two"):
        facts = evaluate(LocalEngine(str(model_dir)), settings, data, tmp_path / name, 0)
        assert "cost" not in facts
    for name in ("scores.json", "items/mmlu.jsonl", "items/nq.jsonl"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_answers(tmp_path: Path) -> None:
    prompts = [Prompt(id=id, messages=[Turn(role="user", content=id)]) for id in ("x", "y")]
    facts = answer(Canned(Cost()), prompts, AnswersSettings(), tmp_path, 2, 0)
    assert facts["cost"]["calls"] == facts["answers"] == 4
    assert rows(tmp_path / "answers.jsonl")[1] == {
        "id": "y",
        "messages": [{"role": "user", "content": "y"}],
        "answers": [
            {"text": "y 0", "finish_reason": "stop"},
            {"text": "y 1", "finish_reason": "stop"},
        ],
    }
    assert "cost" not in answer(Canned(), prompts, AnswersSettings(), tmp_path, 1, 0)


def test_recorded_answers(tmp_path: Path) -> None:
    turns = [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"), ("user", "e")]
    spoken = [Turn(role=role, content=text) for role, text in turns]  # type: ignore[arg-type]
    dialogue = Dialogue(id="1", turns=spoken, source="own", cut=True)
    assert recorded([dialogue], tmp_path) == {"prompts": 1, "answers": 1}
    (row,) = rows(tmp_path / "answers.jsonl")
    assert [message["content"] for message in row["messages"]] == ["a", "b", "c"]
    assert row["answers"] == [{"text": "d", "finish_reason": "length"}]


@pytest.mark.realdata
def test_published_benchmarks_on_a_small_model(
    realdata: Path, model_dir: Path, tmp_path: Path
) -> None:
    settings = EvaluateSettings(benchmarks=["mmlu", "nq"], limit=66)
    evaluate(LocalEngine(str(model_dir)), settings, realdata, tmp_path, 0)
    scores = read_json(tmp_path / "scores.json")["benchmarks"]
    assert scores["mmlu"]["n"] == scores["nq"]["n"] == 66
    assert len(scores["mmlu"]["groups"]) == 33
