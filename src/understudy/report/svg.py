"""The report's two pictures. Kind is told by the mark's shape as well as by its colour."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from understudy.pages.drawing import mark, picture, ticks
from understudy.pages.words import number, percent
from understudy.report.preference import base_share, parties
from understudy.report.words import benchmark, closed, points, rater, span
from understudy.statistics import Interval

CLIP = (-1.0, 2.0)  # gap closed beyond which an arrow stands for the rest
ROOM = (-0.25, 1.5)  # gap closed that is always in the picture
ROW, TOP = 58, 30  # pixels
TITLE, BETWEEN, BELOW = 24, 26, 14  # pixels: a block's title, before it, and for the base's label
LEFT, WIDE = 8.0, 90.0  # percent of the width: where the loss curve's plane lies
PLANE, ABOVE = 190, 14  # pixels
SHAPES = {
    "style": "M-7 0L0 -7L7 0L0 7z",
    "preference": "M-6 -6H6V6H-6z",
    "benchmark": "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0 -12 0z",
}
SMALL_RING = "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z"


class _Row(NamedTuple):
    """One thing measured: where it lies on the axis, and in words; the base too, if it is apart."""

    kind: str
    title: str
    found: Interval
    words: str
    base: tuple[float, str] | None = None


class _Block(NamedTuple):
    """Rows below one line of labels."""

    title: str
    label: Callable[[float], str | None]
    rows: Sequence[_Row]


def gap_picture(
    style: Interval,
    gaps: dict[str, Any],
    change: dict[str, Interval],
    preference: dict[str, Any] | None = None,
) -> Markup:
    """Style and every benchmark on one axis from the base (0 %) to the teacher (100 %).

    How often the student is preferred to the teacher, where anybody said so, stands between them
    on a scale of its own. Its 50 %, as good as the teacher, lies below the others' 100 %.
    """
    styled = [_style_row(style)]
    tested = [_benchmark_row(name, gaps[name], change[name]) for name in gaps]
    if preferred := _preferred_rows(preference):
        blocks = [
            _Block("Style: share of the gap closed", _gap_label, styled),
            _Block("Student preferred to teacher: share of pairs", _share_label, preferred),
            _Block("Benchmarks: share of the gap closed", _gap_label, tested),
        ]
    else:
        blocks = [_Block("", _gap_label, styled + tested)]
    rows = [row for block in blocks for row in block.rows]
    low, high = _axis([row.found for row in rows])
    top, parts = 0, []
    for block in blocks:
        if block.rows:
            drawn, bottom = _block(block, top, low, high)
            parts.append(drawn)
            top = bottom + BETWEEN
    told = "; ".join(f"{row.title}: {_told(row)}" for row in rows)
    title = "Style against capability: share of the gap closed"
    title += ", and how often the student is preferred to the teacher" if preferred else ""
    return picture("gap", bottom + 4, title, told, parts)


def loss_picture(curve: list[dict[str, Any]]) -> Markup:
    """The training loss by step, with the held-out loss where it was taken."""
    trained = [(row["step"], row["loss"]) for row in curve if "loss" in row]
    heldout = [(row["step"], row["heldout_loss"]) for row in curve if "heldout_loss" in row]
    last = max(step for step, _ in trained)
    losses = [loss for _, loss in trained + heldout]
    lines_at = ticks(min(losses), max(losses))

    def place(step: float, loss: float) -> tuple[float, float]:
        return 100 * step / last, 100 * (lines_at[-1] - loss) / (lines_at[-1] - lines_at[0])

    parts = [Markup("")]
    for tick in lines_at:
        y = ABOVE + PLANE * place(0, tick)[1] / 100
        parts.append(
            Markup(
                '<line class="grid" x1="{0}%" x2="{1}%" y1="{2:.1f}" y2="{2:.1f}"/>'
                '<text class="tick" x="{3}%" y="{4:.1f}" text-anchor="end">{5}</text>'
            ).format(LEFT, LEFT + WIDE, y, LEFT - 1, y + 4, number(tick, 1))
        )
    for step, anchor in ((0, "start"), (last, "end")):
        x = LEFT + WIDE * step / last
        parts.append(
            Markup('<text class="tick" x="{}%" y="{}" text-anchor="{}">{}</text>').format(
                x, ABOVE + PLANE + 18, anchor, f"step {step:,}"
            )
        )
    lines = [("loss", trained), ("heldout", heldout)]
    paths = [
        Markup('<polyline class="{}" points="{}"/>').format(
            kind, " ".join("{:.2f},{:.2f}".format(*place(*point)) for point in line)
        )
        for kind, line in lines
    ]
    parts.append(
        Markup(
            '<svg x="{}%" y="{}" width="{}%" height="{}" viewBox="0 0 100 100" '
            'preserveAspectRatio="none" overflow="visible">{}</svg>'
        ).format(LEFT, ABOVE, WIDE, PLANE, Markup("").join(paths))
    )
    for point in heldout:
        x, y = place(*point)
        parts.append(
            Markup('<circle class="heldout" cx="{:.2f}%" cy="{:.1f}" r="4"/>').format(
                LEFT + WIDE * x / 100, ABOVE + PLANE * y / 100
            )
        )
    told = f"From {number(trained[0][1], 2)} at the first step to {number(trained[-1][1], 2)}"
    if heldout:
        told += f"; held out, from {number(heldout[0][1], 2)} to {number(heldout[-1][1], 2)}"
    return picture("loss", ABOVE + PLANE + 26, "Loss by training step", told, parts)


# Rows of the gap picture


def _style_row(style: Interval) -> _Row:
    words = closed(style) if style["value"] is not None else "no style gap is shown"
    return _Row("style", "Style", style, words)


def _preferred_rows(preference: dict[str, Any] | None) -> list[_Row]:
    """A row for every party that compared student and teacher; on the axis, 1 is 50 %."""
    rows = []
    for one in (said := parties(preference, "student", "teacher")):
        if preference and one["judged"]:
            base, share = base_share(preference, one), one["win_rate"]
            ring = (2 * base["value"], f"base {closed(base)}") if base else None
            rows.append(_Row("preference", rater(one, said), _twice(share), closed(share), ring))
    return rows


def _twice(share: Interval) -> Interval:
    value, low, high = (end if end is None else 2 * end for end in share.values())
    return {"value": value, "low": low, "high": high}


def _benchmark_row(name: str, gap: dict[str, Any], change: Interval) -> _Row:
    if gap["value"] is not None:
        return _Row("benchmark", benchmark(name), gap, closed(gap))
    low, high = change["low"], change["high"]
    assert low is not None
    assert high is not None
    return _Row("benchmark", benchmark(name), gap, f"change {span(low, high, points)} points")


def _told(row: _Row) -> str:
    return f"{row.words}, {row.base[1]}" if row.base else row.words


def _axis(found: Iterable[Interval]) -> tuple[float, float]:
    """Ends of the axis, in quarters: room for every interval within CLIP."""
    ends = [row[name] for row in found for name in ("value", "low", "high")]
    known = [min(max(end, CLIP[0]), CLIP[1]) for end in ends if end is not None]
    low, high = min([ROOM[0], *known]), max([ROOM[1], *known])
    return math.floor(4 * low) / 4, math.ceil(4 * high) / 4


def _gap_label(place: float) -> str | None:
    return {0.0: "base 0 %", 1.0: "teacher 100 %"}.get(place, f"{percent(place)} %")


def _share_label(place: float) -> str | None:
    if not 0 <= place <= 2:
        return None
    return "50 %: as good" if place == 1 else f"{percent(place / 2)} %"


def _block(block: _Block, top: int, low: float, high: float) -> tuple[Markup, int]:
    """A block drawn from `top` down, and where it ends."""
    parts = []
    if block.title:
        parts.append(
            Markup('<text class="block" x="0" y="{}">{}</text>').format(top + 14, block.title)
        )
        top += TITLE
    heights = [ROW + (BELOW if row.base else 0) for row in block.rows]
    bottom = top + TOP + sum(heights)
    parts.append(_grid(block.label, low, high, top, bottom))
    top += TOP
    for row, height in zip(block.rows, heights, strict=True):
        parts.append(_row(top, row, low, high))
        top += height
    return Markup("").join(parts), bottom


def _grid(
    label: Callable[[float], str | None], low: float, high: float, top: int, bottom: int
) -> Markup:
    parts = []
    every = 1 if high - low <= 1.5 else 2  # labels must not touch on a telephone
    for half in range(math.ceil(2 * low), math.floor(2 * high) + 1):
        name = label(half / 2)
        if half % every or name is None:
            continue
        x = 100 * (half / 2 - low) / (high - low)
        end = half in (0, 2)
        anchor = "start" if x < 8 else "end" if x > 92 else "middle"
        parts.append(
            Markup(
                '<line class="{}" x1="{x:.2f}%" x2="{x:.2f}%" y1="{}" y2="{}"/>'
                '<text class="{}" x="{x:.2f}%" y="{}" text-anchor="{}">{}</text>'
            ).format(
                "end" if end else "grid",
                top + TOP - 8,
                bottom,
                "end" if end else "tick",
                top + 14,
                anchor,
                name,
                x=x,
            )
        )
    return Markup("").join(parts)


def _row(top: int, row: _Row, low: float, high: float) -> Markup:
    def x(share: float) -> float:
        return 100 * (min(max(share, low), high) - low) / (high - low)

    kind, found = row.kind, row.found
    parts = [
        Markup(
            '<text class="name" x="0" y="{}">{}</text>'
            '<text class="value" x="100%" y="{}" text-anchor="end">{}</text>'
        ).format(top + 15, row.title, top + 15, row.words)
    ]
    y = top + 36
    value, least, most = found["value"], found["low"], found["high"]
    if value is None:
        why = found.get("reason") or "the base is as near to the teacher as its own second answers"
        parts.append(
            Markup('<text class="why" x="0" y="{}">not defined: {}</text>').format(y + 4, why)
        )
        return Markup("").join(parts)
    if least is not None and most is not None:
        parts.append(
            Markup(
                '<line class="whisker {0}" x1="{1:.2f}%" x2="{2:.2f}%" y1="{3}" y2="{3}"/>'
            ).format(kind, x(least), x(most), y)
        )
        parts += [
            _end(kind, x(end), y, "out" if beyond else "in", left)
            for end, beyond, left in ((least, least < low, True), (most, most > high, False))
        ]
    if row.base:
        place, words = row.base
        parts += [mark("base", x(place), y, SMALL_RING), _base_label(x(place), y + 20, words)]
    if low <= value <= high:
        known = "known" if least is not None else "unbounded"
        parts.append(mark(f"mark {kind} {known}", x(value), y, SHAPES[kind]))
    return Markup("").join(parts)


def _base_label(x: float, y: int, words: str) -> Markup:
    anchor = "start" if x < 25 else "end" if x > 80 else "middle"
    return Markup('<text class="tick" x="{:.2f}%" y="{}" text-anchor="{}">{}</text>').format(
        x, y, anchor, words
    )


def _end(kind: str, x: float, y: int, where: str, left: bool) -> Markup:
    """A whisker's end: a cap, or an arrow where it goes on outside."""
    if where == "in":
        return mark(f"whisker {kind}", x, y, "M0 -5V5")
    return mark(f"arrow {kind}", x, y, "M0 0L9 -6V6z" if left else "M0 0L-9 -6V6z")
