"""Private data is masked and nothing else, on planted texts with figures and case by case."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.clean.planted import planted
from understudy.curate.clean.private import masked


def one(text: str) -> str:
    return masked([text])[0][0]


def test_recall_and_false_masks_on_planted_texts() -> None:
    """A secret counts as found only where exactly it is masked, and as what it is."""
    asked: Counter[str] = Counter()
    found: Counter[str] = Counter()
    false: Counter[str] = Counter()
    texts = planted(4000, seed=2)
    for text in texts:
        after, counts = masked([text.text])
        if text.kind:
            asked[text.kind] += 1
            found[text.kind] += after == [text.text.replace(text.secret, f"[{text.kind}]")]
        else:
            false += counts
    assert set(asked) == {"email", "phone", "card", "iban", "ssn", "ip", "key"}
    assert {kind: found[kind] / asked[kind] >= 0.99 for kind in asked} == dict.fromkeys(asked, True)
    assert false.total() <= 2  # of 2,000 texts made to look like it


def test_one_value_has_one_placeholder_through_the_turns() -> None:
    turns = [
        "I am bo@posteo.net",
        "Shall I write to Bo@posteo.net or al@posteo.net?",
        "bo@posteo.net",
    ]
    texts, counts = masked(turns)
    assert texts == ["I am [email]", "Shall I write to [email] or [email 2]?", "[email]"]
    assert counts == {"email": 4}


def test_one_number_however_it_is_written() -> None:
    texts, _ = masked(["+1 (415) 234-5678", "or +14152345678"])
    assert texts == ["[phone]", "or [phone]"]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("mail bo@posteo.net, or call.", "mail [email], or call."),
        ("(bo@posteo.net)", "([email])"),
        ("Call 415-234-5678.", "Call [phone]."),
        ("GB82 WEST 1234 5698 7654 32 AND more", "[iban] AND more"),
        ("my SSN is 212 34 5678", "my SSN is [ssn]"),
        ("at 2a00:1450:4001:81b::200e:", "at [ip]:"),
        ("aws_secret_access_key = " + "kZ8/" * 4 + "pQ3+rT7w" * 3, "aws_secret_access_key = [key]"),
        ("-----BEGIN PRIVATE KEY-----\nabc\n\nThen this", "[key]\n\nThen this"),
    ],
)
def test_borders(text: str, clean: str) -> None:
    assert one(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "123-456-7890",
        "(555) 123-4567",
        "bo@example.com",
        "4111 1111 1111 1111",
        "078-05-1120",
        "192.168.0.1 and 198.51.100.7",
        "sk-" + "x" * 48,
    ],
)
def test_what_is_nobodys_stays(text: str) -> None:
    assert one(text) == text


@given(st.text(alphabet="0123456789 -+.()/@:aA[]\n", max_size=80))
def test_any_text_can_be_masked_and_masks_are_not_masked(text: str) -> None:
    once = one(text)
    assert masked([once])[0][0].count("[[") == once.count("[[")
