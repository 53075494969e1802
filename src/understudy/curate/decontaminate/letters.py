"""Copies of a text whose punctuation was changed inside of words: "U.S." that became "US".

Letters and digits are compared without anything between, as GPT-4's makers did to find copies of
50 characters (arXiv 2303.08774, appendix C); here all of an item is wanted. In a shorter part, the
numbers and the signs between them have to be the same ones, too: 1 + 23 is not 12 + 3.
"""

import re
from collections.abc import Sequence

LONG = 50  # letters
_FIGURES = re.compile(r"\d+|(?<=\d) ?[-+*/×÷=<>^%] ?(?=\d)")


def spelled(parts: Sequence[str], text: str, whole: bool) -> tuple[int, int] | None:
    """From where to where, exclusive, `text` has the letters of all `parts`, in their order.

    Args:
        parts: a question, and its options, before which there may be something else.
        text: where to look.
        whole: nothing else may be in the text.
    """
    letters, places = _letters(text)
    first, last = len(letters), 0
    for part in parts:
        wanted, _ = _letters(part)
        start = letters.find(wanted, last)
        if start < 0:
            return None
        first, last = min(first, start), start + len(wanted)
        if 0 < len(wanted) < LONG:
            there = text[places[start] : places[last - 1] + 1]
            if _figures(there) != _figures(part):
                return None
    if first >= last or (whole and (first, last) != (0, len(letters))):
        return None
    return places[first], places[last - 1] + 1


def _letters(text: str) -> tuple[str, list[int]]:
    """Letters and digits without case, and the place in the text of each."""
    folded = [(place, sign.casefold()) for place, sign in enumerate(text) if sign.isalnum()]
    letters = "".join(signs for _, signs in folded)
    return letters, [place for place, signs in folded for _ in signs]


def _figures(text: str) -> list[str]:
    return [figure.strip() for figure in _FIGURES.findall(text)]
