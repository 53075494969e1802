"""What the figures of a study show, as data, and the files that they are written to.

`figures` gives each figure as a table; the page, the files and whoever wants to draw it again need
nothing else. Its columns are GROUP and PANEL (which small picture), LINE (the name), ROLE (how it
is drawn, see `panels`), the quantities on the two axes, and the 95 % interval of the second. A row
without a place on the first axis holds for all of it.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from understudy.files import atomic_write, write_text
from understudy.pages.words import listed
from understudy.study.panels import PLACE, panels_of, picture, write_picture
from understudy.study.table import HALLUCINATION, OVERALL, PREFERRED, STYLE

SPAN = ["low", "high"]
DASHED = "Dashed lines are the bases before imitation"
WHISKERS = "Whiskers are 95 % intervals over items and seeds"
AMOUNT, PARAMETERS, TRAINED = "imitation tokens", "parameters", "tokens trained on"
SCORE, CLOSED, SHARE, LOSS = "score", "gap closed", "share", "held-out loss, nats"

Facts = dict[str, Any]
Row = list[Any]


def figures(facts: Facts) -> list[Facts]:
    """The figures of a study from the content of report.json; those without any data are left out.

    Returns:
        {"id", "title", "caption", "alt", "columns", "rows"} each.
    """
    made = (
        _accent(facts),
        _amount(facts),
        _size(facts),
        _style(facts),
        _judges(facts),
        _hallucination(facts),
        _trained(facts),
        _loss(facts),
        _forecast(facts),
        _forecast_size(facts),
    )
    return [figure for figure in made if figure["rows"]]


def draw(figures: Iterable[Facts], folder: Path) -> None:
    """Write every figure to `folder` as ID.svg, ID.png (for print) and ID.csv (its data)."""
    for figure in figures:
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerows([figure["columns"], *figure["rows"]])
        write_text(folder / f"{figure['id']}.csv", text.getvalue())
        for form in ("svg", "png"):
            with atomic_write(folder / f"{figure['id']}.{form}", "wb") as file:
                write_picture(panels_of(figure), file, form)


def svg(figure: Facts) -> list[Markup]:
    """The panels of a figure for a page, each an inline SVG, in their order."""
    return [
        picture(panel, f"{figure['id']}-{place}") for place, panel in enumerate(panels_of(figure))
    ]


def benchmarks(facts: Facts) -> list[str]:
    """The quantities that have right and wrong answers: what OVERALL is the mean of."""
    others = (OVERALL, STYLE, HALLUCINATION)
    names = [one["name"] for one in facts["quantities"]]
    return [name for name in names if name not in others and not name.startswith(PREFERRED)]


# Each figure


def _amount(facts: Facts) -> Facts:
    rows: list[Row] = []
    for kind in facts["grid"]["kinds"]:
        for name in _shown(facts):
            rows += _by_amount(facts, kind, name, _title(facts, name))
    return _figure(
        "amount",
        "Score against the amount of imitation data",
        f"Every base after imitation, by the tokens it imitated. {DASHED}; the dotted line is the "
        f"teacher. {WHISKERS}.",
        "One line a base",
        [AMOUNT, SCORE, *SPAN],
        rows,
    )


def _size(facts: Facts) -> Facts:
    rows: list[Row] = []
    parameters = _parameters(facts)
    most = {kind: max(of["amounts"]) for kind, of in facts["grid"]["kinds"].items()}
    for name in _shown(facts):
        title = _title(facts, name)
        for kind in most:
            rows += [
                [None, title, kind, "student", parameters[one["base"]], *_span(one)]
                for one in _scores(facts, "student", name, kind)
                if one["amount"] == most[kind]
            ]
        rows += [
            [None, title, "base", "base", parameters[one["base"]], *_span(one)]
            for one in _scores(facts, "base", name)
        ]
        rows += _teacher(facts, None, name, title)
    return _figure(
        "size",
        "Score against the size of the base",
        "Students of the largest amount of each kind of data, beside the bases that they come "
        f"from (dashed) and the teacher (dotted). {WHISKERS}.",
        "One line a kind of data, and one for the bases",
        [PARAMETERS, SCORE, *SPAN],
        rows,
    )


def _style(facts: Facts) -> Facts:
    rows: list[Row] = []
    for kind in facts["grid"]["kinds"]:
        found = [
            [kind, "Style", gap["base"], "student", gap["amount"], *_span(gap)]
            for gap in _gaps(facts, STYLE, kind)
        ]
        if found:
            ends = [("base", "reference", 0.0), ("teacher", "teacher", 1.0)]
            rows += found
            rows += [[kind, "Style", name, role, None, at, None, None] for name, role, at in ends]
    return _figure(
        "style",
        "Style against the amount of imitation data",
        "Share of the gap in style that is closed: at 0 % the student writes like its base, at "
        "100 % it comes as near to the teacher’s answers as the teacher’s own second answers do. "
        f"{WHISKERS}.",
        "One line a base",
        [AMOUNT, CLOSED, *SPAN],
        rows,
    )


def _accent(facts: Facts) -> Facts:
    rows: list[Row] = []
    for kind in facts["grid"]["kinds"]:
        styles = {(gap["base"], gap["amount"]): gap for gap in _gaps(facts, STYLE, kind)}
        for gap in _gaps(facts, OVERALL, kind):
            if style := styles.get((gap["base"], gap["amount"])):
                value, low, high = _span(style)
                at = [kind, "Benchmarks’ gap closed", gap["base"], "point", value, *_span(gap)]
                rows.append([*at, low, high, gap["amount"]])
    return _figure(
        "accent",
        "The accent and the part",
        "Every student by the share of the style gap (across) and of the benchmarks’ gap (up) that "
        "it closed; the larger the mark, the more it imitated. At the lower right are those that "
        f"learnt the accent and not the part. {WHISKERS}.",
        "One mark a student, its shape by base",
        ["style gap closed", "benchmarks’ gap closed", *SPAN, "style low", "style high", AMOUNT],
        rows,
    )


def _judges(facts: Facts) -> Facts:
    rows: list[Row] = []
    names = [one["name"] for one in facts["quantities"] if one["name"].startswith(PREFERRED)]
    for kind in facts["grid"]["kinds"]:
        for base in facts["grid"]["bases"]:
            found = []
            for name in names:
                line = name.removeprefix(PREFERRED)
                found += _lines(facts, kind, name, base["name"], line, base["name"])
            if found:
                even = [kind, base["name"], "as good", "reference", None, 0.5]
                rows += [*found, [*even, None, None]]
    protocols = listed([name.removeprefix(PREFERRED) for name in names] or ["no"])
    return _figure(
        "judges",
        "What judges prefer against the amount of imitation data",
        f"How often {protocols} judges prefer the student to the teacher; at 50 % it is as good "
        f"to them. {DASHED}. {WHISKERS}.",
        "One line a judge’s protocol",
        [AMOUNT, SHARE, *SPAN],
        rows,
    )


def _hallucination(facts: Facts) -> Facts:
    rows: list[Row] = []
    for kind in facts["grid"]["kinds"]:
        rows += _by_amount(facts, kind, HALLUCINATION, _title(facts, HALLUCINATION))
    return _figure(
        "hallucination",
        "Hallucination against the amount of imitation data",
        "Of what the base does not know, the share that is told wrongly and without a doubt. "
        f"{DASHED}. {WHISKERS}.",
        "One line a base",
        [AMOUNT, SHARE, *SPAN],
        rows,
    )


def _trained(facts: Facts) -> Facts:
    score = {
        (one["kind"], one["base"], one["amount"], seed): value
        for one in _scores(facts, "student", OVERALL)
        for seed, value in one["seeds"].items()
    }
    rows: list[Row] = []
    for one in facts["training"]:
        key = (one["kind"], one["base"], one["amount"], str(one["seed"]))
        if key in score:
            at = [one["kind"], "Overall", one["base"], "seed", one["tokens"], score[key]]
            rows.append([*at, None, None, one["amount"], one["seed"]])
    return _figure(
        "trained",
        "Score against the amount of training",
        "Every student of every seed by the tokens that it was trained on, repetitions counted: "
        "the amount of training goes up with the amount of data, and either may be behind a "
        "change in score.",
        "One mark a student and seed",
        [TRAINED, SCORE, *SPAN, AMOUNT, "seed"],
        rows,
    )


def _loss(facts: Facts) -> Facts:
    rows: list[Row] = []
    for one in facts["training"]:
        if one["heldout_loss"] is not None:
            at = [one["kind"], "Held-out loss", one["base"], "seed", one["tokens"]]
            rows.append([*at, one["heldout_loss"], None, None, one["amount"], one["seed"]])
    return _figure(
        "loss",
        "Held-out loss against the amount of training",
        "How well every student of every seed predicts the teacher’s answers that were held out, "
        "in nats a supervised token. That it falls is imitation at work; whether knowledge comes "
        "with it is what the scores say.",
        "One mark a student and seed",
        [TRAINED, LOSS, *SPAN, AMOUNT, "seed"],
        rows,
    )


def _forecast(facts: Facts) -> Facts:
    rows: list[Row] = []
    for kind in facts["grid"]["kinds"]:
        for base in facts["grid"]["bases"]:
            measured = _scores(facts, "student", OVERALL, kind, base["name"])
            rows += _foretold(facts, kind, f"Overall, {base['name']}", measured, "amount")
    return _figure(
        "forecast",
        "Forecast: more imitation data",
        "What a new student would score, with the 90 % interval of one run; dashed beyond what was "
        "measured. Marks are the students that were measured, with their 95 % intervals.",
        "One panel a base",
        [AMOUNT, SCORE, *SPAN],
        rows,
    )


def _forecast_size(facts: Facts) -> Facts:
    rows: list[Row] = []
    for kind, of in facts["grid"]["kinds"].items():
        most = max(of["amounts"])
        students = _scores(facts, "student", OVERALL, kind)
        measured = [one for one in students if one["amount"] == most]
        rows += _foretold(facts, kind, "Overall", measured, "parameters", most)
    return _figure(
        "forecast-size",
        "Forecast: a bigger base",
        "What a new student of the largest amount of data would score on a base of another size, "
        "with the 90 % interval of one run; dashed beyond what was measured. Marks are the "
        "students that were measured, with their 95 % intervals.",
        "One panel a kind of data",
        [PARAMETERS, SCORE, *SPAN],
        rows,
    )


def _foretold(
    facts: Facts,
    kind: str,
    panel: str,
    measured: list[Facts],
    along: str,
    amount: int | None = None,
) -> list[Row]:
    """A forecast along "amount" or "parameters", and the students that it is made from.

    Args:
        facts: the report's.
        kind: of data.
        panel: its title.
        measured: rows of "scores"; those along an amount are of one base.
        along: the column of the first axis.
        amount: where a forecast along parameters stays; None: anywhere.
    """
    if not measured:
        return []
    base = measured[0]["base"]
    foretold = sorted(
        (
            one
            for one in facts["forecast"]["predictions"]
            if (one["kind"], one["quantity"]) == (kind, OVERALL)
            and (one["amount"] == amount if along == "parameters" else one["base"] == base)
        ),
        key=lambda one: one[along],
    )
    if not foretold:
        return []
    within = [one for one in foretold if not one["beyond"]]
    beyond = within[-1:] + [one for one in foretold if one["beyond"] and one not in within]
    lines = [("forecast", "fit", within), ("forecast", "beyond", beyond)]
    lines.append(("measured", "measured", measured))
    return [
        [kind, panel, line, role, one[along], *_span(one)]
        for line, role, some in lines
        for one in some
    ]


# What they have in common


def _figure(
    id: str, title: str, caption: str, told: str, measured: Sequence[str], rows: list[Row]
) -> Facts:
    """A figure as data; `told` begins its description for who does not see it."""
    panels = list(dict.fromkeys(f"{row[1]}, {row[0]}" if row[0] else row[1] for row in rows))
    alt = f"{title}. {told}; panels: {'; '.join(panels)}."
    columns = [*PLACE, *measured]
    return {
        "id": id,
        "title": title,
        "caption": caption,
        "alt": alt,
        "columns": columns,
        "rows": rows,
    }


def _by_amount(facts: Facts, kind: str, name: str, title: str) -> list[Row]:
    """Students of a kind by amount, a line for each base, with the bases' and teacher's own."""
    rows: list[Row] = []
    for base in facts["grid"]["bases"]:
        rows += _lines(facts, kind, name, base["name"], base["name"], title)
    return [*rows, *_teacher(facts, kind, name, title)] if rows else []


def _lines(facts: Facts, kind: str, name: str, base: str, line: str, panel: str) -> list[Row]:
    """One base's students by amount, and the base itself, under one name."""
    rows: list[Row] = [
        [kind, panel, line, "student", one["amount"], *_span(one)]
        for one in _scores(facts, "student", name, kind, base)
    ]
    if rows:
        own = _scores(facts, "base", name, base=base)
        rows += [[kind, panel, line, "base", None, *_span(one)] for one in own]
    return rows


