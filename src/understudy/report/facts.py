"""Gathers what the stages of a run left, and computes what only the report can: paired changes.

`gather` gives the content of report.json, of which the page is made and nothing else. What measures
time or speed sits under "time" alone: two runs of one recipe agree in everything else.
"""

import random
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from understudy.errors import UserError
from understudy.files import read_json, read_jsonl
from understudy.manifest import MANIFEST
from understudy.pages.tidy import tidy
from understudy.recipe import Recipe
from understudy.report.limits import not_measured
from understudy.report.preference import preference
from understudy.report.verdict import claims, verdict
from understudy.statistics import (
    Array,
    Interval,
    explained,
    gap_closed,
    lower_on,
    paired_difference,
    score_draws,
    stochastically_lower,
)
from understudy.teacher.client import total_cost

STYLE = ("n", "measures", "distance", "ceiling", "notes")
CARD = ("read", "kept", "dropped", "trimmed", "train", "heldout", "teachers", "licences", "terms")
PAID = ("collect", "evaluate teacher", "answers teacher", "judge")  # the stages that ask somebody
CURVE = 200  # points of the loss curve, about
NOT_ASKED = "the teacher was not asked"


def gather(run: Path, recipe: Recipe, seed: int) -> dict[str, Any]:
    """The content of report.json.

    Scores, gaps and changes are shares in 0..1 (perplexities aside), losses nats a supervised
    token, cost US dollars (None where a price is unknown), times seconds.

    Raises:
        UserError: a stage is not finished, a file of its is malformed, or the models were not
            asked the same items.
    """
    manifests = _manifests(run, recipe)
    scores = {
        who: read_json(run / "evaluate" / who / "scores.json")
        for who in ("base", "student", "teacher")
        if f"evaluate {who}" in manifests
    }
    style = read_json(run / "style" / "style.json")
    change, gaps = _compare(run, recipe, scores, seed)
    preferred = preference(run, recipe, seed)
    missing = [
        name for name in _asked(scores) if name not in change and not _is_rating(scores, name)
    ]
    card = read_json(run / "curate" / "card.json")
    facts = {
        "verdict": verdict(style["gap_closed"], change, gaps, missing, preferred),
        "claims": claims(style["gap_closed"], change, gaps, preferred),
        "gap_closed": gaps,
        "change": change,
        "perplexity": _perplexities(run, scores),
        "style_gap_closed": style["gap_closed"],
        "style": {name: style[name] for name in STYLE},
        "preference": preferred,
        "models": _models(recipe, scores),
        "samples": _samples(run, recipe.report.samples, seed),
        "training": _training(run, recipe, manifests["train"]["facts"]),
        "data": _data(card),
        "cost": _cost(manifests),
        "not_measured": not_measured(recipe, scores, style["notes"], preferred),
        "provenance": _provenance(recipe, manifests, card),
        "time": _time(manifests),
    }
    tidied: dict[str, Any] = tidy(facts)
    return tidied


def _manifests(run: Path, recipe: Recipe) -> dict[str, dict[str, Any]]:
    """The manifests of the recipe's stages, by the stage's name."""
    models = ("base", "student", "teacher")
    stages = ["collect"] if recipe.collect else []
    stages += ["curate", "train"]
    stages += [f"evaluate {who}" for who in models if who != "teacher" or recipe.teacher]
    stages += [*(f"answers {who}" for who in models), "style"]
    stages += ["judge"] if recipe.judges else []
    found = {}
    for stage in ["world", *stages]:
        path = run / stage.replace(" ", "/") / MANIFEST
        if path.exists():
            found[stage] = read_json(path)
        elif stage != "world":  # a run that does without the world has no such stage
            raise UserError(f"{path.parent}: {stage} is not finished; run the recipe to its end")
    return found


# Benchmarks


def _compare(
    run: Path, recipe: Recipe, scores: dict[str, Any], seed: int
) -> tuple[dict[str, Interval], dict[str, Any]]:
    """Change and gap closed on every benchmark that base and student were measured on."""
    both = [
        name
        for name in scores["base"]["benchmarks"]
        if name in scores["student"]["benchmarks"] and not _is_rating(scores, name)
    ]
    change: dict[str, Interval] = {}
    gaps: dict[str, Any] = {}
    for name in both:
        who = [model for model in scores if name in scores[model]["benchmarks"]]
        right, groups = _right(run, who, name)
        clustered = scores["base"]["benchmarks"][name].get("clustered")
        draws = score_draws(right, seed, groups if clustered else None)
        change[name] = change_together(draws[:, 1] - draws[:, 0], len(both))
        gaps[name] = _gap(draws, recipe, scores.get("teacher", {}), name)
    return change, gaps


