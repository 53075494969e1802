"""Reads what a study left into a `Table` of draws: benchmarks, style, preferences, knowledge."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from understudy.errors import UserError
from understudy.files import read_json
from understudy.manifest import MANIFEST, facts_of
from understudy.preferences import FILE as PREFERENCES
from understudy.preferences import read_preferences
from understudy.progress import progress
from understudy.recipe import JudgeSettings
from understudy.report.facts import read_items
from understudy.statistics import Array, resamples, score_draws
from understudy.study.grid import Cell, cells
from understudy.study.job import Job
from understudy.study.knowledge import hallucinations
from understudy.study.settings import parameters_of
from understudy.study.table import HALLUCINATION, OVERALL, PREFERRED, STYLE, Table, Values
from understudy.style.distance import measures, style_distance
from understudy.style.profile import Profile, profile
from understudy.style.stage import read_texts

TEACHER, AGAIN = "teacher", "teacher again"
ANSWERS = Path("answers", "answers.jsonl")

Model = str | tuple[str, int] | Cell  # TEACHER, a base by name and seed, or a student


def read_table(job: Job) -> Table:
    """The draws of a study, of all students or of those that are finished.

    Raises:
        UserError: a file is missing or malformed, or models were not asked the same.
    """
    settings, seed = job.settings, job.settings.recipe.seed
    folders = _folders(job)
    benchmarks = _benchmarks(folders)
    values: dict[Model, Values] = {model: {} for model in folders}
    for number, name in enumerate(benchmarks):
        _put(values, name, _benchmark_draws(name, folders, seed + number))
    _put(
        values,
        OVERALL,
        {model: np.mean([*drawn.values()], axis=0) for model, drawn in values.items()},
    )
    ids, texts = _answers(folders)
    weights = resamples(len(ids), seed)
    _put(values, STYLE, _style_draws(texts, weights))
    for name, preferred in _preferences(job, folders, ids).items():
        drawn = {model: _mean_of_known(shares, weights) for model, shares in preferred.items()}
        _put(values, PREFERRED + name, drawn | {TEACHER: np.full(len(weights), 0.5)})
    _put(values, HALLUCINATION, _hallucination_draws(job, folders, ids, weights))
    students = [model for model in folders if isinstance(model, Cell)]
    return Table(
        settings=settings,
        benchmarks=benchmarks,
        parameters={base.name: round(parameters_of(base)) for base in settings.bases},
        teacher=values[TEACHER],
        bases={model: drawn for model, drawn in values.items() if isinstance(model, tuple)},
        students={cell: values[cell] for cell in students},
        training={cell: _trained(job.out / cell.folder / "train") for cell in students},
        seed=seed,
    )


def _folders(job: Job) -> dict[Model, Path]:
    """The folder of every model that is measured to the end, a student's base included."""
    last = "judge" if job.settings.recipe.judges else "style"
    folders: dict[Model, Path] = {TEACHER: job.teacher_folder}
    for key, folder in job.bases.items():
        if (folder / "probe" / MANIFEST).exists():
            folders[key] = folder
    for cell in cells(job.settings):
        finished = (job.out / cell.folder / last / MANIFEST).exists()
        if finished and (cell.base, cell.seed) in folders:
            folders[cell] = job.out / cell.folder
    return folders


def _put(values: dict[Model, Values], quantity: str, drawn: Mapping[Model, Array]) -> None:
    """Enter what was measured; what could not be is nan, and left out."""
    for model, rows in drawn.items():
        if not np.isnan(rows[0]):
            values[model][quantity] = rows


def _trained(folder: Path) -> dict[str, Any]:
    facts = facts_of(folder)
    return {name: facts[name] for name in ("steps", "tokens", "heldout_loss")}


# Benchmarks


def _benchmarks(folders: Mapping[Model, Path]) -> list[str]:
    """Those with right and wrong that all models were measured on."""
    scores = [
        read_json(folder / "evaluate" / "scores.json")["benchmarks"] for folder in folders.values()
    ]
    return [
        name
        for name, score in scores[0].items()
        if not score.get("lower_is_better") and all(name in other for other in scores)
    ]


