"""What answers become: the tags that were meant, nothing that acts, cuts where sentences end."""

import re
from html.parser import HTMLParser

import pytest

from panel.payloads import HEAVY, TEXTS
from understudy.panel.rendering import (
    LONGEST,
    LONGEST_BLOCK,
    MOST_SENTENCES,
    TAGS,
    answer,
    answer_to_mark,
    plain,
)

OURS = {"div", "span", "i"}
ATTRIBUTES = {"class", "tabindex", "role", "aria-label", "start"}


class Tags(HTMLParser):
    """Collects what a fragment holds."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in ("br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def number(sentence: int) -> str:
    return f"<i>{sentence}</i>"


def cuts(text: str) -> list[str]:
    """The sentences of an answer, as text."""
    html = str(answer_to_mark(text, lambda _: "|"))
    return [part.strip() for part in re.sub("<[^>]*>", "", html).split("|")[:-1]]


def test_markdown() -> None:
    html = answer(
        "# Title\n\nA **bold** *word*, `code`.\nNext line\n\n3. three\n4. four\n\n~~gone~~"
    )
    assert "<h3>Title</h3>" in html
    assert "<strong>bold</strong> <em>word</em>, <code>code</code>.<br>" in html
    assert '<ol start="3">' in html
    assert "<s>gone</s>" in html


def test_code_is_shown_as_it_is() -> None:
    assert "<pre><code>if a &lt; b:\n    pass\n</code></pre>" in answer(
        "```python\nif a < b:\n    pass\n```"
    )


def test_links_and_images_become_text() -> None:
    html = answer("[here](https://a.example/x) ![cat](https://a.example/c.png) <https://b.example>")
    assert html == "<p>here (https://a.example/x) [image: cat] https://b.example</p>\n"


@pytest.mark.parametrize("text", [*TEXTS, *HEAVY.values()], ids=lambda text: repr(text[:30]))
def test_nothing_acts(text: str) -> None:
    for html in (answer(text), answer_to_mark(text, number)):
        found = Tags()
        found.feed(html)
        found.close()
        assert found.tags <= TAGS | OURS
        assert found.attributes <= ATTRIBUTES
        assert not found.open
        assert len(html) < 400_000
        assert not re.search(
            "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufdd0-\ufdef]", html
        )
        html.encode()


def test_all_of_a_text_is_seen_however_deep() -> None:
    assert "treasure" in answer("> " * 100 + "treasure")
    assert "treasure" in answer("".join("  " * depth + "- x\n" for depth in range(80)) + "treasure")
    assert "treasure" in answer("[a]: https://a.example 'treasure'")


def test_long_texts_are_cut_and_say_so() -> None:
    assert plain("x" * (LONGEST + 1500)).endswith("x\n\n… [1,500 more characters]")
    assert "[1,500 more characters]" in answer("x" * (LONGEST + 1500))


def test_a_long_paragraph_keeps_its_lines() -> None:
    line = "word " * (LONGEST_BLOCK // 10)
    assert answer(f"{line}\n{line}\n{line}").count("<br>") >= 2


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        (
            "Dr. Ash met J. Smith, e.g. Here. Then left.",
            ["Dr. Ash met J. Smith, e.g. Here.", "Then left."],
        ),
        ("It costs 3.50 in all. 12 remain.", ["It costs 3.50 in all.", "12 remain."]),
        ('She said "No." He left.', ['She said "No."', "He left."]),
        ("**Bold. Still bold.** After. `a. B` code.", ["Bold. Still bold.", "After. a. B code."]),
        ("Before. **Bold** after.", ["Before.", "Bold after."]),
        ("First line.\nSecond line.", ["First line.", "Second line."]),
        ("- one\n- two. Three.", ["one", "two.", "Three."]),
        ("# A heading\n\nText.", ["A heading\nText."]),
        ("```\ncode. Code.\n```", ["code. Code."]),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |", ["a\nb\n\n\n\n\n1\n2", "3\n4"]),
        ("---\n\n![](x)", ["[image: ]"]),
        ("これは一。それは二。", ["これは一。", "それは二。"]),
        ("", []),
        ("...", []),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert cuts(text) == sentences


def test_controls_are_numbered_and_bounded() -> None:
    html = answer_to_mark("Word. " * 500, number)
    assert [int(found) for found in re.findall(r"<i>(\d+)</i>", html)] == list(
        range(MOST_SENTENCES)
    )


def test_a_text_cannot_forge_a_cut() -> None:
    assert answer_to_mark("a\ufdd1b\ufdd0c\ufdd2d &#xfdd1;", number).count("<i>") == 1
