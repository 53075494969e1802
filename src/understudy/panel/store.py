"""The panel's database: SQLite in a file, or PostgreSQL by URL."""

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    and_,
    delete,
    false,
    func,
    insert,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from understudy.errors import UserError
from understudy.files import digest
from understudy.panel import exchange
from understudy.panel.assignment import assign
from understudy.panel.queries import own_task, own_task_row, raters_and_places, setting
from understudy.panel.records import Pair, Protocol, Rater, Rating, Task
from understudy.panel.schema import (
    APPLICATION,
    LAZILY,
    explained,
    open_engine,
    pairs,
    raters,
    ratings,
    sessions,
    settings,
    shown,
    tasks,
)

MAX_NAME = 100  # characters of a rater's name
MAX_ID = 300  # characters of an item's or a model's name
MAX_TEXT = 100_000  # characters of an answer, a turn or a reference
SCRYPT = {"n": 1 << 14, "r": 8, "p": 5}  # 16 MiB; OWASP's Password Storage Cheat Sheet


def default_place(run: Path) -> str:
    """Where a run's panel is kept unless told otherwise."""
    return str(run / "panel" / "panel.sqlite")


class Store:
    """Pairs, raters and ratings. Safe to call from many threads; what a method writes is on the
    disk when it returns, but for when a pair was first shown.

    Args:
        address: a file's path or a postgresql:// address. Migrated to the newest schema when
            opened.

    Raises:
        UserError: it cannot be opened, is no panel's database, or is newer than this program. Any
            method raises it when the database fails later.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._engine = open_engine(address)
        self._sqlite = self._engine.dialect.name == "sqlite"
        self._lock = threading.Lock()

    def close(self) -> None:
        self._engine.dispose()

    # What is rated

    def set_up(self, given: Sequence[Pair], about: dict[str, Any], seed: int) -> None:
        """Put in the pairs, once; again with the same arguments it does nothing.

        Args:
            given: pairs of all kinds.
            about: shown to raters as it is: {"title", "decoding": {"temperature", ...}}, and
                {"items_per_rater": int or None, "overlap": raters a pair should have before
                others are begun}; never names of models.
            seed: of orders and sides.

        Raises:
            UserError: the database holds other pairs or settings.
        """
        same = digest([[pair.model_dump() for pair in given], about, seed])
        _check_pairs(given)
        with self._writing(alone=True) as connection:
            found = setting(connection, "digest")
            if found == same:
                return
            if found is not None:
                raise UserError(
                    f"{shown(self.address)}: holds other pairs, or pairs with other settings; "
                    "start it as it was first started, or name another database"
                )
            connection.execute(insert(pairs), [_pair_row(pair) for pair in given])
            for name, value in {"digest": same, "about": about, "seed": seed}.items():
                connection.execute(insert(settings).values(name=name, value=value))

    def about(self) -> dict[str, Any]:
        """What `set_up` was given; empty before it."""
        with self._reading() as connection:
            return setting(connection, "about") or {}

    # Raters

    def invite(self, name: str, protocol: Protocol) -> tuple[Rater, str]:
        """A new rater and its token, of which only a digest is kept.

        Raises:
            UserError: somebody of that name was invited, or the name is empty or too long.
        """
        name, token = name.strip(), secrets.token_urlsafe(32)
        if not name or len(name) > MAX_NAME or not name.isprintable():
            raise UserError(f"panel: a rater's name is 1 to {MAX_NAME} printable characters")
        with self._writing(alone=True) as connection:
            if connection.execute(select(raters.c.id).where(raters.c.name == name)).first():
                raise UserError(f"panel: {name} was invited already; choose another name")
            row = {"name": name, "protocol": protocol, "token": _hidden(token), "revoked": False}
            put = insert(raters).values(row).returning(raters.c.id)
            rater = connection.execute(put).scalar_one()
        return Rater(rater, name, protocol, revoked=False, rated=0, total=0), token

    def revoke(self, rater: int) -> None:
        """Let an invitation and its sessions end; ratings stay."""
        with self._writing() as connection:
            connection.execute(update(raters).where(raters.c.id == rater).values(revoked=True))
            connection.execute(delete(sessions).where(sessions.c.rater == rater))

    def raters(self) -> list[Rater]:
        """Everybody who was invited or whose ratings were taken in."""
        with self._reading() as connection:
            return [
                Rater(*row) for row in connection.execute(raters_and_places().order_by(raters.c.id))
            ]

    def rater_of(self, token: str) -> Rater | None:
        """Whose invitation a token is; None for a forged or revoked one."""
        mine = and_(raters.c.token == _hidden(token), raters.c.revoked == false())
        with self._reading() as connection:
            row = connection.execute(raters_and_places().where(mine)).first()
            return Rater(*row) if row else None

    def begin(self, rater: int) -> None:
        """Draw a rater's pairs, their order and sides, once.

        Pairs that some raters of the protocol have, but not enough, come first, so that ratings
        overlap; what a rater was given and left alone for a day counts for nothing. Gold pairs and
        attention checks go to everybody.
        """
        with self._reading() as connection:
            if connection.scalar(select(raters.c.begun).where(raters.c.id == rater)):
                return
        with self._writing(alone=True) as connection:
            one = connection.execute(select(raters).where(raters.c.id == rater)).one()
            if one.begun:
                return
            now, about = time.time(), setting(connection, "about") or {}
            assign(connection, one, about, setting(connection, "seed"), now)
            connection.execute(update(raters).where(raters.c.id == rater).values(begun=now))

    def next_task(self, rater: int) -> Task | None:
        """The first pair not rated yet; None when all are. Notes when it was first shown."""
        with self._reading() as connection:
            task, row = own_task(connection, rater, ratings.c.task.is_(None))
        if row is not None and row.shown is None:
            with self._writing(lazily=True) as connection:
                first = and_(tasks.c.id == row.id, tasks.c.shown.is_(None))
                connection.execute(update(tasks).where(first).values(shown=time.time()))
        return task

    def task(self, rater: int, id: str) -> Task | None:
        """One of a rater's own pairs; None for any other id."""
        with self._reading() as connection:
            return own_task(connection, rater, tasks.c.name == id)[0]

    def previous_task(self, rater: int, id: str) -> Task | None:
        """The pair before this one in the rater's order."""
        with self._reading() as connection:
            this = own_task_row(connection, rater, id)
            if this is None:
                return None
            return own_task(connection, rater, tasks.c.position < this.position, last=True)[0]

    def rate(self, rater: int, id: str, rating: Rating) -> bool:
        """Keep a rating; said again, the last one counts. False if the id is not this rater's.

        The time until it was first said stays, and of the times in front the longest.
        """
        now = time.time()
        with self._writing() as connection:
            this = own_task_row(connection, rater, id)
            if this is None:
                return False
            said = rating.model_dump(mode="json") | {
                "task": this.id,
                "seconds": max(0.0, now - (this.shown or now)),
                "rated": now,
            }
            put = (sqlite if self._sqlite else postgresql).insert(ratings).values(said)
            longest = func.greatest if not self._sqlite else func.max
            changed = {
                name: put.excluded[name] for name in ("choice", "claims", "comment", "rated")
            }
            changed["active_ms"] = longest(ratings.c.active_ms, put.excluded.active_ms)
            connection.execute(put.on_conflict_do_update(index_elements=["task"], set_=changed))
            return True

    # Sessions, of raters and of the owner

    def open_session(self, rater: int | None, seconds: float) -> tuple[str, str]:
        """A new session's secret and its CSRF token; `rater` None is the owner's."""
        secret, now = secrets.token_urlsafe(32), time.time()
        row = {"secret": _hidden(secret), "rater": rater, "expires": now + seconds}
        with self._writing() as connection:
            connection.execute(delete(sessions).where(sessions.c.expires < now))
            connection.execute(insert(sessions).values(row))
        return secret, _csrf(secret)

    def session(self, secret: str) -> tuple[int | None, str] | None:
        """(rater or None for the owner, CSRF token) of a session that is open; else None."""
        valid = and_(
            sessions.c.secret == _hidden(secret),
            sessions.c.expires > time.time(),
            raters.c.revoked.is_not(true()),
        )
        with self._reading() as connection:
            query = select(sessions.c.rater).outerjoin(raters).where(valid)
            row = connection.execute(query).first()
        return (row.rater, _csrf(secret)) if row else None

    def end_session(self, secret: str) -> None:
        with self._writing() as connection:
            connection.execute(delete(sessions).where(sessions.c.secret == _hidden(secret)))

    # The owner

    def has_owner(self) -> bool:
        """Whether the owner has a password yet."""
        with self._reading() as connection:
            return setting(connection, "owner") is not None

    def set_owner_password(self, password: str) -> None:
        """Keep a salted digest (scrypt) of the owner's password; open sessions of the owner end."""
        salt = secrets.token_hex(16)
        owner = {"salt": salt, "digest": _scrypt(password, salt)}
        with self._writing(alone=True) as connection:
            connection.execute(delete(sessions).where(sessions.c.rater.is_(None)))
            connection.execute(delete(settings).where(settings.c.name == "owner"))
            connection.execute(insert(settings).values(name="owner", value=owner))

    def owner_password_right(self, password: str) -> bool:
        """Whether this is the owner's password; takes tens of milliseconds on purpose."""
        with self._reading() as connection:
            owner = setting(connection, "owner")
        if owner is None:
            return False
        return hmac.compare_digest(_scrypt(password, owner["salt"]), owner["digest"])

    # Out and in

    def stamp(self) -> tuple[int, float]:
        """Ratings so far and when the last was made: what changes when a rating does."""
        with self._reading() as connection:
            count, last = connection.execute(select(func.count(), func.max(ratings.c.rated))).one()
            return count, last or 0.0

    def rows(self) -> Iterator[dict[str, Any]]:
        """Every rating as an export's row, in the order they were made.

        {"rater", "protocol", "item", "kind", "left", "right" (models), "left_text", "right_text",
        "better", "choice", "claims", "comment", "seconds", "active_seconds", "rated_at"}
        """
        with self._reading() as connection:
            yield from exchange.rows(connection)

    def put_rows(self, rows: Sequence[dict[str, Any]]) -> int:
        """Take in an export's rows; those that are there already stay. Returns how many are new.

        A rater who is not here is put in without an invitation.

        Raises:
            UserError: a row is malformed or of a pair that is not here; nothing is then taken in.
        """
        with self._writing(alone=True) as connection:
            return exchange.put_rows(connection, rows)

    # Below

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with explained(self.address), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self, alone: bool = False, lazily: bool = False) -> Iterator[Connection]:
        """A transaction that is committed in the end.

        SQLite has one writer anyhow; that threads wait for each other here and not in SQLite,
        which sleeps between tries, is what keeps the wait short.

        Args:
            alone: no other such one at a time.
            lazily: a power cut may take it back.
        """
        engine = self._engine.execution_options(writes=LAZILY if lazily else True)
        one_writer = self._lock if self._sqlite else nullcontext()
        with explained(self.address), one_writer, engine.begin() as connection:
            if alone and not self._sqlite:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({APPLICATION})")
            yield connection


