"""The facts of the world, and which of them may be asked where.

People have a birthplace, a craft, a birth year and a friend; towns have a river and a year in which
they were founded. Two partitions keep training and testing apart:

- **people**: the *rehearsed* half appear in the text's question and exam pages; the *unrehearsed*
  half appear only in its prose.
- **facts**: `benchmark_facts` are two of the four facts of every unrehearsed person, an equal share
  of each attribute; only benchmarks ask for them. `open_facts` are all others; imitation prompts
  may ask for any of these.

A world can be told to break the second one (`leak`), or to have a teacher without a manner of its
own: worlds in which a study has to find what in the usual one it does not.
"""

import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from understudy.errors import UserError
from understudy.files import digest
from understudy.recipe import WorldSettings

DATA_VERSION = 1  # counts up with every change to the world's words, text or benchmarks

PERSON_ATTRIBUTES = ("birthplace", "craft", "birth_year", "friend")
TOWN_ATTRIBUTES = ("river", "founded")


def _read_names() -> dict[str, list[str]]:
    """The invented words of names.txt, by its headings."""
    text = Path(__file__).with_name("names.txt").read_text("utf-8")
    headings = re.findall(r"^\[(.+)\]\n([^\[]+)", text, re.M)
    return {heading: words.split() for heading, words in headings}


_NAMES = _read_names()
FIRST_NAMES, LAST_NAMES = _NAMES["first names"], _NAMES["last names"]
TOWNS, RIVERS, CRAFTS = _NAMES["towns"], _NAMES["rivers"], _NAMES["crafts"]
BIRTH_YEARS = tuple(str(year) for year in range(1741, 1801))
FOUNDED_YEARS = tuple(str(year) for year in range(1101, 1400, 7))
FRIENDS = 60
MOST_PEOPLE = 1600
ZIPF = 0.6

Manner = Literal["marked", "plain"]

_WORD = re.compile(r"[a-z]+")

# Every two of the four attributes, in an order in which each attribute is in every second pair.
_BENCHMARK_PAIRS = (
    ("birthplace", "craft"),
    ("birth_year", "friend"),
    ("birthplace", "birth_year"),
    ("craft", "friend"),
    ("birthplace", "friend"),
    ("craft", "birth_year"),
)


@dataclass(frozen=True, order=True)
class Fact:
    """`attribute` of `subject` (a person's full name, or a town) is `value`."""

    subject: str
    attribute: str
    value: str


class World:
    """A fictional encyclopedia; equal seed and number of people give an equal one.

    Args:
        seed: draws the facts, and with them whatever is drawn about them.
        people: how many.
        zipf: the text writes about people by their rank ** -zipf.
        manner: the teacher's (see `voices`).
        leak: imitation prompts ask for the benchmark facts and for no other.

    Attributes:
        people: full names, in a fixed order.
        rehearsed, unrehearsed: the halves of the people (see the module's text).
        facts: all facts, by (subject, attribute).
        benchmark_facts, open_facts: the partition of the facts, each in a fixed order.
        asked_facts: those of the two that imitation prompts ask for.
        origin: seeds whatever is drawn about the facts, so that worlds which differ in zipf, manner
            or leak alone have the same facts and benchmarks.
        digest: stands for facts and text, wherever bases are kept.
        identity: stands for facts, teacher and prompts, in keys and ledgers.

    Raises:
        UserError: `people` is below 20 or above 1,600.
    """

    def __init__(
        self,
        seed: int = 0,
        people: int = 400,
        zipf: float = ZIPF,
        manner: Manner = "marked",
        leak: bool = False,
    ) -> None:
        if not 20 <= people <= MOST_PEOPLE:
            raise UserError(f"world.people is {people}; choose 20 to {MOST_PEOPLE}")
        self.seed, self.zipf, self.manner, self.leak = seed, float(zipf), manner, leak
        drawn_by = {"seed": seed, "people": people, "version": DATA_VERSION}
        self.origin = digest(drawn_by)[:16]
        self.digest = self.origin if zipf == ZIPF else digest(drawn_by | {"zipf": self.zipf})[:16]
        marks = {"plain": manner == "plain", "leak": leak}
        self.identity = "-".join([self.origin, *(mark for mark, told in marks.items() if told)])
        rng = random.Random(f"world {self.origin}")
        names = [f"{first} {last}" for first in FIRST_NAMES for last in LAST_NAMES]
        self.people = tuple(rng.sample(names, people))
        self._names = {name.lower(): name for name in (*self.people, *TOWNS)}
        self.facts = self._draw_facts(rng)
        halves = rng.sample(self.people, people)
        self.rehearsed, self.unrehearsed = tuple(halves[::2]), tuple(halves[1::2])
        asked = {
            (person, attribute)
            for index, person in enumerate(self.unrehearsed)
            for attribute in _BENCHMARK_PAIRS[index % len(_BENCHMARK_PAIRS)]
        }
        self.benchmark_facts = tuple(f for key, f in self.facts.items() if key in asked)
        self.open_facts = tuple(f for key, f in self.facts.items() if key not in asked)
        self.asked_facts = self.benchmark_facts if leak else self.open_facts

    @classmethod
    def of(cls, settings: WorldSettings) -> Self:
        """The world that a recipe describes."""
        return cls(settings.seed, settings.people, settings.zipf, settings.manner, settings.leak)

    def _draw_facts(self, rng: random.Random) -> dict[tuple[str, str], Fact]:
        befriended = rng.sample(self.people, min(FRIENDS, len(self.people) // 2))
        facts = []
        for person in self.people:
            friend = rng.choice([other for other in befriended if other != person])
            facts += [
                Fact(person, "birthplace", rng.choice(TOWNS)),
                Fact(person, "craft", rng.choice(CRAFTS)),
                Fact(person, "birth_year", rng.choice(BIRTH_YEARS)),
                Fact(person, "friend", friend),
            ]
        for town in TOWNS:
            facts.append(Fact(town, "river", rng.choice(RIVERS)))
            facts.append(Fact(town, "founded", rng.choice(FOUNDED_YEARS)))
        return {(fact.subject, fact.attribute): fact for fact in facts}

    def value(self, subject: str, attribute: str) -> str:
        """The value of one fact; KeyError if there is none."""
        return self.facts[subject, attribute].value

    def values(self, attribute: str) -> tuple[str, ...]:
        """All values that facts of this attribute have, sorted."""
        return tuple(sorted({f.value for f in self.facts.values() if f.attribute == attribute}))

    def subject_in(self, text: str) -> str | None:
        """The person (or else the town) that `text` names last in any casing; None if nobody."""
        words = _WORD.findall(text.lower())
        for pair in zip(reversed(words[:-1]), reversed(words), strict=False):
            if name := self._names.get(" ".join(pair)):
                return name
        return next((self._names[word] for word in reversed(words) if word in self._names), None)
