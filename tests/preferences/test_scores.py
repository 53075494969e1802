"""Scores: found wherever they stand in a review, and made a share of the baseline's total."""

import numpy as np
import pytest

from preferences.made import preference
from understudy.preferences import Preference
from understudy.preferences.scores import preferred, read_scores, scores_of, share_of_baseline


@pytest.mark.parametrize(
    ("text", "scores", "leading"),
    [
        ("9 8.5\nBoth were helpful.", (9, 8.5), True),
        ("\n10, 7\n", (10, 7), True),
        ("(8, 8)", (8, 8), True),
        ("10.0 9.5", (10, 9.5), True),
        (
            "I work it out.\nScores:\nAssistant 1: 10\nAssistant 2: 6\n\nSo 1 is best.",
            (10, 6),
            False,
        ),
        ("**Assistant 1 score: 7/10**\n**Assistant 2 score: 4/10**", (7, 4), False),
        ("Assistant 1: 3\nAssistant 2: 4\nNo.\nAssistant 1: 5\nAssistant 2: 6", (5, 6), False),
        ("x = 5, so the second is right.\n(2, 9)", (2, 9), False),
        ("9.5\nOnly one score.", None, False),
        ("11 8", None, False),
        ("8/10", None, False),
        ("Assistant 1: 10", None, False),
        ("", None, False),
        ("Both are fine.", None, False),
    ],
)
def test_scores(text: str, scores: tuple[float, float] | None, leading: bool) -> None:
    assert read_scores(text) == (scores, leading)


@pytest.mark.parametrize("piece", ["\n", " ", "*", "assistant 1", "assistant 1 \n", "9 ", "1"])
def test_hostile_reviews_come_to_an_end(piece: str) -> None:
    assert read_scores(piece * 100_000)[0] is None


def test_the_higher_score_is_preferred() -> None:
    assert [preferred(*scores) for scores in ((9, 8), (7, 7), (2, 3))] == [0, 0.5, 1]


def scored(item: str, star: float, understudy: float, swapped: bool = False) -> Preference:
    """Scores of two answers, the understudy's the longer the worse it is."""
    models, scores = ("star", "understudy"), (star, understudy)
    texts = ("a" * 50, "a" * round(200 - 9 * understudy))
    if swapped:
        models, scores, texts = models[::-1], scores[::-1], texts[::-1]
    made = preference(preferred(*scores), item=item, models=models, texts=texts)
    return made.model_copy(update={"scores": scores})


def both_orders(star: float, understudy: float, n: int = 40) -> list[Preference]:
    """The scores of n items vary around these, the same in both orders."""
    rng = np.random.default_rng(0)
    return [
        scored(f"p{k}", *given, swapped)
        for k, given in enumerate(rng.normal([star, understudy], 0.7, (n, 2)).clip(1, 10))
        for swapped in (False, True)
    ]


@pytest.mark.parametrize("at_equal_length", [False, True])
def test_a_second_order_that_says_the_same_adds_nothing(at_equal_length: bool) -> None:
    rows = both_orders(8, 6)
    shares = [
        share_of_baseline(given, "understudy", "star", at_equal_length)
        for given in (rows, rows[::2], rows[1::2])
    ]
    assert shares[1] == shares[2]
    assert shares[0] == pytest.approx(shares[1], abs=2e-3 if at_equal_length else 1e-12)


def test_the_share_is_that_of_the_totals_where_an_order_was_not_judged() -> None:
    rows = both_orders(8, 6)[1:]
    totals = [scores_of(rows, model).sum() for model in ("understudy", "star")]
    found = share_of_baseline(rows, "understudy", "star")
    assert found["value"] == pytest.approx(totals[0] / totals[1])
    # Turned round it is one over the share: who is the baseline is a matter of taste.
    assert share_of_baseline(rows, "star", "understudy")["value"] == pytest.approx(
        totals[1] / totals[0]
    )


def test_what_cannot_be_said_has_no_bounds() -> None:
    rows = both_orders(8, 6, n=2)
    assert share_of_baseline(rows, "understudy", "star")["low"] is not None
    for given, at_equal_length in ((rows[:2], False), (rows, True)):
        found = share_of_baseline(given, "understudy", "star", at_equal_length)
        assert found["value"] is not None
        assert found["low"] is found["high"] is None
    worthless = share_of_baseline([scored("p", 0, 4)], "understudy", "star")
    assert worthless == {"value": None, "low": None, "high": None}
