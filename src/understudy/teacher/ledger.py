"""The ledger: every teacher call, on disk before anybody sees its answer.

A table of calls under the digests of what was asked, in an SQLite file or in PostgreSQL
(`databases`). Several processes may use one ledger; a file must be on a local disk.
"""

import json
import math
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from understudy.errors import UserError
from understudy.files import canonical_json, whole_characters
from understudy.progress import progress
from understudy.teacher.databases import Row, Statements, is_address, open_database
from understudy.teacher.wire import Completion, parse

AT_ONCE = 200  # keys or calls in one query
GROUPS = ("model", "day", "recipe")
LISTED = (
    "key",
    "model",
    "recipe",
    "sample",
    "finish_reason",
    "prompt_tokens",
    "completion_tokens",
    "usd",
)
SHOWN = 200  # characters of what was asked, in a list


class Call(NamedTuple):
    """One answered call. `request` and `response` are the JSON bodies, without any header.

    `usd` is None where no price was known; `created` is in seconds since 1970; `recipe` names who
    asked, and `checksum` is the SHA-256 of the response ("" in records of version 1).
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
    recipe: str = ""
    checksum: str = ""

    def record(self) -> dict[str, Any]:
        """All of it, the bodies as JSON values; a broken one stays a text."""
        bodies = {"request": _value(self.request), "response": _value(self.response)}
        return self._asdict() | bodies

    def shown(self) -> dict[str, Any]:
        """What a list of calls shows, with the beginning of what was asked."""
        shown = {name: value for name, value in self._asdict().items() if name in LISTED}
        asked = " ".join(_asked(self.request).split())
        return {**shown, "when": _when(self.created), "asked": asked[:SHOWN]}


class Spent(NamedTuple):
    """Calls, tokens and US dollars; `usd` of those whose price is known."""

    calls: int = 0
    tokens: int = 0
    usd: float = 0.0


_COLUMNS = ", ".join(Call._fields)
_MARKS = ", ".join("?" for _ in Call._fields)
_INSERT = f"INSERT INTO calls ({_COLUMNS}) VALUES ({_MARKS}) ON CONFLICT (key) DO NOTHING"
_VERSIONS = (
    (
        """CREATE TABLE calls (
        key TEXT PRIMARY KEY, identity TEXT NOT NULL, model TEXT NOT NULL,
        sample INTEGER NOT NULL, request TEXT NOT NULL, response TEXT NOT NULL,
        finish_reason TEXT NOT NULL, prompt_tokens BIGINT NOT NULL,
        completion_tokens BIGINT NOT NULL, usd REAL, created REAL NOT NULL)""",
    ),
    (
        "ALTER TABLE calls ADD COLUMN recipe TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE calls ADD COLUMN checksum TEXT NOT NULL DEFAULT ''",
        # The order of time; and sums read this and not the bodies, which are much longer.
        "CREATE INDEX calls_by_time ON calls "
        "(created, key, recipe, model, prompt_tokens, completion_tokens, usd)",
        """CREATE TABLE reserved (
        session TEXT PRIMARY KEY, recipe TEXT NOT NULL, calls BIGINT NOT NULL,
        tokens BIGINT NOT NULL, usd REAL NOT NULL)""",
    ),
)


def call_key(identity: str, model: str, request: str, sample: int) -> str:
    """The key of a call: equal requests (canonical JSON) to the same teacher have equal keys."""
    # The digest of {"identity", "model", "request", "sample"}, without reading `request` again.
    text = f'{_head(identity, model)},"request":{request},"sample":{sample}}}'
    return sha256(text.encode()).hexdigest()


@cache
def _head(identity: str, model: str) -> str:
    return canonical_json({"identity": identity, "model": model})[:-1]


def checksum(response: str) -> str:
    return sha256(response.encode()).hexdigest()


def exists(place: str | Path) -> bool:
    """Whether a ledger may be there already; opening one that is not makes it."""
    return is_address(place) or os.path.exists(place)


def opened(place: str | Path) -> "Ledger":
    """A ledger that is there already.

    Raises:
        UserError: it is not, or see `Ledger`.
    """
    if not exists(place):
        raise UserError(f"{place}: no such ledger; check the path")
    return Ledger(place)


class Ledger:
    """An open ledger, made if it is missing; a context manager.

    Args:
        place: a file's path, or a postgresql:// address.

    Raises:
        UserError: the place is no ledger or of a later version, or the disk is full; any method
            may find the latter.
    """

    def __init__(self, place: str | Path) -> None:
        self._session = uuid.uuid4().hex
        self._db = open_database(place, _VERSIONS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._db.close()

    def record(self, calls: Sequence[Call]) -> int:
        """Put answered calls on disk in one commit; the first record of a key stays.

        Returns:
            How many were new.
        """
        # In the order of their keys, or processes that record the same ones could wait for each
        # other. Of equal keys, the first stays first.
        return self._db.write([(_INSERT, sorted(calls, key=attrgetter("key")))])

    def lookup(self, keys: Iterable[str]) -> Iterator[Call]:
        """The recorded calls among those with these keys, in no particular order."""
        return (Call(*row) for row in self._having(_COLUMNS, keys))

    def known(self, keys: Iterable[str]) -> set[str]:
        """Which of these keys are recorded."""
        return {key for (key,) in self._having("key", keys)}

    def calls(self, newest: int | None = None) -> Iterator[Call]:
        """All calls in the order of their time, or the newest ones, last first."""
        for page in self._pages(newest):
            yield from page

    def walk(self, label: str) -> Iterator[Call]:
        """All calls in the order of their time; a label stands beside their progress."""
        ((count,),) = self._db.read("SELECT COUNT(*) FROM calls")
        with progress(label, count) as task:
            for page in self._pages():
                yield from page
                task.advance(len(page))

    def _having(self, columns: str, keys: Iterable[str]) -> Iterator[Row]:
        """These columns of the calls that have one of these keys."""
        for some in chunks(keys, AT_ONCE):
            marks = ", ".join("?" for _ in some)
            yield from self._db.read(f"SELECT {columns} FROM calls WHERE key IN ({marks})", some)

    def _pages(self, newest: int | None = None) -> Iterator[list[Call]]:
        """See `calls`. Calls that are recorded meanwhile come in their place, unless it is past."""
        beyond, way = (">", "ASC") if newest is None else ("<", "DESC")
        where, left = "", math.inf if newest is None else newest
        last: list[Any] = []
        while left > 0:
            query = f"SELECT {_COLUMNS} FROM calls {where} ORDER BY created {way}, key {way}"
            rows = self._db.read(f"{query} LIMIT ?", [*last, min(left, AT_ONCE)])
            if not rows:
                return
            page = [Call(*row) for row in rows]
            yield page
            where, last = f"WHERE (created, key) {beyond} (?, ?)", [page[-1].created, page[-1].key]
            left -= len(page)

    # Sums

    def sums(self, group: str) -> dict[str, dict[str, Any]]:
        """Calls, tokens and US dollars for each of a group of GROUPS; usd None if some have none.

        Returns:
            {name: {"calls", "prompt_tokens", "completion_tokens", "usd"}}

        Raises:
            UserError: there is no such group.
        """
        if group not in GROUPS:
            raise UserError(f"no sums by {group!r}; choose from {', '.join(GROUPS)}")
        column = self._db.day if group == "day" else group
        rows = self._db.read(
            f"SELECT {column}, COUNT(*), SUM(prompt_tokens), SUM(completion_tokens), SUM(usd), "
            "COUNT(usd) FROM calls GROUP BY 1 ORDER BY 1"
        )
        return {
            name: {
                "calls": calls,
                "prompt_tokens": int(asked),
                "completion_tokens": int(answered),
                "usd": round(usd, 6) if priced == calls else None,
            }
            for name, calls, asked, answered, usd, priced in rows
        }

    def summary(self) -> dict[str, Any]:
        """Calls, tokens and US dollars, in all and by model; None for `usd` where some have none.

        Returns:
            {"calls", "prompt_tokens", "completion_tokens", "usd", "models": {name: the same}}
        """
        models = self.sums("model")
        prices = [of["usd"] for of in models.values()]
        counts = {
            name: sum(of[name] for of in models.values())
            for name in ("calls", "prompt_tokens", "completion_tokens")
        }
        usd = None if None in prices else round(sum(prices, 0.0), 6)
        return counts | {"usd": usd, "models": models}

    # Budgets

    def spent(self, recipe: str) -> Spent:
        """What a recipe's calls have cost so far, with all that was reserved for lost ones."""
        ((calls, tokens, usd),) = self._db.read(
            "SELECT COUNT(*), COALESCE(SUM(prompt_tokens + completion_tokens), 0), "
            "COALESCE(SUM(usd), 0) FROM calls WHERE recipe = ?",
            [recipe],
        )
        ((lost, lost_tokens, lost_usd),) = self._db.read(
            "SELECT COALESCE(SUM(calls), 0), COALESCE(SUM(tokens), 0), COALESCE(SUM(usd), 0) "
            "FROM reserved WHERE recipe = ?",
            [recipe],
        )
        return Spent(int(calls + lost), int(tokens + lost_tokens), float(usd + lost_usd))

    def reserve(self, recipe: str, most: Spent) -> None:
        """Note durably what this session's unrecorded calls may cost in all, instead of before.

        Whoever opens the ledger after a kill counts that as spent (`spent`).
        """
        rows = [(self._session, recipe, *most)] if most != Spent() else []
        statements: Statements = [
            ("DELETE FROM reserved WHERE session = ?", [[self._session]]),
            ("INSERT INTO reserved VALUES (?, ?, ?, ?, ?)", rows),
        ]
        self._db.write(statements)

    # Care

    def verify(self) -> Iterator[str]:
        """What is wrong, a line each: damaged storage, and records that are not what they say."""
        try:
            yield from self._db.damage()
            for call in self.walk("verify"):
                if fault := _fault(call):
                    yield f"call {str(call.key)[:16]}: {fault}"
        except UserError as error:
            yield f"no further: {error}"

    def merge(self, other: "Ledger") -> dict[str, int]:
        """Take over the calls of another ledger; where both have a key, this one's stays.

        Returns:
            {"added", "same", "different"}: the last counts keys with another answer there.
        """
        found = {"added": 0, "same": 0, "different": 0}
        for calls in chunks(other.walk("merge"), AT_ONCE):
            here = {call.key: call.response for call in self.lookup(call.key for call in calls)}
            for call in calls:
                if call.key in here:
                    found["same" if here[call.key] == call.response else "different"] += 1
            found["added"] += self.record([call for call in calls if call.key not in here])
        return found


