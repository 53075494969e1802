"""Values that cross between the two processes of a trial."""

import collections
import enum
import io
import json
import math
import re
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.evaluate.sandbox.plain import (
    BYTES,
    Channel,
    Other,
    any_to_plain,
    from_plain,
    to_plain,
)

KEYS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.complex_numbers(allow_nan=False)
    | st.fractions()
    | st.decimals(allow_nan=False)
)
KEYS |= st.tuples(KEYS) | st.frozensets(KEYS, max_size=3)
VALUES = st.recursive(
    KEYS | st.sets(KEYS, max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def crossed(value: Any) -> Any:
    return from_plain(json.loads(json.dumps(any_to_plain(value))))


@given(VALUES)
def test_plain_data_arrives_as_it_was(value: Any) -> None:
    there = crossed(value)
    assert there == value
    assert type(there) is type(value)


class Point(NamedTuple):
    x: int
    y: int


class Colour(enum.IntEnum):
    RED = 1


def count() -> Iterator[int]:
    yield from (1, 2)


@pytest.mark.parametrize(
    ("value", "reduced"),
    [
        (Point(1, 2), (1, 2)),
        (Colour.RED, 1),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (collections.OrderedDict(b=1, a=2), {"a": 2, "b": 1}),
        (collections.defaultdict(list, a=[1]), {"a": [1]}),
        (bytearray(b"\0x"), b"\0x"),
        pytest.param(1 << 99_999, 1 << 99_999, id="a long number"),
        (math.inf, math.inf),
        (range(3, 9, 2), range(3, 9, 2)),
        ({"b": 1, "a": 2}.keys(), {"a", "b"}),
        ({"b": 1, "a": 2}.items(), {("a", 2), ("b", 1)}),
        (Fraction(1, 3), Fraction(1, 3)),
        (Decimal("1.10"), Decimal("1.1")),
    ],
)
def test_what_a_value_is_equal_to_it_stays_equal_to(value: Any, reduced: Any) -> None:
    assert crossed(value) == reduced
    assert type(crossed(value)).__module__ in ("builtins", "fractions", "decimal")


def test_order_is_kept() -> None:
    order = dict.fromkeys(["c", "a", "b"], 1)
    for value in (order, order.keys(), order.items()):
        assert list(crossed(value)) == list(value)
    assert list(crossed({"c": 3, "a": 1}.values())) == [3, 1]
    assert crossed({"c": 3}.values()) != [3]


def test_a_nan_stays_unequal() -> None:
    assert math.isnan(crossed(math.nan))


@pytest.mark.parametrize("value", [count(), map(str, [1]), {1: 2}.values(), collections.deque([1])])
def test_what_can_be_iterated_still_can_and_is_no_list(value: Any) -> None:
    there = crossed(value)
    assert list(there) in ([1, 2], ["1"], [2], [1])
    assert there != list(there)
    assert there


def test_other_values_keep_their_truth_and_nothing_else() -> None:
    assert crossed(re.match("a", "a"))
    assert not crossed(Empty())
    assert crossed(object()) != object()
    with pytest.raises(TypeError, match="not iterable"):
        iter(crossed(object()))


class Empty:
    def __bool__(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


def test_a_value_that_is_equal_to_everything_is_not_any_more() -> None:
    assert Empty() == 1
    assert crossed(Empty()) != 1


@pytest.mark.parametrize("value", [print, object(), [object()], {"a": print}, iter([])])
def test_arguments_are_plain_data_or_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="is no plain data"):
        to_plain(value)


def test_depth_is_bounded() -> None:
    nested: list[Any] = []
    for _ in range(10_000):
        nested = [nested]
    with pytest.raises(ValueError, match="nested too deeply"):
        to_plain(nested)


@pytest.mark.parametrize(
    "sent",
    [{}, {"set": [], "dict": []}, {"eval": ["1"]}, {"__class__": []}, {"set": 1}, {"set": [[]]}],
)
def test_what_was_not_made_by_to_plain_is_refused(sent: Any) -> None:
    with pytest.raises((TypeError, ValueError, KeyError)):
        from_plain(sent)


def channel(sent: bytes = b"") -> Channel:
    return Channel(io.BytesIO(sent), io.BytesIO())


def test_messages_cross_a_channel() -> None:
    there = channel()
    there.send([1, "ä\ud800"])
    there.send(None)
    assert isinstance(there.writes, io.BytesIO)
    here = channel(there.writes.getvalue())
    assert here.receive() == [1, "ä\ud800"]
    assert here.receive() is None
    with pytest.raises(EOFError):
        here.receive()


def test_messages_are_bounded() -> None:
    there = channel()
    with pytest.raises(ValueError, match="too large"):
        there.send("x" * BYTES)
    assert there.writes.tell() == 0
    with pytest.raises(ValueError, match="too large"):
        channel(b"\xff" * 8).receive()
    with pytest.raises(EOFError):
        channel((9).to_bytes(4, "big") + b"1").receive()


def test_other_is_never_built_by_accident() -> None:
    assert isinstance(crossed(object()), Other)
    assert not isinstance(crossed([{"other": [True, None]}]), Other)
