"""Which students a study makes, and in which order."""

from collections import Counter

import pytest

from understudy.study.grid import Cell, cells, middle, outside_in
from understudy.study.settings import StudySettings

STUDY = {
    "run": {},
    "bases": [{"base": f"world:{name}"} for name in ("tiny", "small", "medium")],
    "kinds": {"broad": {}, "local": {"task": ["nq"], "amounts": [50, 100]}},
}


def grid(amounts: list[int], seeds: list[int]) -> list[Cell]:
    return cells(StudySettings.model_validate(STUDY | {"amounts": amounts, "seeds": seeds}))


def test_every_student_is_there_once() -> None:
    found = grid(amounts=[1, 2, 3, 4, 5], seeds=[0, 7])
    assert len(found) == len(set(found)) == 3 * (5 + 2) * 2
    assert Counter(cell.kind for cell in found) == {"broad": 30, "local": 12}
    assert {cell.amount for cell in found if cell.kind == "local"} == {50, 100}
    assert {cell.seed for cell in found} == {0, 7}


def test_one_seed_comes_after_the_other() -> None:
    seeds = [cell.seed for cell in grid(amounts=[1, 2, 3], seeds=[3, 1, 2])]
    assert seeds == sorted(seeds, key=[3, 1, 2].index)


def test_the_ends_come_before_what_lies_between() -> None:
    found = grid(amounts=[1, 2, 3, 4, 5], seeds=[0])
    assert {(cell.kind, cell.base, cell.amount) for cell in found[:2]} == {
        ("broad", "medium", 5),
        ("local", "medium", 100),
    }
    broad = [(cell.base, cell.amount) for cell in found if cell.kind == "broad"]
    corners = [(base, amount) for base in ("medium", "tiny") for amount in (5, 1)]
    assert all(broad.index(corner) < broad.index(("small", 3)) for corner in corners)
    assert broad[-1] == ("small", 3)


@pytest.mark.parametrize(
    ("items", "ordered", "between"),
    [
        ([1], [1], 1),
        ([1, 2], [2, 1], 1),
        ([1, 2, 3], [3, 1, 2], 2),
        ([1, 2, 3, 4], [4, 1, 3, 2], 2),
    ],
)
def test_outside_in_and_the_middle(items: list[int], ordered: list[int], between: int) -> None:
    assert outside_in(items) == ordered
    assert middle(items) == between


def test_a_cell_says_where_it_lies_and_what_it_is() -> None:
    cell = Cell("broad", "llama-7b", 150_000_000, 2)
    assert str(cell.folder) == "cells/broad/llama-7b/150000000/seed-2"
    assert str(cell) == "broad 150,000,000 tokens, llama-7b, seed 2"
