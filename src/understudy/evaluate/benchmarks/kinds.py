"""The three kinds of benchmark, and what each kind's items hold.

An item carries its whole text prompt, shots included, so that a benchmark is the reading of its
files and nothing else: engines and scores know kinds, not benchmarks.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from understudy.errors import UserError
from understudy.files import read_jsonl

HARNESS = "lm-evaluation-harness 0.4.13"
LETTERS = "ABCD"


@dataclass(frozen=True)
class ChoiceItem:
    """A question with four options; `right` is the index of the right one."""

    id: str
    group: str
    question: str
    options: tuple[str, ...]
    right: int
    prompt: str


@dataclass(frozen=True)
class ShortItem:
    """A question with every answer that counts as right."""

    id: str
    question: str
    answers: tuple[str, ...]
    prompt: str


@dataclass(frozen=True)
class CodeItem:
    """The head of a program to complete, and the text of `check(function)` that tests it."""

    id: str
    prompt: str
    entry_point: str
    test: str


Item = ChoiceItem | ShortItem | CodeItem


@dataclass(frozen=True)
class Benchmark:
    """A benchmark.

    Attributes:
        name: what recipes call it.
        kind: which sort of items it has.
        metric: the name of its score.
        shots: solved examples in a text prompt.
        chance: the score of a blind guess, None where there is none.
        items: reads the items from a folder of published files (None: the hub's copies); the
            second argument is how many (None: all), the third a seed for whatever is drawn.
        stop: texts that end a generated answer.
        max_tokens: longest generated answer; None leaves it to the settings.
        harness: whose definition the text prompts and the metric follow.
    """

    name: str
    kind: Literal["choice", "short", "code"]
    metric: str
    shots: int
    chance: float | None
    items: Callable[[Path | None, int | None, int], list[Any]]
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    harness: str = HARNESS


def read_rows(path: Path, fields: Mapping[str, type]) -> list[dict[str, Any]]:
    """The rows of a JSONL file, each an object with `fields` of the given types.

    Raises:
        UserError: names file and line.
    """
    rows = []
    for number, row in read_jsonl(path):
        for name, kind in fields.items():
            if not isinstance(row, dict) or not isinstance(row.get(name), kind) or not row[name]:
                wanted = "text" if kind is str else "list"
                raise UserError(f"{path}, line {number}: no {wanted} under {name}; fetch it again")
        rows.append(row)
    if not rows:
        raise UserError(f"{path}: holds no items; fetch it again")
    return rows
