"""The ledger's commands: what they print, what they write and how they exit."""

import json
from pathlib import Path
from typing import Any

import pytest

from end_to_end.commands import Understudy
from teacher.postgres import own_schema, server
from teacher.records import answered, tamper
from understudy.files import read_jsonl
from understudy.teacher.ledger import Call, Ledger

CALLS = [answered(n) for n in range(5)] + [answered(5, model="\x1b[31mn", usd=None, created=2e9)]


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as made:
        made.record(CALLS)
    return path


def ask(here: Understudy, *arguments: object, code: int = 0) -> Any:
    """The one JSON object that a ledger command prints."""
    done = here("ledger", *arguments, "--json", check=False)
    assert (done.returncode, done.stderr) == (code, "")
    (line,) = done.stdout.splitlines()
    return json.loads(line)


def rows_of(path: Path) -> list[Any]:
    return [row for _, row in read_jsonl(path)]


def test_list_shows_the_newest_first(ledger: Path, here: Understudy) -> None:
    rows = ask(here, "list", ledger, "-n", 2)["calls"]
    assert [row["key"] for row in rows] == [CALLS[5].key, CALLS[4].key]
    assert rows[1] == {
        "key": CALLS[4].key,
        "model": "m",
        "recipe": "desk",
        "sample": 4,
        "finish_reason": "stop",
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "usd": 0.5,
        "when": "2023-11-14 22:13:24+00:00",
        "asked": "Question 4?",
    }
    words = here("ledger", "list", ledger).stdout
    first, *others = words.splitlines()
    assert len(others) == 5
    assert "price unknown" in first
    assert "\x1b" not in words  # what a name holds steers no terminal
    assert here("ledger", "list", ledger, "-n", "0", check=False).returncode == 2


def test_sum_by_model_day_and_recipe(ledger: Path, here: Understudy) -> None:
    m = {"calls": 5, "prompt_tokens": 15, "completion_tokens": 10, "usd": 2.5}
    n = {"calls": 1, "prompt_tokens": 3, "completion_tokens": 2, "usd": None}
    assert ask(here, "sum", ledger)["model"] == {CALLS[5].model: n, "m": m}
    days = ask(here, "sum", ledger, "--by", "day")["day"]
    assert days == {"2023-11-14": m, "2033-05-18": n}
    assert "desk: 6 calls, 18 tokens in" in here("ledger", "sum", ledger, "--by", "recipe").stdout
    wrong = here("ledger", "sum", ledger, "--by", "hour", check=False)
    assert (wrong.returncode, "model, day, recipe" in wrong.stderr) == (2, True)


def test_export_writes_what_was_recorded(ledger: Path, tmp_path: Path, here: Understudy) -> None:
    out = tmp_path / "calls.jsonl"
    assert ask(here, "export", ledger, "--out", out) == {"calls": 6, "out": str(out)}
    back = [
        Call(**row | {name: json.dumps(row[name]) for name in ("request", "response")})
        for row in rows_of(out)
    ]
    assert [call.record() for call in back] == [call.record() for call in CALLS]
    assert [row["response"] for row in rows_of(out)] == [json.loads(c.response) for c in CALLS]


def test_verify_exits_with_1_if_anything_is_wrong(ledger: Path, here: Understudy) -> None:
    tamper(str(ledger), "DELETE FROM calls WHERE sample = 5")
    assert ask(here, "verify", ledger) == {"calls": 5, "faults": []}
    tamper(str(ledger), "UPDATE calls SET response = '{}' WHERE sample = 2")
    found = ask(here, "verify", ledger, code=1)
    fault = f"call {CALLS[2].key[:16]}: its answer is not the one that was recorded"
    assert found == {"calls": 5, "faults": [fault]}
    words = here("ledger", "verify", ledger, check=False)
    assert (words.returncode, words.stdout) == (1, fault + "\n")


ADDED = {"added": 6, "same": 0, "different": 0}


def test_merge_into_a_new_file(ledger: Path, tmp_path: Path, here: Understudy) -> None:
    assert ask(here, "merge", tmp_path / "all.sqlite", ledger) == ADDED
    words = here("ledger", "merge", tmp_path / "all.sqlite", ledger).stdout
    assert words.startswith(f"{tmp_path}/all.sqlite: 0 added, 6 known already, 0 answered")


def test_merge_with_a_database(ledger: Path, here: Understudy) -> None:
    address = server()
    if address is None:
        pytest.skip("no PostgreSQL: install it, or name a server in UNDERSTUDY_POSTGRES")
    with own_schema(address) as place:
        assert ask(here, "merge", place, ledger) == ADDED
        with Ledger(place) as shared:
            assert list(shared.calls()) == CALLS
        tamper(place, "UPDATE calls SET response = '{}' WHERE sample < 2")
        assert ask(here, "merge", ledger, place) == {"added": 0, "same": 4, "different": 2}
        assert len(ask(here, "verify", place, code=1)["faults"]) == 3


def test_a_wrong_place_is_named_and_left_alone(tmp_path: Path, here: Understudy) -> None:
    text = tmp_path / "calls.jsonl"
    text.write_text('{"key": "a"}\n' * 100)
    for command in ("list", "sum", "verify"):
        missing = here("ledger", command, tmp_path / "none.sqlite", check=False)
        assert missing.returncode == 2
        assert missing.stderr == f"error: {tmp_path}/none.sqlite: no such ledger; check the path\n"
    merging = here("ledger", "merge", tmp_path / "new", text, check=False)
    assert (merging.returncode, "is no ledger" in merging.stderr) == (2, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calls.jsonl"]
    secret = "postgresql://user:hunter2@127.0.0.1/db"
    refused = here("ledger", "list", secret, check=False)
    assert (refused.returncode, "hunter2" in refused.stderr + refused.stdout) == (2, False)
