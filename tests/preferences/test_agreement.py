"""Alpha and kappa are those of published examples and of independent libraries."""

import krippendorff
import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import cohens_kappa

from preferences.made import Array
from understudy.preferences.agreement import Level, cohen_kappa, krippendorff_alpha
from understudy.statistics import wilson

LEVELS: tuple[Level, ...] = ("nominal", "ordinal", "interval")
NONE = {"value": None, "low": None, "high": None}
MISSING = np.nan
# Krippendorff 2011, section C: four observers, twelve units.
EXAMPLE = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, MISSING, MISSING, MISSING],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, MISSING, 3],
        [MISSING, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, MISSING],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, MISSING],
    ]
)


def alpha(table: Array, level: Level) -> dict[str, float | None]:
    """Of raters × units, with nan where a value is missing."""
    rater, unit = np.nonzero(~np.isnan(table))
    return krippendorff_alpha(unit.tolist(), table[rater, unit], level, 0)


def noisy(rng: np.random.Generator, raters: int, units: int, grades: int) -> Array:
    worth = rng.normal(size=units)
    seen = worth + rng.normal(size=(raters, units))
    return np.digitize(seen, np.linspace(-1.5, 1.5, grades - 1)) / (grades - 1)


@pytest.mark.parametrize(("level", "value"), [*zip(LEVELS, (0.743, 0.815, 0.849), strict=True)])
def test_krippendorffs_own_example(level: Level, value: float) -> None:
    found = alpha(EXAMPLE, level)
    assert found["value"] == pytest.approx(value, abs=5e-4)
    assert found["low"] < value < found["high"]  # type: ignore[operator]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("raters", "units", "grades"), [(2, 30, 3), (7, 40, 5), (3, 25, 400)])
def test_alpha_is_krippendorffs_with_values_missing(
    level: Level, raters: int, units: int, grades: int
) -> None:
    rng = np.random.default_rng(units)
    table = noisy(rng, raters, units, grades)
    table[rng.random(table.shape) < 0.3] = np.nan
    peer = krippendorff.alpha(table, level_of_measurement=level)
    assert alpha(table, level)["value"] == pytest.approx(peer, abs=1e-6)


def test_a_single_value_counts_for_nothing() -> None:
    table = noisy(np.random.default_rng(0), 3, 30, 5)
    lonely = np.pad(table, ((0, 0), (0, 5)), constant_values=np.nan)
    lonely[0, -5:] = 0.123
    for level in LEVELS:
        assert alpha(lonely, level) == alpha(table, level)


def test_alpha_covers() -> None:
    rng = np.random.default_rng(1)
    truth = krippendorff.alpha(noisy(rng, 3, 100_000, 5), level_of_measurement="ordinal")
    covered = 0
    for _ in range(30):
        found = alpha(noisy(rng, 3, 100, 5), "ordinal")
        covered += found["low"] <= truth <= found["high"]  # type: ignore[operator]
    assert covered >= 25  # at 95 % it is less in 0.3 % of all cases


@pytest.mark.parametrize("level", LEVELS)
def test_there_is_no_alpha_without_two_values_or_without_variation(level: Level) -> None:
    assert krippendorff_alpha([], [], level, 0) == NONE
    assert krippendorff_alpha(["p", "q"], [0, 1], level, 0) == NONE
    assert krippendorff_alpha(["p", "p", "q", "q"], [0.5] * 4, level, 0) == NONE


def test_alpha_of_raters_who_say_the_opposite_is_negative() -> None:
    found = alpha(np.array([[0, 1] * 20, [1, 0] * 20]), "ordinal")
    assert found["value"] == pytest.approx(1 - 1 / (40 / 79))


def test_kappas_published_example() -> None:
    """Fleiss, Cohen & Everitt 1969: kappa 0.429, of variance 0.002885."""
    table = np.array([[106, 10, 4], [22, 28, 10], [2, 12, 6]])
    first, second = np.repeat(np.indices(table.shape).reshape(2, -1), table.ravel(), axis=1)
    found = cohen_kappa(first.tolist(), second.tolist())
    assert found["value"] == pytest.approx(0.429, abs=5e-4)
    error = (found["high"] - found["low"]) / 2 / 1.96  # type: ignore[operator]
    assert error**2 == pytest.approx(0.002885, rel=0.02)


@pytest.mark.parametrize("n", [30, 3000])
def test_kappa_is_that_of_scikit_learn_and_its_error_statsmodels(n: int) -> None:
    rng = np.random.default_rng(n)
    first = rng.choice(3, size=n, p=[0.5, 0.2, 0.3])
    second = np.where(rng.random(n) < 0.6, first, rng.integers(3, size=n))
    found = cohen_kappa(first.tolist(), second.tolist())
    assert found["value"] == pytest.approx(cohen_kappa_score(first, second), abs=1e-9)
    table = np.zeros((3, 3))
    np.add.at(table, (first, second), 1)
    peer = cohens_kappa(table)
    agreed = np.trace(table) / n
    chance = (agreed - peer.kappa) / (1 - peer.kappa)
    effect = peer.var_kappa * (1 - chance) ** 2 / (agreed * (1 - agreed) / n)
    bounds = np.array(wilson(agreed * n, n, 1.959964 * np.sqrt(effect)))
    expected = (bounds - chance) / (1 - chance)
    assert (found["low"], found["high"]) == pytest.approx(tuple(expected), abs=1e-6)
    if n == 3000:  # then it is also the usual one
        usual = peer.kappa_low, peer.kappa_upp
        assert (found["low"], found["high"]) == pytest.approx(usual, abs=1e-3)


def test_perfect_agreement_is_not_certain() -> None:
    found = cohen_kappa(["a", "b"] * 10, ["a", "b"] * 10)
    assert (found["value"], found["high"]) == (1, 1)
    assert 0.5 < found["low"] < 0.9  # type: ignore[operator]


def test_kappa_where_one_says_the_same_always() -> None:
    found = cohen_kappa(["a", "b"] * 10, ["a"] * 20)
    assert found["value"] == 0
    assert found["low"] < 0 < found["high"]  # type: ignore[operator]
    assert cohen_kappa(["a"] * 20, ["a"] * 20) == NONE
    assert cohen_kappa([], []) == NONE
    assert cohen_kappa(["a", "b"], ["b", "a"])["value"] == -1
