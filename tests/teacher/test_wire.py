"""What comes over the wire is read with suspicion; more of it in test_client.py."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.teacher.wire import SHOWN, Endpoint, seconds, shown

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("-4", 0.0),
        ("Tue, 01 Jan 2030 00:00:30 GMT", 30.0),
        ("Mon, 31 Dec 2029 00:00:00 GMT", 0.0),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_in_both_forms(header: str | None, expected: float | None) -> None:
    assert seconds(header, NOW) == expected


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d+ Jan \d+ \d+:\d+:\d+ \S+", fullmatch=True))
def test_no_retry_after_makes_it_crash(header: str) -> None:
    found = seconds(header, NOW)
    assert found is None or found >= 0


@given(st.binary(max_size=400) | st.text(max_size=400).map(str.encode))
def test_what_is_shown_of_any_body_is_one_short_printable_line(body: bytes) -> None:
    line = shown(Endpoint("http://host/v1"), body)
    assert len(line) <= SHOWN + 1
    assert line.isprintable()
