"""The pictures hold for any numbers that a run may have."""

import re

import pytest

from understudy.report.svg import gap_picture, loss_picture

NONE = {"value": None, "low": None, "high": None}
CHANGE = {"nq": {"value": 0.0, "low": -0.1, "high": 0.1}}


def picture(value: float | None, low: float | None, high: float | None) -> str:
    gap = {"nq": {"value": value, "low": low, "high": high, "reason": "because"}}
    return str(gap_picture(dict(NONE), gap, CHANGE))  # type: ignore[arg-type]


def test_what_lies_outside_is_an_arrow() -> None:
    assert picture(0.1, -0.2, 0.4).count("arrow") == 0
    assert picture(0.5, -40, 0.9).count("arrow") == 1
    far = picture(0.5, -40, 90)
    assert far.count("arrow") == 2
    assert "50 % (−4,000 to 9,000)" in far
    beyond = picture(-7, -9, -5)
    assert 'class="mark' not in beyond
    assert "−700 % (−900 to −500)" in beyond


def test_what_is_undefined_is_said() -> None:
    undefined = picture(None, None, None)
    assert "not defined: because" in undefined
    assert "change −10.0 to 10.0 points" in undefined
    unbounded = picture(0.3, None, None)
    assert "no bounds" in unbounded
    assert 'class="mark benchmark unbounded"' in unbounded


@pytest.mark.parametrize(
    "losses", [[1.0], [2.0, 2.0], [4.0, 1.1], [0.004, 0.001], [900.0, 1.0], [0.0, 0.0]]
)
def test_loss_stays_inside_its_plane(losses: list[float]) -> None:
    curve = [{"step": 0, "heldout_loss": losses[0]}]
    curve += [{"step": step, "loss": loss} for step, loss in enumerate(losses, start=1)]
    drawn = str(loss_picture(curve))
    places = [float(n) for line in re.findall(r'points="([^"]*)"', drawn)
              for point in line.split() for n in point.split(",")]  # fmt: skip
    assert places
    assert all(0 <= place <= 100 for place in places)
    assert 2 <= drawn.count('class="grid"') <= 8
