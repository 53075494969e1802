"""The ledger keeps what it acknowledged, whatever happens."""

import multiprocessing
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from understudy.errors import UserError
from understudy.teacher.ledger import Call, Ledger, call_key

CALL = Call("k", "here", "m", 0, "{}", '{"a": 1}', "stop", 3, 2, 0.5, 1.0)


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ledger.sqlite"
    calls = [replace(CALL, key=str(n), sample=n, usd=None) for n in range(1203)]
    with Ledger(path) as ledger:
        assert [f.result() for f in [ledger.record(call) for call in calls]] == calls
    with Ledger(path) as ledger:
        found = {call.key: call for call in ledger.lookup([*(c.key for c in calls), "missing"])}
        assert found == {call.key: call for call in calls}


def test_the_first_record_of_a_key_stays(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        assert ledger.record(CALL).result() == CALL
        assert ledger.record(replace(CALL, response="{}")).result() == CALL
        assert list(ledger.lookup(["k"])) == [CALL]


def test_what_was_handed_over_is_committed_though_nobody_waits(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        for n in range(100):
            ledger.record(replace(CALL, key=str(n))).cancel()
    with Ledger(tmp_path / "l") as ledger:
        assert ledger.summary()["calls"] == 100


def test_keys_tell_teacher_model_request_and_sample_apart() -> None:
    keys = {
        call_key("here", "m", {"a": 1, "b": 2}, 0),
        call_key("there", "m", {"a": 1, "b": 2}, 0),
        call_key("here", "n", {"a": 1, "b": 2}, 0),
        call_key("here", "m", {"a": 1, "b": 3}, 0),
        call_key("here", "m", {"a": 1, "b": 2}, 1),
    }
    assert len(keys) == 5
    assert call_key("here", "m", {"b": 2, "a": 1}, 0) in keys


def test_summary_adds_up_and_does_not_invent_prices(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        empty = {"calls": 0, "prompt_tokens": 0, "completion_tokens": 0, "usd": 0.0}
        assert ledger.summary() == {**empty, "models": {}}
        ledger.record(CALL)
        ledger.record(replace(CALL, key="2", usd=0.25)).result()
        m = {"calls": 2, "prompt_tokens": 6, "completion_tokens": 4, "usd": 0.75}
        assert ledger.summary() == {**m, "models": {"m": m}}
        ledger.record(replace(CALL, key="3", model="n", usd=None)).result()
        found = ledger.summary()
        assert (found["calls"], found["usd"]) == (3, None)
        assert found["models"]["m"] == m
        assert found["models"]["n"]["usd"] is None


WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from understudy.teacher.ledger import Call, Ledger
call = Call("k", "here", "m", 0, "{}", "x" * 2000, "stop", 3, 2, 0.5, 1.0)
with Ledger(Path(sys.argv[1])) as ledger:
    for start in range(0, 10**9, 7):
        keys = [str(n) for n in range(start, start + 7)]
        for future in [ledger.record(replace(call, key=key)) for key in keys]:
            print(future.result().key, flush=True)
"""


@pytest.mark.parametrize("lines", [1, 50, 400])
def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "l"
    line = [sys.executable, "-c", WRITER, str(path)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = [process.stdout.readline().strip() for _ in range(lines)]
    process.send_signal(signal.SIGKILL)
    acknowledged += process.stdout.read().split("\n")[:-1]  # a last line may be cut
    process.wait()
    with Ledger(path) as ledger:
        assert {call.key for call in ledger.lookup(acknowledged)} == set(acknowledged)
        assert ledger.record(CALL).result() == CALL


def _record_twenty(path: Path, who: int) -> list[str]:
    with Ledger(path) as ledger:
        calls = [replace(CALL, key=str(n), response=str(who)) for n in range(20)]
        return [future.result().response for future in [ledger.record(c) for c in calls]]


def test_processes_share_a_file_from_its_making_on(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        for attempt in range(5):
            path = tmp_path / str(attempt)
            rows = pool.starmap(_record_twenty, [(path, who) for who in range(4)], chunksize=1)
            # Each key has one record, and everybody was told the same.
            assert all(row == rows[0] for row in rows)


def test_other_files_are_refused_and_left_alone(tmp_path: Path) -> None:
    text, other, newer = (tmp_path / name for name in ("text", "other", "newer"))
    text.write_text("some words that are no database\n" * 50)
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE calls (key TEXT)")
    with Ledger(newer):
        pass
    with sqlite3.connect(newer) as db:
        db.execute("PRAGMA user_version = 99")
    for path, message in [(text, "no ledger"), (other, "no ledger"), (newer, "version 99")]:
        before = path.read_bytes()
        with pytest.raises(UserError, match=message) as error:
            Ledger(path)
        assert str(path) in str(error.value)
        assert path.read_bytes() == before
    with pytest.raises(UserError, match="name"):
        Ledger(tmp_path)
    with pytest.raises(UserError, match="name another file"):
        Ledger(text / "below")


def test_a_full_disk_is_the_users_to_mend_and_costs_no_record(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        ledger.record(CALL).result()
        (pages,) = ledger._db.execute("PRAGMA page_count").fetchone()
        ledger._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(UserError, match="the disk is full"):
            ledger.record(replace(CALL, key="2", response="x" * 100_000)).result()
        assert [call.key for call in ledger.lookup(["k", "2"])] == ["k"]
        ledger._db.execute("PRAGMA max_page_count = 1000000")
        ledger.record(replace(CALL, key="2", response="x" * 100_000)).result()
