"""Values as plain data between the two processes of a trial.

JSON, in which `{"name": [parts]}` stands for what JSON lacks. What arrives is a builtin value that
was built here, whatever was sent: `==` and `bool` of it are the interpreter's own. Only equality,
order, truth and what iteration gives survive; identity and later changes do not.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

DEPTH = 100
BYTES = 16 << 20  # longest message

# name: type (with its subclasses), what it is taken apart into, how it is built again.
BUILT: dict[str, tuple[type, Callable[[Any], Iterable[Any]], Callable[..., Any]]] = {
    "int": (int, lambda n: [hex(n)], lambda parts: int(parts[0], 16)),  # a long one
    "complex": (complex, lambda z: [z.real, z.imag], lambda parts: complex(*parts)),
    "bytes": (bytes, lambda b: [b.hex()], lambda parts: bytes.fromhex(*parts)),
    "bytearray": (bytearray, lambda b: [b.hex()], lambda parts: bytearray.fromhex(*parts)),
    "tuple": (tuple, iter, tuple),
    "set": (set, iter, set),
    "frozenset": (frozenset, iter, frozenset),
    "dict": (dict, dict.items, dict),
    "keys": (type({}.keys()), iter, lambda parts: dict.fromkeys(parts).keys()),
    "values": (type({}.values()), iter, lambda parts: dict(enumerate(parts)).values()),
    "items": (type({}.items()), iter, lambda parts: dict(parts).items()),
    "range": (range, lambda r: [r.start, r.stop, r.step], lambda parts: range(*parts)),
}
# Of modules that most programs do not import; neither do we, then.
NUMBERS = {"Fraction": "fractions", "Decimal": "decimal"}


class Other:
    """What was no plain data: true or false as it was, iterable as it was, equal to nothing."""

    def __init__(self, truth: bool, items: list[Any] | None) -> None:
        self._truth, self._items = truth, items

    def __bool__(self) -> bool:
        return self._truth

    def __iter__(self) -> Iterator[Any]:
        if self._items is None:
            raise TypeError("the object is not iterable")
        return iter(self._items)


def to_plain(value: Any, depth: int = DEPTH) -> Any:
    """A value as what JSON can say.

    Raises:
        TypeError: it is, or holds, something that is no plain data.
        ValueError: it is nested too deeply.
    """
    if value is None or isinstance(value, (bool, float, str)):
        return value
    if isinstance(value, int) and value.bit_length() < 64:
        return value
    if not depth:
        raise ValueError("nested too deeply")
    if isinstance(value, list):
        return [to_plain(part, depth - 1) for part in value]
    name = type(value).__name__
    if type(value).__module__ == NUMBERS.get(name):
        return {name: [str(value)]}
    for name, (kind, take_apart, _) in BUILT.items():
        if isinstance(value, kind):
            return {name: [to_plain(part, depth - 1) for part in take_apart(value)]}
    raise TypeError(f"{type(value).__name__} is no plain data")


def from_plain(plain: Any) -> Any:
    """The value that `to_plain` or `any_to_plain` was given, built anew.

    Raises:
        Exception: of any kind, where `plain` did not come from there.
    """
    if isinstance(plain, list):
        return [from_plain(part) for part in plain]
    if not isinstance(plain, dict):
        return plain
    [(name, parts)] = plain.items()
    values = [from_plain(part) for part in parts]
    if name == "other":
        return Other(bool(values[0]), values[1])
    if name in NUMBERS:
        return getattr(__import__(NUMBERS[name]), name)(*values)
    return BUILT[name][2](values)


def any_to_plain(value: Any) -> Any:
    """As `to_plain`, but what is no plain data becomes an `Other`."""
    try:
        return to_plain(value)
    except TypeError:
        try:
            items = to_plain(list(value))
        except TypeError:
            items = None
        return {"other": [bool(value), items]}


class Channel:
    """Messages over two pipes: a length in four bytes, then JSON."""

    def __init__(self, reads: IO[bytes], writes: IO[bytes]) -> None:
        self.reads, self.writes = reads, writes

    def send(self, message: Any) -> None:
        """Send what JSON can say.

        Raises:
            ValueError: it is too long; nothing was sent.
            OSError: the other side is gone.
        """
        text = json.dumps(message).encode()
        if len(text) > BYTES:
            raise ValueError("too large")
        self.writes.write(len(text).to_bytes(4, "big") + text)
        self.writes.flush()

    def receive(self) -> Any:
        """The next message.

        Raises:
            EOFError: the other side is gone.
            ValueError: it is too long, or no JSON.
        """
        length = int.from_bytes(self._exactly(4), "big")
        if length > BYTES:
            raise ValueError("too large")
        return json.loads(self._exactly(length))

    def _exactly(self, count: int) -> bytes:
        data = self.reads.read(count)
        if len(data) < count:
            raise EOFError("the other side is gone")
        return data