def _benchmark_draws(name: str, folders: Mapping[Model, Path], seed: int) -> dict[Model, Array]:
    """Every model's score on one benchmark, drawn over items or over whole groups."""
    items = {
        model: read_items(folder / "evaluate" / "items" / f"{name}.jsonl")
        for model, folder in folders.items()
    }
    asked = [id for id, _, _ in items[TEACHER]]
    for model, rows in items.items():
        if [id for id, _, _ in rows] != asked:
            path = folders[model] / "evaluate" / "items" / f"{name}.jsonl"
            raise UserError(f"{path}: not the teacher's items; remove the folder and start again")
    score = read_json(folders[TEACHER] / "evaluate" / "scores.json")["benchmarks"][name]
    groups = [group for _, _, group in items[TEACHER]] if score.get("clustered") else asked
    right = [[right for _, right, _ in rows] for rows in items.values()]
    return dict(zip(items, score_draws(right, seed, groups).T, strict=True))


# Answers: style, preferences, knowledge


def _answers(folders: Mapping[Model, Path]) -> tuple[list[str], dict[Model, list[str]]]:
    """Ids of the prompts, and every model's first answers in their order; AGAIN: the second."""
    rows = {model: read_texts(folder / ANSWERS) for model, folder in folders.items()}
    ids = list(rows[TEACHER])
    texts: dict[Model, list[str]] = {}
    for model, found in rows.items():
        if found.keys() != rows[TEACHER].keys():
            path = folders[model] / ANSWERS
            raise UserError(f"{path}: not the teacher's prompts; remove the folder and start again")
        texts[model] = [found[id][0] for id in ids]
    texts[AGAIN] = [rows[TEACHER][id][1] for id in ids]
    return ids, texts


def _style_draws(texts: Mapping[Model, Sequence[str]], weights: Array) -> dict[Model, Array]:
    """Minus the distance to the teacher's first answers; its own is that of its second ones."""
    profiles: dict[Model, list[Profile]] = {}
    with progress("style", len(texts)) as task:
        for model, given in texts.items():
            profiles[model] = [profile(text) for text in given]
            task.advance()
    first = profiles.pop(TEACHER)
    values, reference = measures(profiles, first, weights)
    drawn = {model: -style_distance(found, reference) for model, found in values.items()}
    return drawn | {TEACHER: drawn.pop(AGAIN)}


def _preferences(
    job: Job, folders: Mapping[Model, Path], ids: Sequence[str]
) -> dict[str, dict[Model, Array]]:
    """By judge, how far each model is preferred to the teacher on each prompt; nan: not judged."""
    names = judge_names(job.settings.recipe.judges)
    places = {id: place for place, id in enumerate(ids)}
    shares: dict[str, dict[Model, Array]] = {name: {} for name in names.values()}
    for model, folder in folders.items():
        if model == TEACHER or not names:
            continue
        said: dict[str, list[list[float]]] = defaultdict(lambda: [[] for _ in ids])
        for one in read_preferences(folder / "judge" / PREFERENCES):
            share = one.share_of("teacher")
            if share is not None:
                said[names[one.rater, one.protocol]][places[one.item]].append(1 - share)
        for name, by_prompt in said.items():
            shares[name][model] = np.array([np.mean(s) if s else np.nan for s in by_prompt])
    return shares


def judge_names(judges: Sequence[JudgeSettings]) -> dict[tuple[str, str], str]:
    """What each judge is called, by its model and protocol: its protocol, if no other has that."""
    alike = Counter(judge.protocol for judge in judges)
    return {
        (judge.model, judge.protocol): judge.protocol
        if alike[judge.protocol] == 1
        else f"{judge.protocol} {judge.model}"
        for judge in judges
    }


def _hallucination_draws(
    job: Job, folders: Mapping[Model, Path], ids: Sequence[str], weights: Array
) -> dict[Model, Array]:
    """Of the prompts for what the base does not know, the share that is told wrongly and surely."""
    drawn: dict[Model, Array] = {}
    for model, folder in folders.items():
        if isinstance(model, str):  # the teacher
            continue
        base = (model.base, model.seed) if isinstance(model, Cell) else model
        knowledge = job.bases[base] / "probe" / "knowledge.jsonl"
        told = hallucinations(folder / ANSWERS, knowledge, ids)
        drawn[model] = _mean_of_known(told, weights)
    return drawn


def _mean_of_known(values: Array, weights: Array) -> Array:
    """Weighted means, row by row, of the values that are not nan; nan where a row has none."""
    known = ~np.isnan(values)
    total = weights[:, known].sum(axis=1)
    drawn: Array = np.divide(
        weights[:, known] @ values[known], total, out=np.full(len(weights), np.nan), where=total > 0
    )
    return drawn
