"""Pairs of an input and its output: the user's examples, and those that a teacher writes."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understudy.collect.leaks import normal
from understudy.errors import UserError
from understudy.files import read_jsonl, whole_characters
from understudy.prompts import csv_rows, is_csv

INPUTS, OUTPUTS = ("input", "question", "prompt"), ("output", "answer", "response")
LONGEST = 20_000  # characters of an input or output that a teacher writes
SHOWN_OF_BROKEN = 2_000  # characters of a broken line that are kept to look at

WORDING = """\
Here are {shown} examples of one task. Each is a JSON object with an input and the output that \
belongs to it.

{examples}

Write {count} new examples of this task. They should be like those above in kind, form, length and \
difficulty, and differ from them and from one another in what they are about. Every output has to \
be right for its input. Answer with the new examples alone: on each line one JSON object with the \
two texts "input" and "output", and nothing else."""


@dataclass(frozen=True)
class Pair:
    """An input and the output that belongs to it; neither is blank."""

    input: str
    output: str


@dataclass(frozen=True)
class Broken:
    """A line of a teacher's answer that is no pair, and why."""

    reason: str
    text: str


def wording(shown: list[Pair], count: int) -> str:
    """The request for `count` pairs like those shown."""
    rows = ({"input": pair.input, "output": pair.output} for pair in shown)
    examples = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    return WORDING.format(shown=len(shown), examples=examples, count=count)


def parse(text: str, cut: bool, most: int) -> Iterator[Pair | Broken]:
    """The pairs that an answer holds, one a line, and the lines that are none.

    A code fence around the whole is passed over.

    Args:
        text: the answer.
        cut: whether it was cut for its length; then its last line may be a pair's beginning.
        most: lines that are read; what follows them falls as one.
    """
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if lines and lines[0].startswith("```"):
        lines = lines[1:-1] if lines[-1] == "```" else lines[1:]
    for number, line in enumerate(lines[:most], start=1):
        found = _pair(line)
        if cut and number == len(lines) and isinstance(found, Broken):
            found = Broken("cut", found.text)
        yield found
    if lines[most:]:
        yield Broken("too_many", "\n".join(lines[most:])[:SHOWN_OF_BROKEN])


def _pair(line: str) -> Pair | Broken:
    shown = line[:SHOWN_OF_BROKEN]
    try:
        value = whole_characters(json.loads(line))
    except (ValueError, RecursionError):
        return Broken("not_json", shown)
    if not isinstance(value, dict) or value.keys() != {"input", "output"}:
        return Broken("not_a_pair", shown)
    texts = [text.strip() if isinstance(text, str) else "" for text in value.values()]
    if not all(texts):
        return Broken("not_texts", shown)
    if max(map(len, texts)) > LONGEST:
        return Broken("too_long", shown)
    return Pair(value["input"].strip(), value["output"].strip())


def read_examples(path: Path) -> list[Pair]:
    """The user's example pairs, at least two, from JSONL or from CSV with a header.

    The input is a text under `input`, `question` or `prompt`; the output one under `output`,
    `answer` or `response`, or the first of a list of texts, as in NQ-open.

    Raises:
        UserError: the file is missing or unreadable, a row holds no pair, two rows ask the same, or
            there are fewer than two; names file and row.
    """
    pairs: list[Pair] = []
    lines: dict[str, int] = {}
    unit = "row" if is_csv(path) else "line"
    for number, row in csv_rows(path) if is_csv(path) else read_jsonl(path):
        place = f"{path}, {unit} {number}"
        pair = Pair(_text(place, row, INPUTS), _text(place, row, OUTPUTS))
        earlier = lines.setdefault(normal(pair.input), number)
        if earlier != number:
            raise UserError(f"{place}: asks the same as {unit} {earlier}; remove one of them")
        pairs.append(pair)
    if len(pairs) < 2:
        raise UserError(f"{path}: holds {len(pairs)} example pairs; write at least 2")
    return pairs


def _text(place: str, row: Any, names: tuple[str, ...]) -> str:
    """The text under the first of `names` that the row has."""
    listed = ", ".join(names[:-1]) + f" or {names[-1]}"
    name = next((name for name in names if isinstance(row, dict) and name in row), None)
    if name is None:
        raise UserError(f"{place}: nothing under {listed}; add it")
    value = row[name]
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{place}: no text under {name}; write one there")
    return value.strip()
