"""A row: what the main process hands a worker of one record, and how its JSON is parsed."""

import json
import re
from typing import Any, NamedTuple

from understudy.files import whole_characters

LONGEST = 64 << 20  # characters of one record
DEEPEST = 100  # levels; far below what Python's recursion bears
SHOWN = 10_000  # characters kept of what cannot be read
DECODER = json.JSONDecoder(parse_constant=lambda name: None)  # NaN and the like become null
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class BrokenError(Exception):
    """Something is not what its container promises; the text says what and where."""


class Row(NamedTuple):
    """One record as its container holds it, cheap to hand to another process.

    Attributes:
        position: its line in JSONL and CSV, its place (from 1) in an array or a table.
        member: the file in a zip, or the split of a data set, that it lies in; else "".
        text: one value of JSON, not yet parsed; bytes that are no UTF-8 are surrogate escapes.
        value: the cells by column, where the container is a table.
        fault: why there is neither; `text` then shows the beginning of what lies there.
        asked: the text that it answers, in formats where that is another record.
    """

    position: int
    member: str = ""
    text: str | None = None
    value: Any = None
    fault: str | None = None
    asked: str | None = None


def content(row: Row) -> Any:
    """The record of a row.

    Raises:
        BrokenError: there is none; says why.
    """
    if row.fault:
        raise BrokenError(row.fault)
    return row.value if row.text is None else parsed(row.text)


def fields(row: Row) -> dict[str, Any]:
    """The record of a row where it is an object, else {}."""
    try:
        found = content(row)
    except BrokenError:
        return {}
    return found if isinstance(found, dict) else {}


def parsed(text: str) -> Any:
    """The value of one JSON text, in which every text can be written as UTF-8.

    Raises:
        BrokenError: it is not UTF-8 or not JSON, or is nested too deep or holds a number too long.
    """
    if not is_utf8(text):
        raise BrokenError("not UTF-8 text")
    try:
        value = DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise BrokenError(f"broken JSON ({error.msg} at character {error.pos + 1})") from error
    except (ValueError, RecursionError) as error:
        raise BrokenError("a number too long, or nested too deep") from error
    if text.count("[") + text.count("{") > DEEPEST and _is_deep(value):
        raise BrokenError(f"nested more than {DEEPEST} levels deep")
    return whole_characters(value) if _SURROGATE.search(text) else value


def is_utf8(text: str) -> bool:
    """Whether a text that was decoded with surrogate escapes needed none."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(text: str | bytes | None) -> str | None:
    """The beginning of a text that cannot be read, made such that it can be written."""
    if text is None:
        return None
    start = text[:SHOWN]
    packed = start if isinstance(start, bytes) else start.encode(errors="surrogateescape")
    return packed.decode(errors="replace")


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True
