"""Alpaca: {"instruction", "input", "output"}; GPTEacher calls the output `response`."""

from typing import Any

from understudy.curate.records import Context, pair, text_at, with_input
from understudy.dialogue import Dialogue

NAME = "alpaca"
LICENCE: str | None = None
TERMS = (
    "depends on the copy: Stanford's is CC BY-NC 4.0, others state their own; "
    "the answers come from OpenAI's models and are bound by OpenAI's terms"
)


def sniff(record: dict[str, Any]) -> bool:
    """Whether it has an instruction."""
    return "instruction" in record


def read(record: dict[str, Any], context: Context) -> Dialogue:
    """The dialogue of one question and one answer."""
    extra = text_at(record, "input") if record.get("input") is not None else ""
    prompt = with_input(text_at(record, "instruction"), extra)
    answer = text_at(record, "response" if "response" in record else "output")
    return context.dialogue(record, pair(prompt, answer), extra=extra)
