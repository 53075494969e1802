"""A study's runs: what they share, what each has for itself, and what decides whether it is done.

No base is pretrained: each is an empty folder here.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from understudy import parts
from understudy.errors import UserError
from understudy.files import write_text
from understudy.manifest import Stage
from understudy.study.grid import Cell, cells
from understudy.study.job import Job
from understudy.study.settings import StudySettings
from understudy.study.stage import _tasks

RULE = {"learning_rate": 7e-4, "epochs": 5.0, "tokens": 1, "seed": 99}
CELL = Cell("broad", "mini", 200, 1)


def made(folder: Path, **changes: Any) -> Job:
    run = {
        "teacher": {"base_url": "world"},
        "curate": {"contamination": {"action": "exclude"}},
        "train": {"learning_rate": 1e-3, "weight_decay": 0.2},
        "evaluate": {"benchmarks": ["nq", "mmlu"], "limit": 10},
        "answers": {"prompts": "world:mixed", "n": 6},
        "judges": [{"model": "world-hurried"}],
    }
    content = {
        "name": "mine",
        "run": run,
        "bases": [{"base": "world:tiny"}, {"base": "world:mini"}],
        "kinds": {
            "broad": {"collect": {"prompts": "world:broad", "n": 30}},
            "local": {
                "task": ["nq"],
                "amounts": [50, 70],
                "collect": {"local": {"examples": "world:examples"}, "n": 20},
                "curate": {"contamination": {"action": "report"}},
            },
        },
        "amounts": [200, 500, 900],
        "seeds": [0, 1],
    }
    return Job(StudySettings.model_validate(content | changes), folder, ExitStack())


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A study with its sets and answers, so that all stages have their keys."""

    def base_dir(world: Any, size: str, cache: Path, words: int, seed: int) -> Path:
        return write(tmp_path / "cache" / f"{size}-{seed}" / "weights").parent

    monkeypatch.setattr(parts, "base_dir", base_dir)
    job = made(tmp_path / "study")
    for kind in job.settings.kinds:
        for name in ("heldout.jsonl", "contamination.jsonl"):
            write(job.data(kind, "curate") / name)
        for amount in job.settings.amounts_of(kind):
            write(job.data(kind, "curate") / f"train-{amount}.jsonl")
        write(job.data(kind, "curate") / "train.jsonl")
        write(job.data(kind, "collect") / "dialogues.jsonl")
        for name in ("broad.jsonl", "examples.jsonl", "mixed.jsonl", "benchmarks/items"):
            write(job.data(kind, "world") / name)
    for folder in (job.teacher_folder, *job.bases.values()):
        write(folder / "answers" / "answers.jsonl")
    for cell in cells(job.settings):
        write(job.out / cell.folder / "train" / "model" / "weights")
        write(job.out / cell.folder / "answers" / "answers.jsonl")
    return job


def write(path: Path) -> Path:
    """A file whose content is its place in the study."""
    write_text(path, f"{path}\n")
    return path


def stages(job: Job, cell: Cell = CELL, rule: dict[str, Any] = RULE) -> dict[str, Stage]:
    return {stage.name: stage for stage in job.cell_stages(cell, rule)}


# Folders


def test_everything_has_its_folder(job: Job) -> None:
    shared = [(stage.name, stage.folder.relative_to(job.out)) for stage in job.shared_stages()]
    assert shared == [
        *((stage, Path("data/broad", stage)) for stage in ("world", "collect", "curate")),
        *((stage, Path("data/local", stage)) for stage in ("world", "collect", "curate")),
        ("evaluate teacher", Path("teacher/evaluate")),
        ("answers teacher", Path("teacher/answers")),
    ]
    base = [stage.folder.relative_to(job.out) for stage in job.base_stages("mini", 1)]
    measured = ("evaluate", "answers", "judge", "probe")
    assert base == [Path("bases/mini-s1", stage) for stage in measured]
    pilot = [stage.folder.relative_to(job.out) for stage in job.pilot_stages("local", 0)]
    assert pilot == [Path("pilots/local/candidate-0", stage) for stage in ("train", "evaluate")]
    own = [stage.folder.relative_to(job.out / CELL.folder) for stage in job.cell_stages(CELL, {})]
    assert own == [Path(name) for name in ("train", "evaluate", "answers", "style", "judge")]


def test_without_judges_style_is_the_last_stage(job: Job) -> None:
    job.settings.run.pop("judges")
    assert list(stages(job)) == ["train", "evaluate student", "answers student", "style"]
    assert "judge" not in [stage.name for stage in job.base_stages("mini", 1)]
    assert not [name for name, _ in job.measured_folders() if "judge" in name]


def test_seeds_share_a_base_that_exists_once(tmp_path: Path) -> None:
    bases = [{"base": "world:tiny"}, {"base": "huggyllama/llama-7b", "parameters": 7e9}]
    job = made(tmp_path, bases=bases)
    folders = {key: folder.name for key, folder in job.bases.items()}
    assert folders == {
        ("tiny", 0): "tiny-s0",
        ("tiny", 1): "tiny-s1",
        ("llama-7b", 0): "llama-7b",
        ("llama-7b", 1): "llama-7b",
    }
    tasks = _tasks(job, cells(job.settings), [])
    measured = [task.base for task in tasks if task.base]
    assert sorted(measured) == [("llama-7b", 0), ("tiny", 0), ("tiny", 1)]  # no folder twice
    needed = {str(task.cell): task.needs for task in tasks if task.cell}
    assert needed[str(Cell("broad", "llama-7b", 200, 1))] == {"base llama-7b, seed 0"}


