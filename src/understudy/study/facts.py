"""Gathers what a study measured into the content of report.json, of which the page is made.

What measures time or speed sits under "time" alone: a study that was interrupted agrees with one
that was not in everything else.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from understudy.files import read_json
from understudy.manifest import MANIFEST, facts_of
from understudy.pages.tidy import tidy
from understudy.pages.words import listed, number
from understudy.report.words import PROTOCOLS, benchmark
from understudy.statistics import Array, interval
from understudy.study.advice import Costs, advice
from understudy.study.figures import figures
from understudy.study.findings import findings
from understudy.study.forecast import forecast
from understudy.study.gap import gaps
from understudy.study.grid import Cell, cells
from understudy.study.rule import FILE as RULE
from understudy.study.table import HALLUCINATION, OVERALL, PREFERRED, STYLE, Table, Values
from understudy.study.verdict import supported, verdict
from understudy.teacher.client import total_cost

PARTS = ("data", "teacher", "pilots", "bases", "cells")  # of a study's folder, with stages in them
TITLES = {OVERALL: "Overall", STYLE: "Style", HALLUCINATION: "Hallucination"}
CARD = ("read", "kept", "dropped", "train", "heldout", "teachers", "licences", "terms", "mix",
        "contamination", "digest")  # fmt: skip


def gather(table: Table, folder: Path, gallery: dict[str, Any], costs: Costs) -> dict[str, Any]:
    """The content of report.json.

    Scores, gaps and shares are in 0..1, style is minus a distance, losses are nats a supervised
    token, costs US dollars (None where a price is unknown), times seconds.

    Args:
        table: what was measured.
        folder: the study's.
        gallery: answers that are right in style alone.
        costs: what data and training cost.

    Raises:
        UserError: a file of the study is missing or malformed.
    """
    settings = table.settings
    manifests = _manifests(folder)
    found, closed = findings(table), gaps(table)
    yes, no = supported(found)
    data = _data(table, folder)
    facts: dict[str, Any] = tidy(
        {
            "name": settings.name,
            "verdict": verdict(found, closed),
            "supported": yes,
            "not_supported": no,
            "findings": found,
            "grid": _grid(table),
            "quantities": [{"name": name, "title": title(name)} for name in table.quantities],
            "scores": scores_of(table),
            "gaps": closed,
            "training": training_of(table),
            "rule": read_json(folder / RULE),
            "forecast": forecast(table),
            "advice": advice(table, costs),
            "gallery": gallery,
            "data": data,
            "cost": _cost(manifests),
            "not_measured": _not_measured(table, data),
            "provenance": _provenance(table, manifests),
            "time": _time(manifests),
        }
    )
    return facts | {"figures": figures(facts)}


def costs_of(table: Table, folder: Path) -> Costs:
    """What imitation data and training cost in a study.

    A token's price is what collecting a kind's data cost over the tokens of its set. Where hours
    cost nothing, no speed is looked up: it would differ between two starts of one study.

    Raises:
        UserError: a file of the study is missing or malformed.
    """
    settings = table.settings
    chosen = read_json(folder / RULE)["chosen"]
    hardware = settings.hardware
    flops = hardware.flops or (
        _measured_flops(table, folder) if hardware.usd_per_hour else math.inf
    )
    return Costs(
        usd_per_token={kind: _token_price(folder / "data" / kind) for kind in settings.kinds},
        flops=flops,
        usd_per_hour=hardware.usd_per_hour,
        epochs={
            kind: chosen[kind].get("epochs", settings.recipe.train.epochs)
            for kind in settings.kinds
        },
    )


def _token_price(data: Path) -> float | None:
    """US dollars a token of an imitation set; None where nobody was asked, or at no known price."""
    collected = data / "collect"
    asked = (collected / MANIFEST).exists()
    usd = facts_of(collected)["cost"]["usd"] if asked else None
    held = read_json(data / "curate" / "card.json")["mix"][-1]["held"]
    return usd / held if usd is not None and held else None


def _measured_flops(table: Table, folder: Path) -> float:
    """Operations a second that trainings sustained, in the median: 6 a parameter and token."""
    rates = []
    for cell in table.students:
        speed = facts_of(folder / cell.folder / "train")["time"]
        rates.append(6 * table.parameters[cell.base] * speed["tokens_per_s"])
    return median(rates) if rates else math.inf


def title(quantity: str) -> str:
    """What people call a quantity."""
    if quantity.startswith(PREFERRED):
        protocol = quantity.removeprefix(PREFERRED)
        return f"Preferred by {PROTOCOLS.get(protocol, protocol).lower()} judge"
    return TITLES.get(quantity) or benchmark(quantity)


# What was measured


def _grid(table: Table) -> dict[str, Any]:
    settings = table.settings
    return {
        "bases": [
            {"name": base.name, "base": base.base, "parameters": table.parameters[base.name]}
            for base in settings.bases
        ],
        "kinds": {
            name: {"task": kind.task, "amounts": settings.amounts_of(name)}
            for name, kind in settings.kinds.items()
        },
        "seeds": settings.seeds,
        "cells": len(cells(settings)),
        "done": len(table.students),
    }


def scores_of(table: Table) -> list[dict[str, Any]]:
    """Every quantity of the teacher, the bases and the students, with its interval."""
    settings = table.settings
    rows = [
        _row("teacher", None, None, None, None, quantity, rows, {})
        for quantity, rows in table.teacher.items()
    ]
    for base in settings.base_names:
        bases = {seed: table.bases.get((base, seed), {}) for seed in settings.seeds}
        size = table.parameters[base]
        for quantity in table.quantities:
            drawn = table.base(base, quantity)
            rows.append(_row("base", None, base, None, size, quantity, drawn, bases))
    for kind in settings.kinds:
        for base in settings.base_names:
            for amount in settings.amounts_of(kind):
                seeds = table.seeds_of(kind, base, amount)
                students = {s: table.students[Cell(kind, base, amount, s)] for s in seeds}
                size = table.parameters[base]
                for quantity in table.quantities:
                    drawn = table.student(kind, base, amount, quantity)
                    place = (kind, base, amount, size, quantity)
                    rows.append(_row("student", *place, drawn, students))
    return [row for row in rows if row is not None]


def _row(
    model: str,
    kind: str | None,
    base: str | None,
    amount: int | None,
    parameters: int | None,
    quantity: str,
    drawn: Array | None,
    models: Mapping[int, Values],
) -> dict[str, Any] | None:
    """A row of "scores"; `models` by seed. None for what has not been measured on any."""
    if drawn is None:
        return None
    place = {"model": model, "kind": kind, "base": base, "amount": amount}
    seeds = {
        str(seed): interval(values[quantity])["value"]
        for seed, values in models.items()
        if quantity in values
    }
    size = {"parameters": parameters, "quantity": quantity}
    return place | size | interval(drawn) | {"seeds": seeds}


def training_of(table: Table) -> list[dict[str, Any]]:
    """How much every student was trained, in the order of the grid."""
    settings = table.settings
    ordered = [
        Cell(kind, base, amount, seed)
        for kind in settings.kinds
        for base in settings.base_names
        for amount in settings.amounts_of(kind)
        for seed in table.seeds_of(kind, base, amount)
    ]
    return [
        {"kind": cell.kind, "base": cell.base, "amount": cell.amount, "seed": cell.seed}
        | table.training[cell]
        for cell in ordered
    ]


# Data, cost, provenance, time


def _data(table: Table, folder: Path) -> dict[str, Any]:
    """What is known of every kind's imitation set."""
    cards = {
        kind: read_json(folder / "data" / kind / "curate" / "card.json")
        for kind in table.settings.kinds
    }
    return {kind: {name: card.get(name) for name in CARD} for kind, card in cards.items()}


