"""Findings turn with the world that is measured, and are rarely false where it is at the bounds."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from understudy.statistics import DRAWS, NO_BOUNDS, NO_GAP
from understudy.study.findings import findings
from understudy.study.gap import gap
from understudy.study.grid import Cell, cells
from understudy.study.settings import StudySettings
from understudy.study.table import HALLUCINATION, OVERALL, STYLE, Table

BASES = ["small", "medium", "large"]
AMOUNTS = [100, 200, 800]
ITEMS = 60
WEIGHTS = np.vstack(
    [np.full(ITEMS, 1 / ITEMS), np.random.default_rng(0).dirichlet(np.ones(ITEMS), DRAWS)]
)

Truth = Callable[[str, str, int, str], float]  # of a model, base, amount and quantity


def paper(model: str, base: str, amount: int, quantity: str) -> float:
    """A world as the paper has it. `model` is "teacher", "base" or a kind."""
    know = 0.2 + 0.1 * BASES.index(base)
    if quantity == STYLE:
        return {"teacher": -0.1, "base": -1.0}.get(model, -0.3)
    if quantity == HALLUCINATION:
        return 0.1 if model == "base" else 0.5
    if model == "local" and quantity == "nq":
        return know + 0.1
    return {"teacher": 0.9, "base": know}.get(model, know - 0.05)


def measured(
    truth: Truth = paper,
    noise_seed: int = 1,
    spread: float = 0.01,
    noise: float = 0.1,
    **changes: Any,
) -> Table:
    """A study of such a world, each model with an effect of its seed and noise of items."""
    settings = StudySettings.model_validate(
        {
            "run": {},
            "bases": [{"base": f"world:{base}"} for base in BASES],
            "kinds": {"broad": {}, "local": {"task": ["nq"]}},
            "amounts": AMOUNTS,
            "seeds": [0, 1, 2],
        }
        | changes
    )
    rng = np.random.default_rng(noise_seed)

    def drawn(model: str, base: str, amount: int) -> dict[str, np.ndarray]:
        names = ["nq", OVERALL, STYLE] + [HALLUCINATION] * (model != "teacher")
        means = np.array([truth(model, base, amount, name) for name in names])
        if model != "teacher":
            means = means + spread * rng.standard_normal(len(names))
        items = means + noise * rng.standard_normal((ITEMS, len(names)))
        return dict(zip(names, (WEIGHTS @ items).T, strict=True))

    bases = settings.base_names
    return Table(
        settings=settings,
        benchmarks=["nq"],
        parameters=dict.fromkeys(bases, 1),
        teacher=drawn("teacher", bases[0], 0),
        bases={(base, seed): drawn("base", base, 0) for base in bases for seed in settings.seeds},
        students={one: drawn(one.kind, one.base, one.amount) for one in cells(settings)},
    )


def verdicts(table: Table) -> dict[str, str]:
    return {one["id"]: one["verdict"] for one in findings(table)}


def finding(table: Table, id: str) -> dict[str, Any]:
    return next(one for one in findings(table) if one["id"] == id)


# Verdicts turn with the world


def test_the_papers_world() -> None:
    found = findings(measured())
    assert {one["verdict"] for one in found} == {"seen"}
    truths = {
        "style_fast": [0.7 / 0.9, 0.9],
        "broad_flat": [-0.05 / 0.6, 0.0],
        "bigger_base": [0.2],
        "local_raises": [0.1, 0.1, 0.15],
        "hallucination": [0.4],
    }
    for one in found:
        assert [part["value"] for part in one["parts"]] == pytest.approx(
            truths[one["id"]], abs=0.04
        )
        assert (one["seeds"], one["note"]) == (3, "")
        bases = BASES[1:] if one["id"] == "bigger_base" else BASES
        assert [by["base"] for by in one["by"]] == bases
        for part in one["parts"] + one["by"]:
            assert part["low"] < part["value"] < part["high"]


@pytest.mark.parametrize(
    ("id", "planted"),
    [
        ("style_fast", lambda model, base, amount, quantity, true: -0.9 if amount else true),
        (
            "style_fast",  # a teacher without a manner: what little gap there is closes at once
            lambda model, base, amount, quantity, true: -0.13 if model == "base" else -0.1,
        ),
        (
            "style_fast",  # with much data alone
            lambda model, base, amount, quantity, true: -0.9 if amount == 100 else true,
        ),
        (
            "broad_flat",  # the imitation set holds the facts
            lambda model, base, amount, quantity, true: 0.8 if amount == 800 else true,
        ),
        (
            "broad_flat",  # any of it lowers knowledge, less the more it is
            lambda model, base, amount, quantity, true: true - 0.2 if amount == 100 else true,
        ),
        (
            "bigger_base",
            lambda model, base, amount, quantity, true: 0.6 - true if amount else true,
        ),
        ("local_raises", lambda model, base, amount, quantity, true: true - 0.3 * bool(amount)),
        ("hallucination", lambda model, base, amount, quantity, true: 0.01 if amount else true),
    ],
)
def test_planted_worlds_turn_a_finding(id: str, planted: Callable[..., float]) -> None:
    wanted = {
        "style_fast": [STYLE],
        "broad_flat": [OVERALL],
        "bigger_base": [OVERALL],
        "local_raises": ["nq"],
        "hallucination": [HALLUCINATION],
    }[id]

    def truth(model: str, base: str, amount: int, quantity: str) -> float:
        true = paper(model, base, amount, quantity)
        return planted(model, base, amount, quantity, true) if quantity in wanted else true

    assert verdicts(measured(truth))[id] == "not seen"


def test_where_all_is_noise_it_cannot_tell() -> None:
    found = verdicts(measured(spread=1.0))
    assert set(found.values()) == {"cannot tell"}


def test_verdicts_are_rarely_false_at_the_bounds() -> None:
    def truth(model: str, base: str, amount: int, quantity: str) -> float:
        at = {STYLE: 0.5, OVERALL: 0.1, "nq": 0.0, HALLUCINATION: 0.0}[quantity]
        if quantity == OVERALL and model in ("broad", "local"):
            at = {100: 0.0, 200: 0.05, 800: 0.1}[amount]
        return {"teacher": 1.0, "base": 0.0}.get(model, at)

    worlds, told = 50, Counter[tuple[str, str]]()
    kinds = {"broad": {}, "local": {"task": ["nq"], "amounts": [800]}}
    for world in range(worlds):
        table = measured(truth, world, spread=0.05, noise=0.05, kinds=kinds)
        told += Counter(verdicts(table).items())
    for id in ("style_fast", "bigger_base", "local_raises", "hallucination"):
        assert told[id, "seen"] <= 6  # 2.5 % are expected
        assert told[id, "not seen"] <= 6
    assert told["broad_flat", "seen"] <= 6
    assert told["broad_flat", "not seen"] <= 8  # 5 %
    false = sum(n for (_, verdict), n in told.items() if verdict != "cannot tell")
    assert 0 < false <= 14  # of 250, half of them expected; none would mean intervals too wide


# How the mean over bases and the ratio are taken


def test_a_ratio_is_tested_as_fieller_does() -> None:
    """Its interval holds the bound where numerator − bound · denominator may be 0."""
    alike = Counter[bool]()
    for world in range(40):
        table = measured(noise_seed=world, spread=0.15, bases=[{"base": "world:small"}])
        part = finding(table, "style_fast")["parts"][0]
        base, student = table.base("small", STYLE), table.student("broad", "small", 100, STYLE)
        assert base is not None
        assert student is not None
        linear = student - base - 0.5 * (table.teacher[STYLE] - base)
        low, high = np.percentile(linear[1:], [2.5, 97.5])
        verdict = "seen" if low > 0 else "not seen" if high < 0 else "cannot tell"
        if part["low"] is not None:
            alike[part["verdict"] == verdict] += 1
    assert alike[True] > 15
    assert alike[False] <= 1  # draws without a gap, at most 2.5 %, have no ratio


def test_a_base_without_a_gap_does_not_undo_the_mean() -> None:
    def truth(model: str, base: str, amount: int, quantity: str) -> float:
        same = quantity == OVERALL and base == "large"
        return 0.9 if same else paper(model, base, amount, quantity)

    one = finding(measured(truth), "broad_flat")
    assert one["verdict"] == "seen"
    assert one["parts"][0]["value"] == pytest.approx(-0.1 / 1.3, abs=0.05)
    assert [by["value"] is None or by["low"] is None for by in one["by"]] == [False, False, True]


def test_figures_by_base_are_the_gaps() -> None:
    table = measured()
    for by in finding(table, "style_fast")["by"]:
        assert gap(table, "broad", by["base"], 100, STYLE).items() <= by.items()


def test_without_a_gap_there_is_no_verdict() -> None:
    def flat(model: str, base: str, amount: int, quantity: str) -> float:
        return 0.2 if quantity == OVERALL else paper(model, base, amount, quantity)

    for noise_seed in range(5):
        one = finding(measured(flat, noise_seed), "broad_flat")
        assert one["verdict"] == "cannot tell"
        assert NO_GAP in one["note"] or NO_BOUNDS in one["note"]


# What is missing is said


@pytest.mark.parametrize(
    ("id", "changes", "note"),
    [
        ("style_fast", {"amounts": [200, 800]}, "no amount of broad data is at most an eighth"),
        ("style_fast", {"kinds": {"local": {"task": ["nq"]}}}, "no broad kind"),
        ("broad_flat", {"kinds": {"local": {"task": ["nq"]}}}, "no broad kind"),
        ("broad_flat", {"amounts": [800]}, "one amount of broad data"),
        ("bigger_base", {"bases": [{"base": "world:small"}]}, "one base"),
        ("local_raises", {"kinds": {"broad": {}}}, "no local kind"),
        ("hallucination", {"kinds": {"local": {"task": ["nq"]}}}, "no broad kind"),
    ],
)
def test_what_a_grid_lacks(id: str, changes: dict[str, Any], note: str) -> None:
    one = finding(measured(**changes), id)
    assert one["verdict"] == "cannot tell"
    assert note in one["note"]


def test_half_of_a_finding_can_refute_it() -> None:
    def taught(model: str, base: str, amount: int, quantity: str) -> float:
        return 0.8 if amount and quantity == OVERALL else paper(model, base, amount, quantity)

    assert finding(measured(taught, amounts=[800]), "broad_flat")["verdict"] == "not seen"


def test_a_quantity_that_nobody_measured() -> None:
    table = measured()
    for values in (table.teacher, *table.bases.values(), *table.students.values()):
        values.pop(HALLUCINATION, None)
    one = finding(table, "hallucination")
    assert (one["verdict"], one["by"], one["seeds"]) == ("cannot tell", [], 0)
    assert "not measured" in one["note"]


def test_a_quantity_that_is_not_known_on_a_seed() -> None:
    table = measured()
    table.bases["small", 1][HALLUCINATION] = np.full(1 + DRAWS, np.nan)
    one = finding(table, "hallucination")
    assert (one["verdict"], one["seeds"]) == ("seen", 2)


def test_a_study_that_is_under_way() -> None:
    table = measured()
    for cell in cells(table.settings):
        if cell.base == "large" or (cell.base == "small" and cell.seed == 2):
            del table.students[cell]
    for one in findings(table):
        if one["id"] == "bigger_base":
            assert one["verdict"] == "cannot tell"
        else:
            assert [by["base"] for by in one["by"]] == ["small", "medium"]
            assert one["seeds"] == 2
        assert "without large" in one["note"]
    table.students.clear()
    assert set(verdicts(table).values()) == {"cannot tell"}


def test_a_single_seed_says_nothing_of_others() -> None:
    for one in findings(measured(seeds=[3])):
        assert one["note"].startswith("a single seed: the intervals hold for other items")
    table = measured()
    for seed in (1, 2):
        del table.bases["medium", seed]
    assert "a single seed on medium" in finding(table, "style_fast")["note"]


def test_the_first_kind_decides_and_others_are_told() -> None:
    def truth(model: str, base: str, amount: int, quantity: str) -> float:
        if model in ("harmful", "teaching"):
            return -1.0 if quantity in ("nq", STYLE) else 0.8
        return paper(model, base, amount, quantity)

    task = {"task": ["nq"]}
    kinds = {"broad": {}, "local": task, "teaching": {}, "harmful": task}
    found = {one["id"]: one for one in findings(measured(truth, kinds=kinds))}
    assert {one["verdict"] for one in found.values()} == {"seen"}
    for id, verdict in (("style_fast", "not seen"), ("broad_flat", "not seen")):
        told = [part for part in found[id]["parts"] if part["kind"] == "teaching"]
        assert told[0]["verdict"] == verdict
        assert not any(part["decides"] for part in told)
    harmful = [part for part in found["local_raises"]["parts"] if part["kind"] == "harmful"]
    assert harmful[0]["verdict"] == "not seen"
    assert not harmful[0]["decides"]


def test_a_task_of_several_benchmarks_is_their_mean() -> None:
    table = measured(kinds={"local": {"task": ["nq", "mmlu"]}})
    table.benchmarks.append("mmlu")
    for values in (table.teacher, *table.bases.values(), *table.students.values()):
        values["mmlu"] = np.zeros(1 + DRAWS)
    one = finding(table, "local_raises")
    alone = measured(kinds={"local": {"task": ["nq"]}})
    assert one["parts"][0]["value"] == pytest.approx(
        finding(alone, "local_raises")["parts"][0]["value"] / 2, abs=1e-6
    )
    assert "MMLU" in one["parts"][0]["text"]


def test_findings_are_the_same_every_time() -> None:
    assert findings(measured()) == findings(measured())


def test_the_largest_amount_is_the_kinds_own() -> None:
    kinds = {"broad": {}, "local": {"task": ["nq"], "amounts": [50]}}
    table = measured(kinds=kinds)
    assert Cell("local", "small", 50, 0) in table.students
    assert "with 50 tokens of local data" in finding(table, "local_raises")["parts"][0]["text"]
