"""Plain rows of a question and an answer, as in CSV, Parquet or JSON, told by their column names.

Names are compared without regard to case. A row with a question's column and none of an answer's
is a prompt, as in Koala's test set.
"""

from typing import Any

from understudy.curate.records import Context, NoAnswerError, pair, text_at
from understudy.dialogue import Dialogue

NAME = "table"
LICENCE: str | None = None
TERMS = "not said by the format; the terms of whoever gave the answers bind them"
QUESTIONS = ("prompt", "question", "query", "instruction", "input", "user")
ANSWERS = ("completion", "response", "answer", "output", "assistant")
END = "<|endoftext|>"  # completions made for fine-tuning with OpenAI end with it


def sniff(record: dict[str, Any]) -> bool:
    """Whether it has a column for the question."""
    return _column(record, QUESTIONS) is not None


def read(record: dict[str, Any], context: Context) -> Dialogue:
    """The dialogue of one question and one answer."""
    question, answer = _column(record, QUESTIONS), _column(record, ANSWERS)
    if question is None or answer is None or record[answer] is None:
        raise NoAnswerError("a prompt without an answer")
    turns = pair(text_at(record, question), text_at(record, answer).removesuffix(END))
    return context.dialogue(record, turns)


def _column(record: dict[str, Any], names: tuple[str, ...]) -> str | None:
    """The column that has the first of `names` that there is."""
    there = {key.lower(): key for key in record if isinstance(key, str)}
    return next((there[name] for name in names if name in there), None)
