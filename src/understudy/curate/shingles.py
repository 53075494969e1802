"""Words of texts and runs of neighbouring words (shingles), as 64-bit hashes, many texts at once.

**Words.** A word is a run of letters, digits and combining marks, letters folded to lower case one
character at a time (so that places stay those of the text). Scripts that put no spaces between
words (Han, kana, Thai, Lao, Khmer, Burmese) give a word for each letter. Punctuation, markup and
emoji are no words; but a sign of arithmetic that stands free, with a blank or a digit on either
side, is one, for "3 + 5" is not "3 * 5".

**Hashes.** With c_i the folded code points of a block of texts and B odd, a word from b to e has

    h = B^-b * sum of c_i B^i over b <= i < e   (modulo 2^64, where an odd number has an inverse)

which depends on its characters alone, and the sum is the difference of two prefix sums (Karp and
Rabin, "Efficient randomized pattern-matching algorithms", 1987). A finaliser spreads the bits. So
the work on a character is a table look-up, a product and a sum, all in numpy. Hashes are the same
in every process and for every way of putting texts into batches.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

SIZE = 5  # words in a shingle
BLOCK = 1 << 16  # characters hashed at once, about; a longer text is a block of its own
BASE = 0x9E3779B97F4A7C15
STEP = 0xD6E8FEB86659FD93

# An entry of the table of characters: the folded code point of what belongs into words, and flags.
CODE = np.uint32(0x1FFFFF)
ALONE = np.uint32(1 << 31)  # is a word by itself
SIGN = np.uint32(1 << 30)  # is one where it stands free
FREE = np.uint32(1 << 29)  # lets a sign beside it stand free
SIGNS = {**{sign: sign for sign in "+-*/×÷=<>%^"}, "\N{MINUS SIGN}": "-"}
BLANKS = " \t\N{NO-BREAK SPACE}"
UNSPACED = (
    (0x0E00, 0x0F00),  # Thai, Lao
    (0x1000, 0x10A0),  # Burmese
    (0x1780, 0x1800),  # Khmer
    (0x3005, 0x3008),  # marks of repetition and zero among Han
    (0x3040, 0x3100),  # kana
    (0x31F0, 0x3200),
    (0x3400, 0x4DC0),  # Han
    (0x4E00, 0xA000),
    (0xA9E0, 0xAA00),  # Burmese
    (0xAA60, 0xAA80),
    (0xF900, 0xFB00),  # Han
    (0xFF66, 0xFFA0),  # kana
    (0x1AFF0, 0x1B170),  # kana
    (0x20000, 0x32400),  # Han
)
VARIATION_SELECTORS = range(0xFE00, 0xFE10)  # marks that only choose a glyph
LAST_LETTER = 0x32400  # nothing from here on belongs into a word


@dataclass(frozen=True)
class Words:
    """The words of texts, end to end.

    Attributes:
        hashes: uint64, one a word.
        starts: int64, shape (texts + 1,); text t has the words starts[t] to starts[t + 1].
        begins, ends: int64, one a word: `text[begin:end]` is the word in its text.
    """

    hashes: np.ndarray
    starts: np.ndarray
    begins: np.ndarray
    ends: np.ndarray


@dataclass(frozen=True)
class Shingles:
    """The shingles of texts, end to end, in the order of the texts and with their repeats.

    Attributes:
        hashes: uint64, one a shingle.
        starts: int64, shape (texts + 1,); text t has the shingles starts[t] to starts[t + 1].
    """

    hashes: np.ndarray
    starts: np.ndarray


def words(texts: Sequence[str]) -> Words:
    """The words of each text; takes some 40 bytes of memory a character of the longest text."""
    counts = np.zeros(len(texts) + 1, dtype=np.int64)
    blocks = [_block(texts[a:b], counts[a + 1 : b + 1]) for a, b in _blocks(texts)]
    hashes, begins, ends = (np.concatenate(parts) for parts in zip(_NONE, *blocks, strict=True))
    return Words(hashes, np.cumsum(counts), begins, ends)


def shingles(words: Words, size: int = SIZE) -> Shingles:
    """Every run of `size` words of each text.

    A text of fewer words has one shingle, of all of them; a text without words has none.
    """
    counts = np.diff(words.starts)
    sizes = np.where(counts < size, np.minimum(counts, 1), counts - size + 1)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    # Text t's shingle j begins at its word j.
    at = np.arange(starts[-1]) + np.repeat(words.starts[:-1] - starts[:-1], sizes)
    padded = np.concatenate([words.hashes, np.zeros(size - 1, dtype=np.uint64)])
    short = np.flatnonzero((counts > 0) & (counts < size))
    left = counts[short]
    combined = np.zeros(len(words.hashes), dtype=np.uint64)
    hashes_of_short = np.zeros(len(short), dtype=np.uint64)
    for place in range(size):
        combined *= np.uint64(STEP)
        combined += padded[place : place + len(combined)]
        done = left == place + 1
        hashes_of_short[done] = combined[words.starts[short[done]]]
    hashes = combined[at]
    hashes[starts[short]] = hashes_of_short
    return Shingles(mix(hashes), starts)


def mix(hashes: np.ndarray) -> np.ndarray:
    """A bijection of 64 bits in which every bit of the result depends on all of the argument.

    The finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
    generators", 2014) with Stafford's constants.
    """
    mixed = hashes ^ (hashes >> np.uint64(30))
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


_NONE = tuple(np.empty(0, dtype=kind) for kind in (np.uint64, np.int64, np.int64))


def _blocks(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Borders of runs of texts that are a block together."""
    first = size = 0
    for place, text in enumerate(texts):
        if size and size + len(text) > BLOCK:
            yield first, place
            first, size = place, 0
        size += len(text) + 1
    if size:
        yield first, len(texts)


