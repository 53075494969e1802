"""Near-duplicates in a large set: MinHash signatures propose, the texts themselves decide.

**Proposals** (locality-sensitive hashing; Indyk and Motwani, "Approximate nearest neighbors", 1998;
Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", chapter 3). A signature is cut into b
bands of r numbers; two texts of Jaccard likeness J have a whole band in common with probability
1 - (1 - J^r)^b. r is the largest with which b = permutations // r bands find 99 % of the pairs at
the threshold, and more of those above it: at 0.8 and 128 permutations r = 6, b = 21, which find
99.8 % at 0.8 and all but one in 10^6 at 0.9. One band is sorted at a time, so that memory is a few
arrays of 8 bytes a text; the signatures may lie in a mapped file.

**Decisions.** Texts that share a band stand in the order of preference. The first of them stays and
the others are compared with it, then the next of those that are left, and so on. A comparison is
the signatures' estimate first, where three standard deviations below the threshold are enough to go
on; then the exact likeness of the sets of shingles, of the texts read back.

What this guarantees:

- a text is dropped only for one that is kept, and that it is near to itself: no chain of small
  differences drops a text. Where the text that another was dropped for falls later for a better
  one, the other is looked at afresh;
- the result depends on signatures, texts and preference only, not on their order or on batches;
- thousands of copies of one template cost one comparison each, not one with each other.

What it does not: a pair at the threshold itself is missed with a probability of about half a per
cent; in a band that many texts share without being near (one long template), each is compared with
the best `LEADERS` of them; a text that was read and found not near `READINGS` times is compared no
more; and where chains are entangled enough to change after `PASSES` looks, some kept texts may be
near to each other. In each case a text is kept that might have been dropped.
"""

import mmap
from collections.abc import Callable

import numpy as np

from understudy.curate.minhash import EMPTY
from understudy.curate.shingles import Shingles, mix, shingles, words
from understudy.progress import progress

RECALL = 0.99  # of pairs at the threshold
DEVIATIONS = 3  # by which an estimate may lie below the threshold
LEADERS = 16  # of a band's texts, with which the others are compared
READINGS = 64  # of a text in vain
PASSES = 8  # over all bands
ROWS = 1 << 14  # signatures or pairs of them in memory at once
PAIRS = 1000  # pairs of texts in memory at once

Texts = Callable[[np.ndarray], list[str]]


def near_duplicates(
    signatures: np.ndarray, rank: np.ndarray, threshold: float, texts: Texts
) -> tuple[np.ndarray, np.ndarray]:
    """Which texts are near to a better one that is kept.

    Args:
        signatures: of `minhash.signatures`, shape (n, permutations); may be a mapped file. Texts
            without words are near to nothing.
        rank: preference, shape (n,), no two alike: of two that are near the lower one stays.
        threshold: Jaccard likeness of the sets of shingles from which two texts are near.
        texts: gives the texts of some indices back.

    Returns:
        copy_of: int64, shape (n,): the index of a kept text that this one is near to, -1 if kept.
        likeness: float32, shape (n,): the exact likeness to that one, 0 if kept.
    """
    order = np.argsort(rank)
    order = order[_with_words(signatures)[order]]
    search = _Search(signatures, order, threshold, texts)
    bands, size = bands_for(threshold, signatures.shape[1])
    fresh = np.ones(len(order), dtype=bool)
    for _ in range(PASSES):
        with progress("near-duplicates (bands)", bands) as task:
            for band in range(bands):
                search.look(slice(band * size, (band + 1) * size), fresh)
                task.advance(1, f"{np.count_nonzero(search.copy_of >= 0):,} found")
        fresh = search.returned()
        if not fresh.any():
            break
    copy_of = np.full(len(signatures), -1, dtype=np.int64)
    likeness = np.zeros(len(signatures), dtype=np.float32)
    dropped = search.copy_of >= 0
    copy_of[order[dropped]] = order[search.copy_of[dropped]]
    likeness[order] = search.likeness
    return copy_of, likeness


