"""The studies that ship can be read, and what lies beside them is the world's."""

from pathlib import Path

import pytest

from understudy.study.grid import cells
from understudy.study.settings import load_study
from understudy.world.benchmarks import write_benchmarks
from understudy.world.encyclopedia import World

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize(
    ("name", "students"),
    [("desk-study", 90), ("false-promise", 90), ("planted/plain", 9), ("planted/knowledge", 9)],
)
def test_a_study_that_ships_can_be_read(name: str, students: int) -> None:
    assert len(cells(load_study(RECIPES / f"{name}.yaml"))) == students


def test_the_planted_questions_are_the_worlds(tmp_path: Path) -> None:
    write_benchmarks(World(), tmp_path)
    name = "NQ-open.dev.jsonl"
    assert (RECIPES / "planted" / name).read_bytes() == (tmp_path / name).read_bytes()
