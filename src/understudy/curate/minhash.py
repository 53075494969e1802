"""MinHash signatures: short rows of numbers that agree as often as sets of shingles are alike.

Of two sets A and B, the smallest element in a random order of everything is the same with
probability J = |A and B| / |A or B| (Broder, "On the resemblance and containment of documents",
1997). The share of P such orders in which two texts agree therefore estimates J, with standard
deviation sqrt(J (1 - J) / P): 0.035 at J = 0.8 and P = 128.

An order is that of a*h + b modulo 2^32, with a odd and h 32 well-mixed bits of a shingle's hash: a
bijection, so that distinct h stay distinct. One-permutation hashing with optimal densification (Li,
Owen and Zhang, "One permutation hashing", 2012; Shrivastava, "Optimal densification for fast and
accurate minwise hashing", 2017) needs one order only, but scatters to bins, where this form runs
through memory in vector instructions. Measured on this form and that, both in numpy: 6.3 against
5.7 µs for a text of 180 shingles, with the same error; 1.9 against 20 µs for one of 20, with a
standard deviation of 0.034 against 0.041.
"""

from functools import cache

import numpy as np

from understudy.curate.shingles import Shingles, mix

PERMUTATIONS = 128
EMPTY = np.uint32(0xFFFFFFFF)  # in every place of the signature of a text without words
BLOCK = 1 << 16  # shingles at once; their 32-bit hashes stay in a core's cache


def signatures(shingles: Shingles, permutations: int = PERMUTATIONS) -> np.ndarray:
    """The signature of each text: uint32, shape (texts, permutations)."""
    starts = shingles.starts
    found = np.full((len(starts) - 1, permutations), EMPTY, dtype=np.uint32)
    full = np.flatnonzero(np.diff(starts))
    ordered = (shingles.hashes >> np.uint64(32)).astype(np.uint32)
    multipliers, summands = _orders(permutations)
    first = 0
    while first < len(full):
        begin = starts[full[first]]
        # As many texts as fit, but one at least; none between them has a shingle.
        last = max(first + 1, int(np.searchsorted(starts[full + 1], begin + BLOCK, side="right")))
        rows = full[first:last]
        hashes = ordered[begin : starts[rows[-1] + 1]]
        smallest = np.empty((permutations, len(rows)), dtype=np.uint32)
        placed = np.empty_like(hashes)
        for row, a, b in zip(smallest, multipliers, summands, strict=True):
            np.multiply(hashes, a, out=placed)
            np.add(placed, b, out=placed)
            np.minimum.reduceat(placed, starts[rows] - begin, out=row)
        found[rows] = smallest.T
        first = last
    return found


@cache
def _orders(permutations: int) -> tuple[np.ndarray, np.ndarray]:
    """The a and b of each order; those of fewer permutations begin those of more."""
    drawn = mix(np.arange(1, permutations + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    high, low = (drawn >> np.uint64(32)).astype(np.uint32), drawn.astype(np.uint32)
    return high | np.uint32(1), low