def bands_for(threshold: float, permutations: int) -> tuple[int, int]:
    """Bands and numbers in each: the longest bands that find RECALL at the threshold."""
    for size in range(permutations, 1, -1):
        bands = permutations // size
        if 1 - (1 - threshold**size) ** bands >= RECALL:
            return bands, size
    return permutations, 1


class _Search:
    """What is known of pairs so far, and who is dropped by it.

    Texts are named by their place in the order of preference, 0 the best, and pairs by one number,
    place of the worse * count + place of the better, so that sorted pairs are in that order too.
    """

    def __init__(
        self, signatures: np.ndarray, order: np.ndarray, threshold: float, texts: Texts
    ) -> None:
        self.signatures, self.order = signatures, order
        self.threshold, self.texts = threshold, texts
        permutations = signatures.shape[1]
        deviation = (threshold * (1 - threshold) / permutations) ** 0.5
        self.least_agreeing = permutations * (threshold - DEVIATIONS * deviation)
        count = len(order)
        self.near = np.empty(0, dtype=np.int64)  # pairs, sorted
        self.likeness_of_near = np.empty(0)
        self.apart = np.array([np.iinfo(np.int64).max])  # pairs read and not near, sorted; an end
        self.readings = np.zeros(count, dtype=np.int32)  # of such pairs, by the worse
        self.copy_of = np.full(count, -1, dtype=np.int64)
        self.likeness = np.zeros(count, dtype=np.float32)
        self.missed = np.zeros(count, dtype=bool)  # was dropped at some look

    def look(self, band: slice, fresh: np.ndarray) -> None:
        """Compare those who share a band and are not dropped, and decide anew who is.

        Args:
            band: of the signatures.
            fresh: pairs of others than these have been looked at before.
        """
        absent = self.copy_of >= 0
        self.missed |= absent
        members = np.flatnonzero(~absent)
        keys = self._keys(band)[self.order[members]]
        sorting = np.argsort(keys, kind="stable")
        members, keys = members[sorting], keys[sorting]
        known = len(self.near)
        for _ in range(LEADERS):
            # A run of equal keys is the best of those that are left, and others in their order.
            opens = np.ones(len(keys), dtype=bool)
            opens[1:] = keys[1:] != keys[:-1]
            shared = ~opens
            shared[:-1] |= ~opens[1:]
            opens, members, keys = opens[shared], members[shared], keys[shared]
            if not len(members):
                break
            leaders = members[opens][np.cumsum(opens) - 1]
            left = ~opens
            at = np.flatnonzero(left & (fresh[members] | fresh[leaders]))
            left[at[self._compare(members[at], leaders[at])]] = False
            members, keys = members[left], keys[left]
        if len(self.near) > known:
            self._decide()

    def returned(self) -> np.ndarray:
        """Who is not dropped, but was at some look since this was last asked."""
        found = self.missed & (self.copy_of < 0)
        self.missed &= ~found
        return found

    def _decide(self) -> None:
        """Drop, the best first, who is near to one that is not dropped."""
        worse, better = np.divmod(self.near, len(self.order))
        dropped: dict[int, int] = {}  # for which pair
        for at, (one, other) in enumerate(zip(worse.tolist(), better.tolist(), strict=True)):
            if one not in dropped and other not in dropped:
                dropped[one] = at
        pairs = np.fromiter(dropped.values(), dtype=np.int64, count=len(dropped))
        self.copy_of[:], self.likeness[:] = -1, 0
        self.copy_of[worse[pairs]] = better[pairs]
        self.likeness[worse[pairs]] = self.likeness_of_near[pairs]

    def _keys(self, band: slice) -> np.ndarray:
        keys = np.zeros(len(self.signatures), dtype=np.uint64)
        for first in range(0, len(keys), ROWS):
            part = keys[first : first + ROWS]
            for column in self.signatures[first : first + ROWS, band].T:
                part[:] = mix(part + column + np.uint64(1))
            let_go(self.signatures)
        return keys

    def _compare(self, worse: np.ndarray, better: np.ndarray) -> np.ndarray:
        """Note which pairs are near and which are not; says where the near ones are."""
        found = np.flatnonzero(self._agreeing(worse, better) >= self.least_agreeing)
        found = found[self.readings[worse[found]] < READINGS]
        pairs = worse[found] * len(self.order) + better[found]
        sorting = np.argsort(pairs)
        found, pairs = found[sorting], pairs[sorting]
        unread = self.apart[np.searchsorted(self.apart, pairs)] != pairs
        found, pairs = found[unread], pairs[unread]
        if not len(found):
            return found
        likeness = self._likeness(worse[found], better[found])
        near = likeness >= self.threshold
        at = np.searchsorted(self.near, pairs[near])
        self.near = np.insert(self.near, at, pairs[near])
        self.likeness_of_near = np.insert(self.likeness_of_near, at, likeness[near])
        refuted = pairs[~near]
        self.apart = np.insert(self.apart, np.searchsorted(self.apart, refuted), refuted)
        self.readings[worse[found[~near]]] += 1
        return found[near]

    def _agreeing(self, some: np.ndarray, others: np.ndarray) -> np.ndarray:
        """In how many places the signatures of pairs agree."""
        found = np.empty(len(some), dtype=np.int64)
        for first in range(0, len(some), ROWS):
            part = slice(first, first + ROWS)
            one, other = (self.signatures[self.order[side[part]]] for side in (some, others))
            found[part] = np.count_nonzero(one == other, axis=1)
        let_go(self.signatures)
        return found

    def _likeness(self, some: np.ndarray, others: np.ndarray) -> np.ndarray:
        """The likeness of pairs of texts, read back."""
        found = np.empty(len(some))
        for first in range(0, len(some), PAIRS):
            part = slice(first, first + PAIRS)
            needed, places = np.unique([some[part], others[part]], return_inverse=True)
            sets = shingles(words(self.texts(self.order[needed])))
            found[part] = jaccard(sets, *places.reshape(2, -1))
        return found


