"""Words and shingles are those of a plain loop over characters, whatever batch they come in."""

import random
import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.curate import shingles as module
from understudy.curate.shingles import shingles, words

# How the names of characters begin that are words by themselves.
SCRIPTS = ("CJK", "HIRAGANA", "KATAKANA", "HENTAIGANA", "THAI", "LAO", "KHMER", "MYANMAR")
MARKS = ("IDEOGRAPHIC ITERATION", "IDEOGRAPHIC CLOSING", "IDEOGRAPHIC NUMBER", "COMBINING KATAKANA")
SIGNS = "+-*/×÷=<>%^−"

TEXTS = st.text(
    alphabet=st.one_of(
        st.sampled_from("aAbßẞİıſÅée\u0301Ωжकि한0٣²½ \n\t\u00a0.,'_-+*/=−×"),
        st.sampled_from("中文々かカｶไทยລາວខ្មែမြ👍🏽❤\ufe0f\u200d\ud800𝔘🄰\U0010ffff"),
        st.characters(),
    ),
    max_size=40,
)


def plain(text: str) -> list[tuple[int, int, str]]:
    """Begin, end and folded characters of every word."""
    found: list[tuple[int, int, str]] = []
    open_word = False
    for place, character in enumerate(text):
        if free(text, place):
            found.append((place, place + 1, character.replace("−", "-")))
            open_word = False
        elif not belongs(character):
            open_word = False
        elif alone(character):
            found.append((place, place + 1, folded(character)))
            open_word = False
        elif open_word:
            begin, _, so_far = found[-1]
            found[-1] = (begin, place + 1, so_far + folded(character))
        else:
            found.append((place, place + 1, folded(character)))
            open_word = True
    return found


def free(text: str, place: int) -> bool:
    if text[place] not in SIGNS or not 0 < place < len(text) - 1:
        return False
    return all(
        text[beside] in " \t\u00a0" or text[beside].isdecimal() for beside in (place - 1, place + 1)
    )


def belongs(character: str) -> bool:
    mark = unicodedata.category(character) in ("Mn", "Mc")
    selector = unicodedata.name(character, "").startswith("VARIATION SELECTOR")
    return character.isalnum() or (mark and not selector)


def alone(character: str) -> bool:
    name = unicodedata.name(character, "").removeprefix("HALFWIDTH ")
    return name.startswith(SCRIPTS + MARKS) and not character.isdecimal()


def folded(character: str) -> str:
    options = (character.casefold(), character.lower(), character)
    return next(option for option in options if len(option) == 1)


def of_text(found: module.Words, text: int) -> list[tuple[int, int, int]]:
    part = slice(found.starts[text], found.starts[text + 1])
    return list(
        zip(
            found.begins[part].tolist(),
            found.ends[part].tolist(),
            found.hashes[part].tolist(),
            strict=True,
        )
    )


@settings(max_examples=300)
@given(st.lists(TEXTS, max_size=6))
def test_words_are_those_of_a_plain_loop(texts: list[str]) -> None:
    found = words(texts)
    assert found.starts[0] == 0
    assert len(found.starts) == len(texts) + 1
    hash_of: dict[str, int] = {}
    for number, text in enumerate(texts):
        expected = plain(text)
        ours = of_text(found, number)
        assert [word[:2] for word in ours] == [word[:2] for word in expected]
        for (_, _, hashed), (_, _, word) in zip(ours, expected, strict=True):
            assert hash_of.setdefault(word, hashed) == hashed
    assert len(set(hash_of.values())) == len(hash_of)


