"""GPT4All: {"prompt", "response", "source"}."""

from typing import Any

from understudy.curate.records import Context, pair, text_at
from understudy.dialogue import Dialogue

NAME = "gpt4all"
LICENCE: str | None = None
TERMS = "depends on the copy; the answers are GPT-3.5-Turbo's and bound by OpenAI's terms"
TEACHER = "gpt-3.5-turbo"


def sniff(record: dict[str, Any]) -> bool:
    """Whether it has a prompt, a response and the prompt's source."""
    return "prompt" in record and "response" in record and "source" in record


def read(record: dict[str, Any], context: Context) -> Dialogue:
    """The dialogue of one question and one answer."""
    turns = pair(text_at(record, "prompt"), text_at(record, "response"))
    return context.dialogue(record, turns, teacher=TEACHER)
