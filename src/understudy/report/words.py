"""How quantities and names read in the report: true minus signs, points, percent."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from understudy.pages.words import listed, number, percent, shortened
from understudy.statistics import Interval

LONGEST = 14  # characters of a judge's name in the picture
BENCHMARKS = {
    "mmlu": "MMLU",
    "nq": "Natural Questions",
    "humaneval": "HumanEval",
    "triviaqa": "TriviaQA",
    "gsm8k": "GSM8K",
    "arc_easy": "ARC easy",
    "arc_challenge": "ARC challenge",
    "hellaswag": "HellaSwag",
    "truthfulqa_mc1": "TruthfulQA (one true answer)",
    "truthfulqa_mc2": "TruthfulQA (several true answers)",
    "realtoxicity": "RealToxicityPrompts",
    "truth": "Perplexity of the truth",
}
METRICS = {
    "exact_match": "exact match",
    "mc2": "probability of the true answers",
    "expected_maximum_toxicity": "expected maximum toxicity",
}
PERPLEXITIES = {  # beside the mean
    "median": "Median",
    "clipped": "Clipped, % of items",
    "in_chat": "In the model’s chat form, mean",
    "unprompted": "Without the task, mean",
}
MEASURES = {
    "list_when_teacher_lists": "A list where the teacher gives one",
    "summary_when_teacher_sums": "A summary where the teacher gives one",
    "unigram_intersection": "Words in common with the teacher",
    "length_correlation": "Length goes with the teacher’s (r)",
    "lists": "Answers with a list",
    "summaries": "Answers that end in a summary",
    "openings": "Answers with a stock opening",
    "closings": "Answers with a stock closing",
    "authoritative": "Answers in an authoritative tone",
    "hedges": "Sentences that hedge",
    "first_person": "Sentences in the first person",
}


PROTOCOLS = {"style": "Style", "hurried": "Hurried", "scores": "Scoring", "checking": "Checking"}


def benchmark(name: str) -> str:
    """A benchmark's name as people write it."""
    return BENCHMARKS.get(name, name)


def points(share: float, sign: bool = False) -> str:
    """A share in percentage points, without the unit.

    Two digits where one would hide on which side of zero it lies.
    """
    return number(100 * share, 2 if 0.00005 <= abs(share) < 0.0005 else 1, sign)


def span(low: float, high: float, write: Callable[[float], str]) -> str:
    """An interval: "93–99", or "−5.0 to 2.4" where a dash would run into a minus."""
    return f"{write(low)}{' to ' if low < 0 else '–'}{write(high)}"


def cell(found: dict[str, Any] | None, write: Callable[[float], str]) -> dict[str, str]:
    """A cell of a table: a "value" and the "span" of its interval as texts; "–" without a value."""
    if found is None or found["value"] is None:
        return {"value": "–", "span": ""}
    low, high = found["low"], found["high"]
    between = "no bounds" if low is None else span(low, high, write)
    return {"value": write(found["value"]), "span": between}


def by_reason(gaps: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, str]:
    """Why some gap closed has no value or no bounds, and the titles of those for which it is so."""
    titles: dict[str, dict[str, None]] = {}
    for title, gap in gaps:
        if "reason" in gap:
            titles.setdefault(gap["reason"], {})[title] = None
    return {reason: listed([*of]) for reason, of in titles.items()}


def closed(found: Interval) -> str:
    """A gap closed in words: "96 % (93–99)"; "undefined" where there is no value."""
    value, low, high = found["value"], found["low"], found["high"]
    if value is None:
        return "undefined"
    if low is None or high is None:
        return f"{percent(value)} % (no bounds)"
    return f"{percent(value)} % ({span(low, high, percent)})"


def rater(one: dict[str, Any], among: Sequence[dict[str, Any]]) -> str:
    """Who preferred: "Hurried judge", or by name where `among` has several of the kind."""
    kind = (one["by"], one["protocol"])
    alike = sum((other["by"], other["protocol"]) == kind for other in among)
    protocol = PROTOCOLS.get(one["protocol"], shortened(one["protocol"], LONGEST))
    if one["rater"] and alike > 1:
        return f"{protocol}, {shortened(one['rater'], LONGEST)}"
    return f"{protocol} {one['by']}"