def _check_pairs(given: Sequence[Pair]) -> None:
    seen = set()
    for pair in given:
        place = f"panel: item {pair.item!r:.80}"
        key = (pair.kind, pair.item, frozenset(pair.models))
        texts = [*pair.texts, pair.reference or "", *(turn["content"] for turn in pair.messages)]
        if key in seen or len(set(pair.models)) < 2:
            raise UserError(f"{place}: stands twice for the same models; remove one")
        if max(map(len, (pair.item, *pair.models))) > MAX_ID:
            raise UserError(
                f"{place}: names of items and models have at most {MAX_ID} characters; shorten it"
            )
        if max(map(len, texts)) > MAX_TEXT:
            raise UserError(
                f"{place}: a text of more than {MAX_TEXT} characters; nobody would read it, "
                "remove it"
            )
        seen.add(key)


def _pair_row(pair: Pair) -> dict[str, Any]:
    row = pair.model_dump(mode="json", exclude={"models", "texts"})
    (row["model_a"], row["model_b"]), (row["text_a"], row["text_b"]) = pair.models, pair.texts
    return row


def _hidden(secret: str) -> str:
    """What is kept of a secret. It is looked up by this, so that no timing tells of the secret."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def _csrf(secret: str) -> str:
    """A session's CSRF token, from which its secret cannot be told."""
    return hmac.new(secret.encode(errors="replace"), b"csrf", "sha256").hexdigest()


def _scrypt(password: str, salt: str) -> str:
    raw = password.encode(errors="replace")
    return hashlib.scrypt(raw, salt=bytes.fromhex(salt), maxmem=1 << 26, **SCRYPT).hex()
