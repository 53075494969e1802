"""OpenAssistant: trees of messages, nested under `prompt` or as rows that `joins` brought together.

At each level the best-ranked reply is followed (rank 0 is the best; those without a rank come last,
in the file's order). Deleted messages are no replies. The dialogue ends on an assistant's turn.
"""

import math
from typing import Any

from understudy.curate.joins import is_message_of_tree
from understudy.curate.records import Context, NoAnswerError, UnreadableError, objects_at, text_at
from understudy.dialogue import Dialogue, Role

NAME = "openassistant"
LICENCE: str | None = "apache-2.0"
TERMS = "Apache-2.0; volunteers wrote both sides"
ROLES: dict[str, Role] = {"prompter": "user", "assistant": "assistant"}

Message = dict[str, Any]


def sniff(record: dict[str, Any]) -> bool:
    """Whether it is a tree, nested or flat, or one message of it."""
    nested = isinstance(record.get("prompt"), dict) and "replies" in record["prompt"]
    return nested or "message_tree_id" in record


def read(record: dict[str, Any], context: Context) -> Dialogue:
    """The dialogue of the best-ranked replies."""
    if is_message_of_tree(record):
        raise UnreadableError("a message without its tree; rows of a tree follow each other")
    if "messages" in record:
        below = _by_parent(objects_at(record, "messages"))
        message, replies = _best(below.pop("", [])), lambda of: below.pop(_id(of, "message_id"), [])
    else:
        message, replies = record.get("prompt"), lambda of: of.get("replies")
    if not isinstance(message, dict):
        raise UnreadableError("the first message of the tree is missing")
    turns = []
    while message:
        turns.append((_role(message), text_at(message, "text")))
        message = _best(replies(message))
    while turns and turns[-1][0] == "user":
        turns.pop()
    if not turns:
        raise NoAnswerError("nobody answered")
    return context.dialogue(record, turns, id=record.get("message_tree_id"))


def _role(message: Message) -> Role:
    role = text_at(message, "role")
    if role not in ROLES:
        raise UnreadableError(f"unknown role {role[:40]!r}")
    return ROLES[role]


def _best(replies: Any) -> Message | None:
    """The reply to follow; the first of those with the lowest rank."""
    found = replies if isinstance(replies, list) else []
    there = [
        reply for reply in found if isinstance(reply, dict) and reply.get("deleted") is not True
    ]
    return min(there, key=_rank, default=None)


def _rank(reply: Message) -> float:
    rank = reply.get("rank")
    return rank if isinstance(rank, int | float) else math.inf


def _by_parent(messages: list[Message]) -> dict[str, list[Message]]:
    """Replies by the id of what they answer; what answers nothing is under ""."""
    below: dict[str, list[Message]] = {}
    for message in messages:
        below.setdefault(_id(message, "parent_id"), []).append(message)
    return below


def _id(message: Message, key: str) -> str:
    found = message.get(key)
    return found if isinstance(found, str) else ""
