"""What the seed systems' recipes would take at full size, with nothing of it at hand."""

import socket
from pathlib import Path
from typing import Any, NoReturn

import pytest

from understudy.errors import UserError
from understudy.plan import plan, plan_words
from understudy.recipe_file import load_recipe

RECIPES = Path(__file__).parents[2] / "recipes"
NAMES = (
    "alpaca",
    "distillation",
    "gpt4all",
    "koala",
    "nq-synthetic",
    "self-instruct",
    "sharegpt-mix",
    "vicuna",
)


@pytest.fixture(autouse=True)
def nothing_at_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: Any) -> NoReturn:
        raise AssertionError("a plan asks nobody")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)


def planned(name: str, *changes: str) -> dict[str, Any]:
    return plan(load_recipe(RECIPES / f"{name}.yaml", changes), Path("run"))


def step(found: dict[str, Any], stage: str) -> dict[str, Any]:
    return next(one for one in found["steps"] if one["stage"] == stage)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_planned_without_files_keys_weights_or_network(name: str) -> None:
    found = planned(name)
    assert found["usd"] > 0
    assert found["computed"]["seconds"] > 300
    assert found["computed"]["usd"] > 0
    assert not Path("run").exists()
    assert "A100" in plan_words(found)
    assert "computed: about " in plan_words(found)


def test_what_is_not_at_hand_is_counted_as_the_recipe_says() -> None:
    found = planned("vicuna")
    assert "70000 dialogues" in step(found, "train")["what"]
    notes = "\n".join(found["notes"])
    assert "sharegpt.json: not at hand; 70,000 dialogues of 180,000,000 tokens" in notes
    assert "question.jsonl: not at hand; 80 prompts" in notes
    # 6 operations a parameter and token (Kaplan et al. 2020, section 2.1), three epochs.
    seconds = 6 * 6_738_415_616 * 180_000_000 * 3 / 1e15
    assert step(found, "train")["seconds"] == pytest.approx(seconds, rel=1e-3)


def trained_s(name: str, *changes: str) -> float:
    return float(step(planned(name, *changes), "train")["seconds"])


def test_factors_beside_frozen_weights_take_two_thirds() -> None:
    full = trained_s("gpt4all", "train.lora=null")
    assert full == pytest.approx(1.5 * trained_s("gpt4all"), abs=0.1)


def test_a_teacher_that_reads_along_is_counted() -> None:
    alone = trained_s("distillation", "train.distil=null")
    taught = trained_s("distillation")
    assert taught / alone == pytest.approx(1 + 2 * 7_615_616_512 / (6 * 494_032_768), rel=1e-3)
    told = ("train.distil.teacher=ledger", "collect.top_logprobs=20")
    assert trained_s("distillation", *told) == alone
    # Writing runs at a tenth of the speed of passes, and takes a third of training's operations.
    writes = trained_s("distillation", "train.distil.on_policy=0.5")
    assert writes - taught == pytest.approx(0.5 * alone * 10 / 3, rel=1e-3)


def test_a_file_that_is_at_hand_is_counted_itself() -> None:
    turns = '[{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello there."}]'
    Path("sharegpt.json").write_text(f'[{{"id": "a", "conversations": {turns}}}]')
    found = planned("vicuna")
    assert step(found, "train")["what"].startswith("1 dialogues")
    assert "sharegpt" not in "\n".join(found["notes"])


def test_without_its_part_plan_what_is_missing_is_a_mistake() -> None:
    with pytest.raises(UserError, match=r"sharegpt\.json: no such file"):
        planned("vicuna", "plan=null", "base=world:tiny", "teacher=null", "judges=[]")


def test_a_part_plan_without_dialogues_does_not_hide_a_missing_file() -> None:
    with pytest.raises(UserError, match=r"sharegpt\.json: not at hand; .*plan\.dialogues"):
        planned("vicuna", "plan.dialogues=null")


def test_names_are_checked_all_the_same() -> None:
    with pytest.raises(UserError, match="no benchmark 'mmlo'"):
        planned("vicuna", "evaluate.benchmarks=[mmlo]")
