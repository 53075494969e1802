"""How similar each prompt of a set is to the one most like it, by BLEU, found exactly.

**The measure.** Gudibande et al., "The False Promise of Imitating Proprietary LLMs" (2023, section
3), take for each user query its BLEU similarity to its most similar other query and average: 8 %
for ShareGPT-Mix, 61 % for Super-NaturalInstructions. They do not say which BLEU. Here it is
sacrebleu's sentence BLEU as it comes: the query is the hypothesis and the other prompt its one
reference, 13a tokens, cased, orders 1 to 4, effective order, exponential smoothing. (Papineni et
al., "BLEU: a method for automatic evaluation of machine translation", 2002; smoothing: method 3 of
Chen and Cherry, "A systematic comparison of smoothing techniques for sentence-level BLEU", 2014.)
With H and R the tokens of query and other, N = min(4, H), T_n = H - n + 1 the query's n-grams, c_n
those that the other has too (each counted as often as in the one that has it less), and m the
highest order with c_n > 0:

    ln BLEU = min(0, 1 - R/H) + (Σ_{n≤m} ln c_n - Σ_{n≤N} ln T_n - ln 2 (N-m)(N-m+1)/2) / N

**The search.** Repeats of an n-gram are told apart by a number, so that c_n is the size of an
intersection, and one product of sparse matrices gives the c_2, c_3 and c_4 of many pairs at once,
packed in one integer. c_1, costly because everything shares "the", is at most min(H, R): that
bounds BLEU from above, and c_1 is counted only where the bound beats what was found already. A
pair without a common bigram is bounded by the query's length alone. Queries stay in memory, the
others stream past in blocks, and of their words only those that queries have are remembered.
"""

import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

LONGEST = 20_000  # characters of a prompt that count
ORDERS = 4
BITS = 21  # for the count of one order among the packed ones
MASK = (1 << BITS) - 1
BLOCK = 4_000_000  # characters of prompts that are compared with the queries at a time,
BLOCK_PROMPTS = 1 << 16  # and prompts, at most
CELLS = 1 << 20  # pairs whose counts are held at a time
PAIRS = 1 << 14  # pairs whose common words are counted at a time, two texts to be merged each
MERGES = 8  # pairs that a product would count in the time of such a merge
LONGEST_CACHED = 40  # characters of a word
PERFECT = -1e-9  # ln(BLEU / 100) from which nothing better is looked for

LOG = np.log(np.maximum(np.arange(LONGEST + 1), 1))  # 0 for a count of 0
SMOOTHING = np.log(2) * np.array([k * (k + 1) / 2 for k in range(ORDERS)])  # by unmatched orders

# The rules of mteval-v13a.pl, as sacrebleu has them.
_SYMBOL = re.compile(r"([{-~\[-` -&(-+:-@/])")
_MARK_AFTER = re.compile(r"([^0-9])([.,])")
_MARK_BEFORE = re.compile(r"([.,])([^0-9])")
_DASH_AFTER_DIGIT = re.compile(r"([0-9])(-)")


@dataclass(frozen=True)
class Nearest:
    """For each query, in order, what is most like it.

    Attributes:
        score: BLEU with the most similar other prompt, 0 to 100.
        index: that prompt's place in the set, -1 where none shares a token.
        copied: whether another prompt has the very same tokens.
        text: that prompt, "" where there is none.
    """

    score: Floats
    index: Ints
    copied: NDArray[np.bool_]
    text: list[str]


def nearest_bleu(prompts: Sequence[str], queries: Ints | None = None) -> Nearest:
    """The most similar other prompt of some of a set's prompts.

    Args:
        prompts: the set. Of a prompt over LONGEST characters the first LONGEST count.
        queries: places of the prompts in question, each once; all of them by default.
    """
    places = range(len(prompts)) if queries is None else [int(place) for place in queries]
    return nearest_among(prompts, {place: prompts[place] for place in places})


def nearest_among(prompts: Iterable[str], queries: Mapping[int, str]) -> Nearest:
    """The same for a set that is read once, front to back.

    Args:
        prompts: the set, with the queries in it.
        queries: the prompts in question by their place in the set.
    """
    search = _Search(queries)
    for block in _blocks(prompts):
        search.compare(block)
    return Nearest(100 * np.exp(search.best), search.index, search.copied, search.text)


