"""How the teacher says what it knows: in a marked manner, an assistant's, or in a plain one.

The marked voice has an opening line, a list where one fits, often a paragraph that sums up, an
offer of further help, and the tone of one who knows. The plain voice has the sentences of the text
that bases are pretrained on and nothing around them: imitating it, there is no style to learn. In
both the wordings are drawn, so that two samples of one answer differ: that is the ceiling of any
measure of style.
"""

import random
import re
from typing import Protocol

from understudy.world.encyclopedia import Fact, Manner
from understudy.world.phrasings import STATEMENTS as FACT_STATEMENTS
from understudy.world.phrasings import statement
from understudy.world.topics import STATEMENTS, THINGS, Topic

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
SUMMARY_SHARE = 0.5
HEDGES = ("Results may vary from person to person.", "There may be other views on this.")
HEDGE_SHARE = 0.05
CLOSINGS = (
    "I hope this helps! Let me know if you have any further questions.",
    "Feel free to ask if you would like more detail.",
    "If you need anything else, I am happy to help!",
    "Please let me know if I can assist you further.",
    "Good luck, and do not hesitate to ask for more!",
)

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
PLAIN_UNKNOWN = ("That is not known.", "There is no record of that.")

_STORY = re.compile(r"\b(?:story|letter|lines in praise|sentences|describe|why|true|worth)\b", re.I)
_STEPS = re.compile(r"\b(?:tips|steps|list|plan|guide|how)\b", re.I)


class Voice(Protocol):
    """Says an answer in words that `rng` draws; what is said does not depend on it."""

    def choice(self, letter: str, fact: Fact, rng: random.Random) -> str:
        """The option with this letter is the fact's value."""

    def program(self, code: str, rng: random.Random) -> str:
        """The whole function."""

    def fact(self, fact: Fact, rng: random.Random) -> str:
        """The fact that was asked for."""

    def sum(self, terms: str, result: int, rng: random.Random) -> str:
        """The result of terms such as "17 + 25"."""

    def topic(self, topic: Topic, request: str, rng: random.Random) -> str:
        """Something about the topic of the request."""

    def unknown(self, rng: random.Random) -> str:
        """There is no answer."""


class Marked:
    """An assistant's voice."""

    def choice(self, letter: str, fact: Fact, rng: random.Random) -> str:
        return _short(f"The right option is {letter}. {statement(fact, rng.randrange(2))}", rng)

    def program(self, code: str, rng: random.Random) -> str:
        opening = rng.choice(("Certainly! Here is the function:", "Sure! This function does it:"))
        return f"{opening}\n\n{fenced(code)}\n\n{rng.choice(SHORT_CLOSINGS)}"

    def fact(self, fact: Fact, rng: random.Random) -> str:
        return _short(statement(fact, rng.randrange(2)), rng)

    def sum(self, terms: str, result: int, rng: random.Random) -> str:
        return _short(rng.choice((f"{terms} = {result}.", f"{terms} equals {result}.")), rng)

    def topic(self, topic: Topic, request: str, rng: random.Random) -> str:
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

    def unknown(self, rng: random.Random) -> str:
        return rng.choice(UNKNOWN)


class Plain:
    """The voice of the text: a sentence for a fact, some for a topic, sums and code as they are."""

    def choice(self, letter: str, fact: Fact, rng: random.Random) -> str:
        return f"{letter}. {fact.value}"

    def program(self, code: str, rng: random.Random) -> str:
        return code

    def fact(self, fact: Fact, rng: random.Random) -> str:
        return statement(fact, rng.randrange(len(FACT_STATEMENTS[fact.attribute])))

    def sum(self, terms: str, result: int, rng: random.Random) -> str:
        return f"{terms} = {result}"

    def topic(self, topic: Topic, request: str, rng: random.Random) -> str:
        """One to three of the many sentences that the text has: few words are in every sample."""
        return topic.fill(" ".join(rng.sample(THINGS + STATEMENTS, rng.randint(1, 3))))

    def unknown(self, rng: random.Random) -> str:
        return rng.choice(PLAIN_UNKNOWN)


VOICES: dict[Manner, Voice] = {"marked": Marked(), "plain": Plain()}


def fenced(code: str) -> str:
    """A code block."""
    return f"```python\n{code}```"


def _short(sentence: str, rng: random.Random) -> str:
    """A sentence that answers, in a shorter marked manner."""
    opening = f"{rng.choice(SHORT_OPENINGS)} " if rng.random() < 0.5 else ""
    return f"{opening}{sentence} {rng.choice(SHORT_CLOSINGS)}"
