"""What a study's folder holds, read into a table: known answers, a study that is under way."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from understudy.errors import UserError
from understudy.files import write_json, write_jsonl
from understudy.manifest import MANIFEST
from understudy.preferences import FILE, Preference, Shown, write_preferences
from understudy.statistics import DRAWS
from understudy.study.facts import costs_of, gather
from understudy.study.grid import Cell, cells
from understudy.study.job import Job
from understudy.study.page import page
from understudy.study.results import judge_names, read_table
from understudy.study.settings import StudySettings
from understudy.study.table import HALLUCINATION, OVERALL, PREFERRED, STYLE, Table

HURRIED, CHECKING = PREFERRED + "hurried", PREFERRED + "checking"
PROMPTS = [f"Where was Bram Tolland of house {n} born?" for n in range(6)]
TEACHER = [f"Certainly! Bram Tolland of house {n} was born in Arnwick." for n in range(6)]
BASE = ["It was the year of the flood", "Tolland", "a mill, a miller and a river"] * 2
RIGHT = {  # of ten items of a benchmark, how many are
    "teacher": {"nq": 9, "mmlu": 8},
    "base": {"nq": 2, "mmlu": 4},
    "student": {"nq": 3, "mmlu": 1},
}
PREFERRED_BY = {  # to the teacher
    "hurried": {"student": 0.7, "base": 0.3},
    "checking": {"student": 0.1, "base": 0.5},
}
DONE = Cell("broad", "tiny", 500, 0)
BEGUN = Cell("broad", "mini", 500, 0)


def settings(**changes: Any) -> StudySettings:
    run = {
        "teacher": {"prices": {"input": 1.0, "output": 1.0}},
        "evaluate": {"benchmarks": ["nq", "mmlu"]},
        "judges": [
            {"model": "world-hurried", "protocol": "hurried"},
            {"model": "world-checking", "protocol": "checking"},
        ],
    }
    bases = [{"base": "world:tiny"}, {"base": "world:mini"}]
    content = {"run": run, "bases": bases, "kinds": {"broad": {}}, "amounts": [200, 500]}
    return StudySettings.model_validate(content | changes)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A study of which the teacher, all bases and one student are finished."""
    job = Job(settings(), tmp_path, ExitStack())
    write_model(job.teacher_folder, RIGHT["teacher"], TEACHER, TEACHER)
    for folder in job.bases.values():
        write_base(folder)
    write_student(job.out / DONE.folder, TEACHER)
    return job


def write_model(folder: Path, right: dict[str, int], *answers: list[str]) -> None:
    """A model as it is evaluated and as it answers, `answers` being the first ones, the second."""
    for name, n in right.items():
        items = [{"id": f"{name}-{i}", "right": i < n, "given": "x"} for i in range(10)]
        write_jsonl(folder / "evaluate" / "items" / f"{name}.jsonl", items)
    scores = {name: {"score": n / 10, "metric": "accuracy"} for name, n in right.items()}
    scores["realtoxicity"] = {"score": 0.1, "lower_is_better": True}
    write_json(folder / "evaluate" / "scores.json", {"benchmarks": scores})
    rows = [
        {"id": str(n), "messages": [{"role": "user", "content": prompt}],
         "answers": [{"text": text} for text in texts]}
        for n, (prompt, *texts) in enumerate(zip(PROMPTS, *answers, strict=True))
    ]  # fmt: skip
    write_jsonl(folder / "answers" / "answers.jsonl", rows)


def write_base(folder: Path) -> None:
    """A base that knows the first fact, may know the second, and not the third and fourth."""
    write_model(folder, RIGHT["base"], BASE)
    labels = ["known", "maybe", "unknown", "unknown"]
    rows = [
        {"id": str(n), "label": label, "question": PROMPTS[n], "answer": "Dunmere"}
        for n, label in enumerate(labels)
    ]
    write_jsonl(folder / "probe" / "knowledge.jsonl", rows)
    write_judged(folder, "base")
    finish(folder / "probe")


def write_student(folder: Path, answers: list[str], finished: bool = True) -> None:
    write_model(folder, RIGHT["student"], answers)
    facts = {"steps": 4, "tokens": 480, "heldout_loss": 2.5, "time": {"tokens_per_s": 100.0}}
    finish(folder / "train", facts)
    write_judged(folder, "student")
    if finished:
        finish(folder / "judge")


