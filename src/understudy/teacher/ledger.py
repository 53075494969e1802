"""The ledger: every teacher call, on disk before anybody sees its answer.

One SQLite file, in WAL mode with `synchronous=FULL`. Calls that finish together share one commit,
which one thread makes. Several processes may use one file, on a local disk.
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

from filelock import FileLock

from understudy.errors import UserError
from understudy.files import digest

APPLICATION, VERSION = 0x55_4E_44_59, 1  # kept in the file's header; tells a ledger from others
BUSY_S = 60.0  # how long another process may hold the file
KEYS_AT_ONCE = 500

_MEANINGS = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space and run the command again",
    sqlite3.SQLITE_IOERR: "the disk fails or is full; check it and run the command again",
    sqlite3.SQLITE_NOTADB: "is no ledger; name another file",
    sqlite3.SQLITE_CORRUPT: "is damaged; restore it from a copy or move it away",
    sqlite3.SQLITE_BUSY: "another process keeps it locked; wait for it to end",
    sqlite3.SQLITE_READONLY: "may not be written to; change its permissions or name another file",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; name a file in a folder that may be written to",
}


@dataclass(frozen=True)
class Call:
    """One answered call. `request` and `response` are the JSON bodies, without any header.

    `usd` is None where no price was known; `created` is in seconds since 1970.
    """

    key: str
    identity: str
    model: str
    sample: int
    request: str
    response: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    usd: float | None
    created: float


_COLUMNS = ", ".join(field.name for field in fields(Call))
_MARKS = ", ".join("?" for _ in fields(Call))
_TABLE = """CREATE TABLE calls (
    key TEXT PRIMARY KEY, identity TEXT NOT NULL, model TEXT NOT NULL, sample INTEGER NOT NULL,
    request TEXT NOT NULL, response TEXT NOT NULL, finish_reason TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, usd REAL,
    created REAL NOT NULL)"""


def call_key(identity: str, model: str, request: dict[str, Any], sample: int) -> str:
    """The key of a call: equal requests to the same teacher have equal keys."""
    return digest({"identity": identity, "model": model, "request": request, "sample": sample})


class Ledger:
    """An open ledger, made if the file is missing; a context manager.

    Raises:
        UserError: the file is no ledger or of another version, or the disk is full; any method
            may raise it.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._queue: SimpleQueue[tuple[Call, Future[Call]] | None] = SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="ledger", daemon=True)
        self._db = self._open()

    def __enter__(self) -> Self:
        self._writer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit what was handed over, whether somebody still waits for it or not, and close."""
        self._queue.put(None)
        self._writer.join()
        self._db.close()

    def record(self, call: Call) -> "Future[Call]":
        """Hand over an answered call; the future has its record once that is on disk.

        The first record of a key stays: it, and not `call`, is the result if there is one.
        """
        future: Future[Call] = Future()
        self._queue.put((call, future))
        return future

    def lookup(self, keys: Iterable[str]) -> Iterator[Call]:
        """The recorded calls among those with these keys, in no particular order."""
        wanted = list(keys)
        for start in range(0, len(wanted), KEYS_AT_ONCE):
            some = wanted[start : start + KEYS_AT_ONCE]
            marks = ", ".join("?" for _ in some)
            rows = self._read(f"SELECT {_COLUMNS} FROM calls WHERE key IN ({marks})", some)
            yield from (Call(*row) for row in rows)

    def summary(self) -> dict[str, Any]:
        """Calls, tokens and US dollars, in all and by model; None for `usd` where some have none.

        Returns:
            {"calls", "prompt_tokens", "completion_tokens", "usd", "models": {name: the same}}
        """
        rows = self._read(
            "SELECT model, COUNT(*), SUM(prompt_tokens), SUM(completion_tokens), SUM(usd), "
            "COUNT(usd) FROM calls GROUP BY model ORDER BY model",
            [],
        )
        models = {
            model: {
                "calls": calls,
                "prompt_tokens": asked,
                "completion_tokens": answered,
                "usd": round(usd, 6) if priced == calls else None,
            }
            for model, calls, asked, answered, usd, priced in rows
        }
        prices = [of["usd"] for of in models.values()]
        counts = {
            name: sum(of[name] for of in models.values())
            for name in ("calls", "prompt_tokens", "completion_tokens")
        }
        usd = None if None in prices else round(sum(prices, 0.0), 6)
        return counts | {"usd": usd, "models": models}

    def _open(self) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(
                self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(db)
            except BaseException:
                db.close()
                raise
        except sqlite3.Error as error:
            raise _explain(error, self._path) from error
        except OSError as error:
            raise UserError(f"{self._path}: {error.strerror}; name another file") from error
        return db

    def _prepare(self, db: sqlite3.Connection) -> None:
        """Check that the file is a ledger, or make one of an empty file."""
        if _header(db) == (0, 0) and _is_empty(db):
            # SQLite does not wait for another process that changes the journal's mode.
            with FileLock(self._path.with_name(f".{self._path.name}.lock")):
                if _is_empty(db):
                    db.execute("PRAGMA journal_mode = WAL")
                    db.execute("BEGIN IMMEDIATE")
                    db.execute(_TABLE)
                    db.execute(f"PRAGMA application_id = {APPLICATION}")
                    db.execute(f"PRAGMA user_version = {VERSION}")
                    db.execute("COMMIT")
        application, version = _header(db)
        if application != APPLICATION:
            raise UserError(f"{self._path}: is no ledger; name another file")
        if version != VERSION:
            raise UserError(
                f"{self._path}: a ledger of version {version}, not {VERSION}; name another file "
                "or use the understudy that wrote it"
            )
        db.execute("PRAGMA synchronous = FULL")

    def _read(self, query: str, values: list[str]) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._db.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise _explain(error, self._path) from error

    def _write(self) -> None:
        """The writer's thread: commit all that waits, then tell those who handed it over."""
        last = False
        while not last:
            waiting = [self._queue.get()]
            while not self._queue.empty():
                waiting.append(self._queue.get())
            last = None in waiting
            batch = [entry for entry in waiting if entry is not None]
            try:
                recorded = self._commit([call for call, _ in batch])
            except Exception as error:
                for _, future in batch:
                    if future.set_running_or_notify_cancel():
                        future.set_exception(error)
                continue
            for (_, future), call in zip(batch, recorded, strict=True):
                if future.set_running_or_notify_cancel():
                    future.set_result(call)

    def _commit(self, calls: list[Call]) -> list[Call]:
        """Record all calls or none; returns what is on record for each."""
        insert = f"INSERT OR IGNORE INTO calls ({_COLUMNS}) VALUES ({_MARKS})"
        select = f"SELECT {_COLUMNS} FROM calls WHERE key = ?"
        recorded = []
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                for call in calls:
                    if self._db.execute(insert, astuple(call)).rowcount == 0:
                        call = Call(*self._db.execute(select, [call.key]).fetchone())
                    recorded.append(call)
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise _explain(error, self._path) from error
        return recorded


def _header(db: sqlite3.Connection) -> tuple[int, int]:
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return application, version


def _is_empty(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone() == (0,)


def _explain(error: sqlite3.Error, path: Path) -> Exception:
    """Turn SQLite's refusals that a user can mend into a UserError."""
    meaning = _MEANINGS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    return UserError(f"{path}: {meaning}") if meaning else error
