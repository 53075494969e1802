"""Grades from 1 to 10 for single answers, and what they say of the models."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from understudy.files import write_json, write_jsonl
from understudy.judge.cases import AccountOf, Case, hear
from understudy.judge.match import Unmatched
from understudy.judge.prompts import GRADE
from understudy.recipe import JudgeSettings
from understudy.statistics import mean_interval, paired_difference
from understudy.teacher.client import total_cost

GRADES, FACTS = "grades.jsonl", "grades.json"
LOWEST, WIDTH = 1, 9  # grades go from 1 to 10

Given = dict[str, dict[str, float]]


def grade(
    cases: Sequence[Case],
    judges: Sequence[JudgeSettings],
    account_of: AccountOf,
    out: Path,
    unmatched: Unmatched,
) -> dict[str, Any]:
    """Have judges grade answers one by one; writes grades.jsonl and grades.json.

    A row of `out/grades.jsonl` is what one judge said of one answer: {"item", "model", "judge",
    "key", "reply", "verdict", "grade", "weighted", "repair", "failure"}.

    Args:
        cases: see `singles`.
        judges: who grades; of several with one model the first does.
        account_of, out, unmatched: as for `judge`.

    Returns:
        The content of grades.json: "prompts", "unmatched", "judges" [{"judge", and see `hear`,
        "models" {model: {"mean", "low", "high", "n"}}, "differences" [{"first", "second", "value"
        (how much higher the second is graded, on the same prompts), "low", "high", "p", "n"}]}] and
        "cost".

    Raises:
        UserError: see `hear`.
    """
    rows: list[dict[str, Any]] = []
    described = []
    by_model: dict[str, JudgeSettings] = {}
    for one in judges:
        by_model.setdefault(one.model, one)
    for model, settings in by_model.items():
        found, facts = hear(cases, settings, account_of(settings), GRADE)
        given: Given = {}
        for case, said in zip(cases, found, strict=True):
            rows.append(case.named() | {"judge": model} | said.row("grade"))
            if said.value is not None:
                given.setdefault(case.models[0], {})[case.item.id] = said.value
        described.append({"judge": model} | facts | _compared(given))
    write_jsonl(out / GRADES, rows)
    result = {
        "prompts": len({case.item.id for case in cases}),
        "unmatched": unmatched,
        "judges": described,
        "cost": total_cost(one["cost"] for one in described),
    }
    write_json(out / FACTS, result)
    return result


def _compared(given: Given) -> dict[str, Any]:
    """Mean grades of the models, and the differences of every two on the prompts of both.

    The intervals are those of scores in 0..1 (`statistics`), stretched to the grades' range.
    """
    models = {}
    for model, grades in given.items():
        mean = sum(grades.values()) / len(grades)
        ends = mean_interval([_score(grade) for grade in grades.values()])
        low, high = (LOWEST + WIDTH * end for end in ends)
        models[model] = {"mean": mean, "low": low, "high": high, "n": len(grades)}
    differences = []
    for first, second in combinations(given, 2):
        both = [item for item in given[first] if item in given[second]]
        if not both:
            continue
        scores = ([_score(given[model][item]) for item in both] for model in (first, second))
        found = paired_difference(*scores)
        row: dict[str, Any] = {"first": first, "second": second}
        row |= {name: WIDTH * getattr(found, name) for name in ("value", "low", "high")}
        differences.append(row | {"p": found.p, "n": len(both)})
    return {"models": models, "differences": differences}


def _score(grade: float) -> float:
    return (grade - LOWEST) / WIDTH
