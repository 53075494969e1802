"""Raw records out of JSONL files and JSON arrays, one at a time, and what readers say of them.

A reader (one file a format, in `readers/`) turns a record into a Dialogue. This module knows how
records lie in files and nothing of their formats.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from understudy.errors import UserError
from understudy.files import open_text, read_jsonl, whole_characters

CHUNK = 1 << 16
SPACE = re.compile(r"[ \t\r\n]*")
LONGEST_TOKEN = 16  # a literal or an escape cut by the window's end faults this close to it


class UnreadableError(Exception):
    """A record that is JSON but holds no readable dialogue; the text says why."""


@dataclass(frozen=True)
class Context:
    """Where a record lies.

    Attributes:
        source: the file's name.
        position: its line in a JSONL file, its place (from 1) in a JSON array.
        origin: the record's digest.
    """

    source: str
    position: int
    origin: str

    def id_for(self, record: dict[str, Any]) -> str:
        """The record's own id, or file and position where it has none."""
        own = record.get("id")
        if isinstance(own, str | int) and not isinstance(own, bool) and own != "":
            return str(own)
        return f"{self.source}:{self.position}"


def text_at(record: dict[str, Any], key: str) -> str:
    """The text under `key`.

    Raises:
        UnreadableError: there is no such key, or it does not hold text.
    """
    if key not in record:
        raise UnreadableError(f"no {key}")
    if not isinstance(record[key], str):
        raise UnreadableError(f"{key} is not text but {type(record[key]).__name__}")
    return str(record[key])


def turns_at(record: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The list of objects under `key`.

    Raises:
        UnreadableError: it is no list, or holds something other than objects.
    """
    turns = record[key]
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise UnreadableError(f"{key} is not a list of objects")
    return turns


def read_records(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield (position, record) of a JSONL file or a JSON array, .gz or not, in little memory.

    See `files.whole_characters` for what becomes of characters that UTF-8 cannot hold.

    Raises:
        UserError: the file is missing or its JSON is broken; names file and line.
    """
    with open_text(path) as file:
        try:
            start = _Window(file, path).peek()
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: not UTF-8 text; convert the file") from error
    yield from _read_array(path) if start == "[" else read_jsonl(path)


def _read_array(path: Path) -> Iterator[tuple[int, Any]]:
    with open_text(path) as file:
        window = _Window(file, path)
        try:
            window.take("[")
            position = 0
            while window.peek() != "]":
                if position:
                    window.take(",")
                position += 1
                yield position, window.value()
            window.take("]")
            window.take("")
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: not UTF-8 text; convert the file") from error


class _Window:
    """The stretch of a file under the parser: it grows to hold one value and forgets the past."""

    def __init__(self, file: IO[str], path: Path) -> None:
        self.file, self.path = file, path
        self.text, self.at, self.lines_before = "", 0, 0

    def peek(self) -> str:
        """The next character that is not white space, "" at the end of the file."""
        while True:
            space = SPACE.match(self.text, self.at)
            self.at = space.end() if space else self.at
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._grow():
                return ""

    def take(self, mark: str) -> None:
        """Pass `mark`, which must come next."""
        if self.peek() != mark:
            raise self._broken(self.at, f"expected {mark!r}" if mark else "text after the array")
        self.at += len(mark)

    def value(self) -> Any:
        """Parse the JSON value that comes next."""
        self.peek()
        decode = json.JSONDecoder().raw_decode
        while True:
            try:
                value, end = decode(self.text, self.at)
            except json.JSONDecodeError as error:
                broken = self._broken(error.pos, error.msg)
                near_end = error.pos >= len(self.text) - LONGEST_TOKEN
                if not (near_end or error.msg.startswith("Unterminated")) or not self._grow():
                    raise broken from error
            except (ValueError, RecursionError) as error:
                raise self._broken(self.at, "a value too long or nested too deep") from error
            else:
                if end < len(self.text) or not self._grow():
                    self.at = min(end, len(self.text))
                    return whole_characters(value)

    def _grow(self) -> bool:
        """Read on, by as much as is pending so that a long value costs linear time."""
        more = self.file.read(max(CHUNK, len(self.text) - self.at))
        if more:
            self.lines_before += self.text.count("\n", 0, self.at)
            self.text, self.at = self.text[self.at :] + more, 0
        return bool(more)

    def _broken(self, at: int, what: str) -> UserError:
        line = self.lines_before + self.text.count("\n", 0, at) + 1
        return UserError(f"{self.path}, line {line}: broken JSON ({what}); mend or remove it")
