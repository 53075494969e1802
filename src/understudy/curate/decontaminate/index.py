"""Which sequences of words a text may hold, by the trigrams that they share.

A trigram of the text counts with one foreign word in it, too: a word inserted into every sixth
place leaves nearly all trigrams of a sequence to be found.
"""

from dataclasses import dataclass

import numpy as np

SPREAD = 40  # trigrams that are kept of a long sequence, evenly over its length, or a few more
RARE = 20  # sequences that share a trigram which still nominates them
FEWEST = 3  # trigrams that a sequence keeps, its rarest, even if they are not rare
CROWD = 1000  # sequences that share a trigram which nominates nobody
REPEATS = 4  # times that a trigram counts in one text
ENOUGH = 0.3  # share of a sequence's trigrams that a text must have
_ODD = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB], dtype=np.uint64)
_BITS = np.uint64(40)  # the filter has a bit for every value of a hash's upper 24 bits


@dataclass(frozen=True)
class Candidates:
    """Pairs of a text and a sequence; `starts[bounds[i]:bounds[i + 1]]` are the i-th pair's signs.

    A sign is where in the words of all texts the sequence would begin, by one of its trigrams.
    """

    texts: np.ndarray
    sequences: np.ndarray
    bounds: np.ndarray
    starts: np.ndarray


class Index:
    """Sequences under their trigrams.

    Args:
        words: hashes, all sequences end to end.
        starts: where each begins, and the last one's end.
    """

    def __init__(self, words: np.ndarray, starts: np.ndarray) -> None:
        self._count = len(starts) - 1
        owners = np.repeat(np.arange(self._count, dtype=np.int32), np.diff(starts))
        places = (np.arange(len(words)) - starts[owners]).astype(np.int32)
        grams = _grams(words, 1, 2)
        inside = owners[2:] == owners[: len(grams)]
        steps = np.maximum(1, np.diff(starts) // SPREAD)
        inside &= places[: len(grams)] % steps[owners[: len(grams)]] == 0
        grams, owners, places = grams[inside], owners[:-2][inside], places[:-2][inside]
        _, which, counts = np.unique(grams, return_inverse=True, return_counts=True)
        crowd = counts[which]
        order = np.lexsort((crowd, owners))
        first = np.searchsorted(owners[order], np.arange(self._count))
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order)) - first[owners[order]]
        kept = (crowd <= RARE) | ((rank < FEWEST) & (crowd <= CROWD))
        grams, owners, places = grams[kept], owners[kept], places[kept]
        order = np.argsort(grams, kind="stable")
        self._keys, first = np.unique(grams[order], return_index=True)
        self._bounds = np.append(first, len(order))
        self._owners, self._places = owners[order], places[order]
        self._needed = np.ceil(ENOUGH * np.bincount(owners, minlength=self._count))
        self._filter = np.zeros(1 << 21, dtype=np.uint8)
        slots = self._keys >> _BITS
        np.bitwise_or.at(self._filter, slots >> 3, _bit(slots))

    def candidates(self, words: np.ndarray, starts: np.ndarray) -> Candidates:
        """What texts, whose words are given end to end, may hold."""
        found = [self._signs(_grams(words, *gaps)) for gaps in ((1, 2), (1, 3), (2, 3))]
        at, key = (np.concatenate(parts) for parts in zip(*found, strict=True))
        text = np.searchsorted(starts, at, "right") - 1
        # Without this, a text of one phrase over and over would take memory beyond all bounds.
        order = np.argsort(text * len(self._keys) + key, kind="stable")
        at, key, text = at[order], key[order], text[order]
        again = np.zeros(len(at), dtype=bool)
        again[REPEATS:] = (key[REPEATS:] == key[:-REPEATS]) & (text[REPEATS:] == text[:-REPEATS])
        at, key, text = at[~again], key[~again], text[~again]
        sizes = self._bounds[key + 1] - self._bounds[key]
        at, text = np.repeat(at, sizes), np.repeat(text, sizes)
        sign = np.arange(len(at)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        sign += np.repeat(self._bounds[key], sizes)
        places = self._places[sign]
        pair = text * self._count + self._owners[sign]
        order = np.lexsort((places, pair))
        pair, places, begin = pair[order], places[order], (at - places)[order]
        new = np.ones(len(pair), dtype=bool)
        new[1:] = pair[1:] != pair[:-1]
        distinct = new.copy()
        distinct[1:] |= places[1:] != places[:-1]
        first = np.flatnonzero(new)
        votes = np.add.reduceat(distinct, first) if len(first) else first
        texts, sequences = np.divmod(pair[first], self._count)
        good = votes >= self._needed[sequences]
        sizes = np.diff(np.append(first, len(pair)))
        bounds = np.concatenate([[0], np.cumsum(sizes[good])])
        return Candidates(texts[good], sequences[good], bounds, begin[np.repeat(good, sizes)])

    def _signs(self, grams: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places of grams that are keys, and which keys."""
        slots = grams >> _BITS
        at = np.flatnonzero(self._filter[slots >> 3] & _bit(slots))
        key = np.searchsorted(self._keys, grams[at])
        key[key == len(self._keys)] = 0
        true = self._keys[key] == grams[at] if len(self._keys) else np.zeros(0, dtype=bool)
        return at[true], key[true]


def _grams(words: np.ndarray, second: int, third: int) -> np.ndarray:
    """Hashes of every word with those `second` and `third` places after it."""
    count = max(0, len(words) - third)
    grams = words[:count] * _ODD[0]
    grams += words[second : second + count] * _ODD[1]
    grams += words[third : third + count] * _ODD[2]
    return grams


def _bit(slots: np.ndarray) -> np.ndarray:
    return np.uint8(1) << (slots & np.uint64(7)).astype(np.uint8)
