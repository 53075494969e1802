"""The tour's commands, run as a reader would type them in."""

from pathlib import Path

import pytest
from docs_build.blocks import ROOT, run_blocks

from understudy.files import read_json


@pytest.mark.slow
def test_the_tour_can_be_walked_from_its_page_alone(tmp_path: Path) -> None:
    assert run_blocks(ROOT / "docs" / "tour.md", tmp_path) == 0
    report = read_json(tmp_path / "runs" / "mine" / "report.json")
    assert set(report["gap_closed"]) == {"nq", "mmlu"}
    assert (tmp_path / "exported" / "mine-q4_0.gguf").stat().st_size > 500_000
    assert "mine" in (tmp_path / "exported" / "README.md").read_text("utf-8")
