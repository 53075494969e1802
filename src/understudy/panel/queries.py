"""What the panel's store reads more than once."""

from typing import Any

from sqlalchemy import Connection, Row, Select, and_, func, select

from understudy.panel.records import Claim, Rating, Task
from understudy.panel.schema import pairs, raters, ratings, settings, tasks


def setting(connection: Connection, name: str) -> Any:
    return connection.scalar(select(settings.c.value).where(settings.c.name == name))


def raters_and_places() -> Select[Any]:
    """Raters with how far they are."""
    return (
        select(
            raters.c.id,
            raters.c.name,
            raters.c.protocol,
            raters.c.revoked,
            func.count(ratings.c.task),
            func.count(tasks.c.id),
        )
        .outerjoin_from(raters, tasks)
        .outerjoin(ratings)
        .group_by(raters.c.id)
    )


def own_task_row(connection: Connection, rater: int, name: str) -> Row[Any] | None:
    """A rater's task by its name. In a transaction that writes, nobody takes it away meanwhile."""
    mine = and_(tasks.c.rater == rater, tasks.c.name == name)
    return connection.execute(select(tasks).where(mine).with_for_update()).first()


def own_task(
    connection: Connection, rater: int, which: Any, last: bool = False
) -> tuple[Task | None, Row[Any] | None]:
    """The first (or last) of a rater's tasks of which something holds, and its row."""
    position = tasks.c.position
    query = (
        select(tasks, pairs, ratings, raters.c.protocol)
        .join(pairs, tasks.c.pair == pairs.c.id)
        .join(raters, tasks.c.rater == raters.c.id)
        .outerjoin(ratings, ratings.c.task == tasks.c.id)
        .where(tasks.c.rater == rater, which)
        .order_by(position.desc() if last else position)
    )
    row = connection.execute(query.limit(1)).first()
    if row is None:
        return None, None
    count = select(func.count()).where(tasks.c.rater == rater)
    total = connection.execute(count).scalar_one()
    texts = row.text_a, row.text_b
    left, right = texts[::-1] if row.swapped else texts
    reference = row.reference if row.protocol == "checking" else None
    messages = tuple(row.messages)
    return Task(row.name, row.position, total, messages, left, right, reference, _rating(row)), row


def _rating(row: Row[Any]) -> Rating | None:
    if row.choice is None:
        return None
    claims = tuple(map(Claim.model_validate, row.claims))
    return Rating(choice=row.choice, claims=claims, comment=row.comment, active_ms=row.active_ms)
