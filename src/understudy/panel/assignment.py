"""Which pairs a rater gets, in which order, and which answer stands left."""

import random
import secrets
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, and_, false, func, insert, or_, select

from understudy.panel.records import Kind
from understudy.panel.schema import pairs, raters, ratings, tasks

OVERLAP = 3  # ratings a pair, as in Gudibande et al. 2023
LEFT_ALONE_S = 86_400.0  # after which what a rater has not rated counts for nothing


class Candidate(NamedTuple):
    """A pair that a rater might get, and how often raters of the same protocol have it.

    Attributes:
        straight: how many have it with the first model left.
        swapped: how many have it with the second model left.
    """

    pair: int
    kind: Kind
    straight: int = 0
    swapped: int = 0


def assign(
    connection: Connection, rater: Row[Any], about: dict[str, Any], seed: int, now: float
) -> None:
    """Draw a rater's tasks and put them in; see `draw`.

    Pairs have one order for the whole panel, so that hurried and checking raters meet on the same
    ones. What was imported for the rater before counts as drawn.
    """
    items: int | None = about.get("items_per_rater")
    query = select(tasks.c.pair, tasks.c.position, pairs.c.kind).join(pairs)
    had = connection.execute(query.where(tasks.c.rater == rater.id)).all()
    if items is not None:
        items = max(0, items - sum(row.kind == "pair" for row in had))
    known = {row.pair for row in had}
    candidates = _candidates(connection, rater.protocol, now)
    random.Random(seed).shuffle(candidates)
    left = [one for one in candidates if one.pair not in known]
    first = max((row.position for row in had), default=0) + 1
    drawn = draw(left, items, about.get("overlap", OVERLAP), f"{seed}:{rater.id}")
    rows = [
        task_row(rater.id, pair, position, swapped)
        for position, (pair, swapped) in enumerate(drawn, start=first)
    ]
    if rows:
        connection.execute(insert(tasks), rows)


def task_row(rater: int, pair: int, position: int, swapped: bool) -> dict[str, Any]:
    """A new task; its name tells nothing."""
    name = secrets.token_urlsafe(16)
    return {"name": name, "rater": rater, "pair": pair, "position": position, "swapped": swapped}


def draw(
    candidates: Sequence[Candidate], items: int | None, overlap: int, seed: str
) -> list[tuple[int, bool]]:
    """Draw a rater's pairs as (pair, swapped), in their order.

    Pairs that some have, but fewer than `overlap`, come first into the choice, then those that
    nobody has, then the rest, the least often given first; what is equal in that goes by the order
    of the candidates. So agreement can be told from the first few raters on, whatever the number of
    pairs. Each stands on the side where it has stood less often, or by chance. Gold pairs and
    attention checks are all given, one to each equal stretch of the order, at a random place in it.

    Args:
        candidates: all pairs that there are for the rater.
        items: how many of kind "pair"; None for all.
        overlap: how many raters a pair should have before others are begun.
        seed: of chance.
    """
    rng = random.Random(seed)
    checks = [one for one in candidates if one.kind != "pair"]
    wanted = partial(_turn, overlap=overlap)
    rated = sorted((one for one in candidates if one.kind == "pair"), key=wanted)[:items]
    order = rng.sample(rated, len(rated))
    total = len(order) + len(checks)
    for number, check in enumerate(checks):
        stretch = range(total * number // len(checks), total * (number + 1) // len(checks))
        order.insert(rng.choice(stretch), check)
    return [(one.pair, _swapped(one, rng)) for one in order]


def _turn(one: Candidate, overlap: int) -> tuple[int, int]:
    """When a pair's turn is, for sorting."""
    covered = one.straight + one.swapped
    return (1, covered) if covered >= overlap else (0, -covered)


def _swapped(one: Candidate, rng: random.Random) -> bool:
    if one.straight == one.swapped:
        return rng.random() < 0.5
    return one.straight > one.swapped


def _candidates(connection: Connection, protocol: str, now: float) -> list[Candidate]:
    """All pairs, with how many raters of a protocol have rated them or are about to."""
    since = now - LEFT_ALONE_S
    begun = select(raters.c.id).where(raters.c.begun > since)
    active = begun.union(select(tasks.c.rater).where(tasks.c.shown > since))
    about_to = and_(raters.c.revoked == false(), raters.c.id.in_(active))
    counted = (
        select(tasks.c.pair, tasks.c.swapped, func.count().label("raters"))
        .join(raters)
        .outerjoin(ratings)
        .where(raters.c.protocol == protocol, or_(ratings.c.task.is_not(None), about_to))
        .group_by(tasks.c.pair, tasks.c.swapped)
    )
    on = {(row.pair, row.swapped): row.raters for row in connection.execute(counted)}
    return [
        Candidate(row.id, row.kind, on.get((row.id, False), 0), on.get((row.id, True), 0))
        for row in connection.execute(select(pairs.c.id, pairs.c.kind).order_by(pairs.c.id))
    ]
