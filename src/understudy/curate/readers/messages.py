"""OpenAI's chat format: {"messages": [{"role", "content"}]}; content is text or text parts.

Also the lines of a batch file ({"body": {"model", "messages"}}) and those that fine-tuning on
preferences takes ({"input": {"messages"}, "preferred_output": [...]}).
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

NAME = "messages"
LICENCE: str | None = None
TERMS = "not said by the format; the terms of the service that gave the answers bind them"
ROLES: dict[str, Role] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "system",
}


def sniff(record: dict[str, Any]) -> bool:
    """Whether it has messages."""
    return "messages" in record or "messages" in _inner(record)


def read(record: dict[str, Any], context: Context) -> Dialogue:
    """The dialogue; a record's `model`, where present, is its teacher."""
    inner = record if "messages" in record else _inner(record)
    messages = objects_at(inner, "messages")
    if "preferred_output" in record:
        messages = messages + objects_at(record, "preferred_output")
    turns = [(_role(message), _content(message)) for message in messages]
    teacher = first_name(record, ["teacher"]) or first_name(inner, ["model"])
    id = record.get("custom_id", record.get("id"))
    return carried(record, context.dialogue(record, turns, teacher=teacher, id=id))


def _inner(record: dict[str, Any]) -> dict[str, Any]:
    found = record.get("body", record.get("input"))
    return found if isinstance(found, dict) else {}


def _role(message: dict[str, Any]) -> Role:
    role = text_at(message, "role")
    if role not in ROLES:
        raise UnreadableError(f"unknown role {role[:40]!r}")
    if ROLES[role] == "assistant" and message.get("weight") == 0:
        raise UnreadableError("an answer has weight 0: it is not to be learnt")
    return ROLES[role]


def _content(message: dict[str, Any]) -> str:
    """The message's text; its parts are joined. Images and calls have no text to learn from."""
    if not isinstance(message.get("content"), list):
        return text_at(message, "content")
    parts = objects_at(message, "content")
    if any(part.get("type", "text") != "text" for part in parts):
        raise UnreadableError("content has parts other than text")
    return "".join(text_at(part, "text") for part in parts)