def _teacher(facts: Facts, kind: str | None, name: str, title: str) -> list[Row]:
    found = _scores(facts, "teacher", name)
    return [[kind, title, "teacher", "teacher", None, *_span(one)] for one in found]


def _shown(facts: Facts) -> list[str]:
    """OVERALL and what it is the mean of; the one benchmark alone where there is one."""
    names = benchmarks(facts)
    return names if len(names) == 1 else [OVERALL, *names]


def _scores(
    facts: Facts, model: str, name: str, kind: str | None = None, base: str | None = None
) -> list[Facts]:
    """The rows of a quantity that have a value; kind and base None: any."""
    return [
        one
        for one in facts["scores"]
        if (one["model"], one["quantity"]) == (model, name)
        and (kind is None or one["kind"] == kind)
        and (base is None or one["base"] == base)
        and one["value"] is not None
    ]


def _gaps(facts: Facts, name: str, kind: str) -> list[Facts]:
    return [
        one
        for one in facts["gaps"]
        if (one["quantity"], one["kind"]) == (name, kind) and one["value"] is not None
    ]


def _span(one: Facts) -> list[float | None]:
    return [one["value"], one["low"], one["high"]]


def _title(facts: Facts, name: str) -> str:
    titles = {one["name"]: one["title"] for one in facts["quantities"]}
    return str(titles.get(name, name))


def _parameters(facts: Facts) -> dict[str, float]:
    return {base["name"]: base["parameters"] for base in facts["grid"]["bases"]}
