"""Where a ledger's tables live: an SQLite file, or a PostgreSQL database named by its address.

Both take the same SQL, with `?` for values. One connection writes and another reads, so that a
look-up never waits for a commit. What is read is read whole: nothing stays open between two reads,
so that each sees all that is committed.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from filelock import FileLock

from understudy.errors import UserError

if TYPE_CHECKING:
    from psycopg import Connection, Cursor

T = TypeVar("T")
Row = tuple[Any, ...]
Versions = Sequence[Sequence[str]]
Statements = Sequence[tuple[str, Sequence[Sequence[Any]]]]
APPLICATION = 0x55_4E_44_59  # in an SQLite file's header; tells a ledger from other databases
CHECKPOINT_PAGES = 10_000  # of 4 KiB in the WAL before they are moved to the file
BUSY_S = 60.0  # how long another process may hold the file
POSTGRES = ("postgresql", "postgres")
# What an address may change, of libpq's settings.
POSTGRES_DEFAULTS = {
    "connect_timeout": "10",  # seconds
    "tcp_user_timeout": "60000",  # milliseconds that data may stay unacknowledged
    "application_name": "understudy",
}
RECONNECTS, RECONNECT_S = 20, 0.5  # tries to reach a server again, and the time between them

_MEANINGS = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space and run the command again",
    sqlite3.SQLITE_IOERR: "the disk fails or is full; check it and run the command again",
    sqlite3.SQLITE_NOTADB: "is no ledger; name another file",
    sqlite3.SQLITE_CORRUPT: "is damaged; restore it from a copy or move it away",
    sqlite3.SQLITE_BUSY: "another process keeps it locked; wait for it to end",
    sqlite3.SQLITE_PROTOCOL: "cannot be locked; keep ledgers on a local disk",
    sqlite3.SQLITE_READONLY: "may not be written to; change its permissions or name another file",
    sqlite3.SQLITE_PERM: "may not be opened; change its permissions or name another file",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; name a file in a folder that may be written to",
}


class Database(Protocol):
    """An open database whose tables are there, for any thread; a method may raise UserError."""

    day: str  # SQL for the day (UTC) of the column `created`

    def read(self, query: str, values: Sequence[Any] = ()) -> list[Row]:
        """All rows of a query; it ought to limit them."""

    def write(self, statements: Statements) -> int:
        """Carry out statements, each for every row of values, in one durable transaction.

        They must be such that they may be carried out twice.

        Returns:
            How many rows they inserted, changed or removed.
        """

    def damage(self) -> list[str]:
        """What the database itself finds wrong with its storage, in lines."""

    def close(self) -> None: ...


def is_address(place: str | Path) -> bool:
    """Whether a ledger's place is a PostgreSQL address and not a file."""
    scheme, separator, _ = str(place).partition("://")
    return bool(separator) and scheme in POSTGRES


def open_database(place: str | Path, versions: Versions) -> Database:
    """Open the database at a place, and bring its tables up to the last version.

    Args:
        place: a file's path, or a postgresql:// address without a password.
        versions: for each version from 1 on, the statements that make it from the one before.

    Raises:
        UserError: the place is no ledger, of a later version, or cannot be opened.
    """
    if is_address(place):
        return _Postgres(str(place), versions)
    return _Sqlite(Path(place), versions)


