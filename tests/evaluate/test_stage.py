"""The stages evaluate and answers: files, resuming, and what is said where nothing can run."""

from pathlib import Path
from typing import Any

import pytest

from evaluate.canned import Canned, Counting, Runs
from evaluate.conftest import write_lines
from understudy.dialogue import Dialogue, Turn
from understudy.errors import UserError
from understudy.evaluate import measure, stage
from understudy.evaluate.answers import answer, recorded
from understudy.evaluate.benchmarks import find_benchmark
from understudy.evaluate.engines.local import LocalEngine
from understudy.evaluate.score import item_digest
from understudy.evaluate.stage import evaluate, sampling_of
from understudy.files import read_json, read_jsonl
from understudy.prompts import Prompt
from understudy.recipe import AnswersSettings, EvaluateSettings
from understudy.teacher.client import Cost

ALL = EvaluateSettings(benchmarks=["mmlu", "nq", "humaneval", "realtoxicity"])


@pytest.fixture
def sandboxed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "sandbox_kind", lambda: "bubblewrap")
    monkeypatch.setattr(stage, "scorer_of", lambda *_: Counting())
    monkeypatch.setattr(measure, "run_trials", Runs())


def rows(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_jsonl(path)]


@pytest.mark.usefixtures("sandboxed")
def test_scores_and_items(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    facts = evaluate(Canned(), ALL, data, out, 0)
    scores = read_json(out / "scores.json")
    assert (scores["model"], scores["prompting"]) == ("canned", "text")
    assert scores["not_measured"] == {}
    mmlu, nq, humaneval, toxic = (scores["benchmarks"][name] for name in ALL.benchmarks)
    assert mmlu["score"] == pytest.approx(2 / 6, abs=1e-6)
    assert mmlu["low"] < mmlu["score"] < mmlu["high"]
    assert (mmlu["metric"], mmlu["shots"], mmlu["chance"]) == ("accuracy", 5, 0.25)
    assert mmlu["harness"] == {"task": "mmlu", "version": "2", "release": "0.4.13"}
    assert mmlu["groups"]["abstract_algebra"]["n"] == 4
    assert mmlu["groups"]["world_religions"]["score"] == 0.5
    assert {name: score["n"] for name, score in mmlu["categories"].items()} == {
        "stem": 4,
        "humanities": 2,
    }
    assert (nq["n"], nq["score"], nq["corrected"]["score"]) == (8, 0.75, 0.875)
    assert (humaneval["metric"], humaneval["score"]) == ("pass@1", 0.5)
    assert humaneval["corrected"]["score"] == 1.0
    assert (toxic["metric"], toxic["scorer"], toxic["n"]) == (
        "expected_maximum_toxicity",
        "counting",
        4,
    )
    assert toxic["score"] == 1.0  # 25 continuations, the longest of 169 characters
    assert facts == {
        "scores": {"mmlu": mmlu["score"], "nq": 0.75, "humaneval": 0.5, "realtoxicity": 1.0},
        "not_measured": {},
    }
    first = rows(out / "items" / "mmlu.jsonl")[0]
    assert first == {
        "id": "abstract_algebra/1",
        "prompt": item_digest(find_benchmark("mmlu").items(data, None)[0]),
        "right": True,
        "group": "abstract_algebra",
        "seconds": 0.5,
        "expected": "A",
        "log_likelihoods": [-1.0, -2.25, -3.0, -4.0],
        "given": "A",
    }
    programs = rows(out / "items" / "humaneval.jsonl")
    assert [(row["id"], row["right"], row["why"]) for row in programs] == [
        ("Own/0", True, "passed"),
        ("Own/1", False, "IndentationError"),
    ]


def test_perplexity_of_the_truth(data: Path, tmp_path: Path) -> None:
    settings = EvaluateSettings(benchmarks=["truth", "nq"])
    evaluate(Canned(), settings, data, tmp_path / "own", 0)
    truth = read_json(tmp_path / "own" / "scores.json")["benchmarks"]["truth"]
    assert (truth["metric"], truth["n"], truth["metrics"]["clipped"]["score"]) == (
        "perplexity",
        3,
        0.333333,
    )
    assert [row["tokens"] for row in rows(tmp_path / "own" / "items" / "truth.jsonl")] == [
        19,
        10,
        1,
    ]

    facts = evaluate(Canned(Cost()), settings, data, tmp_path / "api", 0)
    why = {"truth": "an API does not tell how likely a given text is"}
    assert facts["not_measured"] == why
    assert list(facts["scores"]) == ["nq"]


@pytest.mark.usefixtures("sandboxed")
def test_results_for_other_tools(data: Path, tmp_path: Path) -> None:
    settings = ALL.model_copy(update={"limit": 3})
    evaluate(Canned(), settings, data, tmp_path, 0)
    exported = read_json(tmp_path / "lm_eval.json")
    results = exported["results"]
    assert results["mmlu"]["acc,none"] == results["mmlu_stem"]["acc,none"] * 2 / 3 + 1 / 3
    assert results["nq_open"]["exact_match,remove_whitespace"] == pytest.approx(1)
    assert results["humaneval"]["pass@1,create_test"] == 0.5
    assert exported["higher_is_better"]["realtoxicity"]["expected_maximum_toxicity"] is False
    assert (exported["config"]["limit"], exported["model_name"]) == (3, "canned")


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize("paid", [False, True])
def test_killed_it_goes_on_with_the_next_item(data: Path, tmp_path: Path, paid: bool) -> None:
    def engine(dies_after: int | None = None) -> Canned:
        return Canned(Cost() if paid else None, dies_after)

    out, calm, first, second = tmp_path / "out", engine(), engine(dies_after=9), engine()
    expected = evaluate(calm, ALL, data, tmp_path / "calm", 0)
    with pytest.raises(KeyboardInterrupt):
        evaluate(first, ALL, data, out, 0)
    assert not (out / "scores.json").exists()
    assert evaluate(second, ALL, data, out, 0) == expected
    if paid:  # what was answered comes from the ledger, and its cost with it
        assert second.asked == calm.asked
        assert expected["cost"] == {
            "calls": 6 + 8 + 2 + 25 * 4,
            "prompt_tokens": 348,
            "completion_tokens": 116,
            "usd": 58.0,
        }
    else:
        assert [*first.asked, *second.asked] == calm.asked
        assert "cost" not in expected
    for name in ("scores.json", *(f"items/{name}.jsonl" for name in ALL.benchmarks)):
        assert (out / name).read_bytes() == (tmp_path / "calm" / name).read_bytes()


@pytest.mark.parametrize(
    ("change", "again"),
    [("nothing", 0), ("model", 8), ("form", 8), ("limit", 0), ("data", 1), ("seed", 0)],
)
def test_what_was_answered_by_something_else_is_asked_again(
    data: Path, tmp_path: Path, change: str, again: int
) -> None:
    settings = EvaluateSettings(benchmarks=["nq"])
    evaluate(Canned(), settings, data, tmp_path / "out", 0)
    engine, seed = Canned(), 0
    if change == "model":
        engine.identity = "canned-2"
    elif change == "form":
        engine.prompting = "chat"
    elif change == "limit":
        settings = EvaluateSettings(benchmarks=["nq"], limit=2)
    elif change == "seed":
        seed = 1
    elif change == "data":
        path = data / "NQ-open.dev.jsonl"
        path.write_text(path.read_text().replace("no 7", "no seven"))
    evaluate(engine, settings, data, tmp_path / "out", seed)
    assert len(engine.asked) == again


@pytest.mark.usefixtures("sandboxed")
def test_sampled_programs_are_drawn_anew_by_another_seed(data: Path, tmp_path: Path) -> None:
    settings = EvaluateSettings(benchmarks=["humaneval"], samples=3, temperature=0.8)
    for seed, again in ((0, 2), (0, 0), (1, 2)):
        engine = Canned()
        evaluate(engine, settings, data, tmp_path, seed)
        assert len(engine.asked) == again


def test_how_each_kind_is_drawn() -> None:
    settings = EvaluateSettings.model_validate(
        {"samples": 20, "temperature": 0.8, "max_tokens": 99, "toxicity": {"samples": 5}}
    )
    programs = sampling_of(find_benchmark("humaneval"), settings, 7)
    assert (programs.samples, programs.temperature, programs.top_p) == (20, 0.8, 1.0)
    assert (programs.max_tokens, programs.seed) == (99, 7)
    texts = sampling_of(find_benchmark("realtoxicity"), settings, 7)
    assert (texts.samples, texts.temperature, texts.top_p, texts.max_tokens) == (5, 1.0, 0.9, 20)
    greedy = sampling_of(find_benchmark("gsm8k"), settings, 7)
    assert (greedy.samples, greedy.temperature, greedy.max_tokens) == (1, 0.0, 256)
    assert sampling_of(find_benchmark("humaneval"), EvaluateSettings(), 0).max_tokens == 1024


def test_without_a_sandbox_programs_are_not_measured(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "sandbox_kind", lambda: None)
    engine = Canned()
    evaluate(engine, EvaluateSettings(benchmarks=["humaneval", "nq"]), data, tmp_path, 0)
    scores = read_json(tmp_path / "scores.json")
    assert len(engine.asked) == 8
    assert list(scores["benchmarks"]) == ["nq"]
    assert "sandbox" in scores["not_measured"]["humaneval"]
    assert list(read_json(tmp_path / "lm_eval.json")["results"]) == ["nq_open"]


OWN = """
name: rivers
kind: short
files: {test: rivers.jsonl}
prompt: "Q: {{question}}\\nA:"
"""


def own(folder: Path) -> str:
    """A benchmark of the user's own; the path of its declaration."""
    write_lines(
        folder / "rivers.jsonl", [{"question": f"River {i}", "answers": f"no {i}"} for i in (2, 7)]
    )
    path = folder / "flowing.yaml"
    path.write_text(OWN)
    return str(path)


def test_a_benchmark_of_ones_own_goes_by_the_name_that_it_gives_itself(
    data: Path, tmp_path: Path
) -> None:
    settings = EvaluateSettings(benchmarks=["nq", own(tmp_path)])
    evaluate(Canned(), settings, data, tmp_path / "out", 0)
    scores = read_json(tmp_path / "out" / "scores.json")["benchmarks"]
    assert (scores["rivers"]["score"], scores["rivers"]["harness"]) == (0.5, None)
    assert [row["id"] for row in rows(tmp_path / "out" / "items" / "rivers.jsonl")] == [
        "rivers/1",
        "rivers/2",
    ]


def test_mistakes_come_before_any_work(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PERSPECTIVE_API_KEY", raising=False)
    engine = Canned()
    one, two = (own(tmp_path / name) for name in ("one", "two"))
    (data / "gsm8k" / "test.jsonl").unlink()
    for benchmarks, folder, message in [
        (["mmlu", "nope"], data, "no benchmark 'nope'"),
        ([], data, "is empty"),
        (["mmlu", "gsm8k"], data, r"gsm8k/test\.jsonl: no such file"),
        (["mmlu"], tmp_path / "none", "none: no such folder"),
        (["mmlu", one, two], data, "two are called rivers; rename one"),
        (["mmlu", "realtoxicity"], data, "PERSPECTIVE_API_KEY is not set"),
    ]:
        with pytest.raises(UserError, match=message):
            evaluate(engine, EvaluateSettings(benchmarks=benchmarks), folder, tmp_path / "out", 0)
    assert engine.asked == []


def test_a_local_model_gives_the_same_scores_again(
    model_dir: Path, data: Path, tmp_path: Path
) -> None:
    settings = EvaluateSettings(benchmarks=["mmlu", "nq"])
    for name in ("one", "two"):
        facts = evaluate(LocalEngine(str(model_dir)), settings, data, tmp_path / name, 0)
        assert "cost" not in facts
    one, two = ((tmp_path / name / "scores.json").read_bytes() for name in ("one", "two"))
    assert one == two
    for name in settings.benchmarks:
        first, second = (rows(tmp_path / out / "items" / f"{name}.jsonl") for out in ("one", "two"))
        assert all(row.pop("seconds") > 0 for row in (*first, *second))
        assert first == second


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
