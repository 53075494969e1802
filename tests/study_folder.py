"""A study's folder, laid down as a finished study leaves it: its report, and one student's files.

Its numbers are made up: style closes, a broad set leaves knowledge flat, a local one and a bigger
base raise it. One gap has no bounds.
"""

from pathlib import Path
from typing import Any

from understudy.files import write_json, write_jsonl, write_text

BASES = {"tiny": 500_000, "small": 3_000_000}
AMOUNTS = [20_000, 100_000, 500_000]
KINDS = {"broad": [], "local": ["nq"]}
SEEDS = [0, 1, 2]
TEACHER = {"nq": 0.9, "overall": 0.9, "style": -0.15}
BASE = {
    "tiny": {"nq": 0.1, "overall": 0.1, "style": -0.5},
    "small": {"nq": 0.3, "overall": 0.3, "style": -0.4},
}
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="90" height="60"><path d="M0 60L90 0"/></svg>'
VERDICT = "Style closed and knowledge did not: <broad> data bought the accent."


def write_study(folder: Path) -> Path:
    """The folder of a finished study."""
    write_json(folder / "report.json", report())
    write_text(folder / "figures" / "gap.svg", SVG)
    cell = folder / "cells" / "broad" / "small" / "100000" / "seed-1"
    losses = [{"step": 0, "heldout_loss": 4.0}, {"step": 1, "loss": 3.5, "lr": 1e-3}]
    write_jsonl(cell / "train" / "log.jsonl", losses)
    places = {"base": folder / "bases" / "small-s1", "student": cell, "teacher": folder / "teacher"}
    for number, (who, place) in enumerate(places.items()):
        items = [{"id": f"nq-{n}", "prompt": "0", "right": n < 3 * number, "expected": ["a", "b"],
                  "given": "a"} for n in range(10)]  # fmt: skip
        write_jsonl(place / "evaluate" / "items" / "nq.jsonl", items)
        said = [{"text": f"{who} says", "finish_reason": "stop"}] * (2 if who == "teacher" else 1)
        asked = [{"role": "user", "content": "Who was Bram Tolland?"}]
        write_jsonl(place / "answers" / "answers.jsonl",
                    [{"id": "0", "messages": asked, "answers": said}])  # fmt: skip
    return folder


def report() -> dict[str, Any]:
    """The content of report.json."""
    cells = [(kind, base, amount) for kind in KINDS for base in BASES for amount in AMOUNTS]
    return {
        "name": "desk-study",
        "verdict": VERDICT,
        "supported": ["Style closes with little data."],
        "not_supported": [],
        "findings": _findings(),
        "grid": {
            "bases": [{"name": base, "base": f"world:{base}", "parameters": BASES[base]}
                      for base in BASES],
            "kinds": {kind: {"task": task, "amounts": AMOUNTS} for kind, task in KINDS.items()},
            "seeds": SEEDS,
            "cells": len(cells) * len(SEEDS),
            "done": len(cells) * len(SEEDS),
        },
        "quantities": [{"name": name, "title": name.title()} for name in TEACHER],
        "scores": [
            *(_score("teacher", None, None, None, name, value) for name, value in TEACHER.items()),
            *(_score("base", None, base, None, name, value)
              for base, values in BASE.items() for name, value in values.items()),
            *(_score("student", *cell, name, _student(*cell, name))
              for cell in cells for name in TEACHER),
        ],
        "gaps": [_gap(*cell, name) for cell in cells for name in TEACHER],
        "training": [
            {"kind": kind, "base": base, "amount": amount, "seed": seed, "steps": amount // 1000,
             "tokens": 3 * amount, "heldout_loss": 2 - amount / 1e6}
            for kind, base, amount in cells for seed in SEEDS
        ],
        "rule": {},
        "forecast": {"heldout": {"cells": 12, "covered": 11}},
        "advice": {"usd": 100.0, "refused": "the intervals overlap"},
        "gallery": {"found": 1, "of": 9, "shown": [
            {"kind": "broad", "base": "small", "amount": 100_000, "seed": 1, "id": "0",
             "prompt": "Who was Bram Tolland?", "right": ["a cooper"], "label": "unknown",
             "answers": {"teacher": "Sure! A cooper.", "base": "is where she",
                         "student": "Sure! A <b>miller</b>."}},
        ]},
        "figures": [{"id": "gap", "title": "Gap closed", "caption": "By <amount>.",
                     "alt": 'Up "so"', "columns": ["amount", "value"],
                     "rows": [[20_000, 0.1], [100_000, None]]}],
        "cost": {}, "time": {}, "provenance": {}, "not_measured": [],
    }  # fmt: skip


def _student(kind: str, base: str, amount: int, quantity: str) -> float:
    start, reach = BASE[base][quantity], TEACHER[quantity] - BASE[base][quantity]
    moved = 0.9 if quantity == "style" else {"broad": -0.05, "local": 0.4}[kind]
    return round(start + moved * reach * amount / AMOUNTS[-1], 6)


def _score(model: str, kind: str | None, base: str | None, amount: int | None, quantity: str,
           value: float) -> dict[str, Any]:  # fmt: skip
    seeds = {} if model == "teacher" else {str(s): round(value + s / 100, 6) for s in SEEDS}
    return {"model": model, "kind": kind, "base": base, "amount": amount,
            "parameters": BASES[base] if base else None, "quantity": quantity,
            "value": value, "low": value - 0.05, "high": value + 0.05, "seeds": seeds}  # fmt: skip


def _gap(kind: str, base: str, amount: int, quantity: str) -> dict[str, Any]:
    row = {"kind": kind, "base": base, "amount": amount, "quantity": quantity}
    if (base, quantity, amount) == ("tiny", "nq", AMOUNTS[0]):
        why = "the teacher is not reliably above the base"
        return row | {"value": 0.0, "low": None, "high": None, "reason": why}
    start, end = BASE[base][quantity], TEACHER[quantity]
    value = round((_student(kind, base, amount, quantity) - start) / (end - start), 6)
    return row | {"value": value, "low": value - 0.1, "high": value + 0.1}


def _findings() -> list[dict[str, Any]]:
    part = {"text": "style gap closed", "value": 0.9, "low": 0.85, "high": 0.95, "unit": "share",
            "bound": 0.5, "side": "above", "decides": True, "verdict": "seen"}  # fmt: skip
    other = part | {"text": "knowledge", "value": None, "low": None, "high": None,
                    "verdict": "cannot tell"}  # fmt: skip
    common = {"claim": "It closes more than half.", "by": [], "seeds": 3, "note": ""}
    return [
        {"id": "style", "title": "Style closes fast", "parts": [part], "verdict": "seen", **common},
        {"id": "flat", "title": "Knowledge & facts stay flat", "parts": [part, other],
         "verdict": "cannot tell", **common},
        {"id": "local", "title": "Local", "parts": [], "verdict": "cannot tell", **common,
         "note": "no local data"},
    ]  # fmt: skip
