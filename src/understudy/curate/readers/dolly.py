"""Dolly: {"instruction", "context", "response", "category"}."""

from typing import Any

from understudy.curate.records import Context, pair, text_at, with_input
from understudy.dialogue import Dialogue

NAME = "dolly"
LICENCE: str | None = "cc-by-sa-3.0"
TERMS = "CC BY-SA 3.0; people at Databricks wrote it, with passages from Wikipedia"


def sniff(record: dict[str, Any]) -> bool:
    """Whether it has an instruction, a context and a response."""
    return "instruction" in record and "context" in record and "response" in record


def read(record: dict[str, Any], context: Context) -> Dialogue:
    """The dialogue of one question, with the context after it, and one answer."""
    extra = text_at(record, "context") if record["context"] is not None else ""
    prompt = with_input(text_at(record, "instruction"), extra)
    return context.dialogue(record, pair(prompt, text_at(record, "response")), extra=extra)
