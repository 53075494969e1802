"""report.html, made of report.json's content and nothing else."""

from pathlib import Path
from typing import Any

from understudy.pages import page_environment, style
from understudy.pages.words import listed, number
from understudy.report import words
from understudy.report.preference import base_share, parties
from understudy.report.svg import gap_picture, loss_picture
from understudy.report.verdict import side

HERE = Path(__file__).parent
MODELS = ("teacher", "base", "student")


def page(facts: dict[str, Any]) -> str:
    """The page of a run: one file that needs no network and no script."""
    environment = page_environment(HERE)
    environment.globals |= {
        "words": words,
        "order": MODELS,
        "parties": parties,
        "base_share": base_share,
    }
    environment.filters["interval"] = _interval
    headline, colon, rest = facts["verdict"].partition(":")
    return environment.get_template("report.html.jinja").render(
        facts,
        css=style(HERE / "report.css"),
        headline=headline + colon,
        rest=rest,
        gap_picture=gap_picture(
            facts["style_gap_closed"], facts["gap_closed"], facts["change"], facts["preference"]
        ),
        loss_picture=loss_picture(facts["training"]["curve"]),
        ceiling=facts["style"]["distance"].get("teacher_2"),
        directions={name: _direction(found) for name, found in facts["change"].items()},
        reasons=_reasons(facts["gap_closed"]),
        corrected=_corrected(facts["models"]),
    )


def _interval(found: dict[str, Any] | None, kind: str) -> dict[str, str]:
    """A value and its interval as texts: `kind` is "percent", "points" or "plain"."""
    write = {"percent": words.percent, "points": words.points, "plain": _plain}[kind]
    if found is None or found["value"] is None:
        return {"value": "–", "span": ""}
    low, high = found["low"], found["high"]
    between = "no bounds" if low is None else words.span(low, high, write)
    return {"value": write(found["value"]), "span": between}


def _plain(value: float) -> str:
    return number(value, 2)


def _direction(change: dict[str, Any]) -> str:
    return {"above": "rose", "below": "fell", "cannot tell": "not shown"}[side(change, 0)]


def _reasons(gaps: dict[str, Any]) -> dict[str, str]:
    """Why a gap closed has no value or no bounds, and the benchmarks for which that is why."""
    names: dict[str, list[str]] = {}
    for name, found in gaps.items():
        if "reason" in found:
            names.setdefault(found["reason"], []).append(words.benchmark(name))
    return {reason: listed(titles) for reason, titles in names.items()}


def _corrected(models: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Scores by benchmark and model where a corrected metric stands beside the harness's."""
    found: dict[str, dict[str, Any]] = {}
    for who in MODELS:
        for name, entry in models[who]["benchmarks"].items():
            if isinstance(entry.get("corrected"), dict):
                found.setdefault(name, {})[who] = entry["corrected"]
    return found
