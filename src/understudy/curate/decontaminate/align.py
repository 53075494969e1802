"""Where a text repeats a sequence of words, in order and close together, and what that proves."""

from dataclasses import dataclass

import numpy as np

# Scores of a local alignment (Smith & Waterman 1981): a repeated word outweighs three foreign ones
# between, so one word inserted into every few is bridged and words met by chance are not.
MATCH, LEFT_OUT, INSERTED = 10, 5, 3

NEAR = 0.8  # share of an item's words, as Llama 2's "dirty" (arXiv 2307.09288, appendix A.6)
GRAM, GRAMS = 8, 0.7  # PaLM: 70 % of the 8-grams (arXiv 2204.02311, section 8)
RUN, RUN_SHARE = 13, 0.5  # GPT-3: 13 words in a row (arXiv 2005.14165, appendix C), half at least
TYPO = 25  # words of an item for each telling one that may differ where its n-grams are there
BORDER = 3  # words at an item's end: so few are an exchanged name, more are a cut
_NOWHERE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Needle:
    """A sequence of words to look for.

    Attributes:
        words: their hashes.
        telling: which of them an equal question cannot do without.
        numbers: which of them are numbers.
        head: how many belong to the question; options follow.
        room: how many foreign words may stand between them, at most.
    """

    words: np.ndarray
    telling: np.ndarray
    numbers: np.ndarray
    head: int
    room: int


@dataclass(frozen=True)
class Match:
    """What an alignment proves: see `Hit`. `first` and `last` are places of words in the text."""

    rule: str
    share: float
    first: int
    last: int
    foreign: np.ndarray  # places in the text where a number makes another question of it


def window(needle: Needle, text: np.ndarray, starts: np.ndarray) -> tuple[int, int] | None:
    """From where to where, exclusive, a text's words may repeat the needle; None if not at all.

    Args:
        needle: what is looked for.
        text: hashes of a text's words.
        starts: where in the text the needle would have to begin for what is there of it, one for
            every sign of it.
    """
    count = len(needle.words)
    slack = count // 2 + 4
    values = np.sort(starts)
    ends = np.searchsorted(values, values + slack, "right")
    best = int((ends - np.arange(len(values))).argmax())
    low = max(0, int(values[best]) - slack)
    high = min(len(text), int(values[ends[best] - 1]) + count + slack)
    there = np.isin(needle.words, text[low:high]).mean()
    return (low, high) if there >= RUN_SHARE else None


def match(needle: Needle, text: np.ndarray, low: int, high: int) -> Match | None:
    """Whether the words of `text` from `low` to `high` repeat the needle."""
    count = len(needle.words)
    for start in low + np.flatnonzero(text[low : high - count + 1] == needle.words[0]):
        if np.array_equal(text[start : start + count], needle.words):
            return Match("verbatim", 1.0, int(start), int(start) + count - 1, _NOWHERE)
    ours, theirs = align(needle.words, text[low:high])
    rule = _rule(needle, ours, theirs)
    if rule is None:
        return None
    theirs += low
    foreign = _foreign(needle, ours, theirs)
    return Match(rule, len(ours) / count, int(theirs[0]), int(theirs[-1]), foreign)


def align(ours: np.ndarray, theirs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The places of the words of `ours` and of `theirs` that the best local alignment pairs."""
    equal = ours[:, None] == theirs
    score = np.zeros((len(ours) + 1, len(theirs) + 1), dtype=np.int32)
    ramp = INSERTED * np.arange(len(theirs) + 1, dtype=np.int32)
    for row, same in enumerate(equal):
        best = np.maximum(score[row] - LEFT_OUT, 0)
        best[1:] = np.where(same, np.maximum(best[1:], score[row, :-1] + MATCH), best[1:])
        # The best over all numbers of words inserted before here, in one pass.
        score[row + 1] = np.maximum.accumulate(best + ramp) - ramp
    i, j = (int(place) for place in np.unravel_index(score.argmax(), score.shape))
    pairs = []
    while i and j and score[i, j] > 0:
        if equal[i - 1, j - 1] and score[i, j] == score[i - 1, j - 1] + MATCH:
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif score[i, j] == score[i - 1, j] - LEFT_OUT:
            i -= 1
        else:
            j -= 1
    found = np.array(pairs[::-1], dtype=np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _foreign(needle: Needle, ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Places in the text where a number makes another question of it.

    They lie between words of the question; and before or after them, in the stead of what is
    missing at an end of the needle, where that is a few words or has a number itself.
    """
    asked = theirs[ours < needle.head]
    first, last = int(theirs[0]), int(asked[-1]) if len(asked) else int(theirs[0])
    before, after = int(ours[0]), len(needle.words) - 1 - int(ours[-1])
    if before <= BORDER or needle.numbers[:before].any():
        first = max(0, first - before)
    if 0 < after <= BORDER or needle.numbers[ours[-1] + 1 :].any():
        last = int(theirs[-1]) + after
    return np.setdiff1d(np.arange(first, last + 1), theirs)


def _rule(needle: Needle, ours: np.ndarray, theirs: np.ndarray) -> str | None:
    """By which rule the paired words prove that the needle is there."""
    count = len(needle.words)
    share = len(ours) / count
    missing = np.ones(count, dtype=bool)
    missing[ours] = False
    inserted = int(theirs[-1] - theirs[0]) + 1 - len(ours)
    lost = missing & needle.telling
    if share >= NEAR and not lost.any() and inserted <= needle.room:
        return "near"
    if ours[-1] < needle.head < count:
        return None  # without an option, the question alone has to prove it
    if ours[0] > BORDER:
        lost[: ours[0]] = False
    if count - 1 - ours[-1] > BORDER:
        lost[ours[-1] + 1 :] = False
    if (lost & needle.numbers).any() or lost.sum() > count // TYPO:
        return None
    breaks = np.flatnonzero((np.diff(ours) != 1) | (np.diff(theirs) != 1)) + 1
    runs = np.diff(np.concatenate([[0], breaks, [len(ours)]]))
    grams = np.maximum(runs - GRAM + 1, 0).sum()
    if count >= GRAM and grams >= GRAMS * (count - GRAM + 1):
        return "n-gram"
    return "n-gram" if runs.max() >= RUN and share >= RUN_SHARE else None
