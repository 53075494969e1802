"""JSON that is larger than memory, taken apart into the texts of its values."""

import codecs
import json
import re
from collections.abc import Collection, Iterator

from understudy.curate.row import DECODER, LONGEST, SHOWN, BrokenError

SPACE = re.compile(r"[ \t\r\n]*")
LONGEST_TOKEN = 16  # a literal or an escape cut by the window's end faults this close to it


class Window:
    """The stretch of a file under the parser: it grows to hold one value and forgets the past.

    Bytes that are no UTF-8 become surrogate escapes, so that they spoil their own record only.

    Args:
        pieces: the file's bytes; BrokenError where they cannot be had is passed on.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces = pieces
        self.decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self.text, self.at, self.lines_before = "", 0, 0

    # Each of these yields texts of one JSON value each and raises BrokenError, which names the
    # line, where the file is not as it should be.

    def array(self) -> Iterator[str]:
        """The elements of an array that is all of the file."""
        yield from self._elements()
        self.take("")

    def values(self) -> Iterator[str]:
        """Values one after another, with nothing but white space between them."""
        while self.peek():
            yield self.value()

    def list_under(self, key: str) -> Iterator[str]:
        """The elements of the list under `key` of an object that is all of the file."""
        self.take("{")
        while self._key() != key:
            self.value()
            self.take(",")
        yield from self._elements()
        while self.peek() == ",":
            self.take(",")
            self._key()
            self.value()
        self.take("}")
        self.take("")

    def key_of_list(self, keys: Collection[str], part: Collection[str]) -> str | None:
        """The first of `keys` whose list starts with an object that has no key of `part`."""
        try:
            self.take("{")
            while (key := self._key()) not in keys or self.peek() != "[":
                self.value()
                self.take(",")
            first = DECODER.decode(next(self._elements(), "null"))
        except BrokenError:
            return None
        return key if isinstance(first, dict) and not first.keys() & set(part) else None

    def rest(self) -> str:
        """The beginning of what was not taken."""
        return self.text[self.at : self.at + SHOWN]

    def _elements(self) -> Iterator[str]:
        self.take("[")
        more = self.peek() != "]"
        while more:
            yield self.value()
            more = self.peek() == ","
            if more:
                self.take(",")
        self.take("]")

    def _key(self) -> str:
        if self.peek() != '"':
            raise self._broken(self.at, "expected a key")
        key = self.value()
        self.take(":")
        return str(json.loads(key))

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
        """Pass `mark`, which must come next; "" is the end."""
        if self.peek() != mark:
            raise self._broken(self.at, f"expected {mark!r}" if mark else "more text after the end")
        self.at += len(mark)

    def value(self) -> str:
        """Pass the JSON value that comes next; its text."""
        self.peek()
        while True:
            try:
                _, end = DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                broken = self._broken(error.pos, error.msg)
                near_end = error.pos >= len(self.text) - LONGEST_TOKEN
                if not (near_end or error.msg.startswith("Unterminated")) or not self._grow():
                    raise broken from error
            except (ValueError, RecursionError) as error:
                raise self._broken(self.at, "a number too long, or nested too deep") from error
            else:
                if end < len(self.text) or not self._grow():
                    text = self.text[self.at : end]
                    self.at = end
                    return text

    def _grow(self) -> bool:
        """Read on, by as much as is pending so that a long value costs linear time."""
        pending = len(self.text) - self.at
        if pending > LONGEST:
            raise self._broken(self.at, f"a value of more than {LONGEST >> 20} MiB")
        more: list[str] = []
        size = 0
        while size <= pending and (piece := next(self.pieces, b"")):
            more.append(self.decoder.decode(piece))
            size += len(more[-1])
        if size:
            self.lines_before += self.text.count("\n", 0, self.at)
            self.text, self.at = "".join((self.text[self.at :], *more)), 0
        return bool(size)

    def _broken(self, at: int, what: str) -> BrokenError:
        line = self.lines_before + self.text.count("\n", 0, at) + 1
        return BrokenError(f"line {line}: broken JSON ({what})")
