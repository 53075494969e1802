"""Koala: texts under `human_0`, `gpt_1`, ... and in `fields` their order, with markers between.

A name in brackets carries no loss there: the user's side and what goes with it (`quote_0`).
`gpt_bad_1` is an answer that people liked less, kept to be told from better ones.
"""

import re
from typing import Any

from understudy.curate.records import Context, UnreadableError, text_at
from understudy.dialogue import Dialogue, Role

NAME = "koala"
LICENCE: str | None = None
TERMS = (
    "made of other sets, each under its own terms; the dialogues were shared by users without a "
    "licence, and OpenAI's terms bind ChatGPT's answers"
)
PART = re.compile(r"\b(human|quote|gpt|gpt_bad)_\d{1,9}\b")


def sniff(record: dict[str, Any]) -> bool:
    """Whether it has fields and the marker of a side."""
    return "fields" in record and ("marker_user" in record or "marker_gpt" in record)


def read(record: dict[str, Any], context: Context) -> Dialogue:
    """The dialogue in the order of `fields`; what one side says in a row is one turn."""
    turns: list[tuple[Role, str]] = []
    for part in PART.finditer(text_at(record, "fields")):
        if part[1] == "gpt_bad":
            raise UnreadableError("an answer that is marked as the worse one")
        role: Role = "assistant" if part[1] == "gpt" else "user"
        text = text_at(record, part[0])
        if turns and turns[-1][0] == role:
            text = f"{turns.pop()[1]}\n\n{text}"
        turns.append((role, text))
    return context.dialogue(record, turns)
