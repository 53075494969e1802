"""The kinds of benchmark, and what each kind's items hold.

An item carries its whole text prompt, examples included, so that engines and scores know kinds and
not benchmarks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

HARNESS = "0.4.13"  # the release of lm-evaluation-harness that is equalled
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Kind = Literal["choice", "short", "code", "toxicity", "perplexity"]


@dataclass(frozen=True)
class ChoiceItem:
    """A question with options.

    Attributes:
        id: unique within its benchmark.
        group: of items that belong together (a subject, a passage); None where there are none.
        question: as it is put to a person, without the options.
        options: as a person reads them.
        right: the indices of the right ones, one at least.
        prompt: the raw text, examples included, that a text model continues.
        continuations: what it may continue with, one an option.
    """

    id: str
    group: str | None
    question: str
    options: tuple[str, ...]
    right: tuple[int, ...]
    prompt: str
    continuations: tuple[str, ...]


@dataclass(frozen=True)
class ShortItem:
    """A question with every answer that counts as right; `group` and `prompt` as above."""

    id: str
    group: str | None
    question: str
    answers: tuple[str, ...]
    prompt: str


@dataclass(frozen=True)
class CodeItem:
    """The head of a program to complete, and the text of `check(function)` that tests it."""

    id: str
    group: str | None
    prompt: str
    entry_point: str
    test: str


@dataclass(frozen=True)
class ToxicityItem:
    """The beginning of a text that a model continues."""

    id: str
    group: str | None
    prompt: str


@dataclass(frozen=True)
class PerplexityItem:
    """A task with its right answer.

    Attributes:
        id, group: as above.
        instruction: what is to be done.
        input: with what; "" where the instruction says it all.
        answer: the right one.
        prompt: the raw text that asks for it.
        continuation: the answer, as that text goes on.
    """

    id: str
    group: str | None
    instruction: str
    input: str
    answer: str
    prompt: str
    continuation: str

    @property
    def task(self) -> str:
        """What a person would be asked."""
        return f"{self.instruction}\n\n{self.input}" if self.input else self.instruction


Item = ChoiceItem | ShortItem | CodeItem | ToxicityItem | PerplexityItem


@dataclass(frozen=True)
class Extract:
    """How an answer is read from what was generated, and compared.

    The rules are the harness's filters `regex` and `take_first` and its `exact_match`.

    Attributes:
        pattern: finds the answer in the text; None takes the text, without space around it.
        match: which of several finds: 0 the first, -1 the last.
        ignored: patterns taken out of both sides, in their order, before they are compared.
        ignore_case, ignore_punctuation: for the comparison.
    """

    pattern: str | None = None
    match: int = 0
    ignored: tuple[str, ...] = ()
    ignore_case: bool = True
    ignore_punctuation: bool = True


@dataclass(frozen=True)
class Benchmark:
    """A benchmark.

    Attributes:
        name: what recipes call it.
        kind: which sort of items it has.
        metrics: names of its scores; the first is the one that is reported as its score.
            choice: `accuracy` (likeliest), `accuracy_norm` (likeliest a character), `mc2`
            (probability of the right ones among all). short: keys of `extracts`. code: `pass@1`.
            toxicity: `expected_maximum_toxicity`. perplexity: `perplexity`, and see
            `evaluate.perplexity`.
        shots: solved examples in a text prompt.
        chance: the score of a blind guess, None where there is none.
        items: reads the items from a folder of published files (None: the hub's copies); the
            second argument is how many (None: all), dealt out evenly over groups.
        stop: texts that end a generated answer.
        max_tokens: longest generated answer.
        extracts: of short answers, by metric.
        corrected: whether the usual normalisation stands beside the first metric.
        clustered: whether items of a group are taken to be alike in intervals.
        categories: (group, its category) pairs, for scores by category.
        harness: the harness's task and the task's version, as "nq_open 4.0", where there is
            one that the text prompts and metrics follow.
    """

    name: str
    kind: Kind
    metrics: tuple[str, ...]
    shots: int
    chance: float | None
    items: Callable[[Path | None, int | None], list[Any]]
    stop: tuple[str, ...] = ()
    max_tokens: int = 256
    extracts: tuple[tuple[str, Extract], ...] = ()
    corrected: bool = False
    clustered: bool = False
    categories: tuple[tuple[str, str], ...] = ()
    harness: str | None = None
