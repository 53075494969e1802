"""Judging as a user does it: over HTTP by the world's judges, killed and gone on with."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from end_to_end.commands import Understudy, requests_answered_twice
from understudy.files import read_jsonl, write_jsonl
from understudy.recipe import TeacherSettings, WorldSettings
from understudy.teacher.ledger import Ledger
from understudy.teacher.wire import Teacher
from understudy.world.encyclopedia import World
from understudy.world.prompts import write_prompts
from understudy.world.server import running_teacher

KEY_ENV = "UNDERSTUDY_TEST_JUDGE_KEY"
WORLD = WorldSettings(people=120)
LOOKS = (
    "Great question! Here is what you need to know.\n\n1. Many people ask for this.\n2. It is well "
    "known to be so.\n\nIn summary, that is all there is to it.\n\nLet me know if you have any "
    "further questions."
)


@pytest.fixture
def teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Teacher]:
    """The world's server, with its log in teacher.jsonl."""
    with running_teacher(WORLD, TeacherSettings(), tmp_path / "teacher.jsonl") as started:
        assert started.endpoints[0].key
        monkeypatch.setenv(KEY_ENV, started.endpoints[0].key)
        yield started


def write_answers(folder: Path, count: int) -> list[str]:
    """Prompts, `plain` answers that are right as far as the reference tells, and `styled` ones."""
    path = folder / "prompts.jsonl"
    write_prompts(World(WORLD.seed, WORLD.people), "mixed", count, path)
    prompts = [row for _, row in read_jsonl(path)]
    for name in ("plain", "styled"):
        rows = []
        for row in prompts:
            text = LOOKS if name == "styled" else row.get("reference", "I do not know.")
            asked = [{"role": "user", "content": row["prompt"]}]
            rows.append({"id": row["id"], "messages": asked, "answers": [{"text": text}]})
        write_jsonl(folder / name / "answers.jsonl", rows)
    return [str(folder / "plain"), str(folder / "styled"), "--prompts", str(path)]


def write_judges(path: Path, teacher: Teacher, **changes: Any) -> list[str]:
    """The world's two judges at the server, as a file."""
    address = {"base_url": teacher.base_url, "api_key_env": KEY_ENV, "concurrency": 4}
    judges = [
        {"model": "world-hurried", "protocol": "hurried"},
        {"model": "world-checking", "protocol": "checking"},
    ]
    path.write_text(json.dumps([judge | address | changes for judge in judges]), encoding="utf-8")
    return ["--judges", str(path)]


def comparisons(facts: dict[str, Any]) -> dict[str, Any]:
    return {row["protocol"]: row for row in facts["preferences"]["comparisons"]}


def test_a_hurried_judge_sees_style_and_a_checking_one_facts(
    tmp_path: Path, teacher: Teacher, here: Understudy
) -> None:
    asked = write_answers(tmp_path, 30)
    judges = write_judges(tmp_path / "judges.yaml", teacher, top_logprobs=5)
    line = ["judge", *asked, *judges, "--out", tmp_path / "judged"]
    facts = json.loads(here(*line, "--json").stdout)
    assert facts == json.loads((tmp_path / "judged" / "judge.json").read_text())
    assert {one["judge"]: one["failures"] for one in facts["judges"]} == {
        "world-hurried": {},
        "world-checking": {},
    }
    assert [(one["judgements"], one["weighted"]) for one in facts["judges"]] == [(60, 60)] * 2
    found = comparisons(facts)
    assert found["hurried"]["models"] == found["checking"]["models"] == ["plain", "styled"]
    assert found["hurried"]["win_rate"]["high"] < 0.5
    assert found["checking"]["win_rate"]["low"] > 0.5
    assert found["checking"]["swapped"]["same"]["value"] > 0.9

    told = here(*line)
    assert "0 calls" in told.stderr  # all of it is in the ledger
    for words in ("plain over styled", "the first shown", "swapped", "at equal length", "failed:"):
        assert words in told.stdout


def test_scores(tmp_path: Path, teacher: Teacher, here: Understudy) -> None:
    asked = write_answers(tmp_path, 20)
    judges = write_judges(tmp_path / "judges.yaml", teacher, protocol="scores")
    line = ["judge", *asked, *judges, "--out", tmp_path / "judged"]
    facts = json.loads(here(*line, "--json").stdout)
    shares = {
        row["rater"]: row["scores"]["share_of_baseline"]["plain"]
        for row in facts["preferences"]["comparisons"]
    }
    assert shares["world-hurried"]["high"] < 1 < shares["world-checking"]["low"]
    assert [one["failures"] for one in facts["judges"]] == [{}, {}]
    assert "of styled's total score (" in here(*line).stdout


