"""Forecasts of tables whose truth is known."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from understudy.statistics import DRAWS, Array
from understudy.study.forecast import (
    CannotFitError,
    fit_of,
    forecast,
    points_of,
    predict,
)
from understudy.study.grid import Cell
from understudy.study.settings import StudySettings
from understudy.study.table import STYLE, Table, Values

AMOUNTS = [10_000, 40_000, 160_000, 640_000, 2_560_000]
SIZES = {"tiny": 200_000, "small": 1_000_000, "medium": 5_000_000}
ITEMS = 400

# From log10 parameters and log10 tokens (0: the base itself) to a score.
Truth = Callable[[float, float], float]


def flat(size: float, tokens: float) -> float:
    return 0.2 + 0.1 * (size - 5) - 0.05 * (tokens > 0)


def rising(size: float, tokens: float) -> float:
    return 0.3 + 0.1 * (size - 5) + (0.12 * (tokens - 4) - 0.1 if tokens else 0)


def saturating(size: float, tokens: float) -> float:
    amount = 10**tokens
    return 0.1 + 0.05 * (size - 5) + (0.5 * amount / (amount + 40_000) if tokens else 0)


def falling(size: float, tokens: float) -> float:
    return 0.5 + 0.1 * (size - 5) - (0.08 * (tokens - 4) if tokens else 0)


def table(
    kinds: Mapping[str, Mapping[str, Truth]],
    sizes: Mapping[str, int] = SIZES,
    amounts: list[int] = AMOUNTS,
    seeds: int = 3,
    noise: float = 0.015,
    **changes: Any,
) -> Table:
    """Scores of 400 items on top of what seeds differ by; `kinds` are truths by quantity."""
    settings = StudySettings.model_validate(
        {
            "run": {},
            "bases": [{"base": f"world:{base}"} for base in sizes],
            "kinds": {kind: {"task": ["nq"] if kind == "local" else []} for kind in kinds},
            "amounts": amounts,
            "seeds": list(range(seeds)),
        }
        | changes
    )
    rng = np.random.default_rng(0)
    common = rng.standard_normal(DRAWS)

    def draws(truth: float) -> Array:
        share = rng.binomial(ITEMS, np.clip(abs(truth) + noise * rng.normal(), 0, 1)) / ITEMS
        error = np.sqrt(max(share * (1 - share), 1 / ITEMS) / ITEMS)
        drawn = share + error * (0.8 * common + 0.6 * rng.standard_normal(DRAWS))
        return np.sign(truth) * np.concatenate([[share], drawn.clip(0, 1)])

    bases: dict[tuple[str, int], Values] = {}
    students: dict[Cell, Values] = {}
    for base, size in sizes.items():
        for seed in range(seeds):
            truths = next(iter(kinds.values()))
            bases[base, seed] = {name: draws(of(np.log10(size), 0)) for name, of in truths.items()}
            for kind, of_kind in kinds.items():
                for amount in amounts:
                    students[Cell(kind, base, amount, seed)] = {
                        name: draws(of(np.log10(size), np.log10(amount)))
                        for name, of in of_kind.items()
                    }
    return Table(settings, ["nq"], dict(sizes), {}, bases, students)


def width(one: Mapping[str, float]) -> float:
    return one["high"] - one["low"]


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return forecast(table({"broad": {"nq": rising}, "local": {"nq": saturating}}))


def of(found: dict[str, Any], kind: str, base: str | None, amount: int) -> list[dict[str, Any]]:
    return [
        one
        for one in found["predictions"]
        if (one["kind"], one["base"], one["amount"]) == (kind, base, amount)
    ]


@pytest.mark.parametrize(("kind", "truth"), [("broad", rising), ("local", saturating)])
@pytest.mark.parametrize("amount", [*AMOUNTS, 2 * AMOUNTS[-1], 4 * AMOUNTS[-1]])
def test_the_truth_lies_within_the_interval_of_a_new_run(
    found: dict[str, Any], kind: str, truth: Truth, amount: int
) -> None:
    for base, size in SIZES.items():
        (one,) = of(found, kind, base, amount)
        assert one["low"] < truth(np.log10(size), np.log10(amount)) < one["high"]
        assert one["beyond"] == (amount > AMOUNTS[-1])


def test_a_curve_that_rises_is_not_taken_for_a_constant(found: dict[str, Any]) -> None:
    broad, local = found["fits"]
    weights = {one["form"]: one["weight"] for one in broad["forms"]}
    assert sum(weights.values()) == pytest.approx(1, abs=0.01)
    assert weights["log-linear"] > 4 * weights["constant"]
    line = next(one for one in broad["forms"] if one["form"] == "log-linear")["coefficients"]
    # A share rises by 0.12 with ten times the tokens; its angle by that over 2 sqrt(p (1 - p)).
    assert line["per_tenfold_tokens"] == pytest.approx(0.12, abs=0.02)
    assert line["per_tenfold_parameters"] == pytest.approx(0.1, abs=0.04)
    bends = {one["form"]: one["coefficients"]["bend"] for one in local["forms"]}
    assert bends["saturating"] < -0.1


def test_the_further_the_less_sure(found: dict[str, Any]) -> None:
    largest = AMOUNTS[-1]
    widths = [
        width(of(found, "broad", "small", amount)[0])
        for amount in (largest, 2 * largest, 10 * largest)
    ]
    assert widths[0] < widths[1] < widths[2]
    twice, tenfold = of(found, "broad", None, AMOUNTS[2])
    assert [twice["parameters"], tenfold["parameters"]] == [10_000_000, 50_000_000]
    assert width(of(found, "broad", "medium", AMOUNTS[2])[0]) < width(twice) < width(tenfold)


def test_the_largest_runs_are_foretold_from_the_smaller_ones() -> None:
    truths = {"flat": flat, "rising": rising, "saturating": saturating, "falling": falling}
    tried = forecast(table({"broad": truths}))["heldout"]
    assert (tried["amount"]["runs"], tried["base"]["runs"]) == (4 * 9, 4 * 15)
    assert tried["runs"] == 96
    assert tried["coverage"] == pytest.approx(tried["covered"] / 96, abs=1e-6)
    assert tried["amount"]["coverage"] >= 0.8
    assert tried["base"]["coverage"] >= 0.8
    rows = {row["quantity"]: row for row in tried["amount"]["rows"]}
    assert rows["rising"]["error"] < 0.6 * rows["rising"]["last_error"]
    assert rows["flat"]["width"] < 0.2
    assert tried["amount"]["error"] < tried["amount"]["base_error"]


def test_flat_scores_are_foretold_flat() -> None:
    data = table({"broad": {"nq": flat}})
    asked = points_of(data, [("small", 1e6, AMOUNTS[-1] * factor, np.nan) for factor in (1, 2)])
    now, twice = predict(data, fit_of(data, "broad", "nq"), "nq", asked).T
    low, high = np.percentile(twice - now, [2.5, 97.5])
    assert -0.1 < low < 0 < high < 0.1


def test_seeds_that_differ_widen_the_forecast_of_a_run_more_than_that_of_the_mean() -> None:
    data = table({"broad": {"nq": flat}}, noise=0.06)
    fitted = fit_of(data, "broad", "nq")
    asked = points_of(data, [("small", 1e6, 160_000, seed) for seed in (np.nan, -1)])
    mean, run = predict(data, fitted, "nq", asked).std(axis=0)
    assert run > 0.05
    assert mean < 0.7 * run


def test_two_kinds_are_paired_on_items() -> None:
    data = table({"broad": {"nq": flat}, "local": {"nq": flat}}, noise=0.0)
    asked = points_of(data, [("small", 1e6, 160_000, np.nan)])
    broad, local = (
        predict(data, fit_of(data, kind, "nq"), "nq", asked, items=True)[:, 0]
        for kind in ("broad", "local")
    )
    assert np.corrcoef(broad, local)[0, 1] > 0.5


def test_style_and_scores_of_nought_stay_in_their_bounds() -> None:
    def nought(size: float, tokens: float) -> float:
        return 0.0

    def far(size: float, tokens: float) -> float:
        return -0.05 if tokens else -0.6

    data = table({"broad": {"nq": nought, STYLE: far}}, noise=0.0)
    for base in data.bases.values():
        base["hallucination"] = base["nq"] * np.nan
    for student in data.students.values():
        student["nq"][0], student["nq"][1:] = 0.0, abs(student["nq"][1:]) + 0.001
        student["hallucination"] = -student[STYLE]
    found = forecast(data)
    for one in found["predictions"]:
        if one["quantity"] == "nq":
            assert 0 == one["low"] <= one["value"] < one["high"] <= 1
        if one["quantity"] == STYLE:
            assert -1 <= one["low"] < one["value"] < one["high"] <= 0
    assert {one["quantity"] for one in found["fits"]} == {"nq", STYLE, "hallucination"}


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"amounts": [10_000]}, "broad, nq: cannot be fitted: students of 1 amounts"),
        ({"sizes": {"tiny": 200_000}, "seeds": 1, "amounts": [10, 100]}, "cannot be fitted: two"),
        ({"sizes": {"tiny": 200_000}, "amounts": AMOUNTS[:3]}, "one base"),
        ({"seeds": 1, "amounts": AMOUNTS[:3]}, "one seed"),
        ({"amounts": [10, 100]}, "largest amount cannot be held out: the students have 2"),
        ({"sizes": dict(list(SIZES.items())[:2])}, "largest base cannot be held out"),
    ],
)
def test_too_little_is_said_and_no_crash(changes: dict[str, Any], note: str) -> None:
    found = forecast(table({"broad": {"nq": rising}}, **changes))
    assert any(note in one for one in found["notes"])
    for one in found["predictions"]:
        assert 0 <= one["low"] <= one["value"] <= one["high"] <= 1


def test_a_study_that_has_only_begun() -> None:
    data = table({"broad": {"nq": rising}})
    data.students.clear()
    found = forecast(data)
    assert found["fits"] == found["predictions"] == []
    assert found["heldout"]["runs"] == 0
    with pytest.raises(CannotFitError):
        fit_of(data, "broad", "nq")
    data.bases.clear()
    assert forecast(data)["notes"] == ["cannot be fitted: no base was measured"]