def _block(texts: Sequence[str], counts: np.ndarray) -> tuple[np.ndarray, ...]:
    """Hashes, begins and ends of the words of a block; their number goes into `counts`."""
    joined = "\n".join(["", *texts, ""])  # no character is the first or the last of all
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    entries = _characters().take(codes)
    folded = entries & CODE
    alone = entries >= ALONE
    signs = np.flatnonzero((entries & SIGN) != 0)
    signs = signs[(entries[signs - 1] & entries[signs + 1] & FREE) != 0]
    folded[signs] = _signs()[codes[signs]]
    alone[signs] = True

    inside = folded != 0
    # Between i and i + 1 a word ends or begins unless both are in one.
    border = ~(inside[1:] & inside[:-1]) | alone[1:] | alone[:-1]
    begins = np.flatnonzero(inside[1:] & border) + 1
    ends = np.flatnonzero(inside[:-1] & border) + 1
    powers, inverses = _powers(len(codes))
    sums = np.cumsum(folded * powers)
    hashes = mix((sums[ends - 1] - sums[begins - 1]) * inverses[begins])

    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    offsets = np.cumsum(lengths + 1) - lengths
    edges = np.searchsorted(begins, offsets)
    counts[:] = np.diff(edges, append=len(begins))
    shift = np.repeat(offsets, counts)
    return hashes, begins - shift, ends - shift


@cache
def _characters() -> np.ndarray:
    """The entry of every code point."""
    table = np.zeros(0x110000, dtype=np.uint32)
    for first, last in UNSPACED:
        table[first:last] = ALONE
    for code in range(LAST_LETTER):
        character = chr(code)
        if character.isalnum() or unicodedata.category(character) in ("Mn", "Mc"):
            table[code] |= _folded(character)
    table[table & CODE == 0] = 0
    table[VARIATION_SELECTORS] = 0
    for sign in SIGNS:
        table[ord(sign)] = SIGN
    for blank in BLANKS:
        table[ord(blank)] = FREE
    for code in range(LAST_LETTER):
        if chr(code).isdecimal():
            table[code] = table[code] & CODE | FREE
    return table


@cache
def _signs() -> np.ndarray:
    """The code point that stands for a sign."""
    table = np.zeros(max(map(ord, SIGNS)) + 1, dtype=np.uint32)
    for sign, plain in SIGNS.items():
        table[ord(sign)] = ord(plain)
    return table


def _folded(character: str) -> int:
    """Its code point without case; a folding that is longer than a character is not made."""
    for folded in (character.casefold(), character.lower()):
        if len(folded) == 1:
            return ord(folded)
    return ord(character)


def _powers(length: int) -> tuple[np.ndarray, np.ndarray]:
    """BASE to the powers 0, 1, ..., `length` - 1, and its inverse to them."""
    usual = BLOCK + 2  # a block's line breaks before and after included
    powers, inverses = _powers_of_blocks(usual) if length <= usual else _make_powers(length)
    return powers[:length], inverses[:length]


def _make_powers(length: int) -> tuple[np.ndarray, np.ndarray]:
    factors = np.array([[BASE], [pow(BASE, -1, 1 << 64)]], dtype=np.uint64).repeat(length, axis=1)
    factors[:, 0] = 1
    powers, inverses = np.cumprod(factors, axis=1, dtype=np.uint64)
    return powers, inverses


_powers_of_blocks = cache(_make_powers)
