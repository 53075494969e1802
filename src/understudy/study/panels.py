"""Draws the panels of figures with matplotlib: narrow, readable in grey, the same bytes each time.

A line is told by its mark and its name at its end as well as by its colour (Okabe & Ito 2008,
"Color Universal Design"). A teacher far above all else is drawn at the top, over a broken axis.
"""

import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any, NamedTuple

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from understudy.pages.drawing import ticks
from understudy.pages.words import number, percent, shortened

PLACE = ["group", "panel", "line", "role"]  # a figure's first columns
WIDE, HIGH = 360, 248  # points of a panel, which are pixels on a page
LEFT, RIGHT, TOP, BOTTOM = 48, 102, 36, 44  # points around its plane
PNG_DPI = 220
LONGEST = 13  # characters of a line's name: more would leave the panel
BROKEN = 1.0  # the teacher is that many times the others' reach above them: the axis is broken
FLAT = 0.05  # what an upward axis spans at least
CLIP = (-1.0, 2.0)  # of gaps closed; a ratio may be anything
INK, SOFT, PALE = "#1d2329", "#555f69", "#d9dee3"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#a3558a", "#8a6d00", "#3b87b5")
DASHES = (0, (5, 3))
MARKS = ("o", "s", "^", "D", "v", "P")
LOOK: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same everywhere
    "font.size": 10.5,
    "text.color": INK,
    "axes.edgecolor": SOFT,
    "axes.linewidth": 0.8,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "text.parse_math": False,  # a name may have dollars in it
    "svg.fonttype": "none",
    "svg.hashsalt": "understudy",
}
LOSSES = "nats"  # what is in these is no share
COUNTS = ("tokens", "parameters")  # what is counted in these is on a log scale

Row = dict[str, Any]


@dataclass(frozen=True)
class Panel:
    """One small picture.

    Attributes:
        title: above it.
        column, columns: its place among panels side by side.
        across, up: names of the columns of rows that its axes show.
        rows: what it shows. Roles: "student" (a line with marks and whiskers), "base" (dashed),
            "teacher", "reference" (dotted, all across), "seed" (a small mark), "point" (whiskers
            both ways), "fit" (a line with a band), "beyond" (the same, dashed), "measured" (marks
            with whiskers).
        alike: the rows of all panels that share its scale.
        lines: names of the figure's lines, in the order of their colours.
    """

    title: str
    column: int
    columns: int
    across: str
    up: str
    rows: Sequence[Row]
    alike: Sequence[Row]
    lines: Sequence[str]

    @property
    def colours(self) -> dict[str, str]:
        return {line: COLOURS[place % len(COLOURS)] for place, line in enumerate(self.lines)}

    @property
    def marks(self) -> dict[str, str]:
        return {line: MARKS[place % len(MARKS)] for place, line in enumerate(self.lines)}

    def value(self, value: float) -> str:
        """A value on the upward axis in words, without its unit."""
        return number(value, 2) if LOSSES in self.up else number(100 * value, 1)

    def told(self) -> str:
        """What it shows, in words: every line's values from left to right."""
        unit = "" if LOSSES in self.up else " %"
        lines: dict[str, list[str]] = {}
        for row in self.rows:
            name = row["line"] if row["role"] != "base" else f"{row['line']} before imitation"
            lines.setdefault(name, []).append(self.value(row[self.up]))
        said = (f"{name}: {', '.join(values)}{unit}" for name, values in lines.items())
        return "; ".join(said)


def panels_of(figure: Mapping[str, Any]) -> list[Panel]:
    """The panels of a figure, which is as `figures.figures` gives it."""
    columns = figure["columns"]
    rows = [dict(zip(columns, row, strict=True)) for row in figure["rows"]]
    across, up = columns[len(PLACE) : len(PLACE) + 2]
    keys = dict.fromkeys((row["group"], row["panel"]) for row in rows)
    groups = len({group for group, _ in keys})
    lines = list(dict.fromkeys(row["line"] for row in rows))
    return [
        Panel(
            title=name if group is None else f"{name}, {group}",
            column=list(dict.fromkeys(group for group, _ in keys)).index(group),
            columns=groups,
            across=across,
            up=up,
            rows=[row for row in rows if (row["group"], row["panel"]) == (group, name)],
            alike=[row for row in rows if row["panel"] == name],
            lines=lines,
        )
        for group, name in keys
    ]