def _fault(call: Call) -> str | None:
    """Why a record cannot be what was recorded; of version 1, only what contradicts itself."""
    if not all(isinstance(text, str) for text in (call.identity, call.model, call.response)):
        return "one of its texts is none"
    if call.key != call_key(call.identity, call.model, call.request, call.sample):
        return "its key is not the digest of its request"
    if call.checksum and call.checksum != checksum(call.response):
        return "its answer is not the one that was recorded"
    if not call.finish_reason:  # no completion, but a scorer's answer
        return None
    completion = parse(call.response.encode())
    if not isinstance(completion, Completion):
        return "its answer is broken"
    columns = (call.finish_reason, call.prompt_tokens, call.completion_tokens)
    counts = (completion.count(name) or 0 for name in ("prompt_tokens", "completion_tokens"))
    if columns != (completion.finish_reason, *counts):
        return "its tokens or finish_reason are not those of its answer"
    return None


def _value(body: str) -> Any:
    """A body's JSON value; the body itself if it is broken."""
    try:
        return whole_characters(json.loads(body))
    except (ValueError, TypeError, RecursionError):
        return str(body)


def _asked(body: str) -> str:
    """The last message of a request, or its prompt; a request of another form is shown whole."""
    request = _value(body)
    try:
        asked = request["messages"][-1]["content"] if "messages" in request else request["prompt"]
    except (LookupError, TypeError):
        return str(body)
    return asked if isinstance(asked, str) else str(body)


def _when(created: float) -> str:
    try:
        return datetime.fromtimestamp(created, UTC).isoformat(" ", "seconds")
    except (ValueError, TypeError, OverflowError, OSError):
        return str(created)


def chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """The items in lists of `size`, the last one shorter."""
    chunk: list[Any] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
