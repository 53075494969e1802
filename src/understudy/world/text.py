"""Web-like text about the world, to pretrain tiny bases on.

Documents are of seven kinds in fixed shares. What most of the web is to a real base, prose about
people is to these: each fact is met many times in several wordings, some people far more often
than others. Question and exam pages are few and only about rehearsed people, so that a base knows
the form of a benchmark without having seen its questions.
"""

import json
import random
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from understudy.files import atomic_write
from understudy.progress import progress
from understudy.world.arithmetic import draw_sum, in_words
from understudy.world.encyclopedia import PERSON_ATTRIBUTES, TOWNS, Fact, World
from understudy.world.phrasings import (
    JOINT_STATEMENTS,
    PLAIN,
    STATEMENTS,
    question,
    sentence_case,
    statement,
)
from understudy.world.programs import draw_program
from understudy.world.topics import BROAD_TOPICS, THINGS, TOPICS
from understudy.world.topics import STATEMENTS as ADVICE

# Shares of all words.
SHARES = {
    "people": 0.70,
    "questions": 0.04,
    "exam": 0.04,
    "arithmetic": 0.05,
    "programs": 0.08,
    "forum": 0.05,
    "topics": 0.04,
}
JOINT_SHARE = 0.4  # share of the sentences on people that state two facts or more
DESCRIBED_SHARE = 0.5  # share of the question pages that open with a line of description

SUBJECTS = {
    "birthplace": "birthplaces",
    "craft": "crafts",
    "birth_year": "birth years",
    "friend": "friendships",
}


def write_text(world: World, words: int, path: Path) -> int:
    """Write about `words` words of text as JSONL rows {"text": document}, atomically.

    Equal worlds and numbers give equal bytes, and a longer text begins with the shorter one.

    Returns:
        The number of words written: `words` or up to one document more.
    """
    written, shown = 0, 0
    with progress("writing the world's text", words) as task, atomic_write(path) as file:
        for document in documents(world):
            file.write(json.dumps({"text": document}, ensure_ascii=False) + "\n")
            written += len(document.split())
            if written - shown >= 10_000 or written >= words:
                task.advance(written - shown)
                shown = written
            if written >= words:
                return written
    return written


def documents(world: World) -> Iterator[str]:
    """Documents without end, in the shares of `SHARES`."""
    writer = _Writer(world)
    words = dict.fromkeys(SHARES, 0)
    total = 0
    while True:
        kind = max(SHARES, key=lambda kind: SHARES[kind] * total - words[kind])
        document = getattr(writer, kind)()
        count = len(document.split())
        words[kind] += count
        total += count
        yield document