def test_every_character_belongs_where_it_should() -> None:
    characters = [chr(code) for code in range(0x110000) if not 0x323B0 < code < 0x10FF00]
    counts = np.diff(words([2 * character for character in characters]).starts).tolist()
    expected = [1 + alone(c) if belongs(c) else 0 for c in characters]
    wrong = [hex(ord(c)) for c, n, e in zip(characters, counts, expected, strict=True) if n != e]
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't PANIC: 42 times!", ["don", "t", "panic", "42", "times"]),
        ("snake_case and well-known", ["snake", "case", "and", "well", "known"]),
        ("**bold**\n- item\n* item", ["bold", "item", "item"]),
        ("3+5 = 8, x - 1", ["3", "+", "5", "=", "8", "x", "-", "1"]),
        ("我会 Python3 吗", ["我", "会", "python3", "吗"]),
        ("GROẞE Große", ["große", "große"]),
        ("❤\ufe0f 👍🏽 …", []),
    ],
)
def test_words_by_example(text: str, expected: list[str]) -> None:
    assert [word for _, _, word in plain(text)] == expected
    found = words([text])
    alone = words(expected).hashes if "+" not in expected else found.hashes
    assert found.hashes.tolist() == alone.tolist()
    assert len(found.hashes) == len(expected)


def test_sums_that_differ_in_the_sign_differ() -> None:
    signs = words([f"3 {sign} 5" for sign in "+-*/−"]).hashes.reshape(5, 3)[:, 1].tolist()
    assert len(set(signs[:4])) == 4
    assert signs[4] == signs[1]


def test_hashes_are_the_same_in_every_process() -> None:
    # Python's own hashes of strings differ from one process to the next; these must not.
    found = words(["The quick brown fox jumps"])
    assert found.hashes[:2].tolist() == [0x9F2A2539547FB164, 0xD5B4D861FAFE741]
    assert shingles(found).hashes.tolist() == [0xB686298FA8EE2B14]


@pytest.mark.parametrize("block", [1, 7, 50, 1 << 12])
def test_batches_and_blocks_do_not_matter(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(block)
    alphabet = "abC é中か3+= \n."
    texts = ["".join(rng.choices(alphabet, k=rng.randint(0, 120))) for _ in range(60)]
    whole = words(texts)
    monkeypatch.setattr(module, "BLOCK", block)
    assert_equal(words(texts), whole)
    for number, text in enumerate(texts):
        assert of_text(words([text]), 0) == of_text(whole, number)


def test_a_text_longer_than_a_block() -> None:
    long = "again and " * (module.BLOCK // 5)
    found = words(["before", long, "after"])
    assert len(found.hashes) == 2 + 2 * (module.BLOCK // 5)
    assert len(np.unique(found.hashes)) == 4
    assert (found.begins[-1], found.ends[-1]) == (0, 5)


def test_nothing_to_read() -> None:
    for texts in ([], [""], ["", "!?", ""]):
        found = words(texts)
        assert found.hashes.tolist() == []
        assert found.starts.tolist() == [0] * (len(texts) + 1)
        assert shingles(found).starts.tolist() == [0] * (len(texts) + 1)


@settings(max_examples=200)
@given(
    st.lists(st.lists(st.sampled_from("abcd"), max_size=9).map(" ".join), max_size=6),
    st.integers(1, 6),
)
def test_shingles_are_runs_of_words(texts: list[str], size: int) -> None:
    found = shingles(words(texts), size)
    hash_of: dict[tuple[str, ...], int] = {}
    for text, (begin, end) in zip(texts, pairwise(found.starts.tolist()), strict=True):
        parts = text.split()
        expected = [tuple(parts[at : at + size]) for at in range(max(1, len(parts) - size + 1))]
        ours = found.hashes[begin:end].tolist()
        assert len(ours) == (len(expected) if parts else 0)
        for run, hashed in zip(expected, ours, strict=False):
            assert hash_of.setdefault(run, hashed) == hashed
    assert len(set(hash_of.values())) == len(hash_of)


def assert_equal(some: module.Words, others: module.Words) -> None:
    for name in ("hashes", "starts", "begins", "ends"):
        assert getattr(some, name).tolist() == getattr(others, name).tolist()
