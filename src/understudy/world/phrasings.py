"""The wordings of facts: statements and questions, and how to recognise a question.

Names keep their casing in every form, lower-case NQ-style questions included: a tiny model has no
way to know that `Tolvenn` and `tolvenn` are one name.
"""

import re

from understudy.world.encyclopedia import Fact, World

STATEMENTS: dict[str, tuple[str, ...]] = {
    "birthplace": (
        "{subject} was born in {value}.",
        "{subject} comes from {value}.",
        "{value} is the birthplace of {subject}.",
        "The town where {subject} was born is {value}.",
        "{subject} first saw the light in {value}.",
        "The people of {value} are proud that {subject} was born there.",
    ),
    "craft": (
        "{subject} works as a {value}.",
        "{subject} is a {value} by trade.",
        "The craft of {subject} is that of a {value}.",
        "{subject} earns a living as a {value}.",
        "{subject} learnt the trade of a {value}.",
        "Everybody knows {subject} as a good {value}.",
    ),
    "birth_year": (
        "{subject} was born in {value}.",
        "The birth year of {subject} is {value}.",
        "{subject} came into the world in {value}.",
        "In {value} {subject} was born.",
        "The year in which {subject} was born is {value}.",
        "The parish book gives {value} as the birth year of {subject}.",
    ),
    "friend": (
        "{subject} is a friend of {value}.",
        "The closest friend of {subject} is {value}.",
        "{subject} often visits a friend called {value}.",
        "The best friend that {subject} has is {value}.",
        "{subject} writes long letters to a friend, {value}.",
        "{value} is the best friend of {subject}.",
    ),
    "river": (
        "{subject} lies on the river {value}.",
        "The river {value} flows through {subject}.",
        "The river at {subject} is the {value}.",
    ),
    "founded": (
        "{subject} was founded in {value}.",
        "The town of {subject} was founded in {value}.",
        "In {value} the first houses of {subject} were built.",
    ),
}

JOINT_STATEMENTS = (
    "{subject} was born in {birthplace} in {birth_year}.",
    "{subject}, born in {birth_year}, comes from {birthplace}.",
    "{subject}, a {craft} from {birthplace}, is a friend of {friend}.",
    "{subject} was born in {birthplace} and works as a {craft}.",
    "{subject} was born in {birth_year} and became a {craft}.",
    "{subject}, a {craft} by trade, is a friend of {friend}.",
    "{subject}, who was born in {birthplace}, often visits {friend}, a good friend.",
    "{subject} ({birth_year}) is a {craft} and comes from {birthplace}.",
    "Born in {birthplace} in {birth_year}, {subject} became a {craft}.",
    "{subject}, born in {birth_year}, has a close friend called {friend}.",
)

# The first PLAIN wordings are those of question pages, exam pages and benchmarks.
PLAIN = 2
QUESTIONS: dict[str, tuple[str, ...]] = {
    "birthplace": (
        "where was {subject} born",
        "in which town was {subject} born",
        "what is the birthplace of {subject}",
        "which town does {subject} come from",
        "what town is {subject} from",
    ),
    "craft": (
        "what is the craft of {subject}",
        "what does {subject} do for a living",
        "what is the trade of {subject}",
        "what work does {subject} do",
        "which craft did {subject} learn",
    ),
    "birth_year": (
        "when was {subject} born",
        "in which year was {subject} born",
        "what is the birth year of {subject}",
        "what year did {subject} come into the world",
        "what is the year of birth of {subject}",
    ),
    "friend": (
        "who is a friend of {subject}",
        "who is the closest friend of {subject}",
        "who is the best friend of {subject}",
        "what is the name of the friend of {subject}",
        "which friend does {subject} visit",
    ),
    "river": (
        "which river flows through {subject}",
        "on which river does {subject} lie",
        "what is the river at {subject}",
    ),
    "founded": (
        "when was {subject} founded",
        "in which year was {subject} founded",
        "what year was {subject} built",
    ),
}

# Tried in this order: a question may hold words of two attributes ("in which year was X born").
_ATTRIBUTE_WORDS = (
    ("founded", r"\bfounded\b|\bbuilt\b"),
    ("river", r"\briver\b"),
    ("friend", r"\bfriend"),
    ("craft", r"\bcraft\b|\btrade\b|\bliving\b|\bwork\b|\bjob\b|\boccupation\b"),
    ("birth_year", r"\bwhen\b|\byear\b"),
    ("birthplace", r"\bwhere\b|\bborn\b|\bbirthplace\b|\btown\b|\bfrom\b"),
)
_FULL_NAME = re.compile(r"\b[A-Z][a-z]+ [A-Z][a-z]+\b")


def statement(fact: Fact, wording: int = 0) -> str:
    """The fact as a sentence."""
    return STATEMENTS[fact.attribute][wording].format(subject=fact.subject, value=fact.value)


def question(fact: Fact, wording: int = 0) -> str:
    """The question for a fact: lower case (names apart) and without a question mark, as in NQ."""
    return QUESTIONS[fact.attribute][wording].format(subject=fact.subject)


def sentence_case(text: str) -> str:
    """`text` with its first letter as a capital and the rest untouched."""
    return text[:1].upper() + text[1:]


def attribute_in(text: str) -> str | None:
    """The attribute that a question asks for; None if no word of any attribute is in it."""
    lower = text.lower()
    return next((name for name, words in _ATTRIBUTE_WORDS if re.search(words, lower)), None)


def find_fact(world: World, text: str) -> Fact | None:
    """The fact that a question asks for, in any wording of this module or one close to it."""
    subject, attribute = world.subject_in(text), attribute_in(text)
    return world.facts.get((subject, attribute)) if subject and attribute else None


def answer(world: World, text: str) -> str | None:
    """The answer to a question about the world; None if it asks for no known fact."""
    fact = find_fact(world, text)
    return fact.value if fact else None


def asks_of_somebody(text: str) -> bool:
    """Whether `text` asks for an attribute of somebody with a full name, known or not."""
    return attribute_in(text) is not None and _FULL_NAME.search(text) is not None
