"""The panel's tables, and opening the database that holds them.

Tables are named panel_... so that a PostgreSQL database may be shared with a ledger. Migrations
are Alembic's, in `migrations/`; what they make and what is said here agree by a test.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Double,
    Engine,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    create_engine,
    event,
)
from sqlalchemy.exc import DBAPIError, IntegrityError

from understudy.errors import UserError
from understudy.files import whole_characters
from understudy.teacher.databases import is_address, postgres

APPLICATION = 0x50_41_4E_4C  # in an SQLite file's header; tells a panel from other databases
VERSION_TABLE = "panel_version"
BUSY_S = 30.0  # how long another process may hold the file
CONNECTIONS = 16
LAZILY = "lazily"


class Words(TypeDecorator[str]):
    """A text from anybody: without NUL and halves of surrogate pairs, which cannot be stored."""

    impl, cache_ok = Text, True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        return value if value is None else whole_characters(value).replace("\0", "\ufffd")


class Json(TypeDecorator[Any]):
    """A JSON value, as text."""

    impl, cache_ok = Text, True

    def process_bind_param(self, value: Any, dialect: Any) -> str:
        return json.dumps(whole_characters(value))

    def process_result_value(self, value: str | None, dialect: Any) -> Any:
        return None if value is None else json.loads(value)


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

settings = Table(
    "panel_settings",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", Json, nullable=False),
)
pairs = Table(
    "panel_pairs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("item", Words, nullable=False),
    Column("messages", Json, nullable=False),
    Column("reference", Words),
    Column("model_a", Words, nullable=False),
    Column("model_b", Words, nullable=False),
    Column("text_a", Words, nullable=False),
    Column("text_b", Words, nullable=False),
    Column("better", Words),
    UniqueConstraint("kind", "item", "model_a", "model_b"),
)
raters = Table(
    "panel_raters",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Words, nullable=False, unique=True),
    Column("protocol", String(16), nullable=False),
    Column("token", String(64), nullable=False, unique=True),  # its SHA-256
    Column("revoked", Boolean, nullable=False),
    Column("begun", Double),  # seconds since 1970, here and below
)
tasks = Table(
    "panel_tasks",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(40), nullable=False, unique=True),  # what the rater's browser sees
    Column("rater", ForeignKey(raters.c.id), nullable=False),
    Column("pair", ForeignKey(pairs.c.id), nullable=False),
    Column("position", Integer, nullable=False),
    Column("swapped", Boolean, nullable=False),  # model_b stands left
    Column("shown", Double),
    UniqueConstraint("rater", "pair"),
    UniqueConstraint("rater", "position"),
    Index(None, "pair", "swapped", "rater"),  # all that a draw counts
)
ratings = Table(
    "panel_ratings",
    metadata,
    Column("task", ForeignKey(tasks.c.id), primary_key=True, autoincrement=False),
    Column("choice", String(16), nullable=False),
    Column("claims", Json, nullable=False),
    Column("comment", Words, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("active_ms", Integer, nullable=False),
    Column("rated", Double, nullable=False),
)
sessions = Table(
    "panel_sessions",
    metadata,
    Column("secret", String(64), primary_key=True),  # its SHA-256
    Column("rater", ForeignKey(raters.c.id)),  # NULL: the owner's
    Column("expires", Double, nullable=False),
)


def open_engine(address: str) -> Engine:
    """Open a database and bring its tables up to the newest revision.

    A connection with the execution option `writes` holds SQLite's lock from its start, so that it
    never has to be broken off half way. What it commits is on disk at once; with `lazily` as the
    option's value, it is with the next commit that is, or after a second or so.

    Args:
        address: a file's path, or a postgresql:// address without a password.

    Raises:
        UserError: it cannot be opened, is no panel's database, or is newer than this program.
    """
    with explained(address):
        engine = _postgres(address) if is_address(address) else _sqlite(Path(address))
        try:
            _upgrade(engine, address)
        except BaseException:
            engine.dispose()
            raise
        return engine


@contextmanager
def explained(address: str) -> Iterator[None]:
    """Turn what a database refuses into a UserError."""
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        said = " ".join(str(error.orig).split())[:300]
        place = "the address and the server" if is_address(address) else "the file and its disk"
        raise UserError(f"{shown(address)}: {said}; check {place}") from error
    except OSError as error:
        raise UserError(f"{shown(address)}: {error.strerror}; name another file") from error


def shown(address: str) -> str:
    """An address as messages name it."""
    return address.partition("?")[0]


def _sqlite(path: Path) -> Engine:
    """WAL mode with `synchronous=FULL`: a commit is on disk when it returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        f"sqlite:///{path}", pool_size=CONNECTIONS, connect_args={"timeout": BUSY_S}
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # transactions begin below, not where Python thinks best
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes")
        if writes:
            level = "NORMAL" if writes == LAZILY else "FULL"
            connection.exec_driver_sql(f"PRAGMA synchronous = {level}")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgres(address: str) -> Engine:
    driver, given = postgres(address, "panel")
    # A server may be set up to acknowledge commits before they are on its disk.
    given["options"] = f"{given.get('options') or ''} -c synchronous_commit=on".strip()
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: driver.connect(**given),
        pool_size=CONNECTIONS,
        pool_pre_ping=True,
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("writes") == LAZILY:
            connection.exec_driver_sql("SET LOCAL synchronous_commit = off")

    return engine


def _upgrade(engine: Engine, address: str) -> None:
    if is_address(address):
        with engine.begin() as connection:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({APPLICATION})")
            _migrate(connection, address)
        return
    path = Path(address)
    # SQLite does not wait for another process that changes the journal's mode.
    with FileLock(path.with_name(f".{path.name}.lock")):
        with engine.connect() as connection:
            _check_kind(connection, path)
            connection.rollback()
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            driver.execute("PRAGMA journal_mode = WAL")
        with engine.execution_options(writes=True).begin() as connection:
            connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION}")
            _migrate(connection, address)


def _check_kind(connection: Connection, path: Path) -> None:
    application = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
    tables = connection.exec_driver_sql("SELECT COUNT(*) FROM sqlite_master").scalar_one()
    if tables and application != APPLICATION:
        raise UserError(f"{path}: is no panel's database; name another file")


def _migrate(connection: Connection, address: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", "understudy.panel:migrations")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise UserError(
            f"{shown(address)}: made by a newer understudy ({error}); use that one"
        ) from error