def picture(panel: Panel, id: str) -> Markup:
    """A panel as an SVG to put into a page; every id in it begins with `id`."""
    file = io.BytesIO()
    write_picture([replace(panel, column=0, columns=1)], file, "svg")
    drawn = file.getvalue().decode()
    inner = drawn[drawn.index(">", drawn.index("<svg")) + 1 : drawn.rindex("</svg>")]
    inner = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", inner, flags=re.S)
    inner = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{id}-", inner)
    return Markup(
        '<svg class="panel" role="img" aria-labelledby="{0}-title {0}-desc" viewBox="0 0 {1} {2}">'
        '<title id="{0}-title">{3}</title><desc id="{0}-desc">{4}</desc>{5}</svg>'
    ).format(id, WIDE, HIGH, escape(panel.title), panel.told(), Markup(inner))


def write_picture(panels: Sequence[Panel], file: IO[bytes], form: str) -> None:
    """Write panels into one picture, `form` "svg" or "png": a column for each group of them."""
    columns = max(panel.columns for panel in panels)
    columns = columns if columns > 1 else min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    wide, high = WIDE * columns, HIGH * rows
    with matplotlib.rc_context(LOOK):
        figure = Figure(figsize=(wide / 72, high / 72), dpi=72)
        FigureCanvasAgg(figure)
        filled = [0] * columns
        for place, panel in enumerate(panels):
            column = panel.column if panel.columns > 1 else place % columns
            left, top = column * WIDE + LEFT, filled[column] * HIGH + TOP
            filled[column] += 1
            plane = (WIDE - LEFT - RIGHT, HIGH - TOP - BOTTOM)
            bottom = high - top - plane[1]
            axes = figure.add_axes((left / wide, bottom / high, plane[0] / wide, plane[1] / high))
            _draw(axes, panel)
        metadata = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
        figure.savefig(file, format=form, dpi=PNG_DPI if form == "png" else 72, metadata=metadata)


