"""Discord, as DiscordChatExporter writes a channel: {"guild", "channel", "messages": [...]}.

A bot's message is an answer; what it answers is found before it gets here, in `joins`: the message
that it refers to, else the last one of a person before it.
"""

from typing import Any

from understudy.curate.joins import is_discord as sniff
from understudy.curate.records import (
    Context,
    NoAnswerError,
    UnreadableError,
    first_name,
    pair,
    text_at,
)
from understudy.dialogue import Dialogue

__all__ = ["LICENCE", "NAME", "TERMS", "read", "sniff"]

NAME = "discord"
LICENCE: str | None = None
TERMS = (
    "the authors hold the rights to what they wrote and Discord's terms bar mining its service; "
    "a bot's answers are bound by the terms of the model behind it"
)


def read(record: dict[str, Any], context: Context) -> Dialogue:
    """The question and the bot's answer; the bot's name is the teacher's."""
    if record["author"]["isBot"] is not True:
        raise NoAnswerError("a person's message; answers of bots are read with what they answer")
    answer = text_at(record, "content")
    if context.asked is None:
        raise UnreadableError("a bot's message with none of a person before it")
    return context.dialogue(
        record, pair(context.asked, answer), teacher=first_name(record["author"], ["name"])
    )