def _asked(scores: dict[str, Any]) -> list[str]:
    """The benchmarks that any model was put to or should have been."""
    every = [[*content["benchmarks"], *content["not_measured"]] for content in scores.values()]
    return list(dict.fromkeys(name for names in every for name in names))


def _is_rating(scores: dict[str, Any], name: str) -> bool:
    """Whether a benchmark rates texts, without right and wrong."""
    return any(
        content["benchmarks"].get(name, {}).get("lower_is_better") for content in scores.values()
    )


def change_together(rows: Array, family: int) -> Interval:
    """A change with an interval that holds at 95 % together with those of `family` benchmarks.

    Bonferroni: each one's own level is 1 − 0.05 / family, whatever the dependence between them.
    So the verdict names a rise or a fall where there is none in at most one run of twenty.
    """
    tail = 100 * 0.05 / family / 2
    return _bounded([rows[0], *np.percentile(rows[1:], [tail, 100 - tail])])


def _gap(draws: Array, recipe: Recipe, teacher: dict[str, Any], name: str) -> dict[str, Any]:
    """Gap closed on one benchmark, with the reason where there is no value or are no bounds."""
    if draws.shape[1] < 3:
        why = teacher.get("not_measured", {}).get(name)
        reason = f"the teacher was not measured: {why}" if why else NOT_ASKED
        return {"value": None, "low": None, "high": None, "reason": reason}
    return explained(gap_closed(*draws.T))


def _perplexities(run: Path, scores: dict[str, Any]) -> dict[str, Any]:
    """How the perplexities of right answers changed, by benchmark; less is better.

    Each with `change` (student − base, of the means), `lower` (the share of items on which the
    student's is the lower one, a tie being half) and `stochastically_lower` ("student", "base" or
    None).
    """
    base, student = (scores[who]["benchmarks"] for who in ("base", "student"))
    found = {}
    for name, score in base.items():
        if score.get("kind") != "perplexity" or name not in student:
            continue
        (before, after), _ = _right(run, ["base", "student"], name, "value")
        shares = (np.array(values) / score["highest"] for values in (before, after))
        change = score["highest"] * np.array(paired_difference(*shares)[:3])
        lower = {
            "student": stochastically_lower(before, after),
            "base": stochastically_lower(after, before),
        }
        found[name] = {
            "change": _bounded(change),
            "lower": _bounded(lower_on(before, after)),
            "stochastically_lower": next((who for who, holds in lower.items() if holds), None),
        }
    return found


def _bounded(values: Iterable[float]) -> Interval:
    """A value and the bounds of its interval."""
    named = zip(("value", "low", "high"), values, strict=True)
    return {name: round(float(value), 6) for name, value in named}


def _right(
    run: Path, who: list[str], name: str, metric: str = "right"
) -> tuple[list[list[float]], list[str]]:
    """For each model each item's metric, in one order of items; and the items' groups."""
    items = {
        model: read_items(run / "evaluate" / model / "items" / f"{name}.jsonl", metric)
        for model in who
    }
    first, *others = items
    for other in others:
        pairs = zip_longest(items[first], items[other])
        for number, (one, two) in enumerate(pairs, start=1):
            if not (one and two and one[0] == two[0]):
                raise UserError(
                    f"{run / 'evaluate' / other / 'items' / f'{name}.jsonl'}, item {number}: "
                    f"{two[0] if two else 'missing'!r} where {first} has "
                    f"{one[0] if one else 'none'!r}; evaluate both on the same items"
                )
    right = [[right for _, right, _ in rows] for rows in items.values()]
    return right, [group for _, _, group in items[first]]


def read_items(path: Path, metric: str = "right") -> list[tuple[str, float, str]]:
    """Id, metric (how right: 0 to 1) and group of each item that a model was scored on, in order.

    One without a group is a group of its own.

    Raises:
        UserError: the file is missing, empty or malformed; names the line.
    """
    found = []
    for line, row in read_jsonl(path):
        known = isinstance(row, dict) and "id" in row
        if not (known and isinstance(row.get(metric), bool | int | float)):
            raise UserError(f"{path}, line {line}: no id or no {metric}; evaluate the model again")
        id = str(row["id"])
        found.append((id, row[metric], str(row.get("group", id))))
    if not found:
        raise UserError(f"{path}: holds no items; evaluate the model again")
    return found


