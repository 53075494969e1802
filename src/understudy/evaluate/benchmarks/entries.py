"""What the rows of a benchmark say: fields with their checks, ids, and which of them are kept."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2.exceptions import UndefinedError

from understudy.errors import UserError
from understudy.evaluate.benchmarks.kinds import LETTERS
from understudy.evaluate.benchmarks.sources import Row
from understudy.evaluate.benchmarks.templates import expression, template


@dataclass(frozen=True)
class Entry:
    """A row, and what it says by field, with `id`, `group` and the `row` itself."""

    row: Row
    said: dict[str, Any]

    def render(self, name: str, source: str) -> str:
        """The text that a template makes of it; `name` is the template's, for errors.

        Raises:
            UserError: the template asks for what this row has not.
        """
        try:
            return template(source)(self.said)
        except Exception as error:  # whatever the row's values raise
            raise UserError(
                f"{self.row.place}: {name}: {_line(error)}; mend the row or the declaration"
            ) from None


def read_entry(fields: Mapping[str, str], row: Row) -> Entry:
    """What a row says, by expressions over its columns.

    Raises:
        UserError: a field cannot be had from this row, or is not of its kind.
    """
    columns = {**row.columns, "row": row.columns}
    said: dict[str, Any] = {"group": row.group, "row": row.columns}
    for name, source in fields.items():
        try:
            said[name] = _CHECKS[name](expression(source)(columns), said)
        except Exception as error:  # whatever the row's values raise
            reason = _line(error)
            if isinstance(error, UndefinedError):
                reason += f"; the row has {', '.join(row.columns)}"[:200]
            raise UserError(
                f"{row.place}: {name}: {reason}; mend the row or the declaration"
            ) from None
    return Entry(row, said)


def name_entries(benchmark: str, entries: Sequence[Entry]) -> None:
    """Give an id to those without one: the group's, or else the benchmark's, name and a number.

    Raises:
        UserError: two have one id.
    """
    numbers: Counter[str | None] = Counter()
    places: dict[str, str] = {}
    for entry in entries:
        group = entry.said["group"]
        numbers[group] += 1
        id = entry.said.setdefault("id", f"{group or benchmark}/{numbers[group]}")
        if id in places:
            raise UserError(
                f"{entry.row.place}: its id {_show(id)} is that of {places[id]}; ids must differ"
            )
        places[id] = entry.row.place


def dealt(entries: Sequence[Entry], limit: int | None) -> list[int]:
    """The places of the first items, as many of each group as there can be."""
    numbers: Counter[str] = Counter()
    turns = []
    for place, entry in enumerate(entries):
        group = entry.said["group"] or ""
        turns.append((numbers[group], group, place))
        numbers[group] += 1
    return sorted(place for _, _, place in sorted(turns)[:limit])


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _show(value: Any) -> str:
    return repr(value)[:40]


def _text(value: Any, said: Mapping[str, Any]) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{_show(value)} is no text")
    return value


def _any_text(value: Any, said: Mapping[str, Any]) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{_show(value)} is no text")
    return value


def _texts(value: Any, said: Mapping[str, Any]) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)) or not any(texts):
        raise ValueError(f"{_show(value)} is no list of texts")
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(f"{_show(text)} is no text")
    return tuple(texts)


def _options(value: Any, said: Mapping[str, Any]) -> tuple[str, ...]:
    options = _texts(value, said)
    if len(options) < 2:
        raise ValueError(f"{_show(value)} is no list of two options at least")
    return options


def _right(value: Any, said: Mapping[str, Any]) -> tuple[int, ...]:
    count = len(said["options"])
    places = []
    for mark in value if isinstance(value, (list, tuple)) else [value]:
        place = mark
        if isinstance(mark, str):
            place = int(mark) if mark.isdecimal() else LETTERS.find(mark) if len(mark) == 1 else -1
        if type(place) is not int or not 0 <= place < count:
            raise ValueError(f"{_show(mark)} is none of its {count} options (A, B, … or 0, 1, …)")
        places.append(place)
    if not places:
        raise ValueError("no option is right")
    return tuple(dict.fromkeys(places))


def _label(value: Any, said: Mapping[str, Any]) -> str:
    return _text(str(value) if type(value) is int else value, said)


_CHECKS: dict[str, Callable[[Any, Mapping[str, Any]], Any]] = {
    "question": _text,
    "options": _options,
    "right": _right,
    "answers": _texts,
    "instruction": _text,
    "input": _any_text,
    "answer": _text,
    "prompt": _text,
    "entry_point": _text,
    "test": _text,
    "id": _label,
    "group": _label,
}
