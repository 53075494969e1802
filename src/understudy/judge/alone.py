"""The judge stage by itself, without a recipe."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from understudy.judge.cases import cost_words, pairs, singles
from understudy.judge.grades import grade
from understudy.judge.judges import check_judges
from understudy.judge.prompts import GRADE
from understudy.judge.sets import read_models
from understudy.judge.stage import gathered, judge
from understudy.recipe import BudgetSettings, JudgeSettings
from understudy.teacher.client import Account, teacher_of


def judge_alone(
    models: Sequence[str],
    prompts: Path | None,
    references: Path | None,
    limit: int | None,
    baseline: str | None,
    judges: Sequence[JudgeSettings],
    graded: bool,
    budget: BudgetSettings,
    ledger: str | None,
    out: Path,
    seed: int,
    agreed: Callable[[str], None],
) -> dict[str, Any]:
    """Compare models' answers, or grade them; see `judge` and `grade`.

    Args:
        models: see `read_models`.
        prompts, references, limit: see `gathered`.
        baseline: see `pairs`; not for grades.
        judges: who is asked; each at an address of its own.
        graded: whether single answers are graded, instead of two compared.
        budget: what all judges together may cost.
        ledger: file or address; None: `out`/ledger.sqlite.
        out: folder, which one process at a time may work in.
        seed: of what is drawn.
        agreed: is told what it will cost, and raises to stop.
    """
    check_judges(judges)
    rows = read_models(models)
    items, unmatched = gathered(rows, prompts, references, limit, seed)
    cases = singles(items) if graded else pairs(items, list(rows), baseline)
    place, name = ledger or out / "ledger.sqlite", out.absolute().name

    def account_of(settings: JudgeSettings) -> Account:
        return Account(teacher_of(settings), place, name, budget)

    asked = [(one, GRADE if graded else one.protocol) for one in judges]
    agreed(cost_words(cases, asked, account_of))
    if graded:
        return grade(cases, judges, account_of, out, unmatched)
    return judge(cases, judges, account_of, out, seed, unmatched)