class _Sqlite:
    """WAL mode with `synchronous=FULL`: a commit is on disk when it returns."""

    day = "date(created, 'unixepoch')"

    def __init__(self, path: Path, versions: Versions) -> None:
        self._path, self._reading, self._writing = path, threading.Lock(), threading.Lock()
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._connect()
        try:
            with self._explained():
                self._prepare(versions)
                self._reader = self._connect()
        except BaseException:
            self._writer.close()
            raise

    def read(self, query: str, values: Sequence[Any] = ()) -> list[Row]:
        with self._explained(), self._reading:
            return self._reader.execute(query, values).fetchall()

    def write(self, statements: Statements) -> int:
        with self._explained(), self._writing, self._transaction():
            return sum(self._writer.executemany(*statement).rowcount for statement in statements)

    def damage(self) -> list[str]:
        found = [line for row in self.read("PRAGMA integrity_check") for line in row[0].split("\n")]
        return [] if found == ["ok"] else [f"{self._path}: {line}" for line in found]

    def close(self) -> None:
        with self._reading, self._writing:
            self._reader.close()
            self._writer.close()

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._writer.execute("COMMIT")
        except BaseException:
            if self._writer.in_transaction:  # SQLite itself may have ended it
                self._writer.execute("ROLLBACK")
            raise

    def _prepare(self, versions: Versions) -> None:
        self._writer.execute("PRAGMA synchronous = FULL")
        self._writer.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        if self._version(len(versions)) < len(versions):
            # SQLite does not wait for another process that changes the journal's mode.
            with FileLock(self._path.with_name(f".{self._path.name}.lock")):
                self._upgrade(versions)

    def _upgrade(self, versions: Versions) -> None:
        version = self._version(len(versions))
        if version == 0:
            self._writer.execute("PRAGMA journal_mode = WAL")
        with self._transaction():
            for statements in versions[version:]:
                for statement in statements:
                    self._writer.execute(statement)
            self._writer.execute(f"PRAGMA application_id = {APPLICATION}")
            self._writer.execute(f"PRAGMA user_version = {len(versions)}")

    def _version(self, last: int) -> int:
        """The ledger's version; 0 of an empty file. Other files and later versions are refused."""
        # Another process may be making the ledger. Its tables and its header appear together, so
        # tables that are seen first belong to a header that is seen now.
        (tables,) = self._writer.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        (application,) = self._writer.execute("PRAGMA application_id").fetchone()
        (version,) = self._writer.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION:
            if tables:
                raise UserError(f"{self._path}: is no ledger; name another file")
            return 0
        if version > last:
            raise UserError(_too_new(str(self._path), version, last))
        return version

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn SQLite's refusals that a user can mend into a UserError."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code is None and isinstance(error, sqlite3.OperationalError):
                code = sqlite3.SQLITE_CORRUPT  # Python's own: a text that is not UTF-8
            meaning = _MEANINGS.get((code or 0) & 0xFF)
            if meaning is None:
                raise
            raise UserError(f"{self._path}: {meaning}") from error
        except OSError as error:
            raise UserError(f"{self._path}: {error.strerror}; name another file") from error


