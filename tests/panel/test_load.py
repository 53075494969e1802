"""Many raters at once, on the panel as it is served: `benchmarks/panel.py` in small."""

from pathlib import Path

from panel.load import rated_by_twenty


def test_twenty_raters_at_once_lose_nothing(tmp_path: Path) -> None:
    shown = rated_by_twenty(str(tmp_path / "panel.sqlite"), kills=0)
    assert "20 raters, 5 items and 1 checks each" in shown
    assert "120 ratings acknowledged" in shown
