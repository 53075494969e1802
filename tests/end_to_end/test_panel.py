"""The panel from the command line; what its pages do is in tests/panel."""

import json
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from end_to_end.commands import Understudy
from panel.pairs import rate_all
from panel.runs import write_lines, write_run
from understudy.panel.store import Store
from understudy.preferences import read_preferences


@contextmanager
def served(environment: dict[str, str], run: Path, *arguments: str, **env: str) -> Iterator[Any]:
    """What `panel serve --json` says once the panel can be reached; Ctrl-C ends it."""
    line = [sys.executable, "-m", "understudy", "panel", "serve", str(run), "--port", "0", "--json"]
    process = subprocess.Popen(
        [*line, *arguments], env=environment | env, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    try:
        said = json.loads(process.stdout.readline())
        yield said
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
        assert process.stdout.read() == "", "one JSON object and nothing else"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def health(address: str) -> str:
    with urllib.request.urlopen(f"{address}/health", timeout=30) as answer:
        return answer.read().decode()


@pytest.fixture(scope="module")
def gold(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [{"prompt": "What is 1 + 1?", "better": "2", "worse": "3"}]
    return write_lines(tmp_path_factory.mktemp("gold") / "gold.jsonl", rows)


@pytest.fixture(scope="module")
def run(environment: dict[str, str], gold: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose panel was served once, by the command that a user would give."""
    folder = write_run(tmp_path_factory.mktemp("panel") / "run")
    options = ("--items", "4", "--gold", str(gold))
    with served(environment, folder, *options) as first:
        assert first["address"].startswith("http://127.0.0.1:")
        assert first["owner"] == first["address"] + "/owner"
        assert len(first["password"]) >= 16
        assert health(first["address"]) == "ok"
    with served(environment, folder, *options) as again:
        assert again["password"] is None, "shown once, at the first start"
    return folder


def database(run: Path) -> Store:
    return Store(str(run / "panel" / "panel.sqlite"))


def test_what_is_served_is_what_was_asked_for(run: Path) -> None:
    store = database(run)
    about = store.about()
    store.close()
    assert about["items_per_rater"] == 4
    assert about["decoding"]["temperature"] == 0.7
    assert not {"student", "teacher", "base"} & set(json.dumps(about).replace('"', " ").split())


def test_invited_raters_rate_and_the_owner_exports(
    run: Path, here: Understudy, tmp_path: Path
) -> None:
    said = json.loads(
        here("panel", "invite", run, "Ann", "Bob", "--protocol", "checking", "--json").stdout
    )
    assert list(said["links"]) == ["Ann", "Bob"]
    store = database(run)
    for link in said["links"].values():
        rater = store.rater_of(link.removeprefix("/join/"))
        assert rater is not None
        tasks = rate_all(store, rater)
        assert len(tasks) == 4 + 1 + 1, "four pairs, a gold pair and an attention check"
    rows = list(store.rows())
    store.close()

    out = tmp_path / "ratings.csv"
    exported = json.loads(here("panel", "export", run, "--out", out, "--json").stdout)
    assert exported == {"ratings": 12, "out": str(out), "preferences": 8, "left_out": []}
    preferences = list(read_preferences(run / "panel" / "preferences.jsonl"))
    assert {one.rater for one in preferences} == {"Ann", "Bob"}
    assert {one.share for one in preferences} == {0.25}

    again = here("panel", "import", run, out).stdout
    assert again == "0 of 12 ratings are new\n"
    found = json.loads(here("panel", "results", run, "--json").stdout)
    assert found["ratings"] == len(rows) == 12
    assert found["raters"]["Ann"]["gold"]["of"] == 1
    assert "checking: " in here("panel", "results", run).stdout
    flagged = [name for name, rater in found["raters"].items() if rater["flagged"]]
    less = json.loads(here("panel", "export", run, "--without-flagged", "--json").stdout)
    assert less["left_out"] == flagged
    assert less["preferences"] == 8 - 4 * len(flagged)
    assert less["out"] == str(run / "panel" / "ratings.jsonl")


def test_a_panel_can_be_of_two_files_and_move(
    run: Path, environment: dict[str, str], here: Understudy, tmp_path: Path
) -> None:
    """Ratings go from one database to another of the same pairs."""
    files = [f"--answers={who}={run}/answers/{who}/answers.jsonl" for who in ("base", "student")]
    places = [tmp_path / f"{name}.sqlite" for name in ("one", "other")]
    options = [*files, f"--database={places[0]}", "--title=Two small models"]
    with served(environment, tmp_path, *options, UNDERSTUDY_PANEL_PASSWORD="mine") as said:
        assert said["password"] is None
    shutil.copy(*places)
    one, other = (Store(str(place)) for place in places)
    assert one.owner_password_right("mine")
    about = {"title": "Two small models", "decoding": {}, "items_per_rater": None, "overlap": 3}
    assert one.about() == about
    tasks = rate_all(one, one.invite("Ann", "hurried")[0])
    one.close()
    assert len(tasks) == 21
    out = tmp_path / "ratings.jsonl"
    here("panel", "export", tmp_path, "--database", places[0], "--out", out)
    here("panel", "import", tmp_path, out, "--database", places[1])
    assert len(list(other.rows())) == 21
    other.close()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["serve", "RUN", "--items", "5"], "holds other pairs"),
        (["serve", "NOWHERE"], "holds no answers"),
        (["serve", "RUN", "--pairs", "student-student"], "--pairs student-student: write two of"),
        (["serve", "RUN", "--pairs", "student-me"], "--pairs student-me: write two of"),
        (["serve", "RUN", "--answers", "a=b"], "--answers: name two models"),
        (["serve", "RUN", "--host", "0.0.0.0"], "would cross the network in the clear"),
        (["serve", "RUN", "--host", "example.org"], "would cross the network in the clear"),
        (["serve", "RUN", "--database", "LEDGER"], "file is not a database"),
        (["serve", "RUN", "--quiet", "--database", "NEW"], "--quiet hides the owner's password"),
        (["invite", "NOWHERE", "Cid", "--protocol", "hurried"], "no panel there; start it with"),
        (["invite", "RUN", "", "--protocol", "hurried"], "a rater's name is"),
        (["import", "RUN", "NOWHERE"], "no such file"),
        (["export", "RUN", "--database", "postgresql://a:b@c/d"], "holds a password"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    run: Path, here: Understudy, tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    (tmp_path / "ledger.sqlite").write_text("x" * 5000, encoding="utf-8")
    places = {
        "RUN": run,
        "NOWHERE": tmp_path / "nowhere",
        "LEDGER": tmp_path / "ledger.sqlite",
        "NEW": tmp_path / "new.sqlite",
    }
    done = here("panel", *(places.get(word, word) for word in arguments), check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert complaint in " ".join(done.stderr.split())
    assert len(done.stderr.strip().splitlines()) == 1
