"""A study in words: the headline and the sentences follow the findings, with their figures."""

import re
from typing import Any

import pytest

from understudy.pages.words import MINUS
from understudy.study.findings import STATED
from understudy.study.verdict import supported, verdict

SEEN, NOT_SEEN, CANNOT_TELL = "seen", "not seen", "cannot tell"


def part(
    text: str, interval: tuple[float, float, float], verdict: str, **more: Any
) -> dict[str, Any]:
    value, low, high = interval
    one = {"kind": "broad", "text": text, "value": value, "low": low, "high": high}
    other = {"unit": "points", "bound": 0.0, "side": "above", "decides": True, "verdict": verdict}
    return one | other | more


def finding(id: str, verdict: str, *parts: dict[str, Any], note: str = "") -> dict[str, Any]:
    title, claim = STATED[id]
    return {
        "id": id,
        "title": title,
        "claim": claim,
        "parts": list(parts),
        "verdict": verdict,
        "note": note,
    }


def share(
    text: str, interval: tuple[float, float, float], verdict: str, bound: float, side: str
) -> dict[str, Any]:
    return part(text, interval, verdict, unit="share", bound=bound, side=side)


@pytest.fixture
def found() -> dict[str, dict[str, Any]]:
    """The paper's findings, all but the last seen."""
    told = part("lead over broad", (0.3, 0.2, 0.4), SEEN, decides=False)
    rows = [
        finding("style_fast", SEEN, share("style closed", (0.93, 0.88, 0.97), SEEN, 0.5, "above")),
        finding(
            "broad_flat",
            SEEN,
            share("gap closed", (-0.2, -0.31, -0.08), SEEN, 0.1, "below"),
            share("more closed", (0.02, -0.03, 0.07), SEEN, 0.1, "below"),
        ),
        finding("bigger_base", SEEN, part("lead", (0.123, 0.1, 0.15), SEEN)),
        finding("local_raises", SEEN, part("gain on NQ", (0.042, 0.02, 0.06), SEEN), told),
        finding(
            "hallucination",
            CANNOT_TELL,
            part("rise", (0.01, -0.02, 0.04), CANNOT_TELL),
            note="a single seed",
        ),
    ]
    return {row["id"]: row for row in rows}


def test_the_papers_headline(found: dict[str, Any]) -> None:
    assert verdict(list(found.values()), []) == (
        "Imitation learnt the accent from little data, 93 % (88–97) of its gap closed; broad data "
        f"did not teach the part, {MINUS}20 % ({MINUS}31 to {MINUS}8) of its gap closed; a bigger "
        "base raised knowledge by 12.3 points (10.0–15.0); local data raised its own task by 4.2 "
        "points (2.0–6.0)."
    )


def test_what_is_and_is_not_supported(found: dict[str, Any]) -> None:
    yes, no = supported(list(found.values()))
    assert len(yes) == 4
    assert (
        yes[0]
        == "Style closes fast, with little data. Style closed: 93 % (88–97), stated above 50 %."
    )
    assert "more closed: 2 %" in yes[1]
    assert not any("lead over broad" in sentence for sentence in yes)  # it does not decide
    (sentence,) = no
    assert sentence.startswith("Cannot tell: “Imitation makes the student assert")
    assert f"Rise: 1.0 points ({MINUS}2.0 to 4.0)" in sentence
    assert sentence.endswith("; a single seed.")