def _manifests(folder: Path) -> dict[str, dict[str, Any]]:
    """The manifests of all finished stages, by their folder in the study's."""
    return {
        path.parent.relative_to(folder).as_posix(): read_json(path)
        for part in PARTS
        for path in sorted((folder / part).rglob(MANIFEST))
    }


def _work(place: str) -> str:
    """What a stage's folder is work on: "collect broad", "bases", "pilots", "students: judge"."""
    part, second, *_ = place.split("/")
    last = place.rpartition("/")[2]
    return {"data": f"{last} {second}", "cells": f"students: {last}"}.get(part, part)


def _cost(manifests: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Calls, tokens and US dollars by what they were for."""
    paid: dict[str, list[dict[str, Any]]] = {}
    for place, manifest in manifests.items():
        if cost := manifest["facts"].get("cost"):
            paid.setdefault(_work(place), []).append(cost)
    by_work = {work: total_cost(costs) for work, costs in paid.items()}
    return total_cost(by_work.values()) | {"by_work": by_work}


def _time(manifests: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Seconds of every stage's last start, summed by what they were for, all workers together."""
    wall: dict[str, float] = {}
    for place, manifest in manifests.items():
        work = _work(place)
        wall[work] = wall.get(work, 0.0) + manifest["wall_s"]
    return {
        "wall_s": {work: round(seconds, 3) for work, seconds in wall.items()},
        "total_s": round(sum(wall.values()), 3),
    }


def _provenance(table: Table, manifests: dict[str, dict[str, Any]]) -> dict[str, Any]:
    recipe = table.settings.recipe
    assert recipe.teacher is not None  # a study has one
    versions = next(iter(manifests.values()))["versions"] if manifests else {}
    return {
        "teacher": recipe.teacher.model,
        "judges": [{"model": one.model, "protocol": one.protocol} for one in recipe.judges],
        "seed": recipe.seed,
        "versions": versions,
    }


# What was not measured


def _not_measured(table: Table, data: dict[str, Any]) -> list[str]:
    """Sentences, the weightiest first: the reader must not have to guess it."""
    settings = table.settings
    recipe = settings.recipe
    missing = len(cells(settings)) - len(table.students)
    left_out = [name for name in recipe.evaluate.benchmarks if name not in table.benchmarks]
    found = []
    if missing:
        found.append(f"{missing} of the {len(cells(settings))} students: they are not finished.")
    if left_out:
        names = listed([benchmark(name) for name in left_out])
        found.append(f"{names}: not measured on every model, or without right and wrong.")
    if len(settings.seeds) == 1:
        found.append(
            "Chance in training: with a single seed the intervals cover items and prompts, not "
            "what another seed would give."
        )
    if recipe.judges:
        found.append("People’s preference: judging LLMs compared the answers, and nobody else did.")
    else:
        found.append("Preference: neither people nor a judging LLM compared the answers.")
    if HALLUCINATION not in table.quantities:
        found.append("Hallucination: what the bases know was not probed.")
    if recipe.evaluate.limit:
        found.append(f"Items beyond the first {recipe.evaluate.limit} of each benchmark.")
    return [
        *found,
        "Other teachers, other ways of training, and amounts and bases outside the grid, but for "
        "what the forecast says of them.",
        _leakage(data, recipe.curate.contamination.action),
        "Safety, bias, longer conversations, and any skill that no benchmark above asks for.",
    ]


def _leakage(data: dict[str, Any], action: str) -> str:
    """How far the benchmarks' items were looked for in what the models learnt from."""
    found = []
    for kind, card in data.items():
        if card["contamination"] is None:
            found.append(f"{kind} data were not searched, either")
            continue
        touched = [
            f"{number(one['items'])} of {number(one['of'])} of {benchmark(name)}"
            for name, one in card["contamination"].items()
            if one["items"]
        ]
        done = ", the dialogues that held them dropped" if action == "drop" else ""
        held = f"items found: {listed(touched)}{done}" if touched else "no item found"
        found.append(f"in {kind} data, {held}")
    return (
        "Leakage: what the bases were pretrained on was not searched for the benchmarks’ items. "
        f"The imitation sets: {'; '.join(found)}."
    )
