"""Biases are told from the answers' worth."""

import numpy as np
import pytest

from preferences.made import preference
from understudy.preferences import Preference
from understudy.preferences.bias import (
    first_preferred,
    longer_preferred,
    self_preference,
    swapped,
)
from understudy.preferences.win_rate import win_rate
from understudy.statistics import paired_difference

ORDERS = (("a", "b"), ("b", "a"))


def towards(model: str | None, n: int, models: tuple[str, str], start: int = 0) -> list[Preference]:
    """`model` is preferred, or for None the answer shown first."""
    share = float(model == models[1])
    return [preference(share, item=f"p{start + k}", models=models) for k in range(n)]


# The answer shown first


def test_who_always_takes_the_first_is_biased_and_never_the_same_when_swapped() -> None:
    given = [one for models in ORDERS for one in towards(None, 40, models)]
    position, turned = first_preferred(given), swapped(given)
    assert position is not None
    assert turned is not None
    assert (position.value, turned.items, turned.same.value) == (1, 40, 0)
    assert position.low > 0.9
    assert turned.same.high < 0.15


def test_a_better_model_is_no_better_place_however_often_it_stands_there() -> None:
    given = [*towards("a", 90, ("a", "b")), *towards("a", 10, ("b", "a"), start=90)]
    position = first_preferred(given)
    assert position is not None
    assert position.value == pytest.approx(0.5)
    assert position.low < 0.5 < position.high


def test_the_bias_is_that_of_both_orders_alike() -> None:
    """80 % and 30 % of the first, shown 100 and 20 times; the errors are independent."""
    given = [
        *towards("a", 80, ("a", "b")),
        *towards("b", 20, ("a", "b"), start=80),
        *towards("b", 6, ("b", "a"), start=100),
        *towards("a", 14, ("b", "a"), start=106),
    ]
    position = first_preferred(given)
    assert position is not None
    assert position.value == pytest.approx(0.55)
    error = np.sqrt(0.8 * 0.2 / 100 + 0.3 * 0.7 / 20) / 2
    assert position.standard_error == pytest.approx(error, rel=0.01)


def test_one_order_alone_tells_nothing_of_the_place() -> None:
    given = [*towards("a", 9, ("a", "b")), preference(None, models=("b", "a"))]
    assert first_preferred(given) is None
    assert swapped(given) is None
    assert first_preferred([]) is None
    assert swapped([]) is None


def test_verdicts_after_the_swap() -> None:
    given = [
        # The same: b twice, however clearly; a tie twice.
        preference(1.0, item="p1"),
        preference(0.25, item="p1", models=("b", "a")),
        preference(0.5, item="p2"),
        preference(0.5, item="p2", models=("b", "a")),
        # Not the same: b, then a tie; and another rater, b, then a.
        preference(1.0, item="p3"),
        preference(0.5, item="p3", models=("b", "a")),
        preference(1.0, item="p1", rater="ben"),
        preference(1.0, item="p1", models=("b", "a"), rater="ben"),
        # In one order only: half not judged, and two raters with an order each.
        preference(1.0, item="p4"),
        preference(None, item="p4", models=("b", "a")),
        preference(1.0, item="p5"),
        preference(1.0, item="p5", models=("b", "a"), rater="ben"),
    ]
    found = swapped(given)
    assert found is not None
    assert (found.items, found.same.value) == (4, 0.5)


# Length


def test_the_longer_answer_wherever_it_stands() -> None:
    texts = "short", "long enough"
    given = [
        preference(1.0, item="p1", texts=texts),
        preference(0.25, item="p2", texts=texts[::-1]),
        preference(0.5, item="p3", texts=texts),
        preference(0.0, item="p4", texts=("equal", "equal")),
        preference(None, item="p5", texts=texts),
    ]
    found = longer_preferred(given)
    assert found is not None
    assert found.value == pytest.approx((1 + 0.75 + 0.5) / 3)
    assert longer_preferred(given[3:]) is None


# Its own answers


def test_a_judge_that_likes_its_own_more_than_others_do() -> None:
    def judged(rater: str, shares: list[float]) -> list[Preference]:
        return [preference(share, item=f"p{k}", rater=rater) for k, share in enumerate(shares)]

    judge, ann, ben = [1.0, 1.0, 0.75, 0.5], [0.5, 0.0, 0.75, 1.0], [0.0, 1.0, 0.25, 1.0]
    given = [*judged("judge", judge), *judged("ann", ann), *judged("ben", ben)]
    alone = [
        preference(1.0, item="p9", rater="judge"),  # nobody else said anything of it
        preference(1.0, item="p0", models=("c", "b"), rater="judge"),
        preference(0.0, item="p8", rater="ann"),
        preference(0.0, item="p0", models=("a", "c"), rater="ann"),
    ]
    found = self_preference([*given, *alone], "judge", "b")
    assert found == paired_difference(np.add(ann, ben) / 2, judge, ["p0", "p1", "p2", "p3"])
    assert found.value == pytest.approx(0.25)
    other = self_preference(given, "judge", "a")
    assert other is not None
    assert other.value == pytest.approx(-0.25)
    assert win_rate(given, "b").rate is not None


def test_without_others_there_is_no_self_preference() -> None:
    given = [preference(1.0, item=f"p{k}", rater="judge") for k in range(5)]
    assert self_preference(given, "judge", "b") is None
    assert self_preference(given, "ann", "b") is None
    assert self_preference([*given, preference(1.0, rater="ann")], "judge", "c") is None