def test_the_report_depends_on_every_models_files(job: Job) -> None:
    measured = dict(job.measured_folders())
    assert len(measured) == 2 + 4 * 4 + 4 * len(cells(job.settings))
    assert measured["teacher evaluate/items"] == job.teacher_folder / "evaluate" / "items"
    own = measured[f"{CELL} judge/preferences.jsonl"]
    assert own == job.out / "cells/broad/mini/200/seed-1/judge/preferences.jsonl"


# What a student is made of


def test_a_student_is_trained_under_the_rule_on_its_amount_and_seed(job: Job) -> None:
    train = job.cell_run(CELL, RULE).recipe.train
    assert (train.learning_rate, train.epochs, train.weight_decay) == (7e-4, 5.0, 0.2)
    assert (train.tokens, train.seed) == (200, 1)  # whatever a candidate says
    inputs = stages(job)["train"].inputs
    assert inputs["train"] == job.out / "data/broad/curate/train-200.jsonl"
    assert inputs["heldout"] == job.out / "data/broad/curate/heldout.jsonl"
    assert inputs["base"].name == "mini-1"
    largest = stages(job, Cell("local", "tiny", 70, 0))["train"].inputs
    assert largest["train"] == job.out / "data/local/curate/train.jsonl"


def test_students_and_bases_are_judged_against_the_teacher_once_each(job: Job) -> None:
    teacher = {"teacher": job.out / "teacher/answers/answers.jsonl"}
    base = {"base": job.out / "bases/mini-s1/answers/answers.jsonl"}
    student = {"student": job.out / CELL.folder / "answers/answers.jsonl"}
    assert stages(job)["style"].inputs == teacher | base | student
    assert stages(job)["judge"].inputs == teacher | student
    of_base = {stage.name: stage for stage in job.base_stages("mini", 1)}
    assert of_base["judge"].inputs == teacher | base


def test_pilots_are_of_one_base_seed_and_amount(job: Job) -> None:
    train = job.pilot_run("broad", 0).recipe.train
    assert (train.tokens, train.seed) == (500, 0)
    assert job.pilot_run("local", 0).recipe.train.tokens == 50
    assert job.pilot_base == "tiny"
    chosen = made(job.out, rule={"base": "mini", "amount": 70})
    assert chosen.pilot_base == "mini"
    assert (chosen.pilot_amount("broad"), chosen.pilot_amount("local")) == (500, 70)
    assert chosen.pilot_run("local", 0).recipe.base == "world:mini"


# What decides whether it is done


@pytest.mark.parametrize(
    ("other", "changed"),
    [
        (Cell("local", "mini", 50, 1), {"train"}),
        (Cell("broad", "mini", 500, 1), {"train"}),
        (Cell("broad", "tiny", 200, 1), {"judge"}),  # whose kin may be the base
        (Cell("broad", "mini", 200, 0), {"train"}),
    ],
)
def test_students_differ_in_how_they_are_made_and_are_measured_alike(
    job: Job, other: Cell, changed: set[str]
) -> None:
    one, another = stages(job), stages(job, other)
    assert {name for name in one if one[name].settings != another[name].settings} == changed


def test_a_rule_changes_the_training_alone(job: Job) -> None:
    one, another = stages(job), stages(job, rule={"learning_rate": 1e-5})
    assert {name for name in one if one[name].key() != another[name].key()} == {"train"}


def test_bases_of_two_seeds_are_two_bases_that_are_asked_the_same(job: Job) -> None:
    for one, another in zip(job.base_stages("tiny", 0), job.base_stages("tiny", 1), strict=True):
        assert one.settings == another.settings
        asked = ["answers", "answers"] if one.name == "judge" else ["tiny-0", "tiny-1"]
        assert [stage.inputs["base"].stem for stage in (one, another)] == asked


def test_sets_are_the_same_for_all_seeds(job: Job, tmp_path: Path) -> None:
    other = made(job.out, seeds=[0, 5, 6])
    for one, another in zip(job.shared_stages(), other.shared_stages(), strict=True):
        assert one.key() == another.key()


def test_all_models_are_scored_on_the_same_items(job: Job) -> None:
    """Also where a kind's set would have items that it touches left out or reported."""
    teacher = next(one for one in job.shared_stages() if one.name == "evaluate teacher")
    base = next(job.base_stages("mini", 1))
    measured = [teacher, base]
    measured += [stages(job, Cell(kind, "mini", n, 1))["evaluate student"]
                 for kind, n in (("broad", 200), ("local", 50))]  # fmt: skip
    for stage in measured:
        assert set(stage.inputs) <= {"data", "base", "student"}
        assert stage.inputs["data"] == job.out / "data/broad/world/benchmarks"
        shared = {name: stage.settings[name] for name in ("evaluate", "checked", "seed")}
        assert shared == {name: base.settings[name] for name in shared}


# Checks


def test_mistakes_are_found_before_anything_is_written(tmp_path: Path) -> None:
    out = tmp_path / "study"
    made(out).check()
    collect = {"prompts": str(tmp_path / "nowhere.jsonl"), "n": 5}
    with pytest.raises(UserError, match=r"nowhere\.jsonl: no such file"):
        made(out, kinds={"broad": {}, "other": {"collect": collect}}).check()
    with pytest.raises(UserError, match="world-oracle"):
        made(out, run={"teacher": {"base_url": "world", "model": "world-oracle"}}).check()
    assert not out.exists()


def test_the_ledger_is_the_studys_unless_it_names_one(tmp_path: Path) -> None:
    job = made(tmp_path)
    assert job.cell_run(CELL, {}).ledger == str(tmp_path / "ledger.sqlite")
    job.settings.run["ledger"] = "elsewhere.sqlite"
    assert job.base_run("tiny", 0).ledger == "elsewhere.sqlite"