class _Postgres:
    """A database that several machines share; the tables are made if they are missing."""

    day = "to_char(to_timestamp(created) AT TIME ZONE 'UTC', 'YYYY-MM-DD')"

    def __init__(self, address: str, versions: Versions) -> None:
        self._name = "ledger " + address.partition("?")[0]
        driver, settings = postgres(address, "ledger")
        self._errors = driver.Error
        with self._explained():
            self._writer = _Link(driver, settings)
            try:
                self._writer.do(lambda connection: self._prepare(connection, versions))
                self._reader = _Link(driver, settings)
            except BaseException:
                self._writer.close()
                raise

    def read(self, query: str, values: Sequence[Any] = ()) -> list[Row]:
        marked, storable = _marked(query), _storable(values)
        with self._explained():
            return self._reader.do(lambda link: link.execute(marked, storable).fetchall())

    def write(self, statements: Statements) -> int:
        marked = [(_marked(query), [_storable(row) for row in rows]) for query, rows in statements]

        def carry_out(connection: "Connection") -> int:
            with connection.transaction(), connection.cursor() as cursor:
                # A server may be set up to acknowledge commits before they are on its disk.
                cursor.execute("SET LOCAL synchronous_commit = on")
                return sum(_changed(cursor, *statement) for statement in marked)

        with self._explained():
            return self._writer.do(carry_out)

    def damage(self) -> list[str]:
        return []  # PostgreSQL checks its pages itself (data_checksums)

    def close(self) -> None:
        self._reader.close()
        self._writer.close()

    def _prepare(self, connection: "Connection", versions: Versions) -> None:
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute("SHOW server_encoding")
            if (encoding := _one(cursor)) != "UTF8":
                raise UserError(
                    f"{self._name}: the database's encoding is {encoding}; make one with "
                    "ENCODING 'UTF8'"
                )
            cursor.execute(f"SELECT pg_advisory_xact_lock({APPLICATION})")
            cursor.execute("SELECT to_regclass('ledger_version') IS NULL")
            if _one(cursor):
                cursor.execute("CREATE TABLE ledger_version (version INTEGER)")
            cursor.execute("SELECT COALESCE(MAX(version), 0) FROM ledger_version")
            version = _one(cursor)
            if version > len(versions):
                raise UserError(_too_new(self._name, version, len(versions)))
            for statements in versions[version:]:
                for statement in statements:
                    cursor.execute(_translated(statement))
            if version < len(versions):
                cursor.execute("INSERT INTO ledger_version VALUES (%s)", [len(versions)])

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the driver or the server refuses into a UserError."""
        try:
            yield
        except self._errors as error:
            said = " ".join(str(error).split())[:300]
            raise UserError(f"{self._name}: {said}; check the address and the server") from error


class _Link:
    """A connection for one thread at a time, which is made anew if it breaks."""

    def __init__(self, driver: ModuleType, settings: dict[str, Any]) -> None:
        self._driver, self._settings, self._lock = driver, settings, threading.Lock()
        self._connection = self._connect()

    def do(self, work: Callable[["Connection"], T]) -> T:
        """Do what may be done twice; it is, if the server goes away or has to break it off.

        A commit may have gone through although nobody heard of it.
        """
        with self._lock:
            try:
                return work(self._connection)
            except self._driver.OperationalError:
                self._connection.close()
                self._connection = self._reconnect()
                return work(self._connection)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _connect(self) -> "Connection":
        return self._driver.connect(**self._settings, autocommit=True)

    def _reconnect(self) -> "Connection":
        """Connect with patience for a server that is being restarted."""
        for _ in range(RECONNECTS - 1):
            with suppress(self._driver.OperationalError):
                return self._connect()
            time.sleep(RECONNECT_S)
        return self._connect()


def postgres(address: str, what: str) -> tuple[ModuleType, dict[str, Any]]:
    """psycopg, and the settings in an address, which must hold no password: it is written down.

    Args:
        address: postgresql://...
        what: whose address it is, for messages.

    Raises:
        UserError: psycopg is not installed, the address is none, or it holds a password.
    """
    try:
        import psycopg
    except ImportError:
        raise UserError(
            f"{what}: a postgresql:// address needs psycopg; pip install 'understudy[postgres]'"
        ) from None
    try:
        found = psycopg.conninfo.conninfo_to_dict(address)
    except psycopg.Error:  # whose words may repeat a password
        raise UserError(
            f"{what}: not an address; write it like postgresql://user@host/database"
        ) from None
    if any("password" in name for name in found):
        raise UserError(
            f"{what}: the address holds a password; put it into PGPASSWORD or ~/.pgpass instead"
        )
    return psycopg, POSTGRES_DEFAULTS | found | {"client_encoding": "UTF8"}


def _marked(query: str) -> Any:
    """The query with the driver's marks for values."""
    return query.replace("?", "%s")


def _translated(statement: str) -> Any:
    """A statement that makes tables, with PostgreSQL's types; keys are compared as bytes."""
    statement = statement.replace("key TEXT", 'key TEXT COLLATE "C"')
    return statement.replace(" REAL", " DOUBLE PRECISION")


def _storable(row: Sequence[Any]) -> list[Any]:
    """The values without the character NUL, which PostgreSQL's texts cannot hold.

    JSON writes it as an escape, so that it can stand in a name or a finish_reason only.
    """
    return [value.replace("\0", "\ufffd") if isinstance(value, str) else value for value in row]


def _changed(cursor: "Cursor", query: Any, rows: Sequence[Sequence[Any]]) -> int:
    cursor.executemany(query, rows)
    return max(cursor.rowcount, 0)


def _one(cursor: "Cursor") -> Any:
    """The value that a query has for an answer."""
    return cursor.fetchall()[0][0]


def _too_new(place: str, version: int, known: int) -> str:
    return (
        f"{place}: a ledger of version {version}, not {known}; name another one or use the "
        "understudy that wrote it"
    )
