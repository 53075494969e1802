"""What a study would take: everything once, nothing asked, nothing written."""

import socket
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

from understudy.errors import UserError
from understudy.files import write_json
from understudy.manifest import MANIFEST
from understudy.study.plan import plan_study, study_words
from understudy.study.settings import StudySettings, load_study

RECIPES = Path(__file__).parents[2] / "recipes"
FALSE_PROMISE = RECIPES / "false-promise.yaml"
PRICES = {"input": 0.5, "output": 1.5}
TINY: dict[str, Any] = {
    "name": "tiny",
    "run": {
        "teacher": {"base_url": "world", "prices": PRICES},
        "world": {"people": 60, "text_tokens": 20_000},
        "collect": {"n": 60},
        "evaluate": {"limit": 24, "max_tokens": 32},
        "answers": {"prompts": "world:mixed", "n": 10},
        "judges": [{"model": "world-hurried", "prices": PRICES}],
    },
    "bases": [
        {"base": "world:tiny", "parameters": 1e6},
        {"base": "world:small", "parameters": 1e7},
    ],
    "kinds": {
        "broad": {},
        "local": {
            "task": ["nq"],
            "amounts": [500, 1000],
            "collect": {"n": 40, "local": {"examples": "world:examples", "per_request": 4}},
        },
    },
    "amounts": [1000, 4000, 8000],
    "seeds": [0, 1],
    "rule": {"candidates": [{"learning_rate": 1e-3}, {"learning_rate": 1e-4, "epochs": 3}]},
    "hardware": {"flops": 1e10, "usd_per_hour": 2.0},
}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> NoReturn:
        raise AssertionError("a plan asks nobody")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudySettings:
    monkeypatch.setenv("UNDERSTUDY_CACHE", str(tmp_path / "cache"))
    return made(tmp_path)


def made(folder: Path, *changes: str) -> StudySettings:
    file = folder / "tiny.yaml"
    file.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    return load_study(file, list(changes))


def steps(found: dict[str, Any], stage: str, about: str = "") -> list[dict[str, Any]]:
    return [one for one in found["steps"] if one["stage"] == stage and about in one["what"]]


def finish(folder: Path, *stages: str) -> None:
    for stage in stages:
        write_json(folder / stage / MANIFEST, {})


def test_what_students_share_is_counted_once(tiny: StudySettings, tmp_path: Path) -> None:
    out = tmp_path / "study"
    found = plan_study(tiny, out)
    assert found["grid"] == (
        "2 bases × (3 amounts of broad + 2 amounts of local) × 2 seeds = 20 students"
    )
    collected = 60 + 40 // 2  # half of four new pairs a call are kept
    # Each student and each base against the teacher, in both orders.
    judged = 2 * 10 * (20 + 2 * 2)
    assert found["calls"] == collected + 3 * 24 + 2 * 10 + judged
    assert found["usd"] == pytest.approx(
        (0.5 * found["input_tokens"] + 1.5 * found["output_tokens"]) / 1e6, abs=1e-3
    )
    assert not out.exists()
    assert [len(steps(found, "base", size)) for size in ("tiny", "small")] == [1, 1]
    assert "2 times" in steps(found, "base", "small")[0]["what"]


def test_training_is_six_operations_a_parameter_and_token(
    tiny: StudySettings, tmp_path: Path
) -> None:
    found = plan_study(tiny, tmp_path / "study")
    (trained,) = steps(found, "train", "small, 6 students of broad")
    tokens = 2 * (1000 + 4000 + 8000) * 3  # seeds, and the epochs of the longer candidate
    assert trained["seconds"] == pytest.approx(6 * 1e7 * tokens / 1e10, abs=0.06)
    (pilots,) = steps(found, "train", "2 candidates for broad: 4,000 tokens each")
    assert "tiny" in pilots["what"]  # the middle base, the lower of two
    computed = found["seconds"] - found["computed"]["seconds"]
    asked = sum(step["seconds"] for step in found["steps"] if step["calls"])
    assert computed == pytest.approx(asked, abs=0.5)
    busy = found["computed"]
    assert busy["usd"] == pytest.approx(busy["seconds"] / 3600 * 2, abs=1e-3)


def test_what_is_there_is_done(tiny: StudySettings, tmp_path: Path) -> None:
    out = tmp_path / "study"
    before = plan_study(tiny, out)
    finish(out / "data" / "broad", "collect", "curate")
    finish(out / "teacher", "evaluate")
    finish(out / "bases" / "small-s1", "evaluate", "answers", "judge", "probe")
    stages = ("train", "evaluate", "answers", "style", "judge")
    finish(out / "cells" / "broad" / "small" / "8000" / "seed-1", *stages)
    after = plan_study(tiny, out)
    assert before["calls"] - after["calls"] == 60 + 3 * 24 + 2 * 10 * 2
    assert steps(after, "collect", "60 prompts")[0]["done"]
    assert not steps(after, "collect", "40 pairs")[0]["done"]
    assert steps(after, "evaluate", "small, the base")[0]["what"].endswith(", 1 done already")
    assert "small, 6 students of broad: 18,000 tokens" in steps(after, "train", "small")[0]["what"]
    halved = steps(after, "answers", "small, the base")[0]["seconds"]
    assert halved == pytest.approx(
        steps(before, "answers", "small, the base")[0]["seconds"] / 2, abs=0.06
    )


def test_the_rule_decides_on_epochs_once_it_is_there(tiny: StudySettings, tmp_path: Path) -> None:
    chosen = {"broad": {"learning_rate": 1e-3}, "local": {"epochs": 3}}
    write_json(tmp_path / "study" / "rule.json", {"chosen": chosen})
    found = plan_study(tiny, tmp_path / "study")
    assert "epochs" not in steps(found, "train", "students of broad")[0]["what"]
    assert "epochs: 3" in steps(found, "train", "students of local")[0]["what"]