def let_go(array: np.ndarray) -> None:
    """Hold no more in memory of a mapped file; what is needed again is read again."""
    mapping = getattr(array, "_mmap", None)
    if mapping is not None and hasattr(mapping, "madvise"):
        mapping.madvise(mmap.MADV_DONTNEED)


def jaccard(sets: Shingles, some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Likeness of the sets of shingles of pairs of texts, 0 where both are empty.

    Shingles count as the same if 64 bits less those for the number of a pair are: for sets of 1000
    and a thousand pairs, that is an error with a probability of about 10^-10 a pair.
    """
    kept = np.uint64(64 - len(some).bit_length())
    one, other = (_distinct(sets, texts, kept) for texts in (some, others))
    both = np.sort(np.concatenate([one, other]))
    common = both[1:][both[1:] == both[:-1]]
    counts = [np.bincount(part >> kept, minlength=len(some)) for part in (common, one, other)]
    return counts[0] / np.maximum(counts[1] + counts[2] - counts[0], 1)


def _distinct(sets: Shingles, texts: np.ndarray, kept: np.uint64) -> np.ndarray:
    """Each text's shingles, without repeats, below its place in `texts`; sorted."""
    begins, counts = sets.starts[texts], np.diff(sets.starts)[texts]
    shifts = begins - np.cumsum(counts) + counts
    hashes = sets.hashes[np.arange(counts.sum()) + np.repeat(shifts, counts)]
    numbers = np.repeat(np.arange(len(texts), dtype=np.uint64), counts)
    found = np.sort(numbers << kept | hashes >> (np.uint64(64) - kept))
    first = np.ones(len(found), dtype=bool)
    first[1:] = found[1:] != found[:-1]
    return found[first]


def _with_words(signatures: np.ndarray) -> np.ndarray:
    """Which signatures are of texts with words."""
    found = np.empty(len(signatures), dtype=bool)
    for first in range(0, len(signatures), ROWS):
        found[first : first + ROWS] = (signatures[first : first + ROWS] != EMPTY).any(axis=1)
        let_go(signatures)
    return found