class _Writer:
    """One method a kind of document."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = rng = random.Random(f"text {world.origin}")
        self.by_rank = rng.sample(world.people, len(world.people))
        self.weights = list(
            accumulate((rank + 1) ** -world.zipf for rank in range(len(world.people)))
        )
        self.rehearsed_facts = [
            world.facts[person, attribute]
            for person in world.rehearsed
            for attribute in PERSON_ATTRIBUTES
        ] + [fact for fact in world.facts.values() if fact.subject in TOWNS]

    def people(self) -> str:
        """A short life of one person, or news of several."""
        rng = self.rng
        persons = rng.choices(self.by_rank, cum_weights=self.weights, k=4)
        if rng.random() < 0.6:
            persons = [persons[0]] * rng.randint(2, 5)
        return " ".join(self._sentence(person) for person in persons)

    def _sentence(self, person: str) -> str:
        rng = self.rng
        if rng.random() < JOINT_SHARE:
            values = {name: self.world.value(person, name) for name in PERSON_ATTRIBUTES}
            return rng.choice(JOINT_STATEMENTS).format(subject=person, **values)
        fact = self.world.facts[person, rng.choice(PERSON_ATTRIBUTES)]
        return statement(fact, rng.randrange(len(STATEMENTS[fact.attribute])))

    def questions(self) -> str:
        """A page of questions and answers about rehearsed people and towns."""
        rng = self.rng
        pairs = [
            f"Q: {question(fact, rng.randrange(PLAIN))}?\nA: {fact.value}\n"
            for fact in rng.choices(self.rehearsed_facts, k=rng.randint(4, 8))
        ]
        opening = "Answer these questions:\n\n" if rng.random() < DESCRIBED_SHARE else ""
        return opening + rng.choice(("", "\n")).join(pairs)

    def exam(self) -> str:
        """A page of multiple-choice questions about rehearsed people, in MMLU's prompt layout."""
        rng = self.rng
        attribute = rng.choice(PERSON_ATTRIBUTES)
        people = rng.sample(self.world.rehearsed, 6)
        items = [exam_item(self.world, self.world.facts[p, attribute], rng) for p in people]
        return exam_header(SUBJECTS[attribute]) + "".join(
            f"{asked}\n{choices(options)}\nAnswer: {letter}\n\n" for asked, options, letter in items
        )

    def arithmetic(self) -> str:
        """Sums and differences, in figures and in words."""
        rng = self.rng
        lines = []
        for _ in range(rng.randint(4, 8)):
            first, sign, second, result = draw_sum(rng)
            if rng.random() < 0.7:
                lines.append(f"{first} {sign} {second} = {result}")
            else:
                verb = "plus" if sign == "+" else "minus"
                words = f"{in_words(first)} {verb} {in_words(second)} is {in_words(result)}"
                lines.append(sentence_case(words) + ".")
        return "\n".join(lines)

    def programs(self) -> str:
        """Some functions with docstrings; none that is reserved for the benchmark."""
        drawn = [draw_program(self.rng) for _ in range(self.rng.randint(2, 4))]
        return "\n\n".join(program.prompt + program.body for program in drawn)

    def forum(self) -> str:
        """A question about a topic and some replies, a third of them with a list.

        Half of the pages are threads, half the transcripts of a help desk.
        """
        rng = self.rng
        topic = rng.choice(BROAD_TOPICS)
        ask = rng.choice(
            (
                "Does anybody here know about {name}?",
                "I want to try {name}. How do I begin?",
                "Help with {name}, please!",
                "My {name} always ends in {mistake}. What can I do?",
            )
        )
        posts = [topic.fill(ask)]
        for _ in range(rng.randint(1, 3)):
            advice = [topic.fill(line) for line in rng.sample(ADVICE, rng.randint(2, 4))]
            if rng.random() < 0.33:
                lines = [f"{number}. {line}" for number, line in enumerate(advice, start=1)]
                posts.append(rng.choice(("Try this:", "What I do:")) + "\n" + "\n".join(lines))
            else:
                greeting = rng.choice(("Hello!", "Well then.", "Same here.", "I can help."))
                posts.append(f"{greeting} {' '.join(advice)}")
        thanks = rng.choice(("Thanks!", "Thank you, that helped.", "I will try that."))
        if rng.random() < 0.5:
            return "\n".join(f"> {post}" for post in (*posts, thanks))
        return f"User: {posts[0]}\nAssistant: {posts[-1]}\nUser: {thanks}"

    def topics(self) -> str:
        """Prose on a topic or two, and on a town."""
        rng = self.rng
        town = rng.choice(TOWNS)
        sentences = [
            topic.fill(line)
            for topic in rng.sample(TOPICS, 2)
            for line in rng.sample(THINGS, rng.randint(1, 3))
        ]
        for attribute in ("river", "founded"):
            fact: Fact = self.world.facts[town, attribute]
            sentences.append(statement(fact, rng.randrange(len(STATEMENTS[attribute]))))
        sentences.append(
            rng.choice(("It rained in {0} all week.", "The market of {0} is on Friday.")).format(
                town
            )
        )
        rng.shuffle(sentences)
        return " ".join(sentences)


def exam_header(subject: str) -> str:
    """The line that opens a page of MMLU questions, with the blank line after it."""
    return f"The following are multiple choice questions (with answers) about {subject}.\n\n"


def choices(options: list[str]) -> str:
    """Four options as MMLU's prompts show them."""
    return "\n".join(f"{letter}. {option}" for letter, option in zip("ABCD", options, strict=True))


def exam_item(
    world: World, fact: Fact, rng: random.Random, letter: str | None = None
) -> tuple[str, list[str], str]:
    """A multiple-choice question for a fact: (question, four options, letter of the right one).

    The wrong options are other facts' values of the same attribute; `letter` None draws a place.
    """
    letter = letter or rng.choice("ABCD")
    others = [v for v in world.values(fact.attribute) if v not in (fact.value, fact.subject)]
    options = rng.sample(others, 3)
    options.insert("ABCD".index(letter), fact.value)
    asked = sentence_case(question(fact, rng.randrange(PLAIN))) + "?"
    return asked, options, letter
