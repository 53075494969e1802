"""`understudy evaluate`: killed and gone on with, over an API, compared, and used wrongly."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from end_to_end.commands import Understudy
from train.tiny_models import TOKENIZERS, build_model
from understudy.files import read_json, read_jsonl, write_jsonl
from understudy.recipe import TeacherSettings, WorldSettings
from understudy.world.benchmarks import write_benchmarks
from understudy.world.encyclopedia import World
from understudy.world.server import KEY_ENV, running_teacher

ITEMS, KILL_AT = 2000, 200
OWN = """
name: steps
kind: short
files: {test: steps.jsonl}
prompt: "Q: {{question}}\\nA:"
stop: ["\\n"]
max_tokens: 4
corrected: true
"""


def rows(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_jsonl(path)]


# A model of one's own, on a benchmark of one's own


@dataclass(frozen=True)
class Scored:
    """Two random models, and the scores of both from evaluations that nothing disturbed."""

    folder: Path
    benchmark: Path

    def line(self, out: Path, model: str = "gpt2") -> list[object]:
        return ["evaluate", self.folder / model, "--benchmarks", self.benchmark, "--out", out]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    """Models on disk; every second gold answer is what the first one says."""
    from understudy.evaluate.benchmarks import find_benchmark
    from understudy.evaluate.engines.local import LocalEngine

    folder = tmp_path_factory.mktemp("scored")
    for name in ("gpt2", "llama"):
        build_model(name).save_pretrained(folder / name)
        TOKENIZERS[name]().save_pretrained(folder / name)
    path = folder / "own.yaml"
    path.write_text(OWN)
    asked = [{"question": f"{n} and {n * n}?", "answers": "none"} for n in range(ITEMS)]
    write_jsonl(folder / "steps.jsonl", asked)
    benchmark = find_benchmark(str(path))
    said = LocalEngine(str(folder / "gpt2")).answer_shortly(benchmark, benchmark.items(None, None))
    for place, words in said:
        if place % 2 and words.texts[0]:
            asked[place]["answers"] = words.texts[0].strip()
    write_jsonl(folder / "steps.jsonl", asked)
    return Scored(folder, path)


def killed(line: list[object], part: Path, lines: int, env: dict[str, str]) -> bytes:
    """Start a command, kill it when a file has so many lines, and return what the file has."""
    command = [sys.executable, "-m", "understudy", *map(str, line)]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env=env, **silent)  # type: ignore[call-overload]
    try:
        while not part.exists() or part.read_bytes().count(b"\n") < lines:
            assert process.poll() is None
            time.sleep(0.002)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    return part.read_bytes()


def test_killed_it_goes_on_with_the_next_item(
    scored: Scored, tmp_path: Path, environment: dict[str, str], here: Understudy
) -> None:
    calm, out = tmp_path / "calm", tmp_path / "out"
    shown = json.loads(here(*scored.line(calm), "--json").stdout)
    assert shown == read_json(calm / "scores.json")
    steps = shown["benchmarks"]["steps"]
    assert (steps["metric"], steps["n"]) == ("exact_match", ITEMS)
    assert 0.3 < steps["low"] < steps["score"] < steps["high"] < 0.7

    part = out / "parts" / "steps.jsonl"
    left = killed(scored.line(out), part, KILL_AT, environment)
    whole = left[: left.rindex(b"\n") + 1]
    assert KILL_AT <= whole.count(b"\n") < ITEMS
    assert not (out / "scores.json").exists()
    words = here(*scored.line(out)).stdout
    assert words.startswith("steps: 0.")
    assert f"n = {ITEMS}, exact_match" in words
    now = part.read_bytes()
    assert now.startswith(whole)  # what was answered stands as it was
    answered = [row["item"] for row in rows(part)[1:]]
    assert len(answered) == len(set(answered)) == ITEMS
    assert read_json(out / "scores.json") == shown
    for own, others in zip(*(rows(f / "items/steps.jsonl") for f in (out, calm)), strict=True):
        assert own.pop("seconds") > 0
        assert others.pop("seconds") > 0
        assert own == others
    assert read_json(out / "lm_eval.json")["results"]["steps"]["sample_len"] == ITEMS

    # Once more, and nothing is asked.
    hits = tmp_path / "contamination.jsonl"
    write_jsonl(hits, [{"benchmark": "steps", "item": f"steps/{n}"} for n in (2, 4, 6)])
    words = here(*scored.line(out), "--contamination", hits).stdout
    assert ", 3 touched by the imitation set (0." in words
    assert part.read_bytes() == now
    words = here(*scored.line(out), "--exclude", hits).stdout
    assert f"n = {ITEMS - 3}, exact_match, 3 excluded" in words
    assert part.read_bytes() == now

    # The other model shares no answers, and the two are compared on the same items.
    other = tmp_path / "other"
    here(*scored.line(other, "llama"), "--quiet")
    found = json.loads(here("evaluate", "--compare", calm, other, "--json").stdout)
    compared = found["benchmarks"]["steps"]
    assert (compared["n"], compared["a"]) == (ITEMS, steps["score"])
    assert compared["difference"] == pytest.approx(compared["b"] - compared["a"], abs=1e-6)
    assert compared["low"] < compared["difference"] < compared["high"] < 0
    told = here("evaluate", "--compare", out, calm).stdout
    assert f"steps (exact_match, {ITEMS - 3:,} items)" in told
    assert "Cannot tell" in told
    assert "left out: 3 only in B" in told


# A teacher over its API

PEOPLE = 24


@pytest.fixture
def teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the world's teacher, whose log and benchmarks lie in `tmp_path`."""
    write_benchmarks(World(people=PEOPLE), tmp_path / "data")
    world = WorldSettings(people=PEOPLE)
    with running_teacher(world, TeacherSettings(), tmp_path / "log.jsonl") as started:
        monkeypatch.setenv(KEY_ENV, str(started.endpoints[0].key))
        yield started.base_url


