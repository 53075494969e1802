"""report.html of a study, made of report.json's content and nothing else."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from understudy import report
from understudy.pages import page_environment, style
from understudy.pages.drawing import mark, picture
from understudy.pages.words import listed, number, percent
from understudy.report.words import by_reason, cell, points, span
from understudy.study.figures import benchmarks, svg
from understudy.study.panels import panels_of
from understudy.study.table import OVERALL, STYLE

HERE = Path(__file__).parent
SIGNS = {"seen": "✓", "not seen": "✗", "cannot tell": "?"}
KNOWS = {"known": "knows", "maybe": "may know", "unknown": "does not know"}
WHOLE = "tokens", "parameters", "seed"  # in columns of these stand counts
FIGURE = re.compile(r",? [(−+\d]")  # where a figure begins in a clause
ROOM = 0.04  # of a finding's axis, at either end

Facts = dict[str, Any]


def page(facts: Facts) -> str:
    """The page of a study: one file that needs no network and no script."""
    environment = page_environment(HERE)
    titles = _titles(facts)
    environment.filters |= {
        "percent": percent,
        "points": points,
        "listed": listed,
        "effect": _effect,
        "bound": _bound,
        "cell": _cell,
        "titled": lambda name: titles.get(name, name),
    }
    css = style(Path(report.__file__).parent / "report.css", HERE / "study.css")
    return environment.get_template("study.html.jinja").render(
        facts,
        css=css,
        headline=_headline(facts["verdict"]),
        signs=SIGNS,
        knows=KNOWS,
        forests=[_forests(number, finding) for number, finding in enumerate(facts["findings"])],
        drawn=[_drawn(figure) for figure in facts["figures"]],
        gap_tables=[_gaps(facts, kind) for kind in facts["grid"]["kinds"]],
        reasons=by_reason(
            (titles.get(gap["quantity"], gap["quantity"]), gap) for gap in facts["gaps"]
        ),
        score_tables=_scores(facts),
        benchmarks=benchmarks(facts),
        foretold=_foretold(facts),
    )


# Numbers


def _effect(found: Facts, unit: str) -> str:
    """A value with its interval and unit: "93 % (85–100)", "+2.1 points (0.4–3.9)"."""
    value, low, high = (found[name] for name in ("value", "low", "high"))
    if value is None:
        return "undefined"
    write = percent if unit == "share" else points
    said = f"{percent(value)} %" if unit == "share" else f"{points(value, sign=True)} points"
    return f"{said} ({'no bounds' if low is None else span(low, high, write)})"


def _bound(part: Facts) -> str:
    share = part["unit"] == "share"
    at = f"{percent(part['bound'])} %" if share else f"{points(part['bound'])} points"
    return f"{part['side']} {at}"


def _cell(found: Facts | None, plain: bool = False) -> dict[str, str]:
    return cell(found, _plain if plain else points)


def _plain(value: float) -> str:
    return number(value, 3)


# Findings


def _forests(finding: int, found: Facts) -> list[Markup]:
    """For each part of a finding its interval beside the bound, all on one axis."""
    parts = [part for part in found["parts"] if part["value"] is not None]
    ends = [part[name] for part in parts for name in ("value", "low", "high", "bound")]
    known = [max(-1.0, min(2.0, end)) for end in ends if end is not None]
    low, high = min([0.0, *known]), max([0.0, *known])
    room = ROOM * (high - low) or 1.0
    axis = (low - room, high + room)
    return [
        _forest(f"finding-{finding}-{place}", part, *axis) if part in parts else Markup()
        for place, part in enumerate(found["parts"])
    ]


def _forest(id: str, part: Facts, low: float, high: float) -> Markup:
    def x(share: float) -> float:
        return 100 * (min(max(share, low), high) - low) / (high - low)

    bound = x(part["bound"])
    anchor = "start" if bound < 20 else "end" if bound > 80 else "middle"
    drawn = [
        Markup(
            '<line class="grid" x1="0" x2="100%" y1="12" y2="12"/>'
            '<line class="bound" x1="{0:.2f}%" x2="{0:.2f}%" y1="2" y2="22"/>'
            '<text class="tick" x="{0:.2f}%" y="36" text-anchor="{1}">stated: {2}</text>'
        ).format(bound, anchor, _bound(part))
    ]
    if part["low"] is not None:
        drawn.append(
            Markup('<line class="whisker" x1="{:.2f}%" x2="{:.2f}%" y1="12" y2="12"/>').format(
                x(part["low"]), x(part["high"])
            )
        )
    known = "known" if part["low"] is not None else "unbounded"
    shape = "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0 -12 0z"
    drawn.append(mark(f"benchmark mark {known}", x(part["value"]), 12, shape))
    told = f"{_effect(part, part['unit'])}; stated {_bound(part)}: {part['verdict']}"
    return picture(id, 40, part["text"], told, drawn)


# Figures


def _drawn(figure: Facts) -> Facts:
    """A figure's panels as SVG, each with its column, and its data as texts."""
    panels = panels_of(figure)
    columns = panels[0].columns
    alone = columns == 1
    wide = min(2, len(panels)) if alone else min(columns, 3)
    places = [place % wide if alone else panel.column % wide for place, panel in enumerate(panels)]
    return {
        "panels": list(zip(places, svg(figure), strict=True)),
        "columns": wide,
        "rows": [
            [_datum(name, cell) for name, cell in zip(figure["columns"], row, strict=True)]
            for row in figure["rows"]
        ],
    }