def test_refuted_findings_say_the_contrary(found: dict[str, Any]) -> None:
    found["style_fast"] = finding(
        "style_fast", NOT_SEEN, share("style closed", (0.1, 0.0, 0.2), NOT_SEEN, 0.5, "above")
    )
    found["broad_flat"] = finding(
        "broad_flat",
        NOT_SEEN,
        share("gap closed", (0.6, 0.5, 0.7), NOT_SEEN, 0.1, "below"),
        share("more closed", (0.02, -0.1, 0.2), CANNOT_TELL, 0.1, "below"),
    )
    for id in ("bigger_base", "local_raises"):
        found[id] = finding(id, NOT_SEEN, part("lead", (-0.1, -0.2, -0.05), NOT_SEEN))
    rows = list(found.values())
    assert verdict(rows, []) == (
        "Imitation learnt under half of the accent from little data, 10 % (0–20) of its gap "
        "closed; broad data taught some of the part, 60 % (50–70) of its gap closed."
    )
    yes, no = supported(rows)
    assert yes == []
    assert no[1].startswith(
        "Not seen: “Broad imitation leaves knowledge flat or lowers it, however much is added”. "
        "Broad imitation does not leave knowledge flat or lower it. Gap closed: 60 % (50–70)"
    )
    assert "Local imitation lowers its own task" in no[3]


def test_where_there_is_hardly_an_accent_that_is_said(found: dict[str, Any]) -> None:
    found["style_fast"] = finding(
        "style_fast",
        NOT_SEEN,
        share("style closed", (0.7, 0.4, 1.1), CANNOT_TELL, 0.5, "above"),
        part("style distance", (0.03, 0.01, 0.05), NOT_SEEN, bound=0.09),
    )
    rows = list(found.values())
    assert verdict(rows, []).startswith(
        "There was hardly an accent to learn, 3.0 points (1.0–5.0) of style distance; broad data"
    )
    _, no = supported(rows)
    assert no[0].startswith(
        "Not seen: “Style closes fast, with little data”. There was hardly an accent to learn. "
    )


def test_only_more_data_teaching_is_said_so(found: dict[str, Any]) -> None:
    parts = found["broad_flat"]["parts"]
    parts[1] |= {"value": 0.3, "low": 0.2, "high": 0.4, "verdict": NOT_SEEN}
    found["broad_flat"]["verdict"] = NOT_SEEN
    assert "; more broad data taught more of the part, 30 % (20–40) of its gap closed; " in verdict(
        list(found.values()), []
    )


def test_what_cannot_be_told_is_not_said(found: dict[str, Any]) -> None:
    rows = [finding(id, CANNOT_TELL, note="the study has no broad kind") for id in found]
    assert verdict(rows, []) == (
        "Whether little data teaches the accent cannot be told; whether broad data teaches the "
        "part cannot be told."
    )
    yes, no = supported(rows)
    assert yes == []
    assert no[0] == (
        "Cannot tell: “Style closes fast, with little data”. The study has no broad kind."
    )


def test_the_preference_gap_as_two_judges_see_it(found: dict[str, Any]) -> None:
    gaps = [
        {"kind": kind, "base": base, "amount": 800, "quantity": f"preferred by {judge}"}
        | {"value": value, "low": value - 0.1, "high": value + 0.1}
        for kind, base, judge, value in (
            ("broad", "small", "hurried", 0.5),
            ("broad", "small", "checking", 0.2),
            ("broad", "large", "hurried", 0.9),
            ("broad", "large", "checking", 0.1),
            ("local", "large", "hurried", 0.7),
            ("local", "large", "checking", 0.7),
        )
    ]
    rows = list(found.values())
    assert verdict(rows, gaps).endswith(
        "; large with 800 tokens closed 90 % (80–100) of the preference gap for a hurried judge, "
        "10 % (0–20) for a checking one."
    )
    gaps[3] |= {"value": None, "low": None, "high": None}  # then the largest that both judged
    assert "; small with 800 tokens closed 50 %" in verdict(rows, gaps)
    assert "judge" not in verdict(rows, gaps[:1])


def test_every_number_is_a_findings(found: dict[str, Any]) -> None:
    rows = list(found.values())
    known = {
        f"{abs(100 * part[name]):.{digits}f}"
        for row in rows
        for part in row["parts"]
        for name in ("value", "low", "high", "bound")
        for digits in (0, 1)
    }
    yes, no = supported(rows)
    for sentence in [verdict(rows, []), *yes, *no]:
        assert set(re.findall(r"\d+(?:\.\d+)?", sentence)) <= known
