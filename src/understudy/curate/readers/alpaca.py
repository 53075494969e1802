"""Alpaca: {"instruction", "input", "output"}; GPTEacher calls the output `response`.

The input, where there is one, follows the instruction after a blank line: one user turn.
"""

from typing import Any

from understudy.curate.records import Context, text_at
from understudy.dialogue import Dialogue, Turn

NAME = "alpaca"
TERMS = (
    "depends on the copy: Stanford's is CC BY-NC 4.0, others state their own; "
    "the answers come from OpenAI's models and are bound by OpenAI's terms"
)


def sniff(record: dict[str, Any]) -> bool:
    """Whether it has an instruction."""
    return "instruction" in record


def read(record: dict[str, Any], context: Context) -> Dialogue:
    """The dialogue of one question and one answer."""
    instruction = text_at(record, "instruction")
    extra = text_at(record, "input") if record.get("input") is not None else ""
    prompt = f"{instruction}\n\n{extra}" if extra.strip() else instruction
    answer = text_at(record, "response" if "response" in record else "output")
    return Dialogue(
        id=context.id_for(record),
        turns=[Turn(role="user", content=prompt), Turn(role="assistant", content=answer)],
        source=context.source,
        origin=context.origin,
    )