def test_a_set_that_is_too_small_is_told(tmp_path: Path, tiny: StudySettings) -> None:
    assert plan_study(tiny, tmp_path / "study")["notes"] == []
    short = made(tmp_path, "amounts=[1000, 100000]")
    (note,) = plan_study(short, tmp_path / "study")["notes"]
    assert note.startswith("broad: about ")
    assert "100,000; raise collect.n" in note


def test_words_hold_the_sums(tiny: StudySettings, tmp_path: Path) -> None:
    found = plan_study(tiny, tmp_path / "study")
    words = study_words(found)
    assert f"{found['calls']:,} calls" in words
    assert f"cost about ${found['usd']:.2f}" in words
    assert words.endswith("Nothing has been spent.")
    unpriced = made(tmp_path, "run.teacher.prices=null", "run.judges=[]")
    assert "cost unknown" in study_words(plan_study(unpriced, tmp_path / "study"))


# The experiment of the paper


def test_the_papers_experiment_is_planned_with_nothing_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_study(FALSE_PROMISE)
    found = plan_study(settings, tmp_path / "study")
    assert list(tmp_path.iterdir()) == []
    assert "= 90 students" in found["grid"]
    (benchmarks,) = steps(found, "evaluate teacher")
    assert benchmarks["what"] == "mmlu 14042, nq 3610, humaneval 164"
    assert benchmarks["calls"] == 14_042 + 3_610 + 164
    assert [note.split(":")[0] for note in found["notes"]] == [
        "mmlu, nq, humaneval",
        "heldout.jsonl",
        "prompts.jsonl",
    ]
    (trained,) = steps(found, "train", "llama-7b, 18 students of broad")
    tokens = 3 * sum(settings.amounts)
    assert trained["seconds"] == pytest.approx(6 * 6_738_415_616 * tokens / 1e15, abs=0.1)
    assert 0 < found["usd"] < settings.recipe.budget.max_usd
    asked_at_once = plan_study(
        load_study(FALSE_PROMISE, ["run.collect.batch=false"]), tmp_path / "study"
    )
    (batched,), (single,) = (steps(one, "collect", "700000") for one in (found, asked_at_once))
    cost = (single["input_tokens"] * 0.5 + single["output_tokens"] * 1.5) / 1e6
    assert asked_at_once["usd"] - found["usd"] == pytest.approx(cost / 2, abs=0.01)
    assert batched["seconds"] == 24 * 3600


def test_the_papers_experiment_is_as_published() -> None:
    settings = load_study(FALSE_PROMISE)
    assert settings.base_names == ["gpt2-xl", "llama-7b", "llama-13b"]
    assert [settings.amounts[0], *settings.amounts[-3:]] == [
        300_000,
        20_000_000,
        80_000_000,
        150_000_000,
    ]
    assert settings.rule.candidates[0] == {"optimizer": "scaled_adamw", "learning_rate": 2e-3}
    local = settings.recipe_of("local", "llama-7b")
    assert (local.collect.n, local.collect.local.shown) == (6_000, 5)
    assert (local.train.epochs, local.train.batch_dialogues) == (1, 32)
    assert local.evaluate.benchmarks == ["mmlu", "nq", "humaneval"]
    assert max(settings.amounts_of("local")) < 40 * local.collect.n  # tokens a pair


def test_a_base_that_is_not_at_hand_needs_its_parameters(tmp_path: Path) -> None:
    settings = load_study(FALSE_PROMISE, ["bases=[huggyllama/llama-7b]", "rule.base=null"])
    with pytest.raises(UserError, match=r"huggyllama/llama-7b is not at hand.*parameters"):
        plan_study(settings, tmp_path / "study")


def test_ones_own_benchmark_is_counted_from_its_files(tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    declared: dict[str, Any] = {
        "name": "mine",
        "kind": "short",
        "prompt": "{{question}}",
        "files": {"test": "mine.jsonl"},
    }
    own.write_text(yaml.safe_dump(declared), encoding="utf-8")
    rows = '{"question": "One?", "answers": "1"}\n{"question": "Two?", "answers": "2"}\n'
    (tmp_path / "mine.jsonl").write_text(rows, encoding="utf-8")
    change = f"run.evaluate.benchmarks=[nq, {own}]"
    found = plan_study(load_study(FALSE_PROMISE, [change]), tmp_path / "study")
    assert steps(found, "evaluate teacher")[0]["what"] == "nq 3610, mine 2"
    del declared["files"]
    own.write_text(yaml.safe_dump(declared | {"hub": {"name": "some/where"}}), encoding="utf-8")
    with pytest.raises(UserError, match=r"mine\.yaml: its items are not at hand"):
        plan_study(load_study(FALSE_PROMISE, [change]), tmp_path / "study")
    limited = load_study(FALSE_PROMISE, [change, "run.evaluate.limit=50"])
    found = plan_study(limited, tmp_path / "study")
    assert steps(found, "evaluate teacher")[0]["what"] == "nq 50, mine 50"


@pytest.mark.realdata
def test_files_at_hand_are_counted(realdata: Path, tmp_path: Path) -> None:
    settings = load_study(
        FALSE_PROMISE,
        [f"run.evaluate.data={realdata}", "run.evaluate.benchmarks=[nq, humaneval, gsm8k]"],
    )
    found = plan_study(settings, tmp_path / "study")
    assert steps(found, "evaluate teacher")[0]["what"] == "nq 3610, humaneval 164, gsm8k 1319"
    assert not any("as published" in note for note in found["notes"])
