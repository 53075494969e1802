"""What the user says next, for dialogues of several turns.

Either lines that the user of this program wrote, or a model that plays the person who asks: the
teacher itself, or a student. Both are asked in the same words.
"""

import random
from collections.abc import Callable
from pathlib import Path

from understudy.dialogue import Dialogue, Turn
from understudy.errors import UserError
from understudy.files import read_text
from understudy.prompts import Prompt
from understudy.teacher.client import Answer, Ask, Request

FollowUps = Callable[[list[Dialogue]], list[str | None]]
"""The next user turns of dialogues; None where there is none and the dialogue ends."""

ROLE = (
    "You are shown a conversation between a person and an assistant. Write what the person says "
    "next: one message that takes up the last answer, such as a question on a detail, a doubt, or "
    "a wish for an example or a change. Reply with that message alone."
)
NAMES = {"system": "Setting", "user": "Person", "assistant": "Assistant"}
TEACHER = "teacher"  # the setting that has it play the person
TEMPERATURE, MAX_TOKENS = 0.7, 128


def scripted(file: Path, seed: int) -> FollowUps:
    """Draws the next turns from a file's lines; a dialogue does not get the same one twice.

    Raises:
        UserError: the file is missing or empty.
    """
    lines = [line.strip() for line in read_text(file).splitlines() if line.strip()]
    if not lines:
        raise UserError(f"{file}: holds no line; write what the user may say next, one a line")

    def follow(dialogues: list[Dialogue]) -> list[str | None]:
        return [_draw(lines, dialogue, seed) for dialogue in dialogues]

    return follow


def _draw(lines: list[str], dialogue: Dialogue, seed: int) -> str | None:
    order = random.Random(f"follow-ups {seed} {dialogue.id}").sample(lines, len(lines))
    said = {turn.content for turn in dialogue.turns}
    return next((line for line in order if line not in said), None)


def by_teacher(ask: Ask, seed: int) -> FollowUps:
    """The teacher plays the person; its turns are in the ledger like its answers."""

    def follow(dialogues: list[Dialogue]) -> list[str | None]:
        asked = [
            Request(_play(dialogue).chat(), TEMPERATURE, MAX_TOKENS, seed) for dialogue in dialogues
        ]
        outcomes = ask(asked, "the user's next turns")
        return [
            outcome.text.strip() or None if isinstance(outcome, Answer) else None
            for outcome in outcomes
        ]

    return follow


def by_model(reply: Callable[[list[Prompt]], list[str]]) -> FollowUps:
    """A model at hand, such as a student, plays the person."""

    def follow(dialogues: list[Dialogue]) -> list[str | None]:
        replies = reply([_play(dialogue) for dialogue in dialogues])
        return [text.strip() or None for text in replies]

    return follow


def _play(dialogue: Dialogue) -> Prompt:
    """What asks a model for the person's next message."""
    told = [f"{NAMES[turn.role]}: {turn.content}" for turn in dialogue.turns]
    text = "\n\n".join([ROLE, *told, "Person:"])
    return Prompt(id=dialogue.id, messages=[Turn(role="user", content=text)])