def test_a_teachers_second_evaluation_costs_nothing(
    teacher: str, tmp_path: Path, here: Understudy
) -> None:
    line = ["evaluate", "world-teacher", "--base-url", teacher, "--api-key-env", KEY_ENV]
    line += ["--benchmarks", "mmlu,nq", "--data", str(tmp_path / "data"), "--limit", "12"]
    line += ["--out", str(tmp_path / "out"), "--teacher", "prices={input: 0.5, output: 1.5}"]
    first = here(*line, "--max-usd", "0.01", "--json")
    scores = json.loads(first.stdout)
    assert scores["prompting"] == "chat"
    assert scores["benchmarks"]["mmlu"]["score"] > 0.8
    assert scores["benchmarks"]["mmlu"]["harness"] is None
    assert len(rows(tmp_path / "log.jsonl")) == 24
    assert "24" in first.stderr  # what it was going to cost is said before
    assert (tmp_path / "out" / "ledger.sqlite").exists()
    again = here(*line, "--max-usd", "0.01", "--json")
    assert json.loads(again.stdout) == scores
    assert len(rows(tmp_path / "log.jsonl")) == 24
    assert {row["given"] for row in rows(tmp_path / "out/items/mmlu.jsonl")} <= set("ABCD")


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "name a model and a folder with --out, or two with --compare"),
        ("M", "name a model and a folder with --out"),
        ("./none --out O", "./none"),
        ("M --out O --benchmarks nope", "no benchmark 'nope'; choose from arc_challenge"),
        ("M --out O --benchmarks none.yaml", "none.yaml: no such file"),
        ("M --out O --benchmarks ,", "evaluate.benchmarks: is empty; name one"),
        ("M --out O --data none", "none: no such folder; name one with the published files"),
        ("M --out O --data .", "_test.csv: no such file; fetch it, or leave mmlu out"),
        ("M --out O --limit 0", "--set: limit"),
        ("M --out O --set engine=gpu", "--set: engine"),
        ("M --out O --set toxicity.samples=0", "--set: toxicity.samples"),
        ("M --out O --set sample=3", "--set: unknown key sample; known here: benchmarks, "),
        ("M --out O --benchmarks own.yaml --exclude none.jsonl", "none.jsonl: no such file"),
        ("M --out O --benchmarks own.yaml --contamination own.yaml", "own.yaml, line 2: broken"),
        ("m --out O --base-url http://127.0.0.1:9/v1 --api-key-env NO_KEY", "NO_KEY"),
        ("m --out O --base-url http://127.0.0.1:9/v1 --benchmarks ,", "is empty; name one"),
        ("m --out O --base-url http://127.0.0.1:9/v1 --benchmarks nope", "no benchmark 'nope'"),
        ("--compare none own", "none: no such folder; name one that understudy evaluate wrote"),
    ],
)
def test_mistakes_get_one_line(
    scored: Scored,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    here: Understudy,
    arguments: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text(OWN)
    write_jsonl(tmp_path / "steps.jsonl", [{"question": "1?", "answers": "2"}])
    line = [str(scored.folder / "gpt2") if word == "M" else word for word in arguments.split()]
    done = here("evaluate", *line, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    (error,) = [text for text in done.stderr.splitlines() if text.startswith("error: ")]
    assert message in error
    assert not list(tmp_path.glob("O/scores.json"))