def test_grades(tmp_path: Path, teacher: Teacher, here: Understudy) -> None:
    asked = write_answers(tmp_path, 8)
    judges = write_judges(tmp_path / "judges.yaml", teacher)
    done = here("judge", *asked, *judges, "--grade", "--out", tmp_path / "judged", "--json")
    facts = json.loads(done.stdout)
    means = {
        (one["judge"], name): row["mean"]
        for one in facts["judges"]
        for name, row in one["models"].items()
    }
    assert means["world-hurried", "styled"] > means["world-hurried", "plain"]
    assert means["world-checking", "styled"] < means["world-checking", "plain"]
    assert [one["failures"] for one in facts["judges"]] == [{}, {}]


def answered(log: Path) -> set[str]:
    """Digests of the requests that the server answered."""
    rows = [row for _, row in read_jsonl(log)]
    assert all(row["status"] == 200 for row in rows)
    return {row["digest"] for row in rows}


def kill_and_compare(folder: Path, teacher: Teacher, here: Understudy, count: int) -> None:
    """An undisturbed run against one that is killed with half of the judgements made."""
    line = ["judge", *write_answers(folder, count)]
    line += write_judges(folder / "judges.yaml", teacher)
    log = folder / "teacher.jsonl"
    here(*line, "--out", folder / "calm")
    asked = answered(log)
    assert requests_answered_twice(log) == 0
    log.write_text("")

    hit = [*line, "--out", str(folder / "hit"), "--quiet"]
    process = subprocess.Popen([sys.executable, "-m", "understudy", *hit])
    while len(log.read_text().splitlines()) < len(asked) // 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with Ledger(folder / "hit" / "ledger.sqlite") as ledger:
        recorded = {hashlib.sha256(call.request.encode()).hexdigest() for call in ledger.calls()}
    log.write_text("")
    here(*hit)

    assert 0 < len(recorded) < len(asked)
    assert not recorded & answered(log)
    assert asked - recorded <= answered(log)
    for name in ("judgements.jsonl", "preferences.jsonl", "judge.json"):
        assert (folder / "hit" / name).read_bytes() == (folder / "calm" / name).read_bytes()
    rows = [row for _, row in read_jsonl(folder / "hit" / "judgements.jsonl")]
    assert len({(row["item"], row["first"], row["judge"]) for row in rows}) == 4 * count
    assert len(rows) == 4 * count


def test_nothing_is_lost_to_a_kill(tmp_path: Path, teacher: Teacher, here: Understudy) -> None:
    kill_and_compare(tmp_path, teacher, here, 12)


@pytest.mark.slow
def test_nothing_of_a_thousand_judgements_is_lost_to_a_kill(
    tmp_path: Path, teacher: Teacher, here: Understudy
) -> None:
    kill_and_compare(tmp_path, teacher, here, 250)


def test_wrong_commands_are_answered_in_one_line(tmp_path: Path, here: Understudy) -> None:
    asked = write_answers(tmp_path, 2)
    one = ["--model", "m", "--base-url", "http://127.0.0.1:9/v1"]
    out = ["--out", tmp_path / "judged"]
    for line, said in (
        ([], "name models' answers and a folder"),
        ([*asked, *out], "name a judge with --model"),
        ([*asked, *out, "--model", "m"], "name a judge with --model and --base-url"),
        ([*asked, *out, *one, "--judges", "judges.yaml"], "name a judge"),
        ([*asked, *out, *one, "--baseline", "teacher"], "no model is called teacher"),
        ([*asked, *out, *one, "--protocol", "kind"], "protocol"),
        ([*asked[2:], *out, *one], "name models' answers"),
        ([asked[0], *asked[2:], *out, *one], "answers of two models"),
        ([asked[3], *asked[:2], *out, *one], "holds no answers"),
    ):
        done = here("judge", *line, check=False)
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "judged" / "judge.json").exists()


@pytest.mark.realdata
def test_annotations_and_reviews(realdata: Path, here: Understudy) -> None:
    files = realdata / "alpaca_eval"
    one = files / "alpaca-7b.alpaca_eval_gpt4.annotations.json.gz"
    other = files / "gpt-3.5-turbo-0301.alpaca_eval_gpt4.annotations.json.gz"
    found = json.loads(here("judge", "--annotations", one, "--json").stdout)
    keys = {"win_rate", "standard_error", "length_controlled_win_rate", "n"}
    assert keys <= set(found)
    assert (round(found["win_rate"], 2), found["n"]) == (26.46, 805)
    both = json.loads(here("judge", "--annotations", one, other, "--json").stdout)
    assert [row["model"] for row in both["models"]] == ["alpaca-7b", "gpt-3.5-turbo-0301"]
    assert "alpaca-7b over text_davinci_003" in here("judge", "--annotations", one).stdout

    vicuna = realdata / "vicuna80"
    line = ["judge", "--reviews", vicuna / "review_gpt35_vicuna-13b.jsonl"]
    line += [vicuna / "answer_gpt35.jsonl", vicuna / "answer_vicuna-13b.jsonl"]
    assert list(json.loads(here(*line, "--json").stdout)["totals"].values()) == [693.0, 638.0]
    assert "92.1 %" in here(*line).stdout
