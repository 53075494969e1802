"""`understudy study` on the command line."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from understudy.cli.study import app
from understudy.files import write_json
from understudy.progress import console
from understudy.study import stage
from understudy.study.settings import StudySettings

REPORT = {
    "verdict": "Imitation learnt the accent.",
    "supported": ["Style closes fast: 93 % (85–100)."],
    "not_supported": ["Cannot tell: “Local imitation raises its own task”."],
}
STUDY: dict[str, Any] = {
    "name": "mine",
    "run": {
        "teacher": {"prices": {"input": 1.0, "output": 1.0}},
        "collect": {"n": 30},
        "world": {"people": 60},
        "answers": {"prompts": "world:mixed", "n": 4},
        "evaluate": {"limit": 8},
    },
    "bases": ["world:tiny"],
    "kinds": {"broad": {}},
    "amounts": [1000],
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[StudySettings, Path, int | None]]:
    """The studies that the command starts, each of which is over at once."""
    found: list[tuple[StudySettings, Path, int | None]] = []

    def study(settings: StudySettings, out: Path, workers: int | None = None) -> Path:
        found.append((settings, out, workers))
        write_json(out / "report.json", REPORT)
        return out

    monkeypatch.setattr(stage, "study", study)
    monkeypatch.setattr(console, "quiet", False)
    return found


def call(folder: Path, *options: str, **parts: Any) -> str:
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(STUDY | parts), encoding="utf-8")
    done = CliRunner().invoke(app, [str(file), *options], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_it_ends_with_what_was_found(tmp_path: Path, asked: list[Any]) -> None:
    out = tmp_path / "out"
    told = call(tmp_path, "--out", str(out), "--workers", "3", "--set", "seeds=[4]")
    assert told.splitlines() == [
        "",
        "Imitation learnt the accent.",
        "",
        "Seen: Style closes fast: 93 % (85–100).",
        "Cannot tell: “Local imitation raises its own task”.",
        "",
        f"Open {out / 'report.html'}",
    ]
    ((settings, folder, workers),) = asked
    assert (settings.seeds, folder, workers) == ([4], out, 3)


def test_json_is_the_report(
    tmp_path: Path, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert json.loads(call(tmp_path, "--json", "--quiet")) == REPORT
    assert asked[0][1] == Path("runs/mine")


def test_a_dry_run_starts_nothing(tmp_path: Path, asked: list[Any]) -> None:
    out = tmp_path / "out"
    found = json.loads(call(tmp_path, "--dry-run", "--json", "--out", str(out)))
    assert found["calls"] == 30 + 2 * 4 + 3 * 8
    assert "30 calls" in call(tmp_path, "--dry-run", "--out", str(out))
    assert not asked
    assert not out.exists()


def test_what_costs_money_is_agreed_on_first(
    tmp_path: Path, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, bool]] = []
    monkeypatch.setattr("understudy.cli.study.agreed", lambda *given: told.append(given))
    call(tmp_path, "--out", str(tmp_path / "out"))
    assert told == []  # the world's teacher costs nothing
    real = STUDY["run"] | {"teacher": {"base_url": "https://here", "model": "m"}}
    call(tmp_path, "--yes", "--out", str(tmp_path / "out"), run=real)
    ((words, yes),) = told
    assert "62 calls" in words
    assert yes
    assert len(asked) == 2
