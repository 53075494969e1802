"""A recipe from its teacher to a verdict, as a user runs it."""

import json
import shutil
from pathlib import Path

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


JUDGED = 2 * 2 * 3 * 10  # judges, orders, pairs of models, prompts


def stages_run(stderr: str) -> list[str]:
    return [line[2:] for line in stderr.splitlines() if line.startswith("• ")]


def test_report_has_the_fixed_shape(finished: Path) -> None:
    report = json.loads((finished / "report.json").read_text())
    assert report["verdict"]
    assert set(report["models"]) == {"teacher", "base", "student"}
    assert set(report["gap_closed"]) == {"mmlu", "nq", "humaneval"}
    for closed in report["gap_closed"].values():
        assert {"value", "low", "high"} <= set(closed)
    assert report["cost"]["calls"] == 60 + 2 * 10 + 3 * 24 + JUDGED
    assert report["cost"]["usd"] > 0
    html = (finished / "report.html").read_text()
    assert report["verdict"].split(":")[0][:30] in html


def test_the_teacher_was_asked_each_request_once(finished: Path) -> None:
    assert requests_answered_twice(finished / "teacher.jsonl") == 0


def test_second_run_does_nothing(finished: Path, here: Understudy) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("manifest.json")}
    again = here("run", finished.parent / "tiny.yaml", "--out", finished, "--json")
    assert stages_run(again.stderr) == []
    assert "✓ report: done already" in again.stderr
    assert json.loads(again.stdout)["run"] == str(finished)  # one object, and nothing else
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("manifest.json")} == before
    quiet = here("run", finished.parent / "tiny.yaml", "--out", finished, "--quiet", "--json")
    assert (quiet.stderr, quiet.stdout) == ("", again.stdout)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("report.samples=1", ["report"]),
        (
            "train.epochs=1",
            ["train", "evaluate student", "answers student", "style", "judge", "report"],
        ),
        (
            "evaluate.limit=12",
            ["evaluate base", "evaluate student", "evaluate teacher", "report"],
        ),
    ],
)
def test_change_runs_exactly_what_depends_on_it(
    finished: Path, here: Understudy, tmp_path: Path, change: str, expected: list[str]
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    recipe = finished.parent / "tiny.yaml"
    changed = here("run", recipe, "--out", copy, "--set", change)
    assert stages_run(changed.stderr) == expected


def test_until_stops_after_its_stage(tmp_path: Path, here: Understudy) -> None:
    recipe = write_recipe(tmp_path / "tiny.yaml")
    here("run", recipe, "--out", tmp_path / "run", "--until", "curate")
    assert (tmp_path / "run/curate/manifest.json").exists()
    assert not (tmp_path / "run/train").exists()


def test_dry_run_prints_a_plan_and_spends_nothing(tmp_path: Path, here: Understudy) -> None:
    recipe = write_recipe(tmp_path / "tiny.yaml")
    done = here("run", recipe, "--out", tmp_path / "run", "--dry-run", "--json")
    plan = json.loads(done.stdout)
    assert plan["calls"] == 60 + 2 * 10 + 3 * 24 + JUDGED
    assert plan["usd"] > 0
    often = ("--set", "evaluate.samples=5")
    done = here("run", recipe, "--out", tmp_path / "run", "--dry-run", "--json", *often)
    assert json.loads(done.stdout)["calls"] == plan["calls"] + 4 * 24  # programs
    assert not (tmp_path / "run").exists()


def test_two_runs_of_one_recipe_agree(finished: Path, here: Understudy, tmp_path: Path) -> None:
    here("run", finished.parent / "tiny.yaml", "--out", tmp_path / "run")
    first, second = finished / "report.json", tmp_path / "run/report.json"
    assert numbers_without_time(first) == numbers_without_time(second)


def test_stage_report_and_inspect_read_a_run(finished: Path, here: Understudy) -> None:
    found = json.loads(here("inspect", finished, "--json").stdout)
    assert found["kind"] == "run"
    assert {"collect", "curate", "train", "style", "report"} <= set(found["stages"])
    for path, kind in [("ledger.sqlite", "ledger"), ("train/model", "model")]:
        assert json.loads(here("inspect", finished / path, "--json").stdout)["kind"] == kind
    data = here("inspect", finished / "curate/train.jsonl", "--json").stdout
    assert json.loads(data)["dialogues"] > 40
