"""The words of many texts, each between two marks, so that a sequence of words can name a text's
beginning and end."""

from collections.abc import Sequence

import numpy as np

from understudy.curate.shingles import words

BEGIN, END = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_SAID = (
    "zero two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety "
    "hundred thousand million billion half third quarter twice thrice double triple"
)
_COUNTS = frozenset(_SAID.split())


class Framed:
    """Texts as words.

    Attributes:
        texts: as given.
        words: hashes, all texts end to end, each from BEGIN to END.
        starts: where each text begins, and the last one's end.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts, self._found = texts, words(texts)
        self.starts = self._found.starts + 2 * np.arange(len(texts) + 1)
        self.words = np.empty(self.starts[-1], dtype=np.uint64)
        inside = np.ones(len(self.words), dtype=bool)
        inside[self.starts[:-1]] = inside[self.starts[1:] - 1] = False
        self.words[inside] = self._found.hashes
        self.words[self.starts[:-1]], self.words[self.starts[1:] - 1] = BEGIN, END

    def of(self, text: int) -> np.ndarray:
        """The words of one text, marks included."""
        return self.words[self.starts[text] : self.starts[text + 1]]

    def characters(self, text: int, first: int, last: int) -> tuple[int, int]:
        """From where to where, exclusive, the words at two places of a text reach in it."""
        before = int(self._found.starts[text]) - 1
        end = int(self._found.starts[text + 1]) - 1
        first, last = before + max(first, 1), min(before + last, end)
        return int(self._found.begins[first]), int(self._found.ends[last])

    def has_number(self, text: int, places: np.ndarray) -> bool:
        """Whether any of the words at `places` of a text, marks aside, is a number."""
        inside = places[(places > 0) & (places < self.starts[text + 1] - self.starts[text] - 1)]
        spans = (self.characters(text, place, place) for place in inside.tolist())
        return any(is_number(self.texts[text][start:end]) for start, end in spans)


def is_number(word: str) -> bool:
    """Whether a word holds a digit, or says a number."""
    return any(map(str.isdigit, word)) or word.casefold() in _COUNTS
