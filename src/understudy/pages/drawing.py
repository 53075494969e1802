"""SVG that scales in width and keeps its type size.

Horizontal places are percentages of the width and vertical ones are pixels, so that one picture
serves a telephone, a desk and paper. Colours come from the page's style sheet.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup

from understudy.pages.words import number, percent, shortened

ROW, THICK = 40, 9  # pixels of a bar's row, and of the bar
PLANE, ABOVE = 120, 16  # pixels of a histogram
LONGEST = 30  # characters of a bar's name: more would run into its value on a telephone
LABELS = 8  # labels under a histogram, at most: more would touch on a telephone


def mark(kind: str, x: float, y: int, shape: str) -> Markup:
    """A path of its own size at a place given in percent of the width."""
    return Markup(
        '<svg x="{:.2f}%" y="{}" overflow="visible"><path class="{}" d="{}"/></svg>'
    ).format(x, y, kind, shape)


def ticks(low: float, high: float) -> list[float]:
    """Three to seven round numbers around an interval."""
    reach = max(high - low, 0.1)
    step = next(step for step in _round_steps() if reach / step <= 5)
    first = math.floor(low / step)
    count = max(1, math.ceil(high / step - 1e-9) - first)
    return [round((first + index) * step, 6) for index in range(count + 1)]


def _round_steps() -> Iterable[float]:
    return (digit * 10.0**power for power in range(-2, 9) for digit in (1, 2, 5))


def picture(id: str, height: int, title: str, told: str, parts: list[Markup]) -> Markup:
    """A whole picture of parts: its height in pixels, and in words what it is and shows."""
    return Markup(
        '<svg class="picture" role="img" aria-labelledby="{0}-title {0}-desc" width="100%" '
        'height="{1}"><title id="{0}-title">{2}</title><desc id="{0}-desc">{3}</desc>{4}</svg>'
    ).format(id, height, title, told, Markup("").join(parts))


def bars(id: str, title: str, rows: Sequence[tuple[str, float, str]]) -> Markup:
    """Lying bars with their name and value above: rows of (name, size, value in words)."""
    most = max((size for _, size, _ in rows), default=0) or 1
    parts = [
        Markup(
            '<text class="value" x="0" y="{0}">{1}</text>'
            '<text class="value" x="100%" y="{0}" text-anchor="end">{2}</text>'
            '<rect class="bar" x="0" y="{3}" width="{4:.2f}%" height="{5}"/>'
        ).format(
            ROW * row + 14,
            shortened(name, LONGEST),
            words,
            ROW * row + 20,
            100 * size / most,
            THICK,
        )
        for row, (name, size, words) in enumerate(rows)
    ]
    told = "; ".join(f"{name}: {words}" for name, _, words in rows)
    return picture(id, ROW * len(rows), title, told, parts)


def histogram(id: str, title: str, bins: Sequence[tuple[str, int]]) -> Markup:
    """Standing bars of (label, count), side by side."""
    most = max((count for _, count in bins), default=0) or 1
    wide = 100 / max(len(bins), 1)
    every = -(-len(bins) // LABELS)
    bottom = ABOVE + PLANE
    parts = [
        Markup(
            '<text class="tick" x="0" y="11">{0}</text>'
            '<line class="grid" x1="0" x2="100%" y1="{1}" y2="{1}"/>'
            '<line class="end" x1="0" x2="100%" y1="{2}" y2="{2}"/>'
        ).format(number(most), ABOVE, bottom)
    ]
    for place, (label, count) in enumerate(bins):
        height = PLANE * count / most
        parts.append(
            Markup(
                '<rect class="bar" x="{:.2f}%" y="{:.1f}" width="{:.2f}%" height="{:.1f}"/>'
            ).format(wide * (place + 0.08), bottom - height, wide * 0.84, height)
        )
        if place % every == 0:
            parts.append(
                Markup(
                    '<text class="tick" x="{:.2f}%" y="{}" text-anchor="middle">{}</text>'
                ).format(wide * (place + 0.5), bottom + 17, label)
            )
    told = "; ".join(f"{label}: {number(count)}" for label, count in bins)
    return picture(id, bottom + 22, title, told, parts)


def scale(id: str, title: str, own: tuple[str, float], others: Mapping[str, float]) -> Markup:
    """Shares on a line from 0 to 100 %: others named above it, one's own below."""
    axis = ABOVE + 18 * len(others) + 14
    parts = [Markup('<line class="end" x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(axis)]
    for row, (name, share) in enumerate(others.items()):
        parts += [
            _leader(share, 18 * row + 18, axis),
            _label("tick", share, 18 * row + 14, f"{name} {percent(share)} %"),
            mark("other", 100 * share, axis, "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z"),
        ]
    name, share = own
    parts += [
        mark("own", 100 * share, axis, "M-8 0L0 -8L8 0L0 8z"),
        _label("name", share, axis + 26, f"{name} {percent(share)} %"),
        *(
            _label("tick", end, axis + 46, f"{percent(end)} %")
            for end in (0.0, 0.25, 0.5, 0.75, 1.0)
        ),
    ]
    told = "; ".join(f"{name}: {percent(share)} %" for name, share in (own, *others.items()))
    return picture(id, axis + 50, title, told, parts)


def _label(kind: str, share: float, y: int, words: str) -> Markup:
    """Words at a share of the width, turned inwards where they would leave the picture."""
    anchor = "start" if share < 0.3 else "end" if share > 0.7 else "middle"
    return Markup('<text class="{}" x="{:.2f}%" y="{}" text-anchor="{}">{}</text>').format(
        kind, 100 * share, y, anchor, words
    )


def _leader(share: float, top: int, bottom: int) -> Markup:
    return Markup('<line class="grid" x1="{0:.2f}%" x2="{0:.2f}%" y1="{1}" y2="{2}"/>').format(
        100 * share, top, bottom
    )
