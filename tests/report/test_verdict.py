"""The sentence says what the intervals say, and no more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.report.verdict import claims, verdict
from understudy.statistics import Interval

CLOSED, MOVED, AWAY, UNSURE = (0.93, 0.99), (0.1, 0.6), (-0.4, -0.1), (-0.2, 0.7)
NONE: Interval = {"value": None, "low": None, "high": None}
ROSE, FELL, FLAT = (0.01, 0.05), (-0.06, -0.02), (-0.05, 0.024)


def interval(ends: tuple[float, float]) -> Interval:
    return {"value": sum(ends) / 2, "low": ends[0], "high": ends[1]}


def judged(
    style: Interval, changes: list[tuple[float, float]], gaps: list[Interval] | None = None
) -> str:
    names = ["mmlu", "nq", "humaneval"][: len(changes)]
    change = dict(zip(names, map(interval, changes), strict=True))
    return verdict(style, change, dict(zip(names, gaps or [NONE] * 3, strict=False)), [])


@pytest.mark.parametrize(
    ("style", "changes", "headline"),
    [
        (CLOSED, [ROSE], "It learnt the accent and some of the part"),
        (CLOSED, [ROSE, FLAT], "It learnt the accent and some of the part"),
        (CLOSED, [FELL, FLAT], "It learnt the accent; it lost some of the part"),
        (CLOSED, [ROSE, FELL], "It learnt the accent; of the part it gained some and lost some"),
        (CLOSED, [FLAT, FLAT], "It learnt the accent; that it learnt any of the part is not shown"),
        (CLOSED, [], "It learnt the accent; the part was not measured"),
        (MOVED, [ROSE], "It picked up some of the accent and some of the part"),
        (MOVED, [FELL], "It picked up some of the accent; it lost some of the part"),
        (AWAY, [ROSE], "It did not learn the accent; it learnt some of the part"),
        (UNSURE, [FELL], "Whether it learnt the accent cannot be told; it lost some of the part"),
        (None, [], "Whether it learnt the accent cannot be told; the part was not measured"),
    ],
)
def test_headlines(
    style: tuple[float, float] | None, changes: list[tuple[float, float]], headline: str
) -> None:
    found = judged(interval(style) if style else NONE, changes)
    assert found.startswith(headline + ": ")
    assert found.endswith(".")


def test_not_the_part_needs_every_gap_known_to_be_less_than_half_closed() -> None:
    low, wide = interval((-0.2, 0.3)), interval((-0.2, 0.8))
    style = interval(CLOSED)
    assert judged(style, [FLAT, FLAT], [low, low]).startswith("It learnt the accent, not the part")
    for gaps in ([low, wide], [low, NONE], [NONE, NONE]):
        assert "not shown:" in judged(style, [FLAT, FLAT], gaps)


def test_the_whole_sentence() -> None:
    low = interval((-0.1, 0.1))
    assert judged(interval(CLOSED), [FLAT, FLAT], [low, low]) == (
        "It learnt the accent, not the part: 96 % (93–99) of the style gap to the teacher closed; "
        "under half of the gap closed on MMLU and Natural Questions; no change shown on MMLU "
        "(−5.0 to +2.4 points) or Natural Questions (−5.0 to +2.4 points)."
    )
    found = verdict(interval(AWAY), {"nq": interval(FELL)}, {"nq": NONE}, ["humaneval"])
    assert found == (
        "It did not learn the accent; it lost some of the part: it moved away from the teacher’s "
        "style, −25 % (−40 to −10) of the gap closed; Natural Questions fell by 4.0 points "
        "(2.0–6.0); HumanEval not measured."
    )


ends = st.tuples(st.floats(-1, 1), st.floats(-1, 1)).map(lambda pair: (min(pair), max(pair)))


@given(style=st.none() | ends, changes=st.lists(ends, max_size=3), gaps=st.lists(ends, min_size=3))
def test_no_claim_without_an_interval_clear_of_zero(
    style: tuple[float, float] | None,
    changes: list[tuple[float, float]],
    gaps: list[tuple[float, float]],
) -> None:
    found = judged(interval(style) if style else NONE, changes, list(map(interval, gaps[:3])))
    assert ("rose" in found) == any(low > 0 for low, _ in changes)
    assert ("fell" in found) == any(high < 0 for _, high in changes)
    assert ("no change shown" in found) == any(low <= 0 <= high for low, high in changes)
    mostly = style is not None and style[0] > 0.5
    assert found.startswith("It learnt the accent") == mostly


@given(low=st.floats(-1, 1), size=st.floats(0, 1))
def test_claims_hold_only_where_the_whole_interval_does(low: float, size: float) -> None:
    found = interval((low, low + size))
    for claim in claims(found, {"nq": found}, {"nq": found}):
        bound = 0.5 if "half" in claim["text"] else 0
        holds = {"yes": low > bound, "no": low + size < bound}
        assert claim["holds"] == next(
            (word for word, is_so in holds.items() if is_so), "cannot tell"
        )
    assert {claim["holds"] for claim in claims(NONE, {}, {})} == {"cannot tell"}
