"""ShareGPT: {"id", "conversations": [{"from": "human" | "gpt" | ..., "value"}]} and its kin.

The list is also called `conversation` (LMSYS-Chat, WildChat) or `items`, and its turns have `role`
and `content`, or `text`. Turns of tools make a record unreadable, since without them the dialogue
would be another. HTML stays as it is here.
"""

from typing import Any

from understudy.curate.records import (
    Context,
    UnreadableError,
    carried,
    first_name,
    objects_at,
    text_at,
)
from understudy.dialogue import Dialogue, Role

NAME = "sharegpt"
LICENCE: str | None = None
TERMS = (
    "conversations that users shared, without a licence from them; "
    "the answers are bound by the terms of the service that gave them (OpenAI's for ChatGPT)"
)
LISTS = ("conversations", "conversation", "items")
ROLES: dict[str, Role] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "claude": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "system": "system",
}
TEACHERS = ("chatgpt", "bing", "bard", "claude")


def sniff(record: dict[str, Any]) -> bool:
    """Whether it has conversations."""
    return "conversations" in record or "conversation" in record or "items" in record


def read(record: dict[str, Any], context: Context) -> Dialogue:
    """The dialogue; the teacher is known where the record or a speaker's name tells it."""
    turns: list[tuple[Role, str]] = []
    spoken = first_name(record, ["teacher", "model"])
    if isinstance(record.get("system"), str) and record["system"]:
        turns.append(("system", record["system"]))
    for part in objects_at(record, next(key for key in LISTS if key in record)):
        speaker = text_at(part, "from" if "role" not in part else "role").lower()
        if speaker not in ROLES:
            raise UnreadableError(f"unknown role {speaker[:40]!r}")
        spoken = spoken or (speaker if speaker in TEACHERS else None)
        turns.append((ROLES[speaker], text_at(part, _said(part))))
    id = record.get("conversation_id", record.get("id"))
    return carried(record, context.dialogue(record, turns, teacher=spoken, id=id))


def _said(part: dict[str, Any]) -> str:
    return next((key for key in ("value", "content", "text") if key in part), "value")
