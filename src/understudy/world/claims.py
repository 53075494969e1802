"""What an answer says of the world, and whether that is so.

Statements are recognised by the wordings that the world itself uses: of people and towns
(`phrasings`), and what a topic needs, aims at and goes wrong by (`topics`, `voices`). What is said
in other words, or of somebody the world does not know, is passed over. Instructions, verdicts and
praise of oneself are no statements, so nothing that an answer says *to* its reader counts here.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from understudy.style.profile import SENTENCE_END, WORD
from understudy.world import arithmetic, programs
from understudy.world.encyclopedia import Fact, World
from understudy.world.manner import CHOICES
from understudy.world.phrasings import JOINT_STATEMENTS, STATEMENTS, find_fact
from understudy.world.topics import STATEMENTS as ADVICE
from understudy.world.topics import THINGS, TOPICS, Topic, topic_in
from understudy.world.voices import SUMMARIES

LONGEST = 20_000  # characters of an answer that are read
LONGEST_SENTENCE = 300  # characters; longer ones are passed over
ENOUGH = 3  # right statements on a topic that make a full answer
OTHER_WRONG, MOST_WRONG = 0.5, 1.0  # what a wrong statement beside the answer costs, and all do

About = tuple[str, str]  # subject (a person, a town, a topic) and what of it


class Claim(NamedTuple):
    """A statement about the world."""

    about: About
    value: str
    right: bool


class Checked(NamedTuple):
    """What looking things up gave.

    Attributes:
        told: whether the one thing that the question asks for is told right; None where it is not
            told, or the question asks for no such thing.
        claims: every statement that was recognised.
        score: -2 to 1 where one thing is asked for: 1 for the right answer, 0 for none, -1 for a
            wrong one, less half a point for each other wrong statement (one point at most). Else
            -1 to 1: right statements on the question's topic less all wrong ones, by their number.
    """

    told: bool | None
    claims: list[Claim]
    score: float


def check(world: World, question: str, answer: str) -> Checked:
    """Look up what a question asks for and what an answer states."""
    answer, options = answer[:LONGEST], []
    if choices := list(CHOICES.finditer(question)):
        question, *options = (group.strip() for group in choices[-1].groups())
    topic = topic_in(question)
    claims = list(dict.fromkeys(_claims(world, answer, topic)))
    fact = find_fact(world, question)
    solved, summed = programs.solve(question), arithmetic.solve(question)
    about = None
    if solved:
        told = _code_told(solved[1], answer)
    elif fact:
        about = (fact.subject, fact.attribute)
        told = _fact_told(world, fact, options, answer, claims)
    elif summed and not topic:
        told = _sum_told(*summed, answer)
    else:
        return Checked(None, claims, _topic_score(topic, claims))
    wrong = sum(not claim.right for claim in claims if claim.about != about)
    score = {True: 1.0, None: 0.0, False: -1.0}[told] - min(MOST_WRONG, OTHER_WRONG * wrong)
    return Checked(told, claims, score)


def _topic_score(topic: Topic | None, claims: list[Claim]) -> float:
    right = sum(claim.right for claim in claims if topic and claim.about[0] == topic.name)
    wrong = sum(not claim.right for claim in claims)
    return (right - wrong) / max(ENOUGH, right + wrong)


# The one thing that is asked for

_LETTER = re.compile(r"^\(?([A-D])(?:[.:)]|$)|\b(?i:option|answer)(?: is)?:? \(?([A-D])\b")
_NUMBER = re.compile(r"(?<![\d.])-?\d+(?!\.?\d)")


def _fact_told(
    world: World, fact: Fact, options: list[str], answer: str, claims: list[Claim]
) -> bool | None:
    """By the letter of a choice, a statement, or else the values of its kind that are named."""
    letter = _LETTER.search(answer.strip())
    if letter and fact.value in options:
        return (letter[1] or letter[2]) == "ABCD"[options.index(fact.value)]
    own = [claim.right for claim in claims if claim.about == (fact.subject, fact.attribute)]
    if own:
        return all(own)
    words = f" {' '.join(WORD.findall(answer.lower()))} "
    values = set(world.values(fact.attribute)) - {fact.subject}
    named = {value for value in values if f" {value.lower()} " in words}
    return named == {fact.value} if named else None


def _code_told(body: str, answer: str) -> bool | None:
    """By its very lines, white space apart: code of an answer is not run here."""
    if " ".join(body.split()) in " ".join(answer.split()):
        return True
    return False if "return" in answer else None


def _sum_told(terms: str, result: int, answer: str) -> bool | None:
    """By the last number that is named, the terms apart."""
    numbers = _NUMBER.findall(answer.replace(terms, ""))
    return int(numbers[-1]) == result if numbers else None


# Statements

_NAME = r"\b[A-Z]\w{1,19} [A-Z]\w{1,19}\b"
_WORD = r"\b[A-Z]\w{1,19}\b"
_YEAR = r"\b\d{3,4}\b"
_VALUES = {
    "birthplace": _WORD,
    "craft": r"\b[a-z]{2,20}\b",
    "birth_year": _YEAR,
    "friend": _NAME,
    "river": _WORD,
    "founded": _YEAR,
}
_TRUTHS = ("needs", "aim", "mistake")  # what is true of a topic


def _fact_pattern(template: str, attribute: str = "") -> re.Pattern[str]:
    """A template of `phrasings`, with a group for each thing it says."""
    pattern = re.escape(template.rstrip(".")).replace(r"\{value\}", rf"\{{{attribute}\}}")
    subject = _WORD if attribute in ("river", "founded") else _NAME
    for name, value in {"subject": subject, **_VALUES}.items():
        pattern = pattern.replace(rf"\{{{name}\}}", f"(?P<{name}>{value})")
    return re.compile(pattern)


def _topic_pattern(template: str) -> re.Pattern[str]:
    pattern = re.escape(template)
    for name in ("Name", "name", *_TRUTHS):
        pattern = pattern.replace(rf"\{{{name}\}}", f"(?P<{name.lower()}>.{{1,60}}?)")
    return re.compile(pattern)


_FACT_PATTERNS = [
    *(_fact_pattern(template, name) for name, forms in STATEMENTS.items() for template in forms),
    *map(_fact_pattern, JOINT_STATEMENTS),
]
_TOPIC_PATTERNS = [
    _topic_pattern(sentence)
    for template in (*ADVICE, *THINGS, *SUMMARIES)
    for sentence in SENTENCE_END.split(template)
    if any(f"{{{name}}}" in sentence for name in _TRUTHS)
]
_TOPICS = {topic.name: topic for topic in TOPICS}


def _claims(world: World, text: str, topic: Topic | None) -> Iterator[Claim]:
    """The statements of a text; those that name no topic are about `topic`."""
    for sentence in SENTENCE_END.split(text):
        sentence = sentence.lstrip("-*• ")
        if len(sentence) <= LONGEST_SENTENCE:
            yield from _of_facts(world, sentence)
            yield from _of_topics(sentence, topic)


def _of_facts(world: World, sentence: str) -> Iterator[Claim]:
    for pattern in _FACT_PATTERNS:
        for match in pattern.finditer(sentence):
            said = match.groupdict()
            subject = said.pop("subject")
            for attribute, value in said.items():
                if fact := world.facts.get((subject, attribute)):
                    yield Claim((subject, attribute), value, value == fact.value)


def _of_topics(sentence: str, asked: Topic | None) -> Iterator[Claim]:
    for pattern in _TOPIC_PATTERNS:
        if match := pattern.fullmatch(sentence):
            said = match.groupdict()
            topic = _TOPICS.get(said.pop("name").lower()) if "name" in said else asked
            if topic:
                for truth, value in said.items():
                    yield Claim((topic.name, truth), value, value.lower() == getattr(topic, truth))
