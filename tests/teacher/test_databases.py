"""What may happen to a file or a server: old versions, damage, full disks, lost connections."""

import contextlib
import multiprocessing
import os
import random
import sqlite3
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from teacher.postgres import extended
from teacher.records import answered, tamper
from understudy.errors import UserError
from understudy.teacher import databases
from understudy.teacher.ledger import AT_ONCE, Call, Ledger, Spent

CALL = Call("k", "here", "m", 0, "{}", '{"a": 1}', "stop", 3, 2, 0.5, 1.0)


def fails(place: object) -> str:
    """The one line with which a ledger is not opened."""
    with pytest.raises(UserError) as error:
        Ledger(str(place))
    assert "\n" not in str(error.value)
    return str(error.value)


# Versions

VERSION_1 = """CREATE TABLE calls (
    key TEXT PRIMARY KEY, identity TEXT NOT NULL, model TEXT NOT NULL, sample INTEGER NOT NULL,
    request TEXT NOT NULL, response TEXT NOT NULL, finish_reason TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, usd REAL,
    created REAL NOT NULL)"""
OLD = [answered(n, recipe="", checksum="") for n in range(50)]


def write_version_1(path: Path) -> None:
    """A ledger as the first version made it."""
    file = sqlite3.connect(path, isolation_level=None)
    file.execute("PRAGMA journal_mode = WAL")
    file.execute("BEGIN")
    file.execute(VERSION_1)
    file.executemany(f"INSERT INTO calls VALUES ({', '.join('?' * 11)})", [c[:11] for c in OLD])
    file.execute("PRAGMA application_id = 1431192665")
    file.execute("PRAGMA user_version = 1")
    file.execute("COMMIT")
    file.close()


def test_a_file_of_version_1_is_brought_up(tmp_path: Path) -> None:
    path = tmp_path / "l"
    write_version_1(path)
    with Ledger(path) as ledger:
        assert list(ledger.calls()) == OLD
        assert list(ledger.verify()) == []
        assert ledger.record([OLD[3]._replace(response="{}"), answered(99)]) == 1
        ledger.reserve("desk", Spent(1, 1, 0.5))
    with Ledger(path) as ledger:
        assert list(ledger.calls()) == [*OLD, answered(99)]
        assert {name: of["calls"] for name, of in ledger.sums("recipe").items()} == {
            "": len(OLD),
            "desk": 1,
        }
        assert ledger.spent("desk") == Spent(2, 6, 1.0)


def _count_and_record(path: Path, who: int) -> int:
    with Ledger(path) as ledger:
        ledger.record([answered(1000 + who)])
        return ledger.summary()["calls"]