def _datum(column: str, cell: Any) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, str):
        return cell
    if any(word in column for word in WHOLE):
        return number(cell)
    return number(cell, 3)


# Tables


def _titles(facts: Facts) -> dict[str, str]:
    """What quantities are called, the one over all benchmarks first."""
    titles = {one["name"]: one["title"] for one in facts["quantities"]}
    return {OVERALL: titles[OVERALL]} | titles


def _headline(verdict: str) -> str:
    """What the verdict says of accent and part, its first two clauses, without their figures."""
    clauses = verdict.rstrip(".").split("; ")[:2]
    return "; ".join(FIGURE.split(clause)[0] for clause in clauses)


def _gaps(facts: Facts, kind: str) -> Facts:
    """Gap closed by the students of a kind: a row a student, a column a quantity."""
    titles = _titles(facts)
    found = [gap for gap in facts["gaps"] if gap["kind"] == kind]
    asked = {gap["quantity"] for gap in found}
    columns = [name for name in titles if name in asked]
    rows: dict[tuple[str, int], dict[str, Facts]] = {}
    for gap in found:
        rows.setdefault((gap["base"], gap["amount"]), {})[gap["quantity"]] = gap
    return {
        "kind": kind,
        "columns": [titles[name] for name in columns],
        "rows": [
            {
                "head": base,
                "note": f"{amount:,} tokens",
                "first": place == 0 or [*rows][place - 1][0] != base,
                "cells": [_cell(by.get(name)) for name in columns],
            }
            for place, ((base, amount), by) in enumerate(rows.items())
        ],
    }


def _scores(facts: Facts) -> list[Facts]:
    """Scores of teacher and bases, and of the students of each kind."""
    titles = _titles(facts)
    groups: dict[str, dict[tuple[str, str], dict[str, Facts]]] = {}
    for one in facts["scores"]:
        if one["model"] == "student":
            group = f"Students of {one['kind']} data"
            head = (one["base"], f"{one['amount']:,} tokens")
        elif one["model"] == "base":
            group, head = "Teacher and bases", (one["base"], f"{one['parameters']:,} parameters")
        else:
            group, head = "Teacher and bases", ("teacher", facts["provenance"]["teacher"])
        groups.setdefault(group, {}).setdefault(head, {})[one["quantity"]] = one
    return [
        {
            "title": group,
            "columns": [*titles.values()],
            "rows": [
                {
                    "head": head,
                    "note": note,
                    "first": place == 0 or _heads(rows)[place - 1] != head,
                    "cells": [_cell(by.get(name), name == STYLE) for name in titles],
                }
                for place, ((head, note), by) in enumerate(rows.items())
            ],
        }
        for group, rows in groups.items()
    ]


def _foretold(facts: Facts) -> list[Facts]:
    """Overall scores forecast beyond the measured; on bases not tried, for most data alone."""
    most = {kind: max(of["amounts"]) for kind, of in facts["grid"]["kinds"].items()}
    return [
        one | {"cell": _cell(one)}
        for one in facts["forecast"]["predictions"]
        if one["quantity"] == OVERALL and one["beyond"]
        if one["base"] is not None or one["amount"] == most[one["kind"]]
    ]


def _heads(rows: dict[tuple[str, str], Any]) -> Sequence[str]:
    return [head for head, _ in rows]
