"""Near-duplicates by ROUGE-L F, exactly as a comparison with every kept text would find them.

**The measure** (Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", 2004): with L the
length of the longest common subsequence of two token sequences of lengths m and n, P = L/n,
R = L/m and F = 2PR / (P + R), which is 2L / (m + n). Tokens are runs of a-z and 0-9 in the
lower-cased text. Tokens, formula and floating-point order are those of the `rouge_score` package
without stemming, so that decisions at the very threshold are the same.

**The search.** Two texts with F above the threshold share at least L tokens, repeats counted, and
so few pairs need the subsequence itself:

1. *Prefix filter* (Chaudhuri et al., "A Primitive Operator for Similarity Joins in Data Cleaning",
   2006; Bayardo et al., "Scaling Up All Pairs Similarity Search", 2007). Repeats are made distinct
   by numbering them ("the" first, "the" second), and all are put in one fixed order. If two sets
   of sizes m and n share at least k of them, then their first m - k + 1 and n - k + 1 in that order
   have one in common. With the rarest first, these prefixes hardly ever meet by chance. The order
   follows the kept texts' frequencies: it is made anew whenever their number has doubled.
2. *Overlap*: the number of tokens that the two share bounds L, and is itself bounded by how many
   bits of the one's signature the other's lacks.
3. *Subsequence*: one row of the table at a time as the bits of one integer (Crochemore et al., "A
   fast and practical bit-vector algorithm for the longest common subsequence problem", 2001, in
   the form of Hyyrö, "Bit-parallel LCS-length computation revisited", 2004).
"""

import re
from collections import Counter, defaultdict
from functools import lru_cache
from typing import NamedTuple

_TOKEN = re.compile("[a-z0-9]+")
SIGNATURE = 256  # bits
FIRST_ORDER = 64  # kept texts after which the order is first made anew


class Duplicate(NamedTuple):
    """A kept text that another is too near to, and their ROUGE-L F."""

    score: float
    text: str


class NearDuplicates:
    """Kept texts, and whether another is too near to one of them.

    Args:
        threshold: ROUGE-L F above which a text is a near-duplicate.
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self._texts: list[str] = []
        self._tokens: list[list[str]] = []
        self._sets: list[frozenset[int]] = []  # of numbered tokens
        self._signatures: list[int] = []
        self._lengths: set[int] = set()
        self._numbers: dict[tuple[str, int], int] = {}  # (token, which of its repeats): its number
        self._places: list[int] = []  # in the order, of the numbered tokens known when it was made
        # Where a numbered token is in a prefix: (text, its length, its tokens from there on).
        self._index: defaultdict[int, list[tuple[int, int, int]]] = defaultdict(list)
        self._next_order = FIRST_ORDER

    def __len__(self) -> int:
        return len(self._texts)

    def nearest(self, text: str) -> Duplicate | None:
        """The kept text with the highest F above the threshold, the earliest of equals; or None."""
        tokens = tokenize(text)
        length, numbered = len(tokens), self._numbered(tokens)
        masks, signature = _masks(tokens), _signature(numbered)
        needed = {n: least_common(length, n, self.threshold) for n in self._lengths}
        best, score = None, self.threshold
        for other in sorted(self._meeting(numbered, needed)):
            others = self._tokens[other]
            missing = (signature & ~self._signatures[other]).bit_count()
            if length - missing >= needed[len(others)]:
                found = f_measure(_common(masks, length, others), length, len(others))
                if found > score:
                    best, score = other, found
        return None if best is None else Duplicate(score, self._texts[best])

    def add(self, text: str) -> None:
        """Keep a text."""
        tokens = tokenize(text)
        self._texts.append(text)
        self._tokens.append(tokens)
        self._sets.append(self._numbered(tokens))
        self._signatures.append(_signature(self._sets[-1]))
        self._lengths.add(len(tokens))
        if len(self._texts) < self._next_order:
            self._enter(len(self._texts) - 1)
        else:
            self._next_order *= 2
            self._reorder()

    def _numbered(self, tokens: list[str]) -> frozenset[int]:
        """The tokens as a set of numbers, in which repeats of one token differ."""
        seen: Counter[str] = Counter()
        found = []
        for token in tokens:
            seen[token] += 1
            found.append(self._numbers.setdefault((token, seen[token]), len(self._numbers)))
        return frozenset(found)

    def _meeting(self, numbered: frozenset[int], needed: dict[int, int]) -> set[int]:
        """The kept texts whose prefix meets that of `numbered`.

        `needed` has, by a kept text's length, how many tokens have to be common: both texts need as
        many from the first common one on.
        """
        meeting: set[int] = set()
        for place, one in enumerate(self._prefix(numbered)):
            left = len(numbered) - place
            meeting.update(
                [
                    other
                    for other, length, its_left in self._index.get(one, ())
                    if needed[length] <= left and needed[length] <= its_left
                ]
            )
        return meeting

    def _prefix(self, numbered: frozenset[int]) -> list[int]:
        """As many of the first tokens as have to meet those of any text that is near enough."""
        least = shortest(len(numbered), self.threshold)  # no pair can do with fewer in common
        return sorted(numbered, key=self._place)[: len(numbered) - least + 1]

    def _place(self, one: int) -> int:
        """A numbered token's place in the order; those that are newer than it come first."""
        return self._places[one] if one < len(self._places) else -one

    def _enter(self, text: int) -> None:
        length = len(self._sets[text])
        for place, one in enumerate(self._prefix(self._sets[text])):
            self._index[one].append((text, length, length - place))

    def _reorder(self) -> None:
        """Make the order anew, rarest first, and with it the index."""
        frequency = Counter(one for numbered in self._sets for one in numbered)
        rarest_first = sorted(range(len(self._numbers)), key=lambda one: (frequency[one], one))
        self._places = [0] * len(rarest_first)
        for place, one in enumerate(rarest_first):
            self._places[one] = place
        self._index.clear()
        for text in range(len(self._texts)):
            self._enter(text)


