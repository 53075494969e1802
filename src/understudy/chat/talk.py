"""A talk: a line in is a turn, and each model's answer goes out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TextIO

from understudy.chat.speaker import Messages, Speaker
from understudy.chat.terminal import Listener, interruptible, user_lines
from understudy.errors import UserError
from understudy.progress import say

HELP = "  /new begins a new conversation, /exit or Ctrl-D ends, Ctrl-C stops an answer"
Show = Callable[[str], None]


@dataclass(frozen=True)
class How:
    """How answers are written.

    Attributes:
        temperature: 0 takes the likeliest token.
        max_tokens: of the longest answer.
        seed: of what is drawn; each turn adds one.
    """

    temperature: float
    max_tokens: int
    seed: int


class Voice:
    """A model in a talk, with the history as it remembers it.

    Args:
        label: its name.
        speaker: the model.
        system: a message that opens every conversation; "" is none.
    """

    def __init__(self, label: str, speaker: Speaker, system: str = "") -> None:
        self.label, self._speaker = label, speaker
        self._opening: Messages = [{"role": "system", "content": system}] if system else []
        self._history: Messages = []

    def begin(self) -> None:
        """Begin a new conversation."""
        self._history = []

    def answer(self, text: str, how: How, show: Show) -> dict[str, Any]:
        """Answer a user; what is not finished when Ctrl-C is pressed stays as it is.

        Returns:
            `model` (its label), `text`, `finish_reason` (stop, length or interrupted) and
            `forgotten`, the number of turns that no longer fit.

        Raises:
            UserError: the message alone is too long, or the chat template refuses it.
        """
        history = [*self._history, {"role": "user", "content": text}]
        ids, forgotten = self._fit(history, how.max_tokens)
        if forgotten:
            say(f"  {self.label}: its context is full; the oldest turns are forgotten: {forgotten}")
        most = min(how.max_tokens, self._speaker.context - len(ids))
        listener = Listener(self._speaker.stops, show)
        with interruptible() as pressed:

            def hear(whole: str) -> bool:
                listener.hear(whole)
                return not (listener.stopped or pressed.is_set())

            ended = self._speaker.write(ids, most, how.temperature, how.seed, hear)
        listener.close()
        reason = "stop" if ended or listener.stopped else "length"
        reason = "interrupted" if pressed.is_set() else reason
        self._history = [*history, {"role": "assistant", "content": listener.text}]
        return {
            "model": self.label,
            "text": listener.text,
            "finish_reason": reason,
            "forgotten": forgotten,
        }

    def _fit(self, history: Messages, most: int) -> tuple[list[int], int]:
        """Token ids of a history, which loses its oldest turns until an answer has room; and how
        many turns those were. An answer has room in half of the context, however long it may be."""
        room = self._speaker.context - min(most, self._speaker.context // 2)
        forgotten = 0
        while len(ids := self._speaker.encode([*self._opening, *history])) > room:
            if len(history) == 1:
                raise UserError(
                    f"{self.label}: the message comes to {len(ids)} tokens, and {room} have room "
                    "beside an answer; shorten it"
                )
            del history[:2]
            forgotten += 1
        return ids, forgotten


def talk(voices: Sequence[Voice], lines: TextIO, show: Show, how: How) -> list[dict[str, Any]]:
    """Talk until the lines end or one says /exit.

    Args:
        voices: who answers each turn, one after the other; several are labelled.
        lines: one turn a line.
        show: is given the answers and nothing else.
        how: they are written.

    Returns:
        The turns, each with `conversation` (from 1), `user` and `answers`, see `Voice.answer`.

    Raises:
        UserError: a turn cannot be answered; a person at a terminal is told so and goes on.
        KeyboardInterrupt: Ctrl-C was pressed where nobody sits at a terminal.
    """
    at_terminal = lines.isatty()
    if at_terminal:
        say(HELP)
    turns: list[dict[str, Any]] = []
    conversation = 1
    for line in user_lines(lines):
        if line == "/exit":
            break
        if line == "/help":
            say(HELP)
        elif line == "/new":
            conversation += 1
            for voice in voices:
                voice.begin()
            say("  a new conversation")
        else:
            own = replace(how, seed=how.seed + len(turns))
            answers = list(_answers(voices, line, own, show, at_terminal))
            turns.append({"conversation": conversation, "user": line, "answers": answers})
    return turns


def _answers(
    voices: Sequence[Voice], text: str, how: How, show: Show, at_terminal: bool
) -> Iterator[dict[str, Any]]:
    """The answer of each voice that has one, shown."""
    for voice in voices:
        if len(voices) > 1:
            show(f"[{voice.label}]\n")
        try:
            answer = voice.answer(text, how, show)
        except UserError as error:
            if not at_terminal:
                raise
            say(f"  {error}")
            continue
        show("\n")
        if answer["finish_reason"] == "length" and at_terminal:
            say("  it was cut there; --max-tokens allows longer answers")
        if answer["finish_reason"] == "interrupted" and not at_terminal:
            raise KeyboardInterrupt
        yield answer
