"""report.json's content: what was measured as it was measured, and time apart from all else."""

import math
from pathlib import Path
from typing import Any

import pytest

from study.made_study import AMOUNTS, BASES, GALLERY, settings, small_settings, table, write_folder
from understudy.files import read_json, write_json
from understudy.statistics import interval
from understudy.study import facts as facts_module
from understudy.study.facts import costs_of, gather, scores_of, title, training_of
from understudy.study.grid import Cell
from understudy.study.table import HALLUCINATION, STYLE


@pytest.fixture
def unforeseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without forecast and advice, which have tests of their own and take seconds."""
    monkeypatch.setattr(facts_module, "forecast", lambda table: {"predictions": []})
    monkeypatch.setattr(facts_module, "advice", lambda table, costs: {"usd": 100.0})


def gathered(folder: Path, finished: int | None = None, **changes: Any) -> dict[str, Any]:
    study = settings(**changes)
    measured = table(study, finished)
    return gather(measured, folder, GALLERY, costs_of(measured, folder))


def test_scores_are_the_tables(tmp_path: Path) -> None:
    measured = table()
    rows = scores_of(measured)
    assert len(rows) == len(measured.teacher) + 8 * (len(BASES) + 2 * len(BASES) * len(AMOUNTS))
    student = next(
        row
        for row in rows
        if (row["kind"], row["base"], row["amount"]) == ("local", "small", 30_000)
        and row["quantity"] == "nq"
    )
    drawn = measured.student("local", "small", 30_000, "nq")
    assert drawn is not None
    assert student["parameters"] == BASES["small"]
    assert {name: student[name] for name in ("value", "low", "high")} == interval(drawn)
    own = measured.students[Cell("local", "small", 30_000, 2)]["nq"][0]
    assert student["seeds"]["2"] == pytest.approx(own, abs=1e-6)
    assert student["low"] < student["value"] < student["high"]


def test_an_unfinished_study_tells_what_is_there(tmp_path: Path, unforeseen: None) -> None:
    facts = gathered(write_folder(tmp_path), finished=7)
    assert (facts["grid"]["cells"], facts["grid"]["done"]) == (90, 7)
    assert len(facts["training"]) == 7
    assert facts["not_measured"][0] == "83 of the 90 students: they are not finished."
    students = [one for one in facts["scores"] if one["model"] == "student"]
    assert {one["base"] for one in students} == {cell.base for cell in table(finished=7).students}


def test_time_is_apart(tmp_path: Path, unforeseen: None) -> None:
    quick = gathered(write_folder(tmp_path / "quick", wall_s=1.5))
    slow = gathered(write_folder(tmp_path / "slow", wall_s=700.25))
    assert quick.pop("time")["total_s"] < slow.pop("time")["total_s"]
    assert quick == slow


def test_costs_add_up_by_what_they_were_for(tmp_path: Path, unforeseen: None) -> None:
    cost = gathered(write_folder(tmp_path))["cost"]
    by_work = cost["by_work"]
    assert list(by_work) == ["collect broad", "collect local", "teacher", "students: judge"]
    assert by_work["students: judge"]["calls"] == 90 * 400
    assert cost["usd"] == pytest.approx(90 * 0.05 + 2 * 0.41 + 0.021 + 0.03)


def test_what_nobody_knows_the_price_of_has_none(tmp_path: Path, unforeseen: None) -> None:
    folder = write_folder(tmp_path)
    path = folder / "data" / "local" / "collect" / "manifest.json"
    manifest = read_json(path)
    manifest["facts"]["cost"]["usd"] = None
    write_json(path, manifest)
    assert gathered(folder)["cost"]["usd"] is None
    prices = costs_of(table(), folder).usd_per_token
    assert prices == {"broad": pytest.approx(0.41 / (300_000 - 41)), "local": None}


def test_speed_is_looked_up_only_where_hours_cost_something(tmp_path: Path) -> None:
    def flops(**hardware: Any) -> float:
        study = small_settings().model_copy(
            update={"hardware": settings(hardware=hardware).hardware}
        )
        return costs_of(table(study), write_folder(tmp_path, study)).flops

    assert flops(flops=1e12, usd_per_hour=2.0) == 1e12
    assert flops() == math.inf
    middle = (150_000 + 4_900_000) / 2  # of the students' bases, half each
    assert flops(usd_per_hour=2.0) == pytest.approx(6 * middle * 2_000)


def test_epochs_are_those_of_the_rule(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    rule = read_json(folder / "rule.json")
    rule["chosen"] = {"broad": {"epochs": 3.0}, "local": {"learning_rate": 1e-4}}
    write_json(folder / "rule.json", rule)
    assert costs_of(table(), folder).epochs == {"broad": 3.0, "local": 1.0}


def test_training_is_in_the_order_of_the_grid() -> None:
    rows = training_of(table())
    assert [row["base"] for row in rows[::15]] == [*BASES, *BASES]
    assert rows[0] == {
        "kind": "broad",
        "base": "tiny",
        "amount": 3_000,
        "seed": 0,
        **table().training[Cell("broad", "tiny", 3_000, 0)],
    }


def test_quantities_have_names_for_people() -> None:
    names = ("nq", STYLE, HALLUCINATION, "preferred by hurried", "my own")
    assert [title(name) for name in names] == [
        "Natural Questions",
        "Style",
        "Hallucination",
        "Preferred by hurried judge",
        "my own",
    ]


def test_what_others_wrote_is_bounded(tmp_path: Path, unforeseen: None) -> None:
    folder = write_folder(tmp_path)
    path = folder / "data" / "broad" / "curate" / "card.json"
    write_json(path, read_json(path) | {"terms": {"a\u202eb": "x" * 9_000 + "\x00"}})
    terms = gathered(folder)["data"]["broad"]["terms"]
    assert list(terms) == ["a�b"]
    assert len(terms["a�b"]) < 1_300


def test_leakage_is_told(tmp_path: Path, unforeseen: None) -> None:
    folder = write_folder(tmp_path)
    for kind, found in {"broad": None, "local": {"nq": {"of": 400, "items": 0}}}.items():
        path = folder / "data" / kind / "curate" / "card.json"
        write_json(path, read_json(path) | {"contamination": found})
    (told,) = [one for one in gathered(folder)["not_measured"] if one.startswith("Leakage")]
    assert told.endswith("broad data were not searched, either; in local data, no item found.")
