"""WebGPT comparisons: {"question": {"full_text"}, "answer_0", "answer_1", "score_0", "score_1"}.

The answer with the higher score is taken, and of a tie the first: both are answers of the teacher,
and a tie says that neither is worse. Marks of quotes ("[1]") stay in the answers.
"""

from typing import Any

from understudy.curate.records import Context, UnreadableError, pair, text_at
from understudy.dialogue import Dialogue

NAME = "webgpt"
LICENCE: str | None = None
TERMS = "no licence stated; the answers come from OpenAI's WebGPT and quote web pages"
TEACHER = "webgpt"


def sniff(record: dict[str, Any]) -> bool:
    """Whether it has a question and two answers."""
    return "question" in record and "answer_0" in record and "answer_1" in record


def read(record: dict[str, Any], context: Context) -> Dialogue:
    """The dialogue of the question and the preferred answer."""
    if not isinstance(record["question"], dict):
        raise UnreadableError("question is not an object")
    first, second = record.get("score_0"), record.get("score_1")
    if not isinstance(first, int | float) or not isinstance(second, int | float):
        raise UnreadableError("score_0 or score_1 is not a number")
    answer = text_at(record, "answer_1" if second > first else "answer_0")
    turns = pair(text_at(record["question"], "full_text"), answer)
    return context.dialogue(record, turns, teacher=TEACHER, id=record["question"].get("id"))
