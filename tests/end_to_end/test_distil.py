"""Log-probabilities from a teacher's answers to a student's weights, and a model as a teacher."""

import json
from pathlib import Path
from typing import Any

import pytest

from end_to_end.commands import Understudy, write_recipe
from understudy.errors import UserError
from understudy.files import read_json
from understudy.recipe import TrainSettings
from understudy.train.stage import train
from understudy.train.watch import read_log
from understudy.world.bases import base_folder
from understudy.world.encyclopedia import World

TRAIN = {"context": 256, "epochs": 2, "batch_tokens": 512, "learning_rate": 3e-3, "dtype": "fp32"}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, here: Understudy) -> Path:
    """A run that asked for log-probabilities and learnt from them (treat it as read-only)."""
    folder = tmp_path_factory.mktemp("told")
    recipe = write_recipe(
        folder / "tiny.yaml",
        collect={"n": 60, "temperature": 1, "top_logprobs": 20},
        train=TRAIN | {"distil": {"weight": 0.5}},
    )
    here("run", recipe, "--out", folder / "run", "--until", "train")
    return folder / "run"


@pytest.fixture(scope="module")
def base(told: Path, environment: dict[str, str]) -> str:
    """The base of that run."""
    cache = Path(environment["UNDERSTUDY_CACHE"])
    return str(base_folder(World(0, 60), "tiny", cache, 20_000, 0) / "model")


def losses(out: Path) -> list[float]:
    return [row["loss"] for row in read_log(out / "log.jsonl") if "loss" in row]


def test_a_run_learns_from_what_its_ledger_has(told: Path) -> None:
    facts = read_json(told / "train" / "manifest.json")["facts"]
    spoken = facts["teacher_told"]
    assert spoken["called"] == spoken["dialogues"] == facts["dialogues"]
    assert spoken["spoken"] == spoken["answers"]
    assert 0.25 < spoken["told_share"] < 1
    taken = losses(told / "train")
    assert taken[-1] < 0.8 * taken[0]
    assert facts["heldout_loss"] < 0.8 * facts["heldout_loss_before"]


def test_the_command_takes_a_ledger_by_name(
    told: Path, base: str, here: Understudy, tmp_path: Path
) -> None:
    line = ["train", base, told / "curate" / "train.jsonl", "--out", tmp_path / "student"]
    changes = [f"{key}={value}" for key, value in TRAIN.items()]
    changes.append("distil.weight=1")
    line += [part for change in changes for part in ("--set", change)]
    done = here(*line, "--ledger", told / "ledger.sqlite", "--json")
    shown = json.loads(done.stdout)
    assert (
        shown["teacher_told"]
        == read_json(told / "train" / "manifest.json")["facts"]["teacher_told"]
    )
    taken = losses(tmp_path / "student")
    assert taken[-1] < 0.8 * taken[0]


def test_a_ledger_has_to_be_named(told: Path, base: str, tmp_path: Path) -> None:
    settings = TrainSettings.model_validate(TRAIN | {"distil": {}})
    with pytest.raises(UserError, match="name it with --ledger"):
        train(base, told / "curate" / "train.jsonl", None, settings, tmp_path, 0)


def test_a_model_teaches_its_whole_distribution_and_scores_the_students_own_words(
    told: Path, base: str, tmp_path: Path
) -> None:
    def learn(name: str, **changes: Any) -> list[dict[str, Any]]:
        distil = {"teacher": str(told / "train" / "model"), "weight": 1, **changes}
        settings = TrainSettings.model_validate(TRAIN | {"distil": distil})
        train(base, told / "curate" / "train.jsonl", None, settings, tmp_path / name, 0)
        return [row for row in read_log(tmp_path / name / "log.jsonl") if "loss" in row]

    whole = learn("whole")
    assert whole[-1]["loss"] < 0.5 * whole[0]["loss"]  # to 0, if it went on
    own = learn("own", on_policy=0.5, max_tokens=16, divergence="reverse")
    first, second = own[:2]
    dialogues = read_json(told / "train" / "manifest.json")["facts"]["dialogues"]
    assert first["supervised"] == whole[0]["supervised"]
    assert second["supervised"] < whole[1]["supervised"]
    assert sum(row["supervised"] for row in own[1::2]) <= 16 * dialogues * TRAIN["epochs"]
    assert own[-1]["loss"] < own[1]["loss"]
