"""Broken characters are mended, whole ones are left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.curate.clean.characters import mended_characters

SENTENCES = [
    "The café's menu – in “French” – costs 5 €.",
    "Grüße aus München, es ist 20 °C warm.",
    "¿Cómo estás? ¡Muy bien!",
    "naïve coöperation, déjà vu",
    "E = mc² and π ≈ 3.14",
]


@pytest.mark.parametrize("sentence", SENTENCES)
@pytest.mark.parametrize("wrong", ["cp1252", "latin-1"])
def test_utf8_read_as_something_else(sentence: str, wrong: str) -> None:
    try:
        broken = sentence.encode().decode(wrong)
    except UnicodeDecodeError:
        pytest.skip("not every byte is a character there")
    assert broken != sentence
    assert mended_characters(broken) == sentence


def test_other_encodings() -> None:
    assert mended_characters("Привет, мир".encode().decode("cp1251")) == "Привет, мир"
    assert mended_characters("l’été".encode().decode("macroman")) == "l’été"


@pytest.mark.parametrize(
    "text",
    [
        *SENTENCES,
        "“curly” ‘quotes’, ﬁne ligatures, Ｗｉｄｅ letters, x² and ½ stay",
        "Ça va à l’école, où l’âne « brait » ; État – ÉTÉ",
        "Привет, как дела? Різні мови.",
        "日本語のテキスト、中文文本，한국어",
        "tab\tand\nline &amp; entity",
        "👩‍👩‍👧 family, zero-width joiner",
    ],
)
def test_whole_text_stays(text: str) -> None:
    assert mended_characters(text) == text


def test_control_characters_and_line_breaks() -> None:
    assert mended_characters("a\x00b\x07c\x7f") == "abc"
    assert mended_characters("\ufeffone\r\ntwo\rthree") == "one\ntwo\nthree"
    assert mended_characters("\x1b[31mred\x1b[0m") == "red"


@given(st.text(alphabet=st.characters(max_codepoint=0x7E, min_codepoint=0x20)))
def test_printable_ascii_is_never_touched(text: str) -> None:
    assert mended_characters(text) == text
