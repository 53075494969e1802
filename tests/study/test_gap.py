"""Gap closed: of students over their seeds, of published scores, and where there is none."""

import numpy as np
import pytest

from understudy.statistics import DRAWS, NO_BOUNDS, NO_GAP
from understudy.study.gap import NO_ITEMS, NOT_MEASURED, gap, gaps, published_gap
from understudy.study.grid import Cell
from understudy.study.settings import StudySettings
from understudy.study.table import HALLUCINATION, OVERALL, PREFERRED, STYLE, Table

JUDGE = PREFERRED + "hurried"
TRUTH = {  # of teacher, base, student
    "nq": (0.8, 0.2, 0.5),
    "mmlu": (0.4, 0.5, 0.5),
    OVERALL: (0.6, 0.35, 0.5),
    STYLE: (-0.1, -0.9, -0.2),
    JUDGE: (0.5, 0.1, 0.45),
}
NOISE = 0.01 * np.random.default_rng(0).standard_normal((3, DRAWS))


def drawn(value: float, model: int) -> np.ndarray:
    return np.append(value, value + NOISE[model])


@pytest.fixture
def table() -> Table:
    settings = StudySettings.model_validate(
        {
            "run": {},
            "bases": [{"base": "world:small"}],
            "kinds": {"broad": {}},
            "amounts": [100, 800],
            "seeds": [0, 1],
        }
    )
    teacher, base, student = (
        {name: drawn(values[model], model) for name, values in TRUTH.items()} for model in range(3)
    )
    return Table(
        settings=settings,
        benchmarks=["nq", "mmlu"],
        parameters={"small": 1},
        teacher=teacher | {JUDGE: np.full(1 + DRAWS, 0.5)},
        bases={("small", seed): base | {HALLUCINATION: drawn(0.1, 1)} for seed in (0, 1)},
        students={
            Cell("broad", "small", 800, seed): student | {HALLUCINATION: drawn(0.4, 2)}
            for seed in (0, 1)
        },
    )


@pytest.mark.parametrize(
    ("quantity", "value"), [("nq", 0.5), (OVERALL, 0.6), (STYLE, 0.875), (JUDGE, 0.875)]
)
def test_gap_closed_has_an_interval(table: Table, quantity: str, value: float) -> None:
    found = gap(table, "broad", "small", 800, quantity)
    assert found["value"] == pytest.approx(value)
    assert value - 0.2 < found["low"] < value < found["high"] < value + 0.2
    assert "reason" not in found


def test_where_there_is_no_gap_it_is_undefined(table: Table) -> None:
    found = gap(table, "broad", "small", 800, "mmlu")
    assert (found["value"], found["low"], found["reason"]) == (None, None, NO_GAP)


def test_where_the_gap_is_not_certain_it_has_no_bounds(table: Table) -> None:
    table.teacher["nq"] = drawn(0.22, 0)
    found = gap(table, "broad", "small", 800, "nq")
    assert found["value"] == pytest.approx(15)
    assert (found["low"], found["high"], found["reason"]) == (None, None, NO_BOUNDS)


def test_student_and_base_are_over_the_same_seeds(table: Table) -> None:
    table.students[Cell("broad", "small", 800, 1)]["nq"] = drawn(0.7, 2)
    table.bases["small", 1]["nq"] = drawn(0.4, 1)
    assert gap(table, "broad", "small", 800, "nq")["value"] == pytest.approx((0.6 - 0.3) / 0.5)
    del table.bases["small", 1]  # its student has nothing to be compared with
    assert gap(table, "broad", "small", 800, "nq")["value"] == pytest.approx(0.5)
    del table.students[Cell("broad", "small", 800, 0)]
    assert gap(table, "broad", "small", 800, "nq")["reason"] == NOT_MEASURED


def test_all_gaps_of_students_that_are_there(table: Table) -> None:
    rows = gaps(table)
    assert [row["quantity"] for row in rows] == list(TRUTH)
    assert {(row["kind"], row["base"], row["amount"]) for row in rows} == {("broad", "small", 800)}
    for row in rows:
        assert row["value"] == gap(table, "broad", "small", 800, row["quantity"])["value"]


# Gudibande et al. 2023, Table 1: exact match on Natural Questions, whole percents.
TABLE_1 = [
    (0.17, 0.10, -0.50),
    (0.17, 0.22, 0.36),
    (0.20, 0.15, -0.45),
    (0.20, 0.27, 0.64),
]


@pytest.mark.parametrize(("base", "student", "closed"), TABLE_1)
def test_the_papers_gaps(base: float, student: float, closed: float) -> None:
    value = published_gap(base, student, 0.31)
    assert round(value["value"], 2) == closed
    assert (value["low"], value["high"], value["reason"]) == (None, None, NO_ITEMS)
    found = published_gap(base, student, 0.31, n=3610, rounded_to=0.01)
    assert found["value"] == value["value"]
    assert found["low"] < closed < found["high"]
    assert (found["low"] > 0) == (closed > 0) == (found["high"] > 0)  # each has a certain sign


def test_published_scores_without_gap_and_of_any_scale() -> None:
    assert published_gap(0.31, 0.35, 0.31)["reason"] == NO_GAP
    assert published_gap(0.30, 0.35, 0.31, n=100)["reason"] == NO_BOUNDS
    assert published_gap(-0.11, 0.62, 0.67)["value"] == pytest.approx(0.73 / 0.78, abs=1e-6)


def test_draws_of_published_scores_are_as_wide_as_the_normal_approximation() -> None:
    found = published_gap(0.2, 0.4, 0.8, n=2000)
    value = 1 / 3
    variances = [share * (1 - share) / 2000 for share in (0.2, 0.4, 0.8)]
    slopes = [(value - 1) / 0.6, 1 / 0.6, -value / 0.6]
    error = np.sqrt(sum(s**2 * v for s, v in zip(slopes, variances, strict=True)))
    assert (found["high"] - found["low"]) / 2 == pytest.approx(1.96 * error, rel=0.06)


def test_what_print_lost_widens_the_interval() -> None:
    width = [
        found["high"] - found["low"]
        for found in (published_gap(0.17, 0.22, 0.31, 10**6, lost) for lost in (0.0, 0.01))
    ]
    assert width[1] > 5 * width[0]
    assert published_gap(0.0, 0.5, 1.0, n=50, rounded_to=0.01)["high"] < 1