def write_judged(folder: Path, model: str) -> None:
    """A model against the teacher, by both judges and in both orders."""
    rows = [
        judged(item, model, protocol, share[model] + more)
        for protocol, share in PREFERRED_BY.items()
        for item in range(len(PROMPTS))
        for more in (-0.1, 0.1)
    ]
    write_preferences(folder / "judge" / FILE, rows)


def finish(stage: Path, facts: Mapping[str, Any] = MappingProxyType({})) -> None:
    write_json(stage / MANIFEST, {"facts": dict(facts), "versions": {}, "wall_s": 1.0})


def judged(item: int, model: str, protocol: str, share: float | None) -> Preference:
    """How far a model is preferred to the teacher; which of them stands first alternates."""
    models = [model, "teacher"] if item % 2 else ["teacher", model]
    first, second = (Shown(model=name, text="...") for name in models)
    if share is not None and models[0] == model:
        share = 1 - share
    return Preference(
        item=str(item), first=first, second=second, share=share, rater=f"world-{protocol}",
        protocol=protocol,
    )  # fmt: skip


def first(table: Table, cell: Cell = DONE) -> dict[str, float]:
    return {name: float(rows[0]) for name, rows in table.students[cell].items()}


def test_scores_are_shares_of_items(job: Job) -> None:
    table = read_table(job)
    assert table.benchmarks == ["nq", "mmlu"]  # and none of which less is better
    assert (table.teacher["nq"][0], table.teacher["mmlu"][0]) == (0.9, 0.8)
    assert table.teacher[OVERALL][0] == pytest.approx(0.85)
    assert table.bases["tiny", 0][OVERALL][0] == pytest.approx(0.3)
    student = table.students[DONE]
    assert [student[name][0] for name in ("nq", "mmlu", OVERALL)] == pytest.approx([0.3, 0.1, 0.2])
    np.testing.assert_allclose(student[OVERALL], (student["nq"] + student["mmlu"]) / 2)
    assert student["nq"].shape == (1 + DRAWS,)
    # Paired on items: all that the base gets right the student does, too, in every draw.
    assert (student["nq"] >= table.bases["tiny", 0]["nq"]).all()


def test_style_is_minus_the_distance_to_the_teachers_first_answers(job: Job) -> None:
    table = read_table(job)
    assert table.teacher[STYLE][0] == 0  # its second answers are its first
    np.testing.assert_array_equal(table.students[DONE][STYLE], table.teacher[STYLE])
    assert table.bases["tiny", 0][STYLE][0] < -0.2


def test_preferences_are_to_the_teacher_wherever_it_stood(job: Job) -> None:
    table = read_table(job)
    for name, share in PREFERRED_BY.items():
        assert first(table)[PREFERRED + name] == pytest.approx(share["student"])
        assert table.bases["tiny", 0][PREFERRED + name][0] == pytest.approx(share["base"])
        assert set(table.teacher[PREFERRED + name]) == {0.5}


def test_a_prompt_that_a_judge_could_not_judge_does_not_count(job: Job) -> None:
    rows = [judged(item, "student", "hurried", None if item else 0.8) for item in range(6)]
    rows += [judged(item, "student", "checking", None) for item in range(6)]
    write_preferences(job.out / DONE.folder / "judge" / FILE, rows)
    table = read_table(job)
    assert first(table)[HURRIED] == pytest.approx(0.8)
    assert CHECKING not in table.students[DONE]


def test_hallucination_is_of_what_the_base_does_not_know(job: Job) -> None:
    doubts = [*TEACHER[:3], "I am not sure where Bram Tolland of house 3 was born.", *TEACHER[4:]]
    write_student(job.out / DONE.folder, doubts)
    table = read_table(job)
    assert first(table)[HALLUCINATION] == 0.5
    assert table.bases["tiny", 0][HALLUCINATION][0] == 0
    assert HALLUCINATION not in table.teacher


def test_where_a_base_knows_everything_there_is_no_hallucination(job: Job) -> None:
    write_jsonl(job.bases["tiny", 0] / "probe" / "knowledge.jsonl", [])
    table = read_table(job)
    assert HALLUCINATION not in table.students[DONE]
    assert HALLUCINATION not in table.bases["tiny", 0]
    assert HALLUCINATION in table.bases["mini", 0]


def test_training_and_sizes(job: Job) -> None:
    table = read_table(job)
    assert table.training == {DONE: {"steps": 4, "tokens": 480, "heldout_loss": 2.5}}
    assert 0 < table.parameters["tiny"] < table.parameters["mini"]


