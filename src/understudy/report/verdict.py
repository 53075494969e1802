"""The verdict: one sentence on style and capability, and the claims that it rests on.

A claim holds ("yes") where its whole interval lies on one side, does not ("no") where it lies on
the other, and otherwise the report cannot tell; that a change is not shown is never taken for no
change. Several benchmarks are several chances to be fooled, so the intervals of the changes that
come in here hold together at 95 % (see `facts.change_together`). Style is a question of its own and
keeps its own 95 % interval. That less than half of the gap was closed on *every* benchmark is
claimed only where each one's own 95 % interval says so, which needs no widening: for the claim to
be false, the interval of one given benchmark must err. Preferences are told as figures with their
own 95 % intervals; the headline rests on style and benchmarks alone.
"""

from typing import Any

from understudy.pages.words import listed
from understudy.report.preference import parties
from understudy.report.words import benchmark, closed, points, rater, span
from understudy.statistics import Interval

HALF = 0.5
BOTH = ("hurried", "checking")

ACCENT = {
    "closed": "It learnt the accent",
    "moved": "It picked up some of the accent",
    "away": "It did not learn the accent",
    "unknown": "Whether it learnt the accent cannot be told",
    "no gap": "Whether it learnt the accent cannot be told",
}
PART = {
    "rose": "it learnt some of the part",
    "fell": "it lost some of the part",
    "mixed": "of the part it gained some and lost some",
    "short": "it did not learn the part",
    "unknown": "that it learnt any of the part is not shown",
    "not measured": "the part was not measured",
}
TOGETHER = {  # where the two halves read better as one
    ("closed", "rose"): "It learnt the accent and some of the part",
    ("closed", "short"): "It learnt the accent, not the part",
    ("moved", "rose"): "It picked up some of the accent and some of the part",
    ("away", "short"): "It learnt neither the accent nor the part",
}


def verdict(
    style: Interval,
    change: dict[str, Interval],
    gaps: dict[str, Any],
    missing: list[str],
    preference: dict[str, Any] | None = None,
) -> str:
    """The sentence at the top of the report.

    Args:
        style: style gap closed.
        change: student − base by benchmark, shares, intervals that hold together.
        gaps: gap closed by benchmark, each with its own interval.
        missing: benchmarks that were asked for and not measured on both.
        preference: see `preference.preference`.
    """
    accent, part = style_state(style), capability_state(change, gaps)
    headline = TOGETHER.get((accent, part), f"{ACCENT[accent]}; {PART[part]}")
    details = [_style_detail(accent, style)]
    if part == "short":
        titles = [benchmark(name) for name in change]
        details.append(f"under half of the gap closed on {listed(titles)}")
    details += _changes(change)
    details += _preferences(preference)
    if missing:
        details.append(f"{listed([benchmark(name) for name in missing])} not measured")
    return f"{headline}: {'; '.join(details)}."


def claims(
    style: Interval,
    change: dict[str, Interval],
    gaps: dict[str, Any],
    preference: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """What the verdict rests on, each with its interval and whether it holds.

    Shares, not percent: `value`, `low` and `high` of the gap closed, of student − base, or of the
    preferences.
    """
    found = [
        _claim("style", "The student moved towards the teacher’s style", style, 0),
        _claim("style", "Over half of the style gap was closed", style, HALF),
    ]
    for name, difference in change.items():
        title = benchmark(name)
        found += [
            _claim(name, f"The student does better than the base on {title}", difference, 0),
            _claim(name, f"Over half of the gap on {title} was closed", gaps[name], HALF),
        ]
    for other in ("base", "teacher"):
        said = parties(preference, "student", other)
        found += [
            _claim(
                "preference",
                f"{rater(one, said)}: the student is preferred to the {other}",
                one["win_rate"],
                HALF,
            )
            for one in said
        ]
    return found


def side(found: Interval, bound: float) -> str:
    """Where an interval lies: "above" or "below" the bound, or "cannot tell"."""
    low, high = found["low"], found["high"]
    if low is None or high is None:
        return "cannot tell"
    return "above" if low > bound else "below" if high < bound else "cannot tell"


def style_state(style: Interval) -> str:
    """What is known of the accent, a key of ACCENT."""
    if style["low"] is None:
        return "no gap"
    if side(style, HALF) == "above":
        return "closed"
    return {"above": "moved", "below": "away", "cannot tell": "unknown"}[side(style, 0)]


def capability_state(change: dict[str, Interval], gaps: dict[str, Any]) -> str:
    """What is known of the part, a key of PART."""
    if not change:
        return "not measured"
    sides = {side(found, 0) for found in change.values()}
    if sides >= {"above", "below"}:
        return "mixed"
    if "above" in sides:
        return "rose"
    if "below" in sides:
        return "fell"
    # A gap without bounds, or to a teacher nobody asked, could still hide a gain.
    short = all(side(gap, HALF) == "below" for gap in gaps.values())
    return "short" if short else "unknown"


def _claim(what: str, text: str, found: Interval, bound: float) -> dict[str, Any]:
    holds = {"above": "yes", "below": "no", "cannot tell": "cannot tell"}[side(found, bound)]
    interval = {name: found[name] for name in ("value", "low", "high")}
    return {"what": what, "text": text, **interval, "holds": holds}


def _style_detail(state: str, style: Interval) -> str:
    if state == "no gap":
        return "no style gap between base and teacher is shown that could be closed"
    share = closed(style)
    return {
        "closed": f"{share} of the style gap to the teacher closed",
        "moved": f"it moved towards the teacher’s style, {share} of the gap closed",
        "away": f"it moved away from the teacher’s style, {share} of the gap closed",
        "unknown": f"style may have moved either way, {share} of the gap closed",
    }[state]


def _changes(change: dict[str, Interval]) -> list[str]:
    """The changes by what is known of them: risen, fallen, not shown."""
    if not change:
        return ["no benchmark was measured on both base and student"]
    risen, fallen, unknown = [], [], []
    for name, found in change.items():
        title, value, low, high = benchmark(name), found["value"], found["low"], found["high"]
        assert value is not None
        assert low is not None
        assert high is not None
        where = side(found, 0)
        if where == "above":
            risen.append(f"{title} rose by {points(value)} points ({span(low, high, points)})")
        elif where == "below":
            size = span(-high, -low, points)
            fallen.append(f"{title} fell by {points(-value)} points ({size})")
        else:
            unknown.append(f"{title} ({points(low)} to {points(high, sign=True)} points)")
    return risen + fallen + ([f"no change shown on {listed(unknown, 'or')}"] if unknown else [])


def _preferences(preference: dict[str, Any] | None) -> list[str]:
    """What the one hurried and the one checking judge say of student and teacher; people, too.

    And the one that scores: Vicuna's figure.
    """
    said = [one for one in parties(preference, "student", "teacher") if one["judged"]]
    found = []
    for by, hurried, checking in (
        ("judge", "a hurried judge prefers", "a checking one"),
        ("people", "hurried people prefer", "checking ones"),
    ):
        own = [one for one in said if one["by"] == by and one["protocol"] in BOTH]
        shares = {one["protocol"]: closed(one["win_rate"]) for one in own}
        if len(own) == len(shares) == len(BOTH):
            found.append(
                f"{hurried} it to the teacher in {shares['hurried']} of pairs, {checking} in "
                f"{shares['checking']}"
            )
    scored = [one["share_of_total"] for one in said if one["share_of_total"]]
    if len(scored) == 1:
        found.append(f"a scoring judge gives it {closed(scored[0])} of the teacher’s total")
    return found