def _models(recipe: Recipe, scores: dict[str, Any]) -> dict[str, Any]:
    """Names, scores and what was not measured; names from the recipe, as paths differ by run."""
    teacher = recipe.teacher.model if recipe.teacher else "recorded answers"
    names = {"teacher": teacher, "base": recipe.base, "student": f"{recipe.name} student"}
    unasked = {
        "benchmarks": {},
        "not_measured": dict.fromkeys(_asked(scores), NOT_ASKED),
    }
    found = {}
    for who, name in names.items():
        content = scores.get(who, unasked)
        parts = ("prompting", "benchmarks", "not_measured")
        found[who] = {"name": name} | {part: content[part] for part in parts if part in content}
    return found


# Answers, training, data


def _samples(run: Path, count: int, seed: int) -> list[dict[str, str]]:
    """Prompts with every model's first answer: drawn by the seed, in the file's order."""
    folder = run / "answers"
    rows = {
        who: {str(row["id"]): row for _, row in read_jsonl(folder / who / "answers.jsonl")}
        for who in ("teacher", "base", "student")
    }
    ids = list(rows["teacher"])
    drawn = sorted(random.Random(seed).sample(range(len(ids)), min(count, len(ids))))
    return [
        {"id": ids[index], "prompt": _prompt(rows["teacher"][ids[index]]["messages"])}
        | {who: rows[who][ids[index]]["answers"][0]["text"] for who in rows}
        for index in drawn
    ]


def _prompt(messages: list[dict[str, str]]) -> str:
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in messages)


def _training(run: Path, recipe: Recipe, facts: dict[str, Any]) -> dict[str, Any]:
    log = [row for _, row in read_jsonl(run / "train" / "log.jsonl")]
    every = -(-len(log) // CURVE)
    curve = [
        {name: row[name] for name in ("step", "loss", "heldout_loss") if name in row}
        for index, row in enumerate(log)
        if index % every == 0 or "heldout_loss" in row or index == len(log) - 1
    ]
    settings = recipe.train.model_dump(exclude={"checkpoint_every_s"}, exclude_none=True)
    counts = {name: value for name, value in facts.items() if name != "time"}
    return counts | {"settings": settings, "curve": curve}


def _data(card: dict[str, Any]) -> dict[str, Any]:
    # A source may be a path into the run's folder, which differs between runs of one recipe.
    sources = [source | {"file": Path(source["file"]).name} for source in card["sources"]]
    return {name: card[name] for name in CARD} | {"sources": sources}


# Cost, provenance, time


def _cost(manifests: dict[str, Any]) -> dict[str, Any]:
    """Calls of teacher and judges, tokens and US dollars, over the stages that paid for them."""
    stages = {
        stage: manifests[stage]["facts"]["cost"]
        for stage in PAID
        if "cost" in manifests.get(stage, {}).get("facts", {})
    }
    return total_cost(stages.values()) | {"by_stage": stages}


def _provenance(recipe: Recipe, manifests: dict[str, Any], card: dict[str, Any]) -> dict[str, Any]:
    teacher = recipe.teacher
    trained, base = manifests["train"]["inputs"], manifests["evaluate base"]["inputs"]
    digests = {
        "imitation_set": card["digest"],
        "train": trained.get("train"),
        "heldout": trained.get("heldout"),
        "base": trained.get("base"),
        "benchmarks": base.get("data"),
        "prompts": manifests["answers base"]["inputs"].get("prompts"),
    }
    return {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "base": recipe.base,
        "teacher": {"model": teacher.model, "url": _address(teacher.base_url)} if teacher else None,
        "digests": {name: value for name, value in digests.items() if value},
        "versions": manifests["train"]["versions"],
    }


def _address(url: str) -> str:
    """A teacher's address without user, password and query, where a secret may stand."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" if host else url


def _time(manifests: dict[str, Any]) -> dict[str, Any]:
    """Seconds of every stage's last start, and the training's speed."""
    wall = {stage: manifest["wall_s"] for stage, manifest in manifests.items()}
    training = manifests["train"]["facts"].get("time", {})
    return {"wall_s": wall, "total_s": round(sum(wall.values()), 3), "training": training}
