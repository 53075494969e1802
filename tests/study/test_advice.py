"""Advice from tables whose truth is known."""

from typing import Any

import numpy as np
import pytest

from understudy.errors import UserError
from understudy.statistics import DRAWS, Array
from understudy.study.advice import Costs, advice, recommend
from understudy.study.grid import Cell
from understudy.study.settings import StudySettings
from understudy.study.table import OVERALL, Table

AMOUNTS = [10_000, 40_000, 160_000]
SIZES = {"tiny": 200_000, "small": 1_000_000, "medium": 5_000_000}
COSTS = Costs({"broad": 1e-3, "local": 1e-3}, 1e12, 3.6, {"broad": 1.0, "local": 2.0})


def table(
    local: float = 0.0, size: float = 0.0, noise: float = 0.01, seed: int = 0, **changes: Any
) -> Table:
    """Every student has 0.3; local ones `local` more, and each next base `size` more."""
    settings = StudySettings.model_validate(
        {
            "run": {},
            "bases": [{"base": f"world:{base}"} for base in SIZES],
            "kinds": {"broad": {}, "local": {"task": ["nq"]}},
            "amounts": AMOUNTS,
            "seeds": [0, 1, 2],
        }
        | changes
    )
    rng = np.random.default_rng(seed)

    def draws(truth: float) -> dict[str, Array]:
        value = truth + noise * rng.standard_normal()
        drawn = np.concatenate([[value], value + 0.005 * rng.standard_normal(DRAWS)])
        return {"nq": drawn, OVERALL: drawn}

    bases, students = {}, {}
    for place, base in enumerate(SIZES):
        for one in settings.seeds:
            bases[base, one] = draws(0.3 + size * place)
            for kind, more in (("broad", 0.0), ("local", local)):
                for amount in AMOUNTS:
                    students[Cell(kind, base, amount, one)] = draws(0.3 + size * place + more)
    return Table(settings, ["nq"], dict(SIZES), {}, bases, students)


def options(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return dict(zip(("more", "local", "base"), found["options"], strict=True))


def test_training_costs_six_operations_for_each_parameter_and_token() -> None:
    # 6 × 1e6 parameters × 2 epochs = 1.2e7 operations a token: 12 µs at 1e12 a second, and a
    # machine for 3.6 dollars an hour costs a tenth of a cent a second.
    assert COSTS.training(1e6, "local") == pytest.approx(1.2e-8)


def test_a_local_set_that_helps_is_advised() -> None:
    found = advice(table(local=0.25), COSTS)
    for advised in found["recommendations"]:
        assert advised["recommended"] == "local data instead"
    (overall, nq) = options(found)["local"]["gains"]
    assert [overall["quantity"], nq["quantity"]] == [OVERALL, "nq"]
    assert 0 < nq["low"] < 0.25 < nq["high"]
    assert nq["positive"] > 0.975
    assert "For nq, buy local data instead" in found["words"][-1]


def test_a_bigger_base_that_helps_is_advised() -> None:
    found = advice(table(size=0.2), COSTS)
    assert found["standing"] == {
        "kind": "broad",
        "base": "small",
        "parameters": 1_000_000,
        "amount": 160_000,
    }
    assert found["recommendations"][0]["recommended"] == "a bigger base (medium)"
    assert not options(found)["base"]["beyond"]


def test_nothing_is_advised_where_nothing_helps() -> None:
    found = advice(table(), COSTS)
    for advised in found["recommendations"]:
        assert advised["recommended"] is None
        assert advised["reason"] == "none of them is shown to help"
    for option in found["options"]:
        for gain in option["gains"]:
            assert gain["low"] < 0 < gain["high"]


def test_no_advice_between_two_that_help_alike() -> None:
    found = advice(table(local=0.2, size=0.2), COSTS)
    assert found["recommendations"][0]["recommended"] is None
    assert found["recommendations"][0]["reason"].startswith("cannot tell which")


def test_what_the_money_buys() -> None:
    bought = options(advice(table(), COSTS))
    each = 1e-3 + 6e-9  # of a token of broad data, and of training on it
    tokens = int((100 - 160_000 * 6e-9) / each)
    assert bought["more"]["tokens"] == tokens
    assert bought["more"]["amount"] == 160_000 + tokens
    assert bought["more"]["usd"] == pytest.approx(100, abs=0.01)
    assert bought["more"]["beyond"]
    assert not bought["more"]["bounded"]
    assert bought["local"]["amount"] == bought["local"]["tokens"] == int(100 / (1e-3 + 1.2e-8))
    assert not bought["local"]["beyond"]
    assert bought["base"]["parameters"] == 5_000_000


def test_more_than_can_be_forecast_is_not_counted() -> None:
    found = advice(table(), COSTS._replace(usd_per_token={"broad": 0.0, "local": 1e-6}))
    bought = options(found)
    for option in (bought["more"], bought["local"]):
        assert option["amount"] == 1_600_000
        assert option["bounded"]
        assert option["beyond"]
    assert any("bounded at 10 times" in words for words in found["words"])
    assert any("an extrapolation" in words for words in found["words"])


def test_what_cannot_be_bought_says_why() -> None:
    dear = Costs({"broad": None, "local": 1.0}, 1e3, 1e3, {"broad": 1.0, "local": 1.0})
    found = advice(table(), dear)
    bought = options(found)
    assert bought["more"]["reason"] == "what a token of broad costs is not known"
    assert bought["local"]["reason"] == "the money buys next to nothing of it"
    assert bought["base"]["reason"].startswith("training medium costs $")
    for advised in found["recommendations"]:
        assert advised == {
            "quantity": advised["quantity"],
            "recommended": None,
            "reason": "no option can be forecast",
        }


def test_beyond_the_largest_base_one_of_ten_times_its_size_is_an_extrapolation() -> None:
    found = advice(table(size=0.2, advice={"base": "medium"}), COSTS)
    base = options(found)["base"]
    assert (base["base"], base["parameters"]) == (None, 50_000_000)
    assert base["beyond"]
    assert base["bounded"]
    near = options(advice(table(size=0.2), COSTS))["base"]["gains"][0]
    (far, _) = base["gains"]
    assert far["high"] - far["low"] > 1.5 * (near["high"] - near["low"])


def test_a_kind_that_is_not_there_is_a_mistake() -> None:
    with pytest.raises(UserError, match=r"advice\.kind: no kind is called wide"):
        advice(table(advice={"kind": "wide"}), COSTS)


def test_a_study_that_has_only_begun_gives_no_advice() -> None:
    data = table()
    data.students.clear()
    found = advice(data, COSTS)
    assert [option["gains"] for option in found["options"]] == [[], [], []]
    assert found["recommendations"][0]["recommended"] is None


def test_one_option_alone_is_compared_with_nothing() -> None:
    rng = np.random.default_rng(0)
    sure = 1 + 0.1 * rng.standard_normal(DRAWS)
    assert recommend({"a": sure}) == (
        None,
        "a is shown to help, and there is nothing to compare it with",
    )
    assert recommend({"a": sure, "b": sure - 1})[0] == "a"
    assert recommend({"a": sure - 1, "b": sure - 2})[0] is None
