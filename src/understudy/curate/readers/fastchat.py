"""FastChat's question sets, answers, reference answers and reviews: all have a `question_id`.

None is a dialogue by itself. Questions lie in one file and every model's answers in another, known
by the number alone; which question file belongs to an answer file is nowhere said in either.
"""

from typing import Any

from understudy.curate.records import Context, NoAnswerError, UnreadableError
from understudy.dialogue import Dialogue

NAME = "fastchat"
LICENCE: str | None = None
TERMS = (
    "FastChat's questions are Apache-2.0 and a benchmark; the terms of each model's maker bind "
    "its answers"
)
ANSWERS = ("answer_id", "model_id", "choices", "review_id", "answer1_id")


def sniff(record: dict[str, Any]) -> bool:
    """Whether it has the number of a question."""
    return "question_id" in record


def read(record: dict[str, Any], context: Context) -> Dialogue:
    """No dialogue: raises NoAnswerError for a question and UnreadableError for what is none."""
    if any(key in record for key in ANSWERS):
        raise UnreadableError("an answer or a review alone; its question lies in another file")
    raise NoAnswerError("a question alone; answers lie in other files")
