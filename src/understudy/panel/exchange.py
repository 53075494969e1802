"""Ratings out of the panel's database and into it, as rows that stand for themselves."""

import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy import Connection, delete, func, insert, select

from understudy.errors import UserError
from understudy.files import validated
from understudy.panel.assignment import task_row
from understudy.panel.records import Choice, Claim, Kind, Protocol
from understudy.panel.schema import pairs, raters, ratings, tasks

BATCH = 500  # rows read at a time


class Exported(BaseModel):
    """One rating, as it is exported; times in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rater: str = Field(min_length=1, max_length=100)
    protocol: Protocol
    item: str
    kind: Kind
    left: str
    right: str
    left_text: str
    right_text: str
    better: str | None
    choice: Choice
    claims: tuple[Claim, ...] = Field(max_length=400)
    comment: str = Field(max_length=2000)
    seconds: float = Field(ge=0, allow_inf_nan=False)
    active_seconds: float = Field(ge=0, le=86_400)
    rated_at: AwareDatetime


class _Known(NamedTuple):
    """A pair in the database: its id, and the text of each model."""

    id: int
    first: str
    texts: dict[str, str]


def rows(connection: Connection) -> Iterator[dict[str, Any]]:
    """Every rating as a row, in the order they were made."""
    query = (
        select(ratings, pairs, tasks.c.swapped, raters.c.name, raters.c.protocol)
        .join(tasks, ratings.c.task == tasks.c.id)
        .join(pairs, tasks.c.pair == pairs.c.id)
        .join(raters, tasks.c.rater == raters.c.id)
        .order_by(ratings.c.rated, ratings.c.task)
        .execution_options(yield_per=BATCH)
    )
    for row in connection.execute(query):
        (left, left_text), (right, right_text) = [
            (row.model_a, row.text_a),
            (row.model_b, row.text_b),
        ][:: -1 if row.swapped else 1]
        yield {
            "rater": row.name,
            "protocol": row.protocol,
            "item": row.item,
            "kind": row.kind,
            "left": left,
            "right": right,
            "left_text": left_text,
            "right_text": right_text,
            "better": row.better,
            "choice": row.choice,
            "claims": row.claims,
            "comment": row.comment,
            "seconds": round(row.seconds, 3),
            "active_seconds": row.active_ms / 1000,
            "rated_at": datetime.fromtimestamp(row.rated, UTC).isoformat(timespec="microseconds"),
        }


def put_rows(connection: Connection, given: Sequence[dict[str, Any]]) -> int:
    """Take in the rows that are not there yet; returns how many.

    Raises:
        UserError: a row is malformed or of a pair that is not here.
    """
    known = _known(connection)
    people = {row.name: (row.id, row.protocol) for row in connection.execute(select(raters))}
    new = 0
    for number, content in enumerate(given, start=1):
        row = validated(Exported, content, f"import, row {number}")
        pair = known.get((row.kind, row.item, frozenset((row.left, row.right))))
        if pair is None or pair.texts != {row.left: row.left_text, row.right: row.right_text}:
            raise UserError(
                f"import, row {number}: item {row.item!r:.80} with these two answers is not rated "
                "here; import into the panel of the same answers"
            )
        rater, protocol = people.get(row.rater) or _new_rater(connection, row)
        people[row.rater] = rater, protocol
        if protocol != row.protocol:
            raise UserError(
                f"import, row {number}: {row.rater} rates in protocol {protocol} here; rename one"
            )
        new += _put(connection, rater, pair, row)
    return new


def _known(connection: Connection) -> dict[tuple[str, str, frozenset[str]], _Known]:
    return {
        (row.kind, row.item, frozenset((row.model_a, row.model_b))): _Known(
            row.id, row.model_a, {row.model_a: row.text_a, row.model_b: row.text_b}
        )
        for row in connection.execute(select(pairs))
    }


def _new_rater(connection: Connection, row: Exported) -> tuple[int, str]:
    """Somebody who rated elsewhere and has no invitation here."""
    values = {"name": row.rater, "protocol": row.protocol, "revoked": True}
    token = secrets.token_hex(32)  # of no invitation
    put = insert(raters).values(values | {"token": token}).returning(raters.c.id)
    return connection.execute(put).scalar_one(), row.protocol


def _put(connection: Connection, rater: int, pair: _Known, row: Exported) -> bool:
    """Put in a rating with its task, unless there is one; whether there was none.

    A task that waits to be rated gives way to a new one, so that a page that shows it is void.
    """
    mine = tasks.c.rater == rater
    here = select(tasks).where(mine, tasks.c.pair == pair.id).with_for_update()
    if task := connection.execute(here).first():
        if connection.scalar(select(ratings.c.task).where(ratings.c.task == task.id)):
            return False
        connection.execute(delete(tasks).where(tasks.c.id == task.id))
        position = task.position
    else:
        last = connection.scalar(select(func.max(tasks.c.position)).where(mine))
        position = (last or 0) + 1
    rated = row.rated_at.timestamp()
    new = task_row(rater, pair.id, position, row.left != pair.first)
    new["shown"] = rated - row.seconds
    put = insert(tasks).values(new).returning(tasks.c.id)
    said = row.model_dump(mode="json", include={"choice", "claims", "comment", "seconds"})
    said |= {"active_ms": round(row.active_seconds * 1000), "rated": rated}
    said["task"] = connection.execute(put).scalar_one()
    connection.execute(insert(ratings).values(said))
    return True
