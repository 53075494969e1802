"""Whether two inputs ask the same, and whether a pair gives an evaluation item away.

"Where does Anna Brook live?" and "Where does Bela Stone live?" share most of their words and ask
for different things, so words count by their rarity. With N normalised texts, n(w) of which hold
the word w, and words counted as often as they occur,

    idf(w)         = ln((N + 1) / max(n(w), 1))            (Spaerck Jones 1972, one text added)
    likeness(a, b) = 2 * S / (I(a) + I(b))                 (Dice)
        where S sums idf over the words that a and b share, and I over all words of one
    cover(a, b)    = C / K(b)
        where C sums idf cubed over the words that a and b share, and K over all words of b

Likeness falls when either text has something of its own. Cover is how much of b is found in a,
however a is put. A paraphrase keeps names and numbers and changes the rest, so there the rarest
words have to decide: squares, as in the cosine of tf-idf vectors, let "what is the trade of Anna
Brook" pass beside "what does Anna Brook do for a living", and plain weights take "where was Anna
Stone born" for "where was Anna Brook born" (docs/collect.md has the figures).
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SAME = 0.95  # likeness from which two inputs ask the same, whatever their outputs
NEAR = 0.8  # likeness from which they do if their outputs are equal
COVER = 0.6  # cover of a held question from which an output that holds its answer is a leak

_ACCENTS = re.compile("[\u0300-\u036f]")
_STOPS = re.compile(r"(?<!\d)[.'’]|[.'’](?!\d)")
_WORDS = re.compile(r"[^\W_]+|(?<=\d)\s*[-+*/×÷^<>=]\s*(?=\d)")
_ARTICLES = ("a", "an", "the")


def normal(text: str) -> str:
    """A text as it is compared: lower case, no accents, articles or punctuation, single spaces.

    Signs between figures stay, since 3 + 4 is not 3 - 4. A text of which nothing would be left, as
    the letter "A", stays as it is but for case.
    """
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", text.casefold()))
    words = (word.strip() for word in _WORDS.findall(_STOPS.sub("", plain)))
    return " ".join(word for word in words if word not in _ARTICLES) or plain.strip()


@dataclass(frozen=True)
class Held:
    """An item that models are evaluated on, with the answers that count as right."""

    benchmark: str
    id: str
    question: str
    answers: tuple[str, ...]


class Rarity:
    """How rare words are among normalised texts."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts, self._holding = 0, Counter[str]()
        for text in texts:
            self._texts += 1
            self._holding.update(set(text.split()))

    def idf(self, word: str) -> float:
        return math.log((self._texts + 1) / max(self._holding[word], 1))


class Bag:
    """A normalised text as words with their weights."""

    def __init__(self, text: str, rarity: Rarity) -> None:
        self.text = text
        self.counts = Counter(text.split())
        self.idf = {word: rarity.idf(word) for word in self.counts}
        self.weight = sum(n * self.idf[word] for word, n in self.counts.items())
        self.cubes = sum(n * self.idf[word] ** 3 for word, n in self.counts.items())

    def likeness(self, other: "Bag") -> float:
        if self.text == other.text:
            return 1.0
        shared = sum(n * self.idf[word] for word, n in self._shared(other))
        return 2 * shared / (self.weight + other.weight) if shared else 0.0

    def cover(self, other: "Bag") -> float:
        shared = sum(n * self.idf[word] ** 3 for word, n in self._shared(other))
        return shared / other.cubes if shared else 0.0

    def _shared(self, other: "Bag") -> list[tuple[str, int]]:
        return [(w, min(n, other.counts[w])) for w, n in self.counts.items() if w in other.counts]


class Index:
    """Bags under their rarest words, to compare a text with few of many.

    `near` gives every bag whose likeness to the text is at least NEAR, or that the text covers to
    at least COVER. Such a bag shares with the text at least NEAR / (2 - NEAR) of its weight, or
    COVER of its cubes. So it is enough to look under as many of its words, rarest first, as leave
    less than that.
    """

    def __init__(self) -> None:
        self._bags: list[Bag] = []
        self._under: dict[str, list[int]] = {}

    def add(self, bag: Bag) -> None:
        weight, cubes = bag.weight, bag.cubes
        enough = NEAR / (2 - NEAR)
        for word in sorted(bag.counts, key=lambda word: (-bag.idf[word], word)):
            if weight < enough * bag.weight and cubes < COVER * bag.cubes:
                break
            self._under.setdefault(word, []).append(len(self._bags))
            weight -= bag.counts[word] * bag.idf[word]
            cubes -= bag.counts[word] * bag.idf[word] ** 3
        self._bags.append(bag)

    def near(self, bag: Bag) -> list[tuple[int, Bag]]:
        """(number in the order of adding, bag) of all that may be near, in that order."""
        numbers = {number for word in bag.counts for number in self._under.get(word, ())}
        return [(number, self._bags[number]) for number in sorted(numbers)]


@dataclass(frozen=True)
class Leak:
    """The held item that a pair gives away, and how near their inputs are."""

    item: Held
    likeness: float
    cover: float


class Guard:
    """Held items, ready to be compared with many pairs."""

    def __init__(self, held: Sequence[Held], rarity: Rarity) -> None:
        self._held = held
        self._answers = [[f" {normal(answer)} " for answer in item.answers] for item in held]
        self._index = Index()
        for item in held:
            self._index.add(Bag(normal(item.question), rarity))

    def leaks(self, bag: Bag, output: str) -> list[Leak]:
        """The items that a pair of an input and a normalised output gives away.

        It does where the inputs ask the same (likeness of SAME or more, equal texts included), or
        where the input covers the question to COVER or more and the output holds one of the answers
        as whole words or is held by it.
        """
        found = []
        for number, question in self._index.near(bag):
            leak = Leak(self._held[number], bag.likeness(question), bag.cover(question))
            told = f" {output} "
            if leak.likeness >= SAME or (
                leak.cover >= COVER
                and any(answer in told or told in answer for answer in self._answers[number])
            ):
                found.append(leak)
        return found
