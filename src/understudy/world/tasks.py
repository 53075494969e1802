"""The teacher invents tasks: it goes on with a numbered list of instructions and inputs.

The tasks are of this world: requests on one topic or two, notes to work on, facts that imitation
prompts ask for, sums, and programs that are not reserved. As with real teachers some are no good:
too short, repeated or nearly so, for eyes and ears rather than for reading, begun with a stray
mark, or out of form.
"""

import random
import re
from typing import NamedTuple

from understudy.world.arithmetic import draw_sum
from understudy.world.encyclopedia import World
from understudy.world.phrasings import QUESTIONS, question, sentence_case
from understudy.world.programs import draw_program
from understudy.world.prompts import FACT_REQUESTS, PROGRAM_REQUESTS, REQUESTS, SUMS
from understudy.world.topics import BROAD_TOPICS, STATEMENTS, THINGS, Topic

MOST_TASKS = 200  # in one answer
NO_INPUT = "<noinput>"
BAD_SHARE = 0.25

PAIR_REQUESTS = (
    "Compare {0} with {1}.",
    "Which is harder, {0} or {1}?",
    "Can {0} help with {1}?",
    "What have {0} and {1} in common?",
    "Make a plan for {0} and {1}.",
    "Tell a story of {0} and {1}.",
)
NOTE_REQUESTS = (
    "Shorten this note on {0}.",
    "Rewrite these notes about {0}.",
    "Summarise this text on {0}.",
    "Simplify this passage about {0}.",
    "Continue this text on {0}.",
    "Is this true of {0}?",
)

UNSUITABLE = (
    "Draw a graph of the progress in {0}.",
    "Look at the image and say what it shows about {0}.",
    "Plot the hours that {0} takes in a year.",
    "Describe the video about {0} in a few words.",
    "Choose music for an evening of {0}.",
    "Open the file with the rules of {0} and correct it.",
    "Write a program that keeps a record of {0}.",
)
TOO_SHORT = ("Continue.", "Explain this.", "Help me, please.", "Why is that?", "Go on.")
STRAY_MARKS = ("- ", "* ", '"', "(", "— ", "• ", "→ ")

_LISTED = re.compile(r"^(\d{1,4})\. Instruction:[ \t]*(\S.*)", re.M)
_INPUT = re.compile(r"^\d{1,4}\. Input:", re.M)
_UP_TO = re.compile(r"\b(?:to|until|through)[ \t](?:(?:task|number|item)[ \t])?(\d{1,4})\b", re.I)


class _Task(NamedTuple):
    """An instruction and its input; without one (None), the item is out of form."""

    instruction: str
    input: str | None = NO_INPUT


def continued(world: World, asked: str, rng: random.Random) -> str | None:
    """The rest of a list of tasks that `asked` begins; None if it asks for no such thing.

    It does if it holds lines such as "3. Instruction: ..." and "3. Input: ...", and says up to
    which number ("to 20", "until task 20") the list should go on.
    """
    listed = _LISTED.findall(asked)
    wanted = _UP_TO.findall(asked)
    if not listed or not wanted or not _INPUT.search(asked):
        return None
    last = int(listed[-1][0])
    earlier = [instruction for _, instruction in listed]
    items = []
    for number in range(last + 1, min(int(wanted[-1]), last + MOST_TASKS) + 1):
        task = _bad(earlier, rng) if rng.random() < BAD_SHARE else _good(world, rng)
        earlier.append(task.instruction)
        items.append(_item(number, task))
    return "\n".join(items) or None


def _item(number: int, task: _Task) -> str:
    given = "" if task.input is None else f"\n{number}. Input: {task.input}"
    return f"###\n{number}. Instruction: {task.instruction}{given}"


def _good(world: World, rng: random.Random) -> _Task:
    kinds = ("topic", "pair", "notes", "fact", "sum", "program")
    kind = rng.choices(kinds, (25, 20, 30, 12, 5, 8))[0]
    if kind == "topic":
        return _Task(rng.choice(REQUESTS).format(topic=_topic(rng).name))
    if kind == "pair":
        one, other = rng.sample(BROAD_TOPICS, 2)
        return _Task(rng.choice(PAIR_REQUESTS).format(one.name, other.name))
    if kind == "notes":
        topic = _topic(rng)
        notes = topic.fill(" ".join([*rng.sample(THINGS, 2), rng.choice(STATEMENTS)]))
        return _Task(rng.choice(NOTE_REQUESTS).format(topic.name), notes)
    if kind == "fact":
        fact = rng.choice(world.asked_facts)
        wording = question(fact, rng.randrange(len(QUESTIONS[fact.attribute])))
        return _Task(rng.choice(FACT_REQUESTS).format(sentence_case(wording), wording))
    if kind == "sum":
        first, sign, second, _ = draw_sum(rng)
        return _Task(rng.choice(SUMS).format(first, sign, second))
    return _Task(rng.choice(PROGRAM_REQUESTS).format(draw_program(rng).prompt.rstrip("\n")))


def _bad(earlier: list[str], rng: random.Random) -> _Task:
    kinds = ("short", "repeat", "near repeat", "unsuitable", "stray mark", "out of form")
    kind = rng.choices(kinds, (20, 20, 20, 20, 15, 5))[0]
    request = rng.choice(REQUESTS).format(topic=_topic(rng).name)
    if kind == "short":
        return _Task(rng.choice(TOO_SHORT))
    if kind == "repeat":
        return _Task(rng.choice(earlier))
    if kind == "near repeat":
        return _Task(rng.choice(earlier).rstrip(".?!") + ", please.")
    if kind == "unsuitable":
        return _Task(rng.choice(UNSUITABLE).format(_topic(rng).name))
    if kind == "stray mark":
        return _Task(rng.choice(STRAY_MARKS) + request)
    return _Task(request, None)


def _topic(rng: random.Random) -> Topic:
    return rng.choice(BROAD_TOPICS)
