"""The findings: what a study is asked, with bounds that were stated before any of it was run.

1. Style closes fast: with the largest amount of broad data that is at most an eighth of the
   largest, over half of the style gap is closed. There has to be one: the teacher is nearer to
   itself than the base is to it by more than a habit's weight, a measure of eleven that goes from
   never to always.
2. Broad imitation leaves knowledge flat, or lowers it, however much is added: with the largest
   amount less than a tenth of the gap in all benchmarks is closed, and from the smallest amount to
   the largest less than a tenth of it is gained. Both have to hold; either shown to be false makes
   the finding "not seen".
3. A bigger base raises knowledge at the same data: the largest base's students do better in all
   benchmarks than the smallest's, in the mean over amounts of broad data.
4. Local imitation raises its own task: with the largest amount of local data the student does
   better on it than its base. The largest, because that is what was bought, and where finding 2 is
   judged; the best amount would be picked with hindsight, and what a mean over amounts says depends
   on how many small ones the grid has. That mean, and the lead over broad data, are told beside it.
5. Imitation makes the student assert what the base does not know: of that, it tells more wrongly
   and surely than its base, in the mean over amounts of broad data.

Each is "seen" where the whole 95 % interval (over items and seeds) lies on the stated side of the
bound, "not seen" where it lies on the other, so that the contrary is shown, and "cannot tell"
otherwise. Each is a question of its own and keeps its own 95 %. A verdict is false only if an
interval misses on one given side, which is 2.5 % (5 % for "not seen" of finding 2); so even a study
whose every truth lies at its bound has a false verdict among the five in at most 15 % of cases.

Findings 1, 2, 4 and 5 are means over bases. A share of the gap is there the mean numerator over the
mean denominator: a mean of ratios would be ruled by the base whose gap is the smallest, and so is
known worst. The interval of a ratio holds a bound b exactly where numerator − b · denominator may
be 0 (Fieller 1954, "Some problems in interval estimation"), so the verdict is that linear test's.

The first broad kind and the first local one decide; others are told. Amounts are the study's, not
those that happen to be finished.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from understudy.pages.words import listed
from understudy.report.words import benchmark
from understudy.statistics import explained, gap_closed, interval
from understudy.study.contrast import (
    BASE,
    TEACHER,
    BySeed,
    Contrast,
    by_seed,
    minus,
    over_bases,
    student,
)
from understudy.study.table import HALLUCINATION, OVERALL, STYLE, Table
from understudy.style.distance import MEASURES

LITTLE = 1 / 8  # of the largest amount
HALF = 0.5  # of the style gap
HABIT = 1 / len(MEASURES)  # of the style distance
TENTH = 0.1  # of the gap in all benchmarks
ABOVE, BELOW = "above", "below"
SEEN, NOT_SEEN, CANNOT_TELL = "seen", "not seen", "cannot tell"

STATED = {  # title and claim
    "style_fast": (
        "Style closes fast, with little data",
        "With at most an eighth of the largest amount of broad data, over half of the style gap is "
        "closed, a gap wider than one habit of eleven.",
    ),
    "broad_flat": (
        "Broad imitation leaves knowledge flat or lowers it, however much is added",
        "With the largest amount of broad data less than a tenth of the gap in all benchmarks is "
        "closed, and from the smallest amount to the largest less than a tenth is gained.",
    ),
    "bigger_base": (
        "A bigger base raises knowledge at the same data",
        "Students of the largest base do better in all benchmarks than students of the smallest, "
        "by more than 0 points in the mean over amounts of broad data.",
    ),
    "local_raises": (
        "Local imitation raises its own task",
        "With the largest amount of local data the student does better on its task than the base, "
        "by more than 0 points.",
    ),
    "hallucination": (
        "Imitation makes the student assert what the base does not know",
        "Of what the base does not know the student tells more wrongly and surely than the base, "
        "by more than 0 points in the mean over amounts of broad data.",
    ),
}


@dataclass(frozen=True)
class Part:
    """One comparison of a finding.

    Attributes:
        kind: of data.
        text: what is compared, as a phrase before its figure.
        above: what is compared with the bound, in shares.
        bound, side: where it is to lie.
        below: what `above` is a share of; None: it is a difference in points.
        decides: whether the finding's verdict rests on it.
    """

    kind: str
    text: str
    above: Contrast
    bound: float
    side: str
    below: Contrast | None = None
    decides: bool = True


def findings(table: Table) -> list[dict[str, Any]]:
    """The five findings, as far as the table goes.

    Each has "id", "title", "claim"; "parts", each with "kind", "text", "value", "low", "high",
    "unit" ("share", or "points" for differences of shares; both are in 0..1), "bound", "side",
    "decides", "verdict", and "reason" where there is no interval; "verdict"; "by" (the first part,
    base by base); "seeds" (how many every base of the first part has at least); and "note" (what is
    missing, or what the intervals do not hold for; or "").
    """
    return [
        style_fast(table),
        broad_flat(table),
        bigger_base(table),
        local_raises(table),
        hallucination(table),
    ]


def style_fast(table: Table) -> dict[str, Any]:
    """Finding 1."""
    parts, note = [], _no_broad(table)
    for kind in table.settings.broad:
        amounts = table.settings.amounts_of(kind)
        little = [amount for amount in amounts if amount <= LITTLE * amounts[-1]]
        if little:
            text = f"style gap closed with {little[-1]:,} tokens of {kind} data"
            gain = _gain(kind, little[-1:], [STYLE])
            parts.append(Part(kind, text, gain, HALF, ABOVE, _gap([STYLE]), _first(table, kind)))
            if _first(table, kind):
                text = "style distance of base to teacher, beyond that of its own second answers"
                parts.append(Part(kind, text, _gap([STYLE]), HABIT, ABOVE))
        elif _first(table, kind):
            note = f"no amount of {kind} data is at most an eighth of {amounts[-1]:,} tokens"
    return _finding(table, "style_fast", parts, note)


def broad_flat(table: Table) -> dict[str, Any]:
    """Finding 2."""
    parts, note = [], _no_broad(table)
    for kind in table.settings.broad:
        decides, amounts = _first(table, kind), table.settings.amounts_of(kind)
        least, most = amounts[0], amounts[-1]
        text = f"gap in all benchmarks closed with {most:,} tokens of {kind} data"
        gain = _gain(kind, [most], [OVERALL])
        parts.append(Part(kind, text, gain, TENTH, BELOW, _gap([OVERALL]), decides))
        if least < most:
            text = f"gap in all benchmarks closed from {least:,} to {most:,} tokens of {kind} data"
            growth = Contrast(student(kind, [most]) | minus(student(kind, [least])), [OVERALL])
            parts.append(Part(kind, text, growth, TENTH, BELOW, _gap([OVERALL]), decides))
        elif decides:
            note = f"with one amount of {kind} data, what more of it adds is not known"
    return _finding(table, "broad_flat", parts, note)


def bigger_base(table: Table) -> dict[str, Any]:
    """Finding 3."""
    smallest, *larger = table.settings.base_names
    if not larger:
        return _finding(table, "bigger_base", [], "the study has one base")
    parts = [
        Part(
            kind,
            f"lead of students of {larger[-1]} over those of {smallest}, {kind} data",
            Contrast(student(kind, table.settings.amounts_of(kind)), [OVERALL]),
            0.0,
            ABOVE,
            decides=_first(table, kind),
        )
        for kind in table.settings.broad
    ]
    return _finding(table, "bigger_base", parts, _no_broad(table), smallest)


def local_raises(table: Table) -> dict[str, Any]:
    """Finding 4."""
    parts = []
    for number, kind in enumerate(table.settings.local):
        task, amounts = table.settings.kinds[kind].task, table.settings.amounts_of(kind)
        on, most = listed([benchmark(name) for name in task]), amounts[-1]
        text = f"gain on {on} with {most:,} tokens of {kind} data"
        gain = _gain(kind, [most], task)
        parts.append(Part(kind, text, gain, 0.0, ABOVE, decides=number == 0))
        if len(amounts) > 1:
            text = f"gain on {on}, mean over amounts of {kind} data"
            parts.append(Part(kind, text, _gain(kind, amounts, task), 0.0, ABOVE, decides=False))
        for broad in table.settings.broad[:1]:
            other = student(broad, table.settings.amounts_of(broad)[-1:])
            lead = Contrast(student(kind, [most]) | minus(other), task)
            text = f"lead of {kind} over {broad} data on {on}, the largest amounts"
            parts.append(Part(kind, text, lead, 0.0, ABOVE, decides=False))
    note = "" if table.settings.local else "the study has no local kind"
    return _finding(table, "local_raises", parts, note)


def hallucination(table: Table) -> dict[str, Any]:
    """Finding 5."""
    parts = [
        Part(
            kind,
            f"rise of the share told wrongly and surely, {kind} data",
            _gain(kind, table.settings.amounts_of(kind), [HALLUCINATION]),
            0.0,
            ABOVE,
            decides=_first(table, kind),
        )
        for kind in table.settings.broad
    ]
    return _finding(table, "hallucination", parts, _no_broad(table))


def _gain(kind: str, amounts: list[int], quantities: list[str]) -> Contrast:
    """Student − base."""
    return Contrast(student(kind, amounts) | {BASE: -1}, quantities)


def _gap(quantities: list[str]) -> Contrast:
    """Teacher − base."""
    return Contrast({TEACHER: 1, BASE: -1}, quantities)


def _first(table: Table, kind: str) -> bool:
    return kind == table.settings.broad[0]


def _no_broad(table: Table) -> str:
    return "" if table.settings.broad else "the study has no broad kind"


def _finding(
    table: Table, id: str, parts: list[Part], note: str, smallest: str | None = None
) -> dict[str, Any]:
    """A finding from its parts.

    Args:
        table: the study's.
        id: of the finding.
        parts: the first is that whose figures are given base by base.
        note: what the study lacks for it; such a finding is not seen, but may be refuted.
        smallest: the base to which others are compared; None: bases are averaged.
    """
    title, claim = STATED[id]
    measured = [by_seed(table, _rows(part)) for part in parts]
    told = [
        _told(table, part, values, _weights(table, values, smallest))
        for part, values in zip(parts, measured, strict=True)
    ]
    verdicts = [one["verdict"] for one in told if one["decides"]] + [CANNOT_TELL] * bool(note)
    values = measured[0] if measured else {}
    return {
        "id": id,
        "title": title,
        "claim": claim,
        "parts": told,
        "verdict": _together(verdicts),
        "by": _by(table, parts[0], values, smallest) if parts else [],
        "seeds": min(map(len, values.values()), default=0),
        "note": "; ".join(filter(None, [note, *_limits(table, told, values)])),
    }


def _rows(part: Part) -> list[Contrast]:
    return [part.above] if part.below is None else [part.above, part.below]


def _weights(table: Table, values: Mapping[str, BySeed], smallest: str | None) -> dict[str, float]:
    """Of the bases in a part; none where it cannot be made."""
    if smallest is None:
        return dict.fromkeys(values, 1 / max(1, len(values)))
    largest = table.settings.base_names[-1]
    return {largest: 1.0, smallest: -1.0} if {largest, smallest} <= values.keys() else {}


def _told(
    table: Table, part: Part, values: Mapping[str, BySeed], weights: Mapping[str, float]
) -> dict[str, Any]:
    found = _found(table, part, values, weights)
    return {
        "kind": part.kind,
        "text": part.text,
        **found,
        "unit": "points" if part.below is None else "share",
        "bound": part.bound,
        "side": part.side,
        "decides": part.decides,
        "verdict": _verdict(found, part.bound, part.side),
    }


def _found(
    table: Table, part: Part, values: Mapping[str, BySeed], weights: Mapping[str, float]
) -> dict[str, Any]:
    """The value of a part with its interval."""
    if not weights:
        return {"value": None, "low": None, "high": None, "reason": "not measured"}
    if part.below is None:
        (rows,) = over_bases(table, values, weights, np.ones(1))
        return dict(interval(rows))
    above, below = over_bases(table, values, weights, np.array([1, -part.bound]))
    return explained(gap_closed(np.zeros_like(below), above, below))


def _verdict(found: Mapping[str, Any], bound: float, side: str) -> str:
    low, high = found["low"], found["high"]
    if low is None or low <= bound <= high:
        return CANNOT_TELL
    return SEEN if (low > bound) == (side == ABOVE) else NOT_SEEN


def _together(verdicts: list[str]) -> str:
    """Of parts that all have to be seen."""
    for worst in (NOT_SEEN, CANNOT_TELL, SEEN):
        if worst in verdicts:
            return worst
    return CANNOT_TELL


def _by(
    table: Table, part: Part, values: Mapping[str, BySeed], smallest: str | None
) -> list[dict[str, Any]]:
    """A part on every base; where they are compared, every other base against the smallest."""
    if smallest is None:
        weights: dict[str, dict[str, float]] = {base: {base: 1.0} for base in values}
    else:
        others = [base for base in values if base != smallest and smallest in values]
        weights = {base: {base: 1.0, smallest: -1.0} for base in others}
    return [{"base": base} | _found(table, part, values, of) for base, of in weights.items()]


def _limits(table: Table, told: list[dict[str, Any]], values: Mapping[str, BySeed]) -> list[str]:
    """What a finding lacks, and what its intervals do not hold for."""
    found = []
    for reason, of in _reasons(told).items():
        found.append(f"{listed(of)}: {reason}")
    if values and (absent := [base for base in table.settings.base_names if base not in values]):
        found.append(f"without {listed(absent)}, where it is not measured yet")
    if single := [base for base, seeds in values.items() if len(seeds) == 1]:
        on = "" if len(single) == len(values) else f" on {listed(single)}"
        found.append(f"a single seed{on}: the intervals hold for other items, not for other seeds")
    return found


def _reasons(told: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Why parts that decide have no verdict, and which."""
    found: dict[str, list[str]] = {}
    for one in told:
        if one["decides"] and "reason" in one:
            found.setdefault(one["reason"], []).append(one["text"])
    return found
