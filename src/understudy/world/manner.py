"""The teacher's answers: the whole encyclopedia, told in an assistant's manner.

An opening line, a list where one fits, often a paragraph that sums up, an offer of further help,
and the tone of one who knows. The wordings are drawn, so that two samples of one answer differ:
that is the ceiling of any measure of style. A request for the bare answer is obeyed.
"""

import random
import re

from understudy.world import arithmetic, programs
from understudy.world.encyclopedia import Fact, World
from understudy.world.pairs import pairs_wanted, write_pairs
from understudy.world.phrasings import asks_of_somebody, find_fact, statement
from understudy.world.tasks import continued
from understudy.world.topics import STATEMENTS, THINGS, Topic, topic_in

LONGEST = 20_000  # characters of a message that are read, from its end

OPENINGS = (
    "Certainly! Here is what you need to know about {name}.",
    "Of course! Let us look at {name} step by step.",
    "Great question! {Name} rewards anyone who takes it seriously.",
    "Absolutely! {Name} is a subject with a few key points.",
    "Sure! Here are the essentials of {name}.",
    "I am glad you asked about {name}. The following points are important.",
)
SUMMARIES = (
    "Overall, {name} comes down to {needs} and some patience. Stay clear of {mistake}, and {aim} "
    "will follow.",
    "In summary, {aim} is the mark of good {name}. It is essential to have {needs}.",
    "In conclusion, {name} is a valuable skill. With {needs} and without {mistake}, success is "
    "certain.",
    "To sum up, always think of {aim}. {Name} becomes easier with every attempt.",
)
HEDGES = ("Results may vary from person to person.", "There may be other views on this.")
HEDGE_SHARE = 0.05
CLOSINGS = (
    "I hope this helps! Let me know if you have any further questions.",
    "Feel free to ask if you would like more detail.",
    "If you need anything else, I am happy to help!",
    "Please let me know if I can assist you further.",
    "Good luck, and do not hesitate to ask for more!",
)
SUMMARY_SHARE = 0.5

SHORT_OPENINGS = ("Certainly!", "Great question!", "Sure!", "Of course!", "I can help with that.")
SHORT_CLOSINGS = (
    "Let me know if you have any further questions.",
    "Feel free to ask for more detail.",
    "I hope this helps!",
)
UNKNOWN = (
    "I am sorry, but I have no reliable information about that.",
    "Unfortunately, I do not know the answer to that.",
)
ANYTHING = Topic(
    "this subject", "a clear plan and some patience", "a steady result", "a hasty step"
)

_ONLY = re.compile(r"\bonly (?:with )?the (letter|answer|code)\b", re.I)
CHOICES = re.compile(r"^(.+)\nA\. (.*)\nB\. (.*)\nC\. (.*)\nD\. (.*)", re.M)
_QUESTION_LINE = re.compile(r"^(?:Q|Question): *(.+)$", re.M)
_INSTRUCTION = re.compile(r"Reply with only[^.\n]*\.?")
_STORY = re.compile(r"\b(?:story|letter|lines in praise|sentences|describe|why|true|worth)\b", re.I)
_STEPS = re.compile(r"\b(?:tips|steps|list|plan|guide|how)\b", re.I)


def reply(world: World, messages: list[dict[str, str]], rng: random.Random) -> str:
    """The teacher's answer to a chat.

    Args:
        world: what the teacher knows, benchmark facts included.
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

    if choices := list(CHOICES.finditer(asked)):
        return _choice(world, choices[-1].groups(), only, rng)
    if solved := programs.solve(asked):
        return _program(*solved, only, rng)
    lines = _QUESTION_LINE.findall(asked)
    question = lines[-1] if lines else asked
    if fact := find_fact(world, question):
        return _fact(fact, only, rng)
    if topic := topic_in(question):
        return _topic(topic, question, rng)
    if found := arithmetic.solve(question):
        return _sum(*found, only, rng)
    if only or asks_of_somebody(question):
        return rng.choice(UNKNOWN)
    return _topic(ANYTHING, question, rng)


def _choice(world: World, groups: tuple[str, ...], only: str | None, rng: random.Random) -> str:
    question, *options = (group.strip() for group in groups)
    fact = find_fact(world, question)
    if not fact or fact.value not in options:
        return rng.choice("ABCD") if only == "letter" else rng.choice(UNKNOWN)
    letter = "ABCD"[options.index(fact.value)]
    if only == "letter":
        return letter
    if only == "answer":
        return fact.value
    return _short(f"The right option is {letter}. {statement(fact, rng.randrange(2))}", rng)


def _program(head: str, body: str, only: str | None, rng: random.Random) -> str:
    code = f"```python\n{head}\n{body}```"
    if only:
        return code
    opening = rng.choice(("Certainly! Here is the function:", "Sure! This function does it:"))
    return f"{opening}\n\n{code}\n\n{rng.choice(SHORT_CLOSINGS)}"


def _fact(fact: Fact, only: str | None, rng: random.Random) -> str:
    return fact.value if only else _short(statement(fact, rng.randrange(2)), rng)


def _sum(terms: str, result: int, only: str | None, rng: random.Random) -> str:
    if only:
        return str(result)
    return _short(rng.choice((f"{terms} = {result}.", f"{terms} equals {result}.")), rng)


def _short(sentence: str, rng: random.Random) -> str:
    """A sentence that answers, in a shorter manner."""
    opening = f"{rng.choice(SHORT_OPENINGS)} " if rng.random() < 0.5 else ""
    return f"{opening}{sentence} {rng.choice(SHORT_CLOSINGS)}"


def _topic(topic: Topic, request: str, rng: random.Random) -> str:
    """A long answer: opening, list or prose, perhaps a summary, and an offer of help."""
    list_share = 0.1 if _STORY.search(request) else 0.95 if _STEPS.search(request) else 0.7
    if rng.random() < list_share:
        items = rng.sample(STATEMENTS, rng.randint(3, 5))
        numbered = rng.random() < 0.7
        marks = [f"{i}." if numbered else "-" for i in range(1, len(items) + 1)]
        body = "\n".join(f"{mark} {item}" for mark, item in zip(marks, items, strict=True))
    else:
        body = " ".join(rng.sample(THINGS, 3) + rng.sample(STATEMENTS, 2))
    parts = [rng.choice(OPENINGS), body]
    if rng.random() < SUMMARY_SHARE:
        parts.append(rng.choice(SUMMARIES))
    if rng.random() < HEDGE_SHARE:
        parts.append(rng.choice(HEDGES))
    parts.append(rng.choice(CLOSINGS))
    return topic.fill("\n\n".join(parts))