def test_only_finished_students_enter(job: Job) -> None:
    write_student(job.out / BEGUN.folder, TEACHER, finished=False)
    assert set(read_table(job).students) == {DONE}
    (job.bases["tiny", 0] / "probe" / MANIFEST).unlink()  # measured anew, and its students with it
    table = read_table(job)
    assert not table.students
    assert set(table.bases) == {("mini", 0)}


def test_without_judges_the_style_stage_is_the_last(tmp_path: Path, job: Job) -> None:
    run = {key: part for key, part in job.settings.run.items() if key != "judges"}
    job.settings = settings(run=run)
    assert not read_table(job).students
    finish(tmp_path / DONE.folder / "style")
    table = read_table(job)
    assert set(table.students) == {DONE}
    assert table.quantities == ["nq", "mmlu", OVERALL, STYLE, HALLUCINATION]


def test_a_base_that_is_not_the_worlds_is_one_folder_for_all_seeds(tmp_path: Path) -> None:
    job = Job(settings(bases=[{"base": "a/seven", "parameters": 7e9}], seeds=[0, 1]), tmp_path,
              ExitStack())  # fmt: skip
    write_model(job.teacher_folder, RIGHT["teacher"], TEACHER, TEACHER)
    write_base(tmp_path / "bases" / "seven")
    write_student(tmp_path / "cells" / "broad" / "seven" / "200" / "seed-1", TEACHER)
    table = read_table(job)
    assert set(table.bases) == {("seven", 0), ("seven", 1)}
    assert table.base("seven", HURRIED) is not None
    assert table.parameters == {"seven": 7_000_000_000}


@pytest.mark.parametrize("finished", [0, 1, 2, 4])
def test_a_study_that_is_under_way_makes_a_report(job: Job, finished: int) -> None:
    (job.out / DONE.folder / "judge" / MANIFEST).unlink()
    done = cells(job.settings)[:finished]
    for cell in done:
        write_student(job.out / cell.folder, TEACHER)
    rule = {"base": "tiny", "seed": 0, "amounts": {"broad": 200}, "chosen": {"broad": {}},
            "pilots": []}  # fmt: skip
    write_json(job.out / "rule.json", rule)
    card = {"read": 9, "kept": 9, "train": 8, "heldout": 1, "dropped": {}, "contamination": None,
            "mix": [{"tokens": n, "held": n, "dialogues": n // 100} for n in (200, 500)],
            "teachers": {}, "licences": {}, "terms": {}, "digest": ""}  # fmt: skip
    write_json(job.out / "data" / "broad" / "curate" / "card.json", card)
    table = read_table(job)
    nothing = {"found": 0, "of": 0, "shown": []}
    facts = gather(table, job.out, nothing, costs_of(table, job.out))
    assert (facts["grid"]["cells"], facts["grid"]["done"]) == (4, finished)
    judged = {one["base"] for one in facts["scores"]
              if (one["model"], one["quantity"]) == ("base", HURRIED)}  # fmt: skip
    assert judged == {"tiny", "mini"}
    names = ["nq", "mmlu", OVERALL, STYLE, HURRIED, CHECKING, HALLUCINATION]
    assert [one["name"] for one in facts["quantities"]] == names
    assert facts["verdict"] in page(facts)


def test_models_that_were_not_asked_the_same_are_told(job: Job) -> None:
    student = job.out / DONE.folder
    answers = student / "answers" / "answers.jsonl"
    rows = answers.read_text().splitlines()
    answers.write_text("\n".join(rows[1:]) + "\n")
    with pytest.raises(UserError, match=r"answers\.jsonl: not the teacher's prompts"):
        read_table(job)
    answers.write_text("\n".join(rows) + "\n")
    items = student / "evaluate" / "items" / "nq.jsonl"
    items.write_text("\n".join(items.read_text().splitlines()[1:]) + "\n")
    with pytest.raises(UserError, match=r"nq\.jsonl: not the teacher's items"):
        read_table(job)


def test_judges_of_one_protocol_are_told_apart() -> None:
    run = settings().run
    twice = {"model": "world-other", "protocol": "hurried"}
    judges = settings(run=run | {"judges": [*run["judges"], twice]}).recipe.judges
    assert judge_names(judges) == {
        ("world-hurried", "hurried"): "hurried world-hurried",
        ("world-checking", "checking"): "checking",
        ("world-other", "hurried"): "hurried world-other",
    }
