"""Mixing to token budgets: one order in which dialogues enter, of which every subset is a prefix.

The order does not depend on budgets, so a larger subset contains a smaller one. It is a stratified
systematic sample (Cochran 1977, chapter 8, on tokens instead of units): a stratum's dialogues lie
behind each other in random order along 0..1, each as long as its share of the stratum's tokens,
and enter at a random point of their length. A cut at t then takes the share t of every stratum, but
for a part of one dialogue. A source's weight w shrinks 0..1 to 0..1/w: a cut takes the share w·t
of it, until it is used up.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from understudy.errors import UserError

OCTAVES = 64  # more than an int64 has


def check_sources(weights: Mapping[str, float], sources: Iterable[str]) -> None:
    """Refuse weights that name no source, or leave none.

    Raises:
        UserError: names the weight and the sources that there are.
    """
    known = list(dict.fromkeys(sources))
    for name in weights:
        if name not in known:
            shown = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
            raise UserError(f"mix.weights: there is no source {name!r}; the sources are {shown}")
    if known and all(weights.get(name, 1) == 0 for name in known):
        raise UserError("mix.weights: every source weighs 0; give one of them more")


def strata_of(files: np.ndarray, turns: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Number the strata: a source's dialogues of like turns and like tokens.

    Alike is what has the same octave: 1, 2..3, 4..7, 8..15 and so on.

    Args:
        files: the source's number, shape (n,).
        turns: of each dialogue.
        tokens: of each dialogue.

    Returns:
        int64, shape (n,).
    """
    octaves = [np.frexp(np.maximum(sizes, 1))[1] for sizes in (turns, tokens)]
    return (files.astype(np.int64) * OCTAVES + octaves[0]) * OCTAVES + octaves[1]


def mixing_order(
    tokens: np.ndarray,
    strata: np.ndarray,
    weights: np.ndarray,
    hashes: np.ndarray,
    last: np.ndarray | None = None,
) -> np.ndarray:
    """The order in which dialogues enter a mix.

    It does not depend on the order they are given in, as long as no two hashes are equal.

    Args:
        tokens: of each dialogue, shape (n,).
        strata: numbers, alike for dialogues of one stratum (`strata_of`).
        weights: each dialogue's source's; 0: it never enters.
        hashes: uint64, of seed and content; they decide what is drawn first.
        last: bool, dialogues that enter after all others, mixed among themselves the same way.

    Returns:
        Indices, int64; those of weight 0 are not among them.
    """
    late = np.zeros(len(tokens), dtype=bool) if last is None else last
    enters = np.flatnonzero(weights > 0)
    group = strata * 2 + late
    drawn = enters[np.lexsort((hashes[enters], group[enters]))]
    length = np.maximum(tokens[drawn], 1)  # what has no tokens has a place too
    ends = np.cumsum(length)
    starts = ends - length
    opens = np.flatnonzero(np.diff(group[drawn], prepend=-1))  # groups are numbered from 0
    sizes = np.diff(opens, append=len(drawn))
    before = starts - np.repeat(starts[opens], sizes)
    total = np.repeat(ends[opens + sizes - 1] - starts[opens], sizes)
    # The hash's upper half has decided on the order within the stratum; the lower is still random.
    point = (hashes[drawn] & np.uint64(0xFFFFFFFF)) / 2.0**32
    place = (before + point * length) / total / weights[drawn]
    return drawn[np.lexsort((hashes[drawn], place, late[drawn]))]


def subset_sizes(order: np.ndarray, tokens: np.ndarray, budgets: Sequence[int]) -> list[int]:
    """How many dialogues, in this order, each budget of tokens has room for."""
    held = np.cumsum(tokens[order])
    return [int(size) for size in np.searchsorted(held, budgets, side="right")]
