"""The owner's picture: how often each model is preferred, hurried and checking, with intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from understudy.pages.drawing import mark, picture
from understudy.pages.words import percent, shortened

ROW, LINE = 52, 30  # pixels of a row, and how far below its top the interval lies
DOT = "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0 -12 0z"


def preferred(comparisons: Sequence[Mapping[str, Any]]) -> Markup:
    """Win rates on a line from 0 to 100 %, a row for each pair of models and protocol.

    Args:
        comparisons: those of `preferences.summary`; rows without a win rate are left out.
    """
    shown = [one for one in comparisons if one["win_rate"]["value"] is not None]
    bottom = ROW * len(shown) + 4
    parts = [
        Markup('<line class="{0}" x1="{1}%" x2="{1}%" y1="0" y2="{2}"/>').format(
            "end" if share == 50 else "grid", share, bottom
        )
        for share in (0, 25, 50, 75, 100)
    ]
    told = []
    for row, one in enumerate(shown):
        rate, top = one["win_rate"], ROW * row
        name = f"{' over '.join(one['models'])}, {one['protocol']}"
        value = f"{percent(rate['value'])} %"
        if rate["low"] is not None:
            value += f" ({percent(rate['low'])}–{percent(rate['high'])})"
            parts.append(
                Markup(
                    '<line class="reach {0}" x1="{1:.2f}%" x2="{2:.2f}%" y1="{3}" y2="{3}"/>'
                ).format(one["protocol"], 100 * rate["low"], 100 * rate["high"], top + LINE)
            )
        parts += [
            mark(one["protocol"], 100 * rate["value"], top + LINE, DOT),
            Markup(
                '<text class="tick" x="0" y="{0}">{1}</text>'
                '<text class="value" x="100%" y="{0}" text-anchor="end">{2}</text>'
            ).format(top + 14, shortened(name, 48), value),
        ]
        told.append(f"{name}: {value}")
    parts += [
        Markup('<text class="tick" x="{}%" y="{}" text-anchor="{}">{} %</text>').format(
            share, bottom + 16, anchor, share
        )
        for share, anchor in ((0, "start"), (50, "middle"), (100, "end"))
    ]
    return picture(
        "preferred", bottom + 22, "How often the first model is preferred", "; ".join(told), parts
    )
