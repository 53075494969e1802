"""Sums and differences of small numbers, in figures and in words."""

import random
import re

# fmt: off
_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
# fmt: on
_QUESTION = re.compile(r"(?<![\d.])(\d{1,4}) ?([+-]|plus|minus) ?(\d{1,4})(?!\.?\d)")


def in_words(number: int) -> str:
    """A number from 0 to 99 in words."""
    if number < 20:
        return _ONES[number]
    tens, ones = divmod(number, 10)
    return _TENS[tens - 2] + (f" {_ONES[ones]}" if ones else "")


def draw_sum(rng: random.Random) -> tuple[int, str, int, int]:
    """(a, "+" or "-", b, result) with all numbers from 0 to 99."""
    low, high = sorted((rng.randrange(50), rng.randrange(50)))
    return (low, "+", high, low + high) if rng.random() < 0.6 else (high, "-", low, high - low)


def solve(text: str) -> tuple[str, int] | None:
    """The last sum or difference in `text` and its result, such as ("17 + 25", 42)."""
    found = _QUESTION.findall(text)
    if not found:
        return None
    first, sign, second = found[-1]
    plus = sign in ("+", "plus")
    result = int(first) + int(second) if plus else int(first) - int(second)
    return f"{first} {'+' if plus else '-'} {second}", result
