"""`kill -9` of the panel while raters rate: whatever was acknowledged is there afterwards."""

from panel.load import rated_by_twenty


def test_every_acknowledged_rating_survives(place: str) -> None:
    shown = rated_by_twenty(place, kills=1)
    assert "acknowledged" in shown
    assert "FAULT" not in shown
