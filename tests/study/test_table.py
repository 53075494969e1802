"""Means over seeds have Student's interval, in common for whatever is measured on a base."""

import numpy as np
import pytest
from scipy.stats import t

from understudy.statistics import DRAWS
from understudy.study.grid import Cell
from understudy.study.settings import StudySettings
from understudy.study.table import Table, seed_weights

SEEDS = [0, 1, 2]


@pytest.fixture
def table() -> Table:
    """Students of one base without noise of items: 0.3, 0.4, 0.8; of the other: 0.1 more."""
    settings = StudySettings.model_validate(
        {
            "run": {},
            "bases": [{"base": "world:small"}, {"base": "world:large"}],
            "kinds": {"broad": {}},
            "amounts": [100],
            "seeds": SEEDS,
        }
    )
    own = dict(zip(SEEDS, (0.2, 0.35, 0.5), strict=True))
    students = dict(zip(SEEDS, (0.3, 0.4, 0.8), strict=True))
    return Table(
        settings=settings,
        benchmarks=["nq"],
        parameters={"small": 1, "large": 2},
        teacher={"nq": rows(0.9)},
        bases={
            (base, seed): {"nq": rows(own[seed] + more)}
            for base, more in (("small", 0), ("large", 0.1))
            for seed in SEEDS
        },
        students={
            Cell("broad", base, 100, seed): {"nq": rows(students[seed] + more)}
            for base, more in (("small", 0), ("large", 0.1))
            for seed in SEEDS
        },
    )


def rows(value: float) -> np.ndarray:
    return np.full(1 + DRAWS, value)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_weights_make_student_draws_of_a_mean(count: int) -> None:
    weights = seed_weights(count, np.random.default_rng(0))
    values = np.linspace(0, 1, count) ** 2
    assert weights.shape == (1 + DRAWS, count)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights[0], 1 / count)
    error = values.std(ddof=1) / np.sqrt(count)
    drawn = (weights[1:] @ values - values.mean()) / error
    for level in (0.1, 0.25, 0.75, 0.9):
        assert np.mean(drawn <= t.ppf(level, count - 1)) == pytest.approx(level, abs=0.035)


def test_a_single_seed_tells_nothing_of_others() -> None:
    assert np.all(seed_weights(1, np.random.default_rng(0)) == 1)


def test_means_over_seeds_and_over_some_of_them(table: Table) -> None:
    student, base = table.student("broad", "small", 100, "nq"), table.base("small", "nq")
    assert student is not None
    assert base is not None
    assert (student[0], base[0]) == (pytest.approx(0.5), pytest.approx(0.35))
    some = table.base("small", "nq", [0, 1])
    assert some is not None
    assert some[0] == pytest.approx(0.275)
    del table.students[Cell("broad", "small", 100, 1)]
    assert table.seeds_of("broad", "small", 100) == [0, 2]
    fewer = table.student("broad", "small", 100, "nq")
    assert fewer is not None
    assert fewer[0] == pytest.approx(0.55)


def test_a_base_and_its_students_are_paired_on_seeds_and_two_bases_are_not(table: Table) -> None:
    student, base = table.student("broad", "small", 100, "nq"), table.base("small", "nq")
    other = table.base("large", "nq")
    assert student is not None
    assert base is not None
    assert other is not None
    differences = [
        table.students[Cell("broad", "small", 100, seed)]["nq"] - table.bases["small", seed]["nq"]
        for seed in SEEDS
    ]
    paired = table.over("small", SEEDS, differences)
    assert paired is not None
    np.testing.assert_allclose(student - base, paired)
    assert np.ptp((other - base)[1:]) > 0.1  # alike, seed by seed, and still not known to be so


def test_nothing_measured_is_none(table: Table) -> None:
    table.students.clear()
    table.bases.clear()
    assert table.student("broad", "small", 100, "nq") is None
    assert table.base("small", "nq") is None


def test_draws_over_seeds_are_the_same_every_time(table: Table) -> None:
    first = table.base("small", "nq")
    table._known.clear()
    again = table.base("small", "nq")
    assert first is not None
    assert again is not None
    np.testing.assert_array_equal(first, again)
