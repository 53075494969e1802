"""ShareGPT: {"id", "conversations": [{"from": "human" | "gpt" | ..., "value"}]}."""

from typing import Any

from understudy.curate.records import Context, UnreadableError, text_at, turns_at
from understudy.dialogue import Dialogue, Role, Turn

NAME = "sharegpt"
TERMS = (
    "conversations that users shared, without a licence from them; "
    "the answers are bound by the terms of the service that gave them (OpenAI's for ChatGPT)"
)
ROLES: dict[str, Role] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "assistant": "assistant",
    "system": "system",
}
TEACHERS = ("chatgpt", "bing", "bard")


def sniff(record: dict[str, Any]) -> bool:
    """Whether it has conversations."""
    return "conversations" in record


def read(record: dict[str, Any], context: Context) -> Dialogue:
    """The dialogue; the teacher is known where the speaker's name tells it."""
    turns, teacher = [], None
    for part in turns_at(record, "conversations"):
        speaker = text_at(part, "from").lower()
        if speaker not in ROLES:
            raise UnreadableError(f"unknown role {speaker[:40]!r} under from")
        teacher = speaker if speaker in TEACHERS else teacher
        turns.append(Turn(role=ROLES[speaker], content=text_at(part, "value")))
    return Dialogue(
        id=context.id_for(record),
        turns=turns,
        source=context.source,
        teacher=teacher,
        origin=context.origin,
    )