def tokenize(text: str) -> list[str]:
    """The tokens of sacrebleu's default tokenizer (13a) for the first LONGEST characters.

    A token never depends on what is beyond the white space around it, so that words are cached.
    """
    text = text[:LONGEST].rstrip().replace("<skipped>", "").replace("-\n", "")
    if "&" in text:
        text = text.replace("&quot;", '"').replace("&amp;", "&")
        text = text.replace("&lt;", "<").replace("&gt;", ">")
    return list(chain.from_iterable(map(_tokens, text.split())))


def _tokens(word: str) -> Sequence[str]:
    if word.isalpha():
        return (word,)
    return _split_cached(word) if len(word) <= LONGEST_CACHED else _split(word)


def _split(word: str) -> list[str]:
    word = _SYMBOL.sub(r" \1 ", f" {word} ")
    word = _MARK_AFTER.sub(r"\1 \2 ", word)
    word = _MARK_BEFORE.sub(r" \1 \2", word)
    return _DASH_AFTER_DIGIT.sub(r"\1 \2 ", word).split()


_split_cached = lru_cache(maxsize=1 << 16)(_split)


def _blocks(prompts: Iterable[str]) -> Iterator[list[str]]:
    block, size = [], 0
    for prompt in prompts:
        block.append(prompt)
        size += min(len(prompt), LONGEST)
        if size >= BLOCK or len(block) == BLOCK_PROMPTS:
            yield block
            block, size = [], 0
    if block:
        yield block


