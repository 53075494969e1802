"""The report's two pictures. Kind is told by the mark's shape as well as by its colour."""

import math
from collections.abc import Iterable
from typing import Any

from markupsafe import Markup

from understudy.pages.drawing import mark, picture, ticks
from understudy.pages.words import number
from understudy.report.words import benchmark, closed, points, span
from understudy.statistics import Interval

CLIP = (-1.0, 2.0)  # gap closed beyond which an arrow stands for the rest
ROOM = (-0.25, 1.5)  # gap closed that is always in the picture
ROW, TOP = 58, 30  # pixels
LEFT, WIDE = 8.0, 90.0  # percent of the width: where the loss curve's plane lies
PLANE, ABOVE = 190, 14  # pixels


def gap_picture(style: Interval, gaps: dict[str, Any], change: dict[str, Interval]) -> Markup:
    """Style and every benchmark on one axis from the base (0 %) to the teacher (100 %)."""
    rows = [_style_row(style), *(_benchmark_row(name, gaps[name], change[name]) for name in gaps)]
    low, high = _axis([found for _, _, found, _ in rows])
    bottom = TOP + ROW * len(rows)
    parts = [_grid(low, high, bottom)]
    for index, (kind, title, found, words) in enumerate(rows):
        parts.append(_row(TOP + ROW * index, kind, title, found, words, low, high))
    told = "; ".join(f"{title}: {words}" for _, title, _, words in rows)
    return picture(
        "gap", bottom + 4, "Style against capability: share of the gap closed", told, parts
    )


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


# Rows of the gap picture: (kind, title, interval, words)

Row = tuple[str, str, Interval, str]


def _style_row(style: Interval) -> Row:
    words = closed(style) if style["value"] is not None else "no style gap is shown"
    return "style", "Style", style, words


def _benchmark_row(name: str, gap: dict[str, Any], change: Interval) -> Row:
    if gap["value"] is not None:
        return "benchmark", benchmark(name), gap, closed(gap)
    low, high = change["low"], change["high"]
    assert low is not None
    assert high is not None
    return "benchmark", benchmark(name), gap, f"change {span(low, high, points)} points"


def _axis(found: Iterable[Interval]) -> tuple[float, float]:
    """Ends of the axis, in quarters: room for every interval within CLIP."""
    ends = [row[name] for row in found for name in ("value", "low", "high")]
    known = [min(max(end, CLIP[0]), CLIP[1]) for end in ends if end is not None]
    low, high = min([ROOM[0], *known]), max([ROOM[1], *known])
    return math.floor(4 * low) / 4, math.ceil(4 * high) / 4


def _grid(low: float, high: float, bottom: int) -> Markup:
    parts = []
    every = 1 if high - low <= 1.5 else 2  # labels must not touch on a telephone
    for half in range(math.ceil(2 * low), math.floor(2 * high) + 1):
        if half % every:
            continue
        share = half / 2
        x = 100 * (share - low) / (high - low)
        end = share in (0, 1)
        name = {0.0: "base 0 %", 1.0: "teacher 100 %"}.get(share, f"{number(100 * share)} %")
        anchor = "start" if x < 8 else "end" if x > 92 else "middle"
        parts.append(
            Markup(
                '<line class="{}" x1="{x:.2f}%" x2="{x:.2f}%" y1="{}" y2="{}"/>'
                '<text class="{}" x="{x:.2f}%" y="14" text-anchor="{}">{}</text>'
            ).format(
                "end" if end else "grid",
                TOP - 8,
                bottom,
                "end" if end else "tick",
                anchor,
                name,
                x=x,
            )
        )
    return Markup("").join(parts)


def _row(
    top: int, kind: str, title: str, found: Interval, words: str, low: float, high: float
) -> Markup:
    def x(share: float) -> float:
        return 100 * (min(max(share, low), high) - low) / (high - low)

    parts = [
        Markup(
            '<text class="name" x="0" y="{}">{}</text>'
            '<text class="value" x="100%" y="{}" text-anchor="end">{}</text>'
        ).format(top + 15, title, top + 15, words)
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
    if low <= value <= high:
        known = "known" if least is not None else "unbounded"
        shape = (
            "M-7 0L0 -7L7 0L0 7z" if kind == "style" else "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0 -12 0z"
        )
        parts.append(mark(f"mark {kind} {known}", x(value), y, shape))
    return Markup("").join(parts)


def _end(kind: str, x: float, y: int, where: str, left: bool) -> Markup:
    """A whisker's end: a cap, or an arrow where it goes on outside."""
    if where == "in":
        return mark(f"whisker {kind}", x, y, "M0 -5V5")
    return mark(f"arrow {kind}", x, y, "M0 0L9 -6V6z" if left else "M0 0L-9 -6V6z")