def test_processes_may_bring_up_a_file_at_once(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        for attempt in range(8):
            path = tmp_path / str(attempt)
            write_version_1(path)
            seen = pool.starmap(_count_and_record, [(path, who) for who in range(3)], chunksize=1)
            assert max(seen) == len(OLD) + 3


def test_a_bringing_up_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from understudy.teacher import ledger

    path = tmp_path / "l"
    write_version_1(path)
    good = ledger._VERSIONS
    monkeypatch.setattr(ledger, "_VERSIONS", (good[0], (*good[1], "CREATE NONSENSE")))
    with pytest.raises(sqlite3.Error):
        Ledger(path)
    file = sqlite3.connect(path)
    assert file.execute("PRAGMA user_version").fetchone() == (1,)
    assert len(file.execute("SELECT * FROM calls").fetchone()) == 11
    file.close()
    monkeypatch.setattr(ledger, "_VERSIONS", good)
    with Ledger(path) as ledger_:
        assert list(ledger_.calls()) == OLD


# Files


def test_other_files_are_refused_and_left_alone(tmp_path: Path) -> None:
    text, other, newer = (tmp_path / name for name in ("text", "other", "newer"))
    text.write_text("some words that are no database\n" * 50)
    tamper(str(other), "CREATE TABLE calls (key TEXT)")
    with Ledger(newer):
        pass
    tamper(str(newer), "PRAGMA user_version = 99")
    for path, message in [(text, "no ledger"), (other, "no ledger"), (newer, "version 99")]:
        before = path.read_bytes()
        assert message in fails(path)
        assert str(path) in fails(path)
        assert path.read_bytes() == before
    assert not (tmp_path / ".other.lock").exists()
    assert "name" in fails(tmp_path)
    assert "name another file" in fails(text / "below")


def test_an_empty_file_becomes_a_ledger(tmp_path: Path) -> None:
    (tmp_path / "l").touch()
    with Ledger(tmp_path / "l") as ledger:
        assert ledger.record([CALL]) == 1


def test_a_commit_is_synced_and_all_or_nothing(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        writer = ledger._db._writer  # type: ignore[attr-defined]
        assert writer.execute("PRAGMA synchronous").fetchone() == (2,)
        assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        with pytest.raises(sqlite3.Error):
            ledger.record([CALL, CALL._replace(key="l", model=None)])  # type: ignore[arg-type]
        assert ledger.known(["k", "l"]) == set()
        assert ledger.record([CALL]) == 1


def test_a_full_disk_is_the_users_to_mend_and_costs_no_record(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        ledger.record([CALL])
        db = ledger._db._writer  # type: ignore[attr-defined]
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(UserError, match="the disk is full"):
            ledger.record([CALL._replace(key="2", response="x" * 100_000)])
        assert [call.key for call in ledger.lookup(["k", "2"])] == ["k"]
        db.execute("PRAGMA max_page_count = 1000000")
        ledger.record([CALL._replace(key="2", response="x" * 100_000)])


def test_a_file_that_somebody_keeps_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "BUSY_S", 0.05)
    with Ledger(tmp_path / "l") as ledger:
        ledger.record([CALL])
        other = sqlite3.connect(tmp_path / "l", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UserError, match="another process"):
            ledger.record([CALL._replace(key="2")])
        assert ledger.known(["k", "2"]) == {"k"}  # reading does not wait
        other.execute("ROLLBACK")
        assert ledger.record([CALL._replace(key="2")]) == 1
        other.close()


def write_many(path: Path) -> int:
    """A ledger in one file, without a WAL; its length."""
    with Ledger(path) as ledger:
        ledger.record([answered(n, "x" * 3000) for n in range(AT_ONCE)])
    assert not path.with_name(f"{path.name}-wal").exists()
    return path.stat().st_size


def test_damage_is_found_and_told_in_lines(tmp_path: Path) -> None:
    path = tmp_path / "l"
    size = write_many(path)
    with open(path, "r+b") as file:
        file.seek(size // 2 // 4096 * 4096)
        file.write(b"\xff" * 4096 * 3)
    with Ledger(path) as ledger:
        faults = list(ledger.verify())
        with pytest.raises(UserError, match="is damaged; restore"):
            list(ledger.calls())
    assert faults
    assert not any("\n" in fault for fault in faults)
    assert "is damaged" in faults[-1]


def test_a_file_that_was_cut_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "l"
    size = write_many(path)
    os.truncate(path, size // 2)
    with pytest.raises(UserError, match="is damaged"), Ledger(path) as ledger:
        list(ledger.calls())


def test_values_of_another_kind_are_found(tmp_path: Path) -> None:
    path = tmp_path / "l"
    with Ledger(path) as ledger:
        ledger.record([answered(n) for n in range(4)])
        for sample, change in enumerate(
            ["response = x'00ff'", "model = x'00'", "identity = x'01'"]
        ):
            tamper(str(path), f"UPDATE calls SET {change} WHERE sample = {sample}")
        faults = list(ledger.verify())
        assert len(faults) == 3
        tamper(str(path), "UPDATE calls SET key = NULL WHERE sample = 3")
        assert any("not the digest" in fault for fault in ledger.verify())
        tamper(str(path), "UPDATE calls SET model = CAST(x'ff' AS TEXT) WHERE sample = 3")
        assert "is damaged" in list(ledger.verify())[-1]  # no UTF-8


@contextlib.contextmanager
def unprivileged() -> Iterator[Path]:
    """A folder of one's own, as a user whom permissions stop."""
    with tempfile.TemporaryDirectory() as name:
        if os.geteuid():
            yield Path(name)
            return
        os.chown(name, 65534, 65534)
        os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            os.seteuid(0)


def test_what_may_not_be_written_to_is_named() -> None:
    with unprivileged() as folder:
        path = folder / "l"
        with Ledger(path) as ledger:
            ledger.record([CALL])
        folder.chmod(0o500)
        assert "may not be written to" in fails(path)
        assert "a folder that may be written to" in fails(folder / "new")
        assert "Permission denied" in fails(folder / "below" / "l")
        folder.chmod(0o700)
        path.chmod(0o400)
        with pytest.raises(UserError, match="may not be written to"), Ledger(path) as ledger:
            ledger.record([CALL._replace(key="2")])
        path.chmod(0o000)
        assert "cannot be opened" in fails(path)
        path.chmod(0o600)
        with Ledger(path) as ledger:
            assert list(ledger.calls()) == [CALL]


# Servers


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://user:hunter2@localhost/db",
        "postgres://user@localhost/db?password=hunter2",
        "postgresql://user@localhost/db?pass%77ord=hunter2",
        "postgresql://user@localhost/db?sslpassword=hunter2",
        "postgresql://user:hunter2@[::1/db",
        "postgresql://user@localhost/db?hunter2",
    ],
)
def test_an_address_with_a_password_is_refused_and_not_repeated(address: str) -> None:
    message = fails(address)
    assert message.startswith("ledger: ")
    assert "hunter2" not in message


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    message = fails(f"postgresql://someone@/db?host={tmp_path}")
    assert message.startswith("ledger postgresql://someone@/db: ")
    assert "No such file" in message


def test_commits_are_synchronous_whatever_the_server_says(postgres: str) -> None:
    lax = f"{postgres}%20-csynchronous_commit%3Doff"
    with Ledger(lax) as ledger:
        assert ledger._db.read("SHOW synchronous_commit") == [("off",)]
        row = "INSERT INTO reserved VALUES (?, current_setting('synchronous_commit'), 1, 1, 1)"
        ledger._db.write([(row, [["s"]])])
        assert ledger.spent("on").calls == 1


def drop_connections(address: str) -> int:
    """End the connections of ledgers in this place, as a server does that is shut down."""
    with psycopg.connect(address, autocommit=True) as connection:
        (schema,) = connection.execute("SHOW search_path").fetchone() or ("",)
        rows = connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE pid != "
            "pg_backend_pid() AND application_name = %s",
            [schema],
        ).fetchall()
        return len(rows)


@pytest.fixture
def named(postgres: str) -> str:
    """An empty place whose connections can be told from others'."""
    return extended(postgres, application_name=postgres.partition("%3D")[2])


def test_a_lost_connection_is_made_anew(named: str) -> None:
    with Ledger(named) as ledger:
        ledger.record([answered(n) for n in range(2 * AT_ONCE)])
        walk = ledger.calls()
        next(walk)
        assert drop_connections(named) == 2
        assert ledger.known([answered(0).key, "x"]) == {answered(0).key}
        assert ledger.record([answered(0), answered(-1, created=2e9)]) == 1
        assert drop_connections(named) == 2
        ledger.reserve("r", Spent(1, 1, 0.5))
        assert ledger.spent("r") == Spent(1, 1, 0.5)
        assert len(list(walk)) == 2 * AT_ONCE


def test_writers_of_the_same_calls_do_not_lock_each_other_out(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [answered(n) for n in range(200)]

    def record(seed: int) -> int:
        with Ledger(postgres) as ledger:
            return ledger.record(random.Random(seed).sample(calls, len(calls)))

    with Ledger(postgres), ThreadPoolExecutor(4) as threads:
        monkeypatch.setattr(databases._Link, "_reconnect", None)  # nothing is tried again
        for round_ in range(3):
            assert sum(threads.map(record, range(4))) == (0 if round_ else len(calls))


def test_a_server_that_stays_away_is_told_in_one_line(
    named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "RECONNECT_S", 0.0)
    with Ledger(named) as ledger:
        for link in (ledger._db._reader, ledger._db._writer):  # type: ignore[attr-defined]
            link._settings["host"] = "/nowhere"
        assert drop_connections(named) == 2
        for work in (lambda: ledger.record([CALL]), lambda: ledger.known(["k"])):
            with pytest.raises(UserError, match="check the address and the server") as error:
                work()
            assert "\n" not in str(error.value)


def test_tables_of_others_are_left_alone(postgres: str) -> None:
    tamper(postgres, "CREATE TABLE calls (mine TEXT)")
    assert "already exists" in fails(postgres)
    tamper(postgres, "INSERT INTO calls VALUES ('still here')")


def test_a_reader_needs_no_right_to_make_tables(postgres: str) -> None:
    with Ledger(postgres) as ledger:
        ledger.record([CALL])
    with Ledger(f"{postgres}%20-cdefault_transaction_read_only%3Don") as ledger:
        assert list(ledger.calls()) == [CALL]
        with pytest.raises(UserError, match="read-only"):
            ledger.record([CALL])


def test_a_database_of_another_encoding_is_refused(postgres_server: str) -> None:
    name = f"understudy_latin_{os.getpid()}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(
            f"CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' "
            "TEMPLATE template0"
        )
        try:
            message = fails(extended(postgres_server, dbname=name))
            assert "encoding is LATIN1" in message
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