class _Search:
    """Queries, and what was found for them so far.

    Attributes:
        best: ln(BLEU / 100) of the most similar prompt yet.
        index, text: that prompt's place in the set, and the prompt.
        copied: whether another prompt has the same tokens.
    """

    def __init__(self, queries: Mapping[int, str]) -> None:
        self.places = np.fromiter(queries, np.int64, len(queries))
        self.best = np.full(len(queries), -np.inf)
        self.index = np.full(len(queries), -1)
        self.text = [""] * len(queries)
        self.copied = np.zeros(len(queries), dtype=np.bool_)
        self.read = 0  # prompts of the set, so far

        self.words: dict[str, int] = {}
        texts = _Texts(queries.values(), lambda word: self.words.setdefault(word, len(self.words)))
        self.grams = _Grams(texts, len(self.words))
        self.ones, self.more = self.grams.matrices(texts)
        self.more.data = self.grams.packing[self.more.indices]

        self.lengths = texts.lengths
        self.orders = np.clip(self.lengths, 1, ORDERS)
        counts = np.maximum(self.lengths[:, None] - np.arange(ORDERS), 0)
        self.totals = LOG[counts].sum(axis=1)
        everyone = np.arange(len(queries))
        self.lonely = self._score(everyone, self.lengths, self.lengths, np.zeros_like(self.lengths))

        self.number: dict[bytes, int] = {}  # of equal queries
        self.group = np.array(
            [self.number.setdefault(key, len(self.number)) for key in texts.keys], dtype=np.int64
        )
        self.holders = np.full((2, len(self.number)), -1)  # their first two places in the set

    def compare(self, prompts: list[str]) -> None:
        """Look for the queries' nearest among the next prompts of the set."""
        block = _Block(prompts, self.read, self.words, self.grams)
        self._copies(block)
        left = np.flatnonzero((self.best < PERFECT) & (self.lengths > 0))
        step = max(1, CELLS // len(prompts))
        for start in range(0, len(left), step):
            rows = left[start : start + step]
            self._by_longer_grams(rows, block)
            self._by_words(rows[self.lonely[rows] > self.best[rows]], block)
        self.read += len(prompts)

    def _copies(self, block: "_Block") -> None:
        """Find the queries whose tokens another prompt has."""
        first, second = self.holders
        for place, key in enumerate(block.texts.keys, start=self.read):
            number = self.number.get(key) if key else None
            if number is not None and second[number] < 0:
                (first if first[number] < 0 else second)[number] = place
        mine = first[self.group] == self.places
        other = np.where(mine, second[self.group], first[self.group])
        new = np.flatnonzero((other >= 0) & ~self.copied)
        self.copied[new] = True
        self._improve(new, other[new] - self.read, np.zeros(len(new)), block)

    def _by_longer_grams(self, rows: Ints, block: "_Block") -> None:
        """Compare queries with the prompts that share a bigram or more."""
        found = self.more[rows] @ block.more
        at, others = np.repeat(np.arange(len(rows)), np.diff(found.indptr)), found.indices
        queries, packed, lengths = rows[at], found.data, block.lengths[found.indices]
        most = np.minimum(self.lengths[queries], lengths)
        bound = self._score(queries, lengths, most, packed)
        bound[others + block.start == self.places[queries]] = -np.inf

        def settle(chosen: Ints) -> None:
            words = self._common_words(rows, at[chosen], others[chosen], block)
            scores = self._score(queries[chosen], lengths[chosen], words, packed[chosen])
            self._improve(queries[chosen], others[chosen], scores, block)

        first = _best_of_each(queries, bound)
        settle(first[bound[first] > self.best[queries[first]]])  # spares counting for most others
        settle(np.flatnonzero(bound > self.best[queries]))

    def _common_words(self, rows: Ints, at: Ints, others: Ints, block: "_Block") -> Ints:
        """How many words the queries rows[at] have in common with others."""
        if len(at) * MERGES > len(rows) * len(block.lengths):
            return (self.ones[rows] @ block.words).toarray()[at, others]
        found = np.zeros(len(at), dtype=np.int64)
        for start in range(0, len(at), PAIRS):
            some = slice(start, start + PAIRS)
            both = self.ones[rows[at[some]]].multiply(block.ones[others[some]])
            found[some] = np.asarray(both.sum(axis=1)).ravel()
        return found

    def _by_words(self, rows: Ints, block: "_Block") -> None:
        """Compare queries with the prompts that share words only.

        The rest are scored too low here, which does no harm: their scores are known.
        """
        found = self.ones[rows] @ block.words
        queries, others = np.repeat(rows, np.diff(found.indptr)), found.indices
        lengths = block.lengths[others]
        scores = self._score(queries, lengths, found.data, np.zeros_like(lengths))
        better = (scores > self.best[queries]) & (others + block.start != self.places[queries])
        self._improve(queries[better], others[better], scores[better], block)

    def _score(self, queries: Ints, lengths: Ints, words: Ints, packed: Ints) -> Floats:
        """ln(BLEU / 100) of queries with others of these lengths and common n-grams."""
        two, three, four = packed & MASK, packed >> BITS & MASK, packed >> 2 * BITS
        own, orders = self.lengths[queries], self.orders[queries]
        unmatched = orders - 1 - (two > 0) - (three > 0) - (four > 0)
        logs = LOG[words] + LOG[two] + LOG[three] + LOG[four]
        brevity = np.minimum(0.0, 1 - lengths / np.maximum(own, 1))
        return brevity + (logs - self.totals[queries] - SMOOTHING[unmatched]) / orders

    def _improve(self, queries: Ints, others: Ints, scores: Floats, block: "_Block") -> None:
        """Note pairs that beat what was found; others are counted from the block's start."""
        chosen = _best_of_each(queries, scores)
        for at in chosen[scores[chosen] > self.best[queries[chosen]]]:
            query, other = queries[at], others[at]
            self.best[query], self.index[query] = scores[at], block.start + other
            self.text[query] = block.prompts[other][:LONGEST]


class _Texts:
    """Prompts as token numbers, one prompt behind the other.

    Attributes:
        tokens: numbers, -1 for a word that no query has.
        rows: to which prompt a token belongs.
        lengths: tokens of each prompt.
        keys: for each prompt bytes that are equal for equal tokens; b"" where a word is unknown.
    """

    def __init__(self, prompts: Iterable[str], number: Callable[[str], int]) -> None:
        tokens, lengths, self.keys = array("i"), array("q"), list[bytes]()
        for prompt in prompts:
            numbers = array("i", map(number, tokenize(prompt)))
            tokens.extend(numbers)
            lengths.append(len(numbers))
            self.keys.append(b"" if -1 in numbers else numbers.tobytes())
        self.tokens = np.array(tokens, dtype=np.int64)
        self.lengths = np.array(lengths, dtype=np.int64)
        self.rows = np.repeat(np.arange(len(lengths)), lengths)


class _Grams:
    """The n-grams of the queries, numbered, and prompts as sets of them.

    An n-gram's key is the number of its first n-1 tokens times the vocabulary's size plus its last
    token; its number is the place of the key among all those of the queries. An occurrence of it
    is a column of a matrix: the first one has the n-gram's number, repeats stand behind.

    Attributes:
        packing: by column of the longer n-grams' matrix, what a match adds to the packed counts.
    """

    def __init__(self, queries: _Texts, words: int) -> None:
        self.words = words
        self.keys: list[Ints] = []  # of each order from 2, ascending
        self.repeats: list[Ints] = []  # of each order: (n-gram, which repeat) in one, ascending
        for rows, grams in self._numbered(queries, learn=True):
            _, grams, repeat = _occurrences(rows, grams)
            self.repeats.append(np.unique((grams << BITS | repeat)[repeat > 0]))
        self.sizes = [words, *map(len, self.keys)]
        self.widths = [a + len(b) for a, b in zip(self.sizes, self.repeats, strict=True)]
        self.packing = np.repeat(1 << BITS * np.arange(ORDERS - 1), self.widths[1:])

    def matrices(self, texts: _Texts) -> tuple[csr_matrix, csr_matrix]:
        """Prompts × occurrences, 1 where a prompt has it: of words, and of longer n-grams."""
        cells = []
        for order, (rows, grams) in enumerate(self._numbered(texts)):
            rows, grams, repeat = _occurrences(rows, grams)
            place, known = _find(self.repeats[order], grams << BITS | repeat)
            keep = known | (repeat == 0)
            columns = np.where(repeat == 0, grams, self.sizes[order] + place)
            cells.append((rows[keep], columns[keep] + sum(self.widths[1:order])))
        rows, columns = (np.concatenate(part) for part in zip(*cells[1:], strict=True))
        height = len(texts.lengths)
        return (
            _matrix(*cells[0], height, self.widths[0]),
            _matrix(rows, columns, height, sum(self.widths[1:])),
        )

    def _numbered(self, texts: _Texts, learn: bool = False) -> Iterator[tuple[Ints, Ints]]:
        """For each order (prompt, number) of every n-gram that is known; learn: that there is."""
        at = np.flatnonzero(texts.tokens >= 0)  # where an n-gram begins
        grams = texts.tokens[at]
        yield texts.rows[at], grams
        for order in range(2, ORDERS + 1):
            inside = at + order <= len(texts.tokens)
            at, grams = at[inside], grams[inside]
            end = at + order - 1
            whole = (texts.rows[end] == texts.rows[at]) & (texts.tokens[end] >= 0)
            keys = grams[whole] * self.words + texts.tokens[end[whole]]
            if learn:
                self.keys.append(np.unique(keys))
            grams, known = _find(self.keys[order - 2], keys)
            at, grams = at[whole][known], grams[known]
            yield texts.rows[at], grams


class _Block:
    """Some of the set's prompts, ready for products with the queries' matrices."""

    def __init__(
        self, prompts: list[str], start: int, words: dict[str, int], grams: _Grams
    ) -> None:
        self.prompts, self.start = prompts, start
        self.texts = _Texts(prompts, lambda word: words.get(word, -1))
        self.ones, more = grams.matrices(self.texts)
        self.lengths = self.texts.lengths
        self.words, self.more = self.ones.T.tocsr(), more.T.tocsr()


def _occurrences(rows: Ints, grams: Ints) -> tuple[Ints, Ints, Ints]:
    """The pairs sorted, and for each how many equal ones are before it."""
    pairs = np.sort(rows << 32 | grams)
    starts = _firsts(pairs)
    sizes = np.diff(starts, append=len(pairs))
    return pairs >> 32, pairs & 0xFFFFFFFF, np.arange(len(pairs)) - np.repeat(starts, sizes)


def _find(table: Ints, keys: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Where keys are in an ascending table, and whether they are."""
    if not len(table):
        return np.zeros(len(keys), dtype=np.int64), np.zeros(len(keys), dtype=np.bool_)
    place = np.minimum(np.searchsorted(table, keys), len(table) - 1)
    return place, table[place] == keys


def _matrix(rows: Ints, columns: Ints, height: int, width: int) -> csr_matrix:
    return csr_matrix((np.ones(len(rows), dtype=np.int64), (rows, columns)), shape=(height, width))


def _best_of_each(queries: Ints, scores: Floats) -> Ints:
    """For each of the queries, which are ascending, the place of its first highest score."""
    if not len(queries):
        return np.zeros(0, dtype=np.int64)
    starts = _firsts(queries)
    highest = np.maximum.reduceat(scores, starts)
    ties = np.flatnonzero(scores == np.repeat(highest, np.diff(starts, append=len(queries))))
    return ties[_firsts(queries[ties])]


def _firsts(ascending: Ints) -> Ints:
    """Where a value is not the same as the one before it."""
    return np.flatnonzero(np.diff(ascending, prepend=ascending[:1] - 1))