def tokenize(text: str) -> list[str]:
    """The tokens that count: runs of a-z and 0-9 in the lower-cased text."""
    return _TOKEN.findall(text.lower())


def f_measure(common: int, length: int, other: int) -> float:
    """ROUGE-L F of two texts of these lengths with a longest common subsequence of `common`."""
    if not common:
        return 0.0
    precision, recall = common / other, common / length
    return 2 * precision * recall / (precision + recall)


@lru_cache(maxsize=1 << 16)
def least_common(length: int, other: int, threshold: float) -> int:
    """The shortest common subsequence that lifts F over the threshold; 1 more than fits if none."""
    most = min(length, other)
    # Begun below what exact arithmetic says: rounding may lift F over the threshold a step earlier.
    common = max(1, int(threshold * (length + other) / 2) - 1)
    while common <= most and f_measure(common, length, other) <= threshold:
        common += 1
    return min(common, most + 1)


@lru_cache(maxsize=1 << 16)
def shortest(length: int, threshold: float) -> int:
    """The shortest text that can be near enough to one of this length; 1 more if there is none.

    All of it has to be common; a longer one needs at least as much in common.
    """
    fitting = (n for n in range(1, length + 1) if f_measure(n, length, n) > threshold)
    return next(fitting, length + 1)


def _signature(numbered: frozenset[int]) -> int:
    """A set as bits, some of them shared: a bit that another lacks is a token that it lacks."""
    bits = 0
    for one in numbered:
        bits |= 1 << one % SIGNATURE
    return bits


def _masks(tokens: list[str]) -> dict[str, int]:
    """For each token an integer whose bits are its places."""
    masks: dict[str, int] = {}
    for place, token in enumerate(tokens):
        masks[token] = masks.get(token, 0) | 1 << place
    return masks


def _common(masks: dict[str, int], length: int, others: list[str]) -> int:
    """Length of the longest common subsequence of `others` and the `length` tokens of `masks`.

    Bit i of a row is 0 where the subsequence grows at place i, so that its zeros are the length.
    """
    whole = (1 << length) - 1
    row = whole
    for token in others:
        if mask := masks.get(token):
            matched = row & mask
            row = (row + matched) | (row - matched)
    return length - (row & whole).bit_count()
