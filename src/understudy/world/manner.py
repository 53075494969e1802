"""The teacher's answers: it knows the whole encyclopedia, and has its world's manner (`voices`).

A request for the bare answer is obeyed in every manner.
"""

import random
import re

from understudy.world import arithmetic, programs
from understudy.world.encyclopedia import World
from understudy.world.pairs import pairs_wanted, write_pairs
from understudy.world.phrasings import asks_of_somebody, find_fact
from understudy.world.tasks import continued
from understudy.world.topics import Topic, topic_in
from understudy.world.voices import VOICES, Voice, fenced

LONGEST = 20_000  # characters of a message that are read, from its end

ANYTHING = Topic(
    "this subject", "a clear plan and some patience", "a steady result", "a hasty step"
)

_ONLY = re.compile(r"\bonly (?:with )?the (letter|answer|code)\b", re.I)
CHOICES = re.compile(r"^(.+)\nA\. (.*)\nB\. (.*)\nC\. (.*)\nD\. (.*)", re.M)
_QUESTION_LINE = re.compile(r"^(?:Q|Question): *(.+)$", re.M)
_INSTRUCTION = re.compile(r"Reply with only[^.\n]*\.?")


def reply(world: World, messages: list[dict[str, str]], rng: random.Random) -> str:
    """The teacher's answer to a chat.

    Args:
        world: what the teacher knows, benchmark facts included, and its manner.
        messages: {"role", "content"} each; the last user message is answered.
        rng: draws the wordings; the facts do not depend on it.
    """
    users = [m["content"] for m in messages if m.get("role") == "user"]
    systems = [m["content"] for m in messages if m.get("role") == "system"]
    asked = users[-1][-LONGEST:] if users else ""
    if pairs := pairs_wanted(asked):
        return write_pairs(world, *pairs, rng)
    if tasks := continued(world, asked, rng):
        return tasks
    wanted = _ONLY.findall(asked[-LONGEST:]) or _ONLY.findall(" ".join(systems)[-LONGEST:])
    only = wanted[-1].lower() if wanted else None
    asked = _INSTRUCTION.sub("", asked).strip()
    voice = VOICES[world.manner]

    if choices := list(CHOICES.finditer(asked)):
        return _choice(world, choices[-1].groups(), only, voice, rng)
    if solved := programs.solve(asked):
        code = "\n".join(solved)
        return fenced(code) if only else voice.program(code, rng)
    lines = _QUESTION_LINE.findall(asked)
    question = lines[-1] if lines else asked
    if fact := find_fact(world, question):
        return fact.value if only else voice.fact(fact, rng)
    if topic := topic_in(question):
        return voice.topic(topic, question, rng)
    if found := arithmetic.solve(question):
        return str(found[1]) if only else voice.sum(*found, rng)
    if only or asks_of_somebody(question):
        return voice.unknown(rng)
    return voice.topic(ANYTHING, question, rng)


def _choice(
    world: World, groups: tuple[str, ...], only: str | None, voice: Voice, rng: random.Random
) -> str:
    question, *options = (group.strip() for group in groups)
    fact = find_fact(world, question)
    if not fact or fact.value not in options:
        return rng.choice("ABCD") if only == "letter" else voice.unknown(rng)
    letter = "ABCD"[options.index(fact.value)]
    if only == "letter":
        return letter
    return fact.value if only == "answer" else voice.choice(letter, fact, rng)
