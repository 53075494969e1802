"""What the pages share: pictures for any numbers, numbers in words."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from understudy.pages.drawing import bars, histogram, scale
from understudy.pages.words import largest, listed, number, seconds

counts = st.integers(0, 10**9)
EVIL = '"><script>'


def widths(drawn: str) -> list[float]:
    return [float(width) for width in re.findall(r'<rect[^>]* width="([\d.]+)%', drawn)]


@given(st.lists(st.tuples(st.text(max_size=9), counts), max_size=12))
def test_bars_stay_inside_and_grow_with_their_size(rows: list[tuple[str, int]]) -> None:
    drawn = widths(bars("id", "title", [(name, size, str(size)) for name, size in rows]))
    assert len(drawn) == len(rows)
    assert all(0 <= width <= 100 for width in drawn)
    if any(size for _, size in rows):
        assert max(drawn) == 100


def test_a_long_name_keeps_both_its_ends() -> None:
    name = "conversations-of-" + "x" * 100 + "-part-07.jsonl.gz"
    shown = re.findall(r">([^<>]*…[^<>]*)<", bars("id", "title", [(name, 1, "1")]))
    assert shown == [name[:15] + "…" + name[-14:]]
    assert len(shown[0]) == 30


@given(st.lists(st.tuples(st.text(max_size=9), counts), max_size=40))
def test_a_histograms_columns_fill_its_width_and_no_more(bins: list[tuple[str, int]]) -> None:
    drawn = histogram("id", "title", bins)
    places = [float(x) for x in re.findall(r'<rect[^>]* x="([\d.]+)%', drawn)]
    assert places == sorted(places)
    assert all(place + width <= 100 for place, width in zip(places, widths(drawn), strict=True))
    heights = [float(height) for height in re.findall(r'<rect[^>]* height="([\d.]+)"', drawn)]
    assert all(0 <= height <= 120 for height in heights)


@pytest.mark.parametrize("share", [0.0, 0.08, 0.3, 0.5, 0.99, 1.0])
def test_a_scale_shows_ones_own_and_the_others(share: float) -> None:
    drawn = scale("id", "title", ("mine", share), {"first": 0.08, "second": 0.61})
    assert f"mine {round(100 * share)} %" in drawn
    assert drawn.count('class="other"') == 2
    assert f'x="{100 * share:.2f}%"' in drawn
    assert "first: 8 %; second: 61 %</desc>" in drawn


@pytest.mark.parametrize(
    "drawn",
    [
        bars(EVIL, EVIL, [(EVIL, 1, EVIL)]),
        histogram(EVIL, EVIL, [(EVIL, 1)]),
        scale(EVIL, EVIL, (EVIL, 0.5), {EVIL: 0.1}),
    ],
)
def test_names_are_escaped(drawn: Markup) -> None:
    assert "<script>" not in drawn
    assert "&lt;script&gt;" in drawn


def test_words() -> None:
    assert number(-1234.5, 1) == "−1,234.5"
    assert number(-0.001, 2) == "0.00"
    assert largest({"a": 1, "b": 3, "c": 2}, 1) == [("b", "3"), ("2 others", "3")]
    assert listed(["a", "b", "c"], "or") == "a, b or c"
    assert [seconds(value) for value in (5, 65, 7260)] == ["5.0 s", "1 min 5 s", "2 h 1 min"]
