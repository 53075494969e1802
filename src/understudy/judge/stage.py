"""The judge stage: models' answers to the same prompts in, preferences and what they say out."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from understudy.files import write_json, write_jsonl
from understudy.judge.asking import Judgement
from understudy.judge.cases import AccountOf, Case, hear, pairs
from understudy.judge.judges import check_judges, own_model
from understudy.judge.match import Item, Unmatched, match
from understudy.judge.sets import Row, read_rows
from understudy.preferences import FILE, Preference, Shown, write_preferences
from understudy.preferences.summary import summarise
from understudy.recipe import JudgeSettings
from understudy.teacher.client import total_cost

JUDGEMENTS, FACTS = "judgements.jsonl", "judge.json"
AS_NAMED: Mapping[str, str] = MappingProxyType({})


def judge_run(
    answers: Mapping[str, Path],
    judges: Sequence[JudgeSettings],
    account_of: AccountOf,
    out: Path,
    seed: int,
    called: Mapping[str, str],
) -> dict[str, Any]:
    """Compare the models of a run; see `judge`.

    Args:
        answers: an answers.jsonl by model; the first answer to each prompt is judged.
        judges, account_of, out, seed, called: as for `judge`.
    """
    rows = {model: read_rows(path) for model, path in answers.items()}
    items, unmatched = match(next(iter(rows.values())), [], rows)
    cases = pairs(items, list(answers))
    return judge(cases, judges, account_of, out, seed, unmatched, called)


def gathered(
    answers: Mapping[str, Sequence[Row]],
    prompts: Path | None,
    references: Path | None,
    limit: int | None,
    seed: int,
) -> tuple[list[Item], Unmatched]:
    """Prompts with what belongs to them; see `match`.

    Args:
        answers: rows by model.
        prompts: the prompt set; None: the prompts in the first model's rows.
        references: right answers; None: those in the prompt set, if any.
        limit: how many prompts to draw of those that every model has answered; None takes all.
        seed: of the draw. A larger limit draws the same prompts and more.
    """
    asked = read_rows(prompts) if prompts else next(iter(answers.values()))
    items, unmatched = match(asked, read_rows(references) if references else [], answers)
    if limit is None:
        return items, unmatched
    whole = [place for place, item in enumerate(items) if item.answers.keys() == answers.keys()]
    random.Random(seed).shuffle(whole)
    return [items[place] for place in sorted(whole[:limit])], unmatched


def judge(
    cases: Sequence[Case],
    judges: Sequence[JudgeSettings],
    account_of: AccountOf,
    out: Path,
    seed: int,
    unmatched: Unmatched,
    called: Mapping[str, str] = AS_NAMED,
) -> dict[str, Any]:
    """Have judges compare answers; writes judgements.jsonl, preferences.jsonl and judge.json.

    A row of `out/judgements.jsonl` is what one judge said of one case: {"item", "first", "second",
    "judge", "protocol", "key" (of the ledger), "reply", "verdict" (A is the first), "share" (how
    far the second is preferred), "weighted", "repair", "failure"}, and of a judge that scores
    "scores" (the first's, the second's), which then are the verdict, too. `out/preferences.jsonl`
    has the same as Preference rows, in the same order. `out/judge.json` has what they say.

    Args:
        cases: see `pairs`.
        judges: who judges, each under a name and protocol of its own.
        account_of: the account that a judge is asked on.
        out: folder.
        seed: of the intervals that are drawn.
        unmatched: see `match`.
        called: what models are called elsewhere ({"teacher": "gpt-4"}), which tells whether one is
            a judge's own; a model that is not named there is called as it is here.

    Returns:
        The content of judge.json: "prompts", "unmatched", "judges" [{"judge", "protocol", and see
        `hear`}], "cost" and "preferences" (see `summarise`).

    Raises:
        UserError: see `check_judges` and `hear`.
    """
    check_judges(judges)
    rows: list[dict[str, Any]] = []
    preferences: list[Preference] = []
    described = []
    for settings in judges:
        found, facts = hear(cases, settings, account_of(settings), settings.protocol)
        name = {"judge": settings.model, "protocol": settings.protocol}
        described.append(name | facts)
        for case, one in zip(cases, found, strict=True):
            rows.append(case.named() | name | one.row("share"))
            preferences.append(_preference(case, settings, one))
    models = dict.fromkeys(model for case in cases for model in case.models)
    own = {one.model: own_model(one.model, models, called) for one in judges}
    write_jsonl(out / JUDGEMENTS, rows)
    write_preferences(out / FILE, preferences)
    result = {
        "prompts": len({case.item.id for case in cases}),
        "unmatched": unmatched,
        "judges": described,
        "cost": total_cost(one["cost"] for one in described),
        "preferences": summarise(preferences, seed, own),
    }
    write_json(out / FACTS, result)
    return result


def _preference(case: Case, settings: JudgeSettings, said: Judgement) -> Preference:
    first, second = (Shown(model=name, text=case.item.answers[name]) for name in case.models)
    return Preference(
        item=case.item.id,
        first=first,
        second=second,
        share=said.value,
        rater=settings.model,
        protocol=settings.protocol,
        scores=said.scores,
    )
