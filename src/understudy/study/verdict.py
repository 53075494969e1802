"""A study's findings in words: one sentence at the top, and what is and is not supported.

Every number is one of the findings' or of the gaps'. That a finding is not shown is never said as
if its contrary were.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from understudy.pages.words import percent
from understudy.report.words import closed, points, span
from understudy.study.findings import CANNOT_TELL, NOT_SEEN, SEEN
from understudy.study.table import PREFERRED

Finding = Mapping[str, Any]

CONTRARY = {  # what is shown where a finding is not seen
    "style_fast": "Style does not close fast",
    "broad_flat": "Broad imitation does not leave knowledge flat or lower it",
    "bigger_base": "A bigger base lowers knowledge at the same data",
    "local_raises": "Local imitation lowers its own task",
    "hallucination": "Imitation makes the student assert less of what the base does not know",
}
ACCENT = {
    SEEN: "imitation learnt the accent from little data",
    NOT_SEEN: "imitation learnt under half of the accent from little data",
    CANNOT_TELL: "whether little data teaches the accent cannot be told",
}
PART = {
    SEEN: "broad data did not teach the part",
    NOT_SEEN: "broad data taught some of the part",
    CANNOT_TELL: "whether broad data teaches the part cannot be told",
}
NO_ACCENT = "There was hardly an accent to learn"
HELP = {
    "bigger_base": "a bigger base raised knowledge by",
    "local_raises": "local data raised its own task by",
}
HURRIED, CHECKING = PREFERRED + "hurried", PREFERRED + "checking"


def verdict(findings: Sequence[Finding], gaps: Sequence[dict[str, Any]]) -> str:
    """The sentence at the top of a study's report: style, knowledge, what helps, who is fooled.

    Args:
        findings: as `findings` gives them.
        gaps: as `gap.gaps` gives them.
    """
    by_id = {one["id"]: one for one in findings}
    accent, part = by_id["style_fast"], by_id["broad_flat"]
    clauses = [_accent(accent), _clause(_part(part), part)]
    clauses += [
        f"{words} {_figure(by_id[id]['parts'][0])}"
        for id, words in HELP.items()
        if by_id[id]["verdict"] == SEEN
    ]
    kinds = [one["kind"] for one in part["parts"] if one["decides"]]
    return _sentence(clauses + _fooled(gaps, kinds))


def supported(findings: Sequence[Finding]) -> tuple[list[str], list[str]]:
    """Sentences of what the study supports, and of what it does not: refuted, or undecided."""
    yes, no = [], []
    for one in findings:
        title, evidence = one["title"], _evidence(one)
        if one["verdict"] == SEEN:
            yes.append(f"{title}. {_sentence(evidence)}")
        elif one["verdict"] == NOT_SEEN:
            contrary = NO_ACCENT if _without_accent(one) else CONTRARY[one["id"]]
            no.append(f"Not seen: “{title}”. {contrary}. {_sentence(evidence)}")
        else:
            why = evidence + [one["note"]] * bool(one["note"])
            no.append(f"Cannot tell: “{title}”. {_sentence(why)}")
    return yes, no


def _accent(finding: Finding) -> str:
    if _without_accent(finding):
        apart = _figure(finding["parts"][1])
        return f"there was hardly an accent to learn, {apart} of style distance"
    return _clause(ACCENT[finding["verdict"]], finding)


def _without_accent(finding: Finding) -> bool:
    """Whether base and teacher are shown to differ too little in style for it to be learnt."""
    gap = [one for one in _deciding(finding) if one["unit"] == "points"]
    return finding["id"] == "style_fast" and any(one["verdict"] == NOT_SEEN for one in gap)


def _clause(words: str, finding: Finding) -> str:
    """What is known, with the share of a gap that it rests on."""
    shown = [one for one in _deciding(finding) if one["verdict"] == finding["verdict"]]
    known = shown and finding["verdict"] != CANNOT_TELL
    return f"{words}, {_figure(shown[0])} of its gap closed" if known else words


def _part(finding: Finding) -> str:
    first = finding["parts"][0]["verdict"] if finding["parts"] else CANNOT_TELL
    if finding["verdict"] == NOT_SEEN != first:
        return "more broad data taught more of the part"
    return PART[finding["verdict"]]


def _fooled(gaps: Sequence[dict[str, Any]], kinds: Sequence[str]) -> list[str]:
    """The preference gap as both judges see it, for the largest base and amount that they saw."""
    seen: dict[tuple[str, int], dict[str, str]] = {}
    for gap in gaps:
        known = gap["value"] is not None and gap["quantity"] in (HURRIED, CHECKING)
        if known and gap["kind"] in kinds:
            seen.setdefault((gap["base"], gap["amount"]), {})[gap["quantity"]] = closed(gap)
    both = [(student, by) for student, by in seen.items() if len(by) == 2]
    return [
        f"{base} with {amount:,} tokens closed {by[HURRIED]} of the preference gap for a hurried "
        f"judge, {by[CHECKING]} for a checking one"
        for (base, amount), by in both[-1:]
    ]


def _deciding(finding: Finding) -> list[Mapping[str, Any]]:
    return [one for one in finding["parts"] if one["decides"]]


def _evidence(finding: Finding) -> list[str]:
    """The figures of the parts that decide, each with its bound."""
    return [
        f"{one['text']}: {_figure(one)}, stated {one['side']} {_bound(one)}"
        for one in _deciding(finding)
        if one["value"] is not None
    ]


def _figure(part: Mapping[str, Any]) -> str:
    low, high = part["low"], part["high"]
    if part["unit"] == "share":
        return closed({"value": part["value"], "low": low, "high": high})
    return f"{points(part['value'])} points ({span(low, high, points)})"


def _bound(part: Mapping[str, Any]) -> str:
    return f"{percent(part['bound'])} {'%' if part['unit'] == 'share' else 'points'}"


def _sentence(clauses: Sequence[str]) -> str:
    text = "; ".join(clauses)
    return f"{text[0].upper()}{text[1:]}."
