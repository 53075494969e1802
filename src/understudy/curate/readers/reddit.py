"""Reddit dumps: submissions with `title` and `selftext`, comments with `body` and `parent_id`.

A comment answers its parent, which is found before it gets here, in `joins`, among the records
before it in the file. What was deleted or removed is neither question nor answer.
"""

from typing import Any

from understudy.curate.joins import is_comment, live
from understudy.curate.joins import is_reddit as sniff
from understudy.curate.records import Context, NoAnswerError, UnreadableError, pair, text_at
from understudy.dialogue import Dialogue

__all__ = ["LICENCE", "NAME", "TERMS", "read", "sniff"]

NAME = "reddit"
LICENCE: str | None = None
TERMS = (
    "the authors hold the rights to what they wrote; Reddit's terms ask for a licence of its own "
    "before its content trains a model"
)


def read(record: dict[str, Any], context: Context) -> Dialogue:
    """The parent and the comment that answers it."""
    if not is_comment(record):
        raise NoAnswerError("a submission; comments are read with what they answer")
    answer = text_at(record, "body")
    if not live(answer):
        raise NoAnswerError("the comment is empty, deleted or removed")
    if context.asked is None:
        raise UnreadableError("its parent is gone, or is not among the records shortly before it")
    return context.dialogue(record, pair(context.asked, answer))
