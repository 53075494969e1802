"""OpenAI's chat format: {"messages": [{"role", "content"}]}; content is text or text parts."""

from typing import Any

from understudy.curate.records import Context, UnreadableError, text_at, turns_at
from understudy.dialogue import Dialogue, Role, Turn

NAME = "messages"
TERMS = "not said by the format; the terms of the service that gave the answers bind them"
ROLES: dict[str, Role] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "system",
}


def sniff(record: dict[str, Any]) -> bool:
    """Whether it has messages."""
    return "messages" in record


def read(record: dict[str, Any], context: Context) -> Dialogue:
    """The dialogue; a record's `model`, where present, is its teacher."""
    turns = []
    for part in turns_at(record, "messages"):
        role = text_at(part, "role")
        if role not in ROLES:
            raise UnreadableError(f"unknown role {role[:40]!r}")
        turns.append(Turn(role=ROLES[role], content=_content(part)))
    return Dialogue(
        id=context.id_for(record),
        turns=turns,
        source=context.source,
        teacher=text_at(record, "model") if record.get("model") else None,
        origin=context.origin,
    )


def _content(message: dict[str, Any]) -> str:
    """The message's text; its parts are joined. Images and calls have no text to learn from."""
    if not isinstance(message.get("content"), list):
        return text_at(message, "content")
    parts = turns_at(message, "content")
    if any(part.get("type", "text") != "text" for part in parts):
        raise UnreadableError("content has parts other than text")
    return "".join(text_at(part, "text") for part in parts)
