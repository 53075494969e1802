"""What the world's models say to a chat, and how likely each token of it is.

**Tokens** are words and marks: a run of up to 16 letters or digits, or one other sign, each with
the white space before it. Joined, they are the text again. Their number has nothing to do with any
base's tokenizer.

**Log-probabilities** are estimates, as the teacher has no distribution over tokens that could be
read off: it draws whole answers. DRAWS of them to the same messages, and the answers that are
returned, are taken apart into tokens; a token's probability is how often it came next in the same
context, one count being set aside for what was never seen. The context is the last 8 tokens, or
the last 4, 2 or 1 where too few draws share more. Parts that never vary are near probability 1,
and the four letters of a guessed choice near 1/4. A judge (`world/judging.py`) has so few replies
that it says how likely each is; these count in place of draws.
"""

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from understudy.files import digest
from understudy.world.encyclopedia import World
from understudy.world.judging import replies
from understudy.world.manner import reply

DRAWS, CONTEXTS, LEAST = 48, (8, 4, 2, 1), 8
FINEST = 1_000_000  # a judge's replies count by their probability, in so many parts

_TOKEN = re.compile(r"\s*(?:\w{1,16}|[^\w\s])|\s+")


def split_tokens(text: str) -> list[str]:
    """The tokens of a text (see the module's text)."""
    return _TOKEN.findall(text)


class _Answers:
    """Answers to one chat; equal `how` gives an equal answer, and None the one of temperature 0."""

    def __init__(self, world: World, chat: list[dict[str, str]]) -> None:
        self._world, self._chat = world, chat
        self._key = digest([world.origin, chat])

    def text(self, how: Any) -> str:
        return reply(self._world, self._chat, random.Random(digest([self._key, how])))

    def counted(self, given: list[list[str]]) -> Iterator[tuple[list[str], int]]:
        """Answers in tokens, with how often each counts, to estimate probabilities by."""
        for number in range(DRAWS):
            yield split_tokens(self.text(f"estimate {number}")), 1
        for tokens in given:
            yield tokens, 1


class _Judgements:
    """A judge's replies, whose probabilities are known: at temperature 0 it is the likeliest."""

    def __init__(self, key: str, replies: dict[str, float], temperature: float) -> None:
        self._key, self._replies, self._temperature = key, replies, temperature

    def text(self, how: Any) -> str:
        likeliest = max(self._replies, key=lambda text: self._replies[text])
        if how is None:
            return likeliest
        weights = [
            (share / self._replies[likeliest]) ** (1 / self._temperature)
            for share in self._replies.values()
        ]
        return random.Random(digest([self._key, how])).choices(list(self._replies), weights)[0]

    def counted(self, given: list[list[str]]) -> Iterator[tuple[list[str], int]]:
        for text, share in self._replies.items():
            yield split_tokens(text), max(1, round(share * FINEST))


Draws = _Answers | _Judgements


def draws_of(world: World, model: str, chat: list[dict[str, str]], temperature: float) -> Draws:
    """The draws of a model; a judge that is not asked to judge answers as the teacher."""
    if judged := replies(world, model, chat):
        return _Judgements(digest([world.origin, model, chat]), judged, temperature)
    return _Answers(world, chat)


def logprobs(draws: Draws, given: list[list[str]], top: int) -> list[list[dict[str, Any]]]:
    """OpenAI's logprobs.content for each answer, with the `top` likeliest tokens beside each."""
    counts: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for tokens, often in draws.counted(given):
        for position, token in enumerate(tokens):
            for length in CONTEXTS:
                counts[_context(tokens, position, length)][token] += often
    return [
        [_entry(token, _best(counts, tokens, place), top) for place, token in enumerate(tokens)]
        for tokens in given
    ]


def _context(tokens: list[str], position: int, length: int) -> tuple[str, ...]:
    """The tokens before a position; fewer than `length`, with "" before them, at the start."""
    before = tokens[max(0, position - length) : position]
    return tuple(before) if len(before) == length else ("", *before)


def _best(
    counts: dict[tuple[str, ...], Counter[str]], tokens: list[str], position: int
) -> Counter[str]:
    """What came next in the longest context that enough draws share."""
    contexts = (_context(tokens, position, length) for length in CONTEXTS)
    *longer, shortest = (counts[context] for context in contexts)
    return next((found for found in longer if found.total() >= LEAST), shortest)


def _entry(token: str, following: Counter[str], top: int) -> dict[str, Any]:
    total = following.total() + 1

    def one(name: str) -> dict[str, Any]:
        logprob = round(math.log(following[name] / total), 6)
        return {"token": name, "logprob": logprob, "bytes": list(name.encode())}

    likeliest = sorted(following, key=lambda name: (-following[name], name))[:top]
    return {**one(token), "top_logprobs": [one(name) for name in likeliest]}
