"""report.html, made of report.json's content and nothing else."""

from pathlib import Path
from typing import Any

from understudy.pages import page_environment, style
from understudy.pages.words import number
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
    environment.filters["scored"] = _scored
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
        reasons=words.by_reason(
            (words.benchmark(name), gap) for name, gap in facts["gap_closed"].items()
        ),
        corrected=_corrected(facts["models"]),
    )


def _interval(found: dict[str, Any] | None, kind: str) -> dict[str, str]:
    """A value and its interval as texts: `kind` is "percent", "points" or "plain"."""
    return words.cell(
        found, {"percent": words.percent, "points": words.points, "plain": _plain}[kind]
    )


def _scored(entry: dict[str, Any] | None) -> dict[str, Any] | None:
    """A score as a value with its interval."""
    return entry and {"value": entry["score"], "low": entry["low"], "high": entry["high"]}


def _plain(value: float) -> str:
    return number(value, 2)


def _direction(change: dict[str, Any]) -> str:
    return {"above": "rose", "below": "fell", "cannot tell": "not shown"}[side(change, 0)]


def _corrected(models: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Scores by benchmark and model where a corrected metric stands beside the harness's."""
    found: dict[str, dict[str, Any]] = {}
    for who in MODELS:
        for name, entry in models[who]["benchmarks"].items():
            if isinstance(entry.get("corrected"), dict):
                found.setdefault(name, {})[who] = entry["corrected"]
    return found
