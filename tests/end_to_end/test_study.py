"""A study from its file to its report, as a user runs it, and as it is disturbed."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import yaml

from end_to_end.commands import PRICES, Understudy, numbers_without_time
from understudy import load_study

STUDY: dict[str, Any] = {
    "name": "tiny",
    "run": {
        "teacher": {"base_url": "world", "prices": PRICES},
        "world": {"people": 40, "text_tokens": 20_000},
        "curate": {"heldout_max": 8},
        "train": {"context": 256, "batch_tokens": 512, "epochs": 1, "checkpoint_every_s": 0.5},
        "evaluate": {"limit": 10, "max_tokens": 16},
        "answers": {"prompts": "world:mixed", "n": 12, "max_tokens": 32},
        "judges": [
            {"model": "world-hurried", "prices": PRICES},
            {"model": "world-checking", "protocol": "checking", "prices": PRICES},
        ],
    },
    "bases": ["world:tiny"],
    "kinds": {
        "broad": {"collect": {"prompts": "world:broad", "n": 40}},
        "local": {"task": ["nq"], "collect": {"local": {"examples": "world:examples"}, "n": 40}},
    },
    "amounts": [200, 500],
    "seeds": [0, 1],
}
STUDENTS = [
    f"cells/{kind}/tiny/{amount}/seed-{seed}"
    for kind in STUDY["kinds"]
    for amount in STUDY["amounts"]
    for seed in STUDY["seeds"]
]
PARTS = {
    "name", "verdict", "supported", "not_supported", "findings", "grid", "quantities", "scores",
    "gaps", "training", "rule", "forecast", "advice", "gallery", "data", "figures", "cost", "time",
    "provenance", "not_measured",
}  # fmt: skip
INTERVAL = {"value", "low", "high"}


def write_study(folder: Path) -> Path:
    file = folder / "tiny.yaml"
    file.write_text(yaml.safe_dump(STUDY), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, here: Understudy) -> Path:
    """The folder of a finished tiny study (treat it as read-only), beside what it printed."""
    folder = tmp_path_factory.mktemp("study")
    done = here("study", write_study(folder), "--out", folder / "out", "--json")
    (folder / "printed.json").write_text(done.stdout)
    return folder / "out"


@pytest.fixture(scope="module")
def report(finished: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((finished / "report.json").read_text())
    return content


def test_the_report_is_what_it_prints_and_has_the_fixed_form(
    finished: Path, report: dict[str, Any]
) -> None:
    assert json.loads((finished.parent / "printed.json").read_text()) == report
    assert set(report) == PARTS
    assert report["grid"]["cells"] == report["grid"]["done"] == len(STUDENTS)
    assert len(report["training"]) == len(STUDENTS)
    names = [one["name"] for one in report["quantities"]]
    assert names == ["mmlu", "nq", "humaneval", "overall", "style", "preferred by hurried",
                     "preferred by checking", "hallucination"]  # fmt: skip
    students = len(STUDENTS) // len(STUDY["seeds"])
    gaps = {(gap["kind"], gap["base"], gap["amount"], gap["quantity"]) for gap in report["gaps"]}
    assert len(gaps) == len(report["gaps"]) == students * (len(names) - 1)  # no hallucination's
    rows = {model: [] for model in ("teacher", "base", "student")}  # type: dict[str, list[Any]]
    for row in report["scores"]:
        rows[row["model"]].append(row)
    assert {row["quantity"] for row in rows["student"]} == set(names)
    assert len(rows["student"]) == students * len(names)
    assert len(rows["base"]) == len(names)
    assert all(row["seeds"].keys() == {"0", "1"} for row in rows["base"] + rows["student"])
    assert all(row.keys() >= INTERVAL for row in report["scores"] + report["gaps"])
    assert [one["id"] for one in report["findings"]] == [
        "style_fast", "broad_flat", "bigger_base", "local_raises", "hallucination"
    ]  # fmt: skip
    for finding in report["findings"]:
        assert finding["verdict"] in ("seen", "not seen", "cannot tell")
        assert all(part.keys() >= INTERVAL for part in finding["parts"])
    assert set(report["rule"]["chosen"]) == set(STUDY["kinds"])


def test_everything_is_asked_and_made_once(finished: Path, report: dict[str, Any]) -> None:
    calls = {work: cost["calls"] for work, cost in report["cost"]["by_work"].items()}
    # Each against the teacher, in both orders, by two judges, on 12 prompts.
    assert calls["students: judge"] == len(STUDENTS) * 2 * 2 * 12
    assert calls["bases"] == len(list((finished / "bases").iterdir())) * 2 * 2 * 12
    assert calls["teacher"] == 3 * 10 + 2 * 12
    assert calls["collect broad"] == 40
    made = {path.parent.relative_to(finished).as_posix() for path in finished.rglob("log.jsonl")}
    pilots = {f"pilots/{kind}/candidate-0/train" for kind in STUDY["kinds"]}
    assert made == pilots | {f"{student}/train" for student in STUDENTS}


def test_amounts_are_nested(finished: Path) -> None:
    for kind in STUDY["kinds"]:
        folder = finished / "data" / kind / "curate"
        small, large = (
            (folder / name).read_text().splitlines() for name in ("train-200.jsonl", "train.jsonl")
        )
        assert 0 < len(small) < len(large)
        assert set(small) <= set(large)


def test_page_and_figures(finished: Path, report: dict[str, Any]) -> None:
    page = (finished / "report.html").read_text()
    assert report["verdict"].split(";")[0][:40] in page
    assert page.count("<svg") >= len(report["figures"]) > 0
    files = {path.name for path in (finished / "figures").iterdir()}
    wanted = {f"{f['id']}.{form}" for f in report["figures"] for form in ("svg", "png", "csv")}
    assert files == wanted
    for figure in report["figures"]:
        rows = (finished / "figures" / f"{figure['id']}.csv").read_text().splitlines()
        assert len(rows) == 1 + len(figure["rows"])


def test_a_second_start_does_nothing(finished: Path, here: Understudy) -> None:
    def files() -> dict[Path, int]:
        own = ("study.yaml", "rule.json", ".lock")  # written at every start, the same
        found = (path for path in finished.rglob("*") if path.is_file() and path.name not in own)
        return {path: path.stat().st_mtime_ns for path in found}

    before = files()
    again = here("study", finished.parent / "tiny.yaml", "--out", finished, "--json")
    assert files() == before
    assert again.stdout == (finished.parent / "printed.json").read_text()
    assert not [line for line in again.stderr.splitlines() if line.startswith("• ")]
    assert "8 of 8 students" in again.stderr


def test_a_dry_run_of_a_finished_study_has_nothing_left(finished: Path, here: Understudy) -> None:
    done = here("study", finished.parent / "tiny.yaml", "--out", finished, "--dry-run", "--json")
    plan = json.loads(done.stdout)
    assert all(step["done"] for step in plan["steps"])
    assert (plan["calls"], plan["usd"]) == (0, 0)


def test_python_reads_it(finished: Path, report: dict[str, Any]) -> None:
    study = load_study(finished)
    assert study.verdict == report["verdict"]
    assert set(study.findings["id"]) == {one["id"] for one in report["findings"]}
    assert study.cells.height == len(STUDENTS)
    first = report["figures"][0]
    assert study.figure(first["id"]).data.height == len(first["rows"])


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ("amounts=[500,200]", ["amounts of broad", "do not rise"]),
        ("rule.base=huge", ["rule.base", "huge", "tiny"]),
        ("run.teacher.model=world-oracle", ["world-oracle", "world-teacher"]),
        ("kinds.local.collect.local.examples=nowhere.jsonl", ["nowhere.jsonl", "no such file"]),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path, here: Understudy, change: str, names: list[str]
) -> None:
    out = tmp_path / "out"
    done = here("study", write_study(tmp_path), "--out", out, "--set", change, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert all(name in line for name in names)
    assert not (out / "data").exists()


# Disturbed

HITS = [  # whom, with what; each of the four in turn
    (os.killpg, signal.SIGINT),  # Ctrl-C at a terminal
    (os.killpg, signal.SIGKILL),
    (os.kill, signal.SIGINT),
    (os.kill, signal.SIGKILL),
]


@pytest.mark.slow
def test_ten_interruptions_change_no_number(tmp_path: Path, environment: dict[str, str]) -> None:
    """Moments are drawn over most of the time that an undisturbed study takes."""
    line = [sys.executable, "-m", "understudy", "study", str(write_study(tmp_path)), "--out"]

    def whole(folder: Path, env: dict[str, str]) -> dict[str, Any]:
        subprocess.run([*line, str(folder)], env=env, check=True, capture_output=True)
        return numbers_without_time(folder / "report.json")

    start = time.monotonic()
    expected = whole(tmp_path / "calm", environment | {"UNDERSTUDY_CACHE": str(tmp_path / "bases")})
    longest_s = 0.8 * (time.monotonic() - start)
    draw, hits, told, rounds = random.Random(0), cycle(HITS), list[str](), 0
    while len(told) < 10:
        rounds += 1
        folder = tmp_path / f"hit-{rounds}"
        env = environment | {"UNDERSTUDY_CACHE": str(tmp_path / f"bases-{rounds}")}
        while len(told) < 10:
            hit, number = next(hits)
            said = interrupted([*line, str(folder)], env, draw.uniform(1, longest_s), hit, number)
            if said is None:
                break
            told.append(said)
            print(said)
        assert whole(folder, env) == expected


def interrupted(
    line: list[str], env: dict[str, str], after_s: float, hit: Any, number: signal.Signals
) -> str | None:
    """Hit a command, or its whole group, after a while; what it said, or None if it had ended."""

    def heed() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # which a shell's background jobs do not

    with tempfile.TemporaryFile("w+") as words:
        process = subprocess.Popen(
            line, env=env, start_new_session=True, preexec_fn=heed, stdout=subprocess.DEVNULL,
            stderr=words,
        )  # fmt: skip
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=after_s)
            return None
        hit(process.pid, number)
        began = time.monotonic()
        code = process.wait(timeout=600)
        words.seek(0)
        took = f"after {after_s:.1f} s; {time.monotonic() - began:.1f} s later {code}"
        return f"{hit.__name__} {number.name} {took}:\n{words.read()}"