def _draw(axes: Axes, panel: Panel) -> None:
    axes.set_title(
        panel.title, loc="left", x=-LEFT / (WIDE - LEFT - RIGHT) + 0.02, pad=12,
        fontsize=12, fontweight="bold",
    )  # fmt: skip
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=3, labelsize=10.5)
    axes.grid(axis="y", color=PALE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_xlabel(panel.across, color=SOFT, labelpad=5)
    broken = _upward(axes, panel)
    _across(axes, panel)
    names: list[_Name] = []
    for line in dict.fromkeys(row["line"] for row in panel.rows):
        names += _line(axes, panel, line, broken)
    _write_names(axes, names)


# The axes


def _upward(axes: Axes, panel: Panel) -> float | None:
    """Set the upward axis; returns where the teacher is drawn if it is broken."""
    others = [end for row in panel.alike if row["role"] != "teacher" for end in _ends(panel, row)]
    teachers = [row[panel.up] for row in panel.alike if row["role"] == "teacher"]
    if any(row["role"] == "point" for row in panel.alike):
        others += [0.0, 1.0]  # the base and the teacher
    least, most = min(others), max(others)
    if most - least < FLAT:
        least, most = (least - FLAT, most) if most > 1 - FLAT else (least, most + FLAT)
    breaks = bool(teachers) and max(teachers) - most > BROKEN * (most - least)
    if not breaks:
        least, most = min([least, *teachers]), max([most, *teachers])
    scale = 1 if LOSSES in panel.up else 100
    known = ticks(scale * least, scale * most)
    places = [place / scale for place in known if least <= place / scale <= most]
    room = 0.06 * (most - least)
    axes.set_ylim(least - room, most + (4 if breaks else 1) * room)
    write = (lambda y: number(y, 1)) if scale == 1 else (lambda y: f"{percent(y)} %")
    axes.set_yticks(places, [write(place) for place in places])
    if not breaks:
        return None
    for place in (most + 1.6 * room, most + 2.2 * room):  # the two strokes of a broken axis
        axes.plot(
            [-0.03, 0.03], [place - 0.4 * room, place + 0.4 * room],
            transform=axes.get_yaxis_transform(), color=SOFT, linewidth=1, clip_on=False,
        )  # fmt: skip
    return float(most + 3.4 * room)


def _ends(panel: Panel, row: Row) -> list[float]:
    ends = [row[name] for name in (panel.up, "low", "high") if row.get(name) is not None]
    if LOSSES in panel.up:
        return ends
    low, high = CLIP if "gap" in panel.up else (0.0, 1.0)
    return [min(max(end, low), high) for end in ends]


def _across(axes: Axes, panel: Panel) -> None:
    known = sorted({row[panel.across] for row in panel.alike if row[panel.across] is not None})
    if any(unit in panel.across for unit in COUNTS):
        axes.set_xscale("log")
        axes.set_xlim(known[0] / 1.35, known[-1] * 1.35)
        chosen = _apart(known)
        axes.set_xticks(chosen, [_short(count) for count in chosen], minor=False)
        axes.set_xticks([], minor=True)
        return
    ends = [min(max(end, CLIP[0]), CLIP[1]) for end in (*known, 0.0, 1.0)]
    places = [place / 100 for place in ticks(100 * min(ends), 100 * max(ends))]
    axes.set_xlim(places[0], places[-1] + 0.04)
    axes.set_xticks(places, [f"{percent(place)} %" for place in places])
    for end in (0, 1):
        axes.axvline(end, color=SOFT, linewidth=0.8, linestyle=":")
        axes.axhline(end, color=SOFT, linewidth=0.8, linestyle=":")
    for height, words in ((1, "the accent and the part"), (0, "the accent alone")):
        axes.annotate(
            words, (1, height), xytext=(-5, -12 if height else 22), textcoords="offset points",
            ha="right", color=SOFT, fontstyle="italic", fontsize=9.5,
        )  # fmt: skip


def _apart(known: Sequence[float]) -> list[float]:
    """Some of the places on a log scale, so far from one another that their labels do not touch."""
    wide = math.log(known[-1] / known[0]) or 1.0
    chosen = [known[-1]]
    for place in reversed(known):
        if math.log(chosen[-1] / place) > 0.17 * wide:
            chosen.append(place)
    return chosen


def _short(count: float) -> str:
    """A count in few characters: 20k, 1.5M, 7B."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return f"{count:.3g}"


# The lines


class _Name(NamedTuple):
    """The name of a line: where it belongs on the upward axis, and how it looks."""

    place: float
    text: str
    colour: str = INK
    mark: str = ""


def _line(axes: Axes, panel: Panel, line: str, broken: float | None) -> list[_Name]:
    """Draw one line's rows; returns its name, or none for what the caption explains."""
    colour, mark = panel.colours[line], panel.marks[line]
    rows = [row for row in panel.rows if row["line"] == line]
    names = []
    for role in dict.fromkeys(row["role"] for row in rows):
        chosen = [row for row in rows if row["role"] == role]
        x = [row[panel.across] for row in chosen]
        y = [row[panel.up] for row in chosen]
        name = _Name(_clipped(y[-1]) if role == "point" else y[-1], line, colour, mark)
        if role in ("teacher", "reference"):
            at = y[0] if broken is None or role == "reference" else broken
            axes.axhline(at, color=INK, linewidth=1.2, linestyle=":", zorder=2)
            names.append(_Name(at, line if broken is None else f"{line} {percent(y[0])} %"))
        elif role == "base" and x[0] is None:
            axes.axhline(y[0], color=colour, linewidth=1.2, linestyle=DASHES, zorder=2)
        elif role in ("student", "base"):
            own: dict[str, Any] = {
                "base": {"color": INK, "linestyle": DASHES, "markerfacecolor": "white"}
            }
            look: dict[str, Any] = {"color": colour, "linewidth": 1.6, "markersize": 5}
            look |= own.get(role, {})
            shifted = [place * _aside(panel, line) for place in x]
            axes.plot(shifted, y, marker=mark, zorder=3, **look)
            _whiskers(axes, shifted, chosen, look["color"])
            names.append(name._replace(colour=look["color"]))
        elif role == "seed":
            axes.plot(x, y, linestyle="", marker=mark, markersize=4.5, alpha=0.8, color=colour)
            names.append(name)
        elif role == "point":
            _points(axes, panel, chosen, colour, mark)
            names.append(name)
        elif role in ("fit", "beyond"):
            axes.plot(x, y, color=colour, linestyle=DASHES if role == "beyond" else "-", zorder=3)
            low, high = ([row[end] for row in chosen] for end in ("low", "high"))
            axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
            names = [name._replace(mark="")]
        elif role == "measured":
            axes.plot(x, y, linestyle="", marker=mark, markersize=5, color=colour, zorder=4)
            _whiskers(axes, x, chosen, colour)
            names.append(name)
    return names


def _aside(panel: Panel, line: str) -> float:
    """A factor that moves a line's marks off those of others at the same place."""
    placed = [row for row in panel.rows if row[panel.across] is not None]
    own = list(dict.fromkeys(row["line"] for row in placed))
    return float(1.035 ** (own.index(line) - (len(own) - 1) / 2))


def _whiskers(axes: Axes, x: Sequence[float], rows: Sequence[Row], colour: str) -> None:
    for place, row in zip(x, rows, strict=True):
        if row["low"] is not None:
            axes.vlines(place, row["low"], row["high"], color=colour, linewidth=1, zorder=2)


def _points(axes: Axes, panel: Panel, rows: Sequence[Row], colour: str, mark: str) -> None:
    """Marks with whiskers both ways, larger for more imitation data."""
    amounts = sorted({row["imitation tokens"] for row in panel.alike})
    for row in rows:
        x, y = _clipped(row[panel.across]), _clipped(row[panel.up])
        if row["low"] is not None:
            axes.vlines(x, row["low"], row["high"], color=colour, linewidth=0.7, alpha=0.45)
        if row["style low"] is not None:
            axes.hlines(y, row["style low"], row["style high"], color=colour, linewidth=0.7,
                        alpha=0.45)  # fmt: skip
        size = 3 + 4 * (amounts.index(row["imitation tokens"]) + 1) / len(amounts)
        axes.plot(x, y, marker=mark, markersize=size, color=colour, markeredgecolor="white",
                  alpha=0.8, linestyle="", zorder=4)  # fmt: skip


def _clipped(share: float) -> float:
    return min(max(share, CLIP[0]), CLIP[1])


def _write_names(axes: Axes, names: Sequence[_Name]) -> None:
    """Write names at the right, each beside its line or as near to it as the others leave room."""
    bottom, top = axes.get_ylim()
    line = (top - bottom) * 14 / (HIGH - TOP - BOTTOM)
    ordered = sorted(names)
    places = spread([name.place for name in ordered], line)
    over, under = places[-1] - top, bottom - places[0]
    places = [place - max(0.0, over) + max(0.0, under) for place in places]
    for name, place in zip(ordered, places, strict=True):
        at: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        axes.annotate(
            shortened(name.text, LONGEST), (1, place), xytext=(18 if name.mark else 8, 0),
            va="center", color=name.colour, annotation_clip=False, **at,
        )  # fmt: skip
        if name.mark:
            axes.plot(1 + 11 / (WIDE - LEFT - RIGHT), place, marker=name.mark, markersize=5,
                      color=name.colour, transform=axes.get_yaxis_transform(),
                      clip_on=False)  # fmt: skip


def spread(places: Sequence[float], least: float) -> list[float]:
    """Rising places moved apart to at least `least`: those that touch are centred together."""
    blocks: list[tuple[float, int]] = []  # the middle of so many
    for place in places:
        middle, count = place, 1
        while blocks and middle - blocks[-1][0] < least * (count + blocks[-1][1]) / 2:
            other, more = blocks.pop()
            middle = (middle * count + other * more) / (count + more)
            count += more
        blocks.append((middle, count))
    return [
        middle + least * (index - (count - 1) / 2)
        for middle, count in blocks
        for index in range(count)
    ]
