"""A recipe from its teacher to a verdict, as a user runs it."""

import json
from pathlib import Path
from typing import Any

import pytest

from end_to_end.commands import (
    Understudy,
    numbers_without_time,
    requests_answered_twice,
    write_recipe,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, understudy: Understudy) -> Path:
    """The folder of a finished tiny run (treat it as read-only)."""
    folder = tmp_path_factory.mktemp("finished")
    understudy("run", write_recipe(folder / "tiny.yaml"), "--out", folder / "run")
    return folder / "run"


def stages_run(stderr: str) -> list[str]:
    return [line[2:] for line in stderr.splitlines() if line.startswith("• ")]


def test_report_has_the_fixed_shape(finished: Path) -> None:
    report = json.loads((finished / "report.json").read_text())
    assert report["verdict"]
    assert set(report["models"]) == {"teacher", "base", "student"}
    assert set(report["gap_closed"]) == {"mmlu", "nq", "humaneval"}
    for closed in report["gap_closed"].values():
        assert {"value", "low", "high"} <= set(closed)
    assert report["cost"]["calls"] == 60 + 2 * 10 + 3 * 24
    assert report["cost"]["usd"] > 0
    html = (finished / "report.html").read_text()
    assert report["verdict"].split(":")[0][:30] in html


def test_the_teacher_was_asked_each_request_once(finished: Path) -> None:
    assert requests_answered_twice(finished / "teacher.jsonl") == 0


def test_second_run_does_nothing(finished: Path, understudy: Understudy) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("manifest.json")}
    again = understudy("run", finished.parent / "tiny.yaml", "--out", finished)
    assert stages_run(again.stderr) == []
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("manifest.json")} == before


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("report.samples=1", ["report"]),
        ("train.epochs=1", ["train", "evaluate student", "answers student", "style", "report"]),
        (
            "evaluate.limit=12",
            ["evaluate base", "evaluate student", "evaluate teacher", "report"],
        ),
    ],
)
def test_change_runs_exactly_what_depends_on_it(
    finished: Path, understudy: Understudy, tmp_path: Path, change: str, expected: list[str]
) -> None:
    import shutil

    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    recipe = finished.parent / "tiny.yaml"
    changed = understudy("run", recipe, "--out", copy, "--set", change)
    assert stages_run(changed.stderr) == expected


def test_json_is_one_object_and_words_go_to_stderr(finished: Path, understudy: Understudy) -> None:
    done = understudy("run", finished.parent / "tiny.yaml", "--out", finished, "--json")
    shown: dict[str, Any] = json.loads(done.stdout)
    assert shown["run"] == str(finished)
    quiet = understudy("run", finished.parent / "tiny.yaml", "--out", finished, "--quiet", "--json")
    assert quiet.stderr == ""


def test_until_stops_after_its_stage(tmp_path: Path, understudy: Understudy) -> None:
    recipe = write_recipe(tmp_path / "tiny.yaml")
    understudy("run", recipe, "--out", tmp_path / "run", "--until", "curate")
    assert (tmp_path / "run/curate/manifest.json").exists()
    assert not (tmp_path / "run/train").exists()


def test_dry_run_prints_a_plan_and_spends_nothing(tmp_path: Path, understudy: Understudy) -> None:
    recipe = write_recipe(tmp_path / "tiny.yaml")
    done = understudy("run", recipe, "--out", tmp_path / "run", "--dry-run", "--json")
    plan = json.loads(done.stdout)
    assert plan["calls"] == 60 + 2 * 10 + 3 * 24
    assert plan["usd"] > 0
    assert not (tmp_path / "run").exists()


def test_two_runs_of_one_recipe_agree(
    finished: Path, understudy: Understudy, tmp_path: Path
) -> None:
    understudy("run", finished.parent / "tiny.yaml", "--out", tmp_path / "run")
    first, second = finished / "report.json", tmp_path / "run/report.json"
    assert numbers_without_time(first) == numbers_without_time(second)


def test_stage_report_and_inspect_read_a_run(finished: Path, understudy: Understudy) -> None:
    found = json.loads(understudy("inspect", finished, "--json").stdout)
    assert found["kind"] == "run"
    assert {"collect", "curate", "train", "style", "report"} <= set(found["stages"])
    for path, kind in [("ledger.sqlite", "ledger"), ("train/model", "model")]:
        assert json.loads(understudy("inspect", finished / path, "--json").stdout)["kind"] == kind
    data = understudy("inspect", finished / "curate/train.jsonl", "--json").stdout
    assert json.loads(data)["dialogues"] > 40
