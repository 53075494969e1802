"""What a judge is asked, and the asking taken apart again.

Answers are written by models and may say anything, also what looks like the end of an answer or
like a verdict. So every text stands between lines with a boundary that is drawn from all the texts
together: no answer can hold it, and equal texts give an equal prompt, which the ledger needs.
"""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from understudy.files import digest

GRADE, SCORES = "grade", "scores"
PAIRWISE = ("hurried", "checking", "style", SCORES)
PROTOCOLS = (*PAIRWISE, GRADE)
WITH_REFERENCE = ("checking", GRADE)  # the others judge as someone who looks nothing up

_NAMES = ("question", "reference", "answer", "answer A", "answer B")
_BEGIN = re.compile(r"^--- ([0-9a-f]{16}) begin question$", re.MULTILINE)


class Parts(NamedTuple):
    """What a prompt is made of.

    Attributes:
        protocol: one of PROTOCOLS.
        question: what was asked.
        answers: two in the order shown, A and B; one for a grade.
        reference: a right answer; None where there is none.
    """

    protocol: str
    question: str
    answers: tuple[str, ...]
    reference: str | None = None


def prompt(parts: Parts) -> str:
    """The text that puts these parts to a judge; equal parts have equal texts."""
    labels = ("answer",) if len(parts.answers) == 1 else ("answer A", "answer B")
    material = [("question", parts.question), *zip(labels, parts.answers, strict=True)]
    if parts.reference is not None:
        material.insert(1, ("reference", parts.reference))
    template = _environment().get_template(f"{parts.protocol}.jinja")
    return template.render(
        boundary=_boundary([text for _, text in material]),
        material=material,
        reference=parts.reference is not None,
    )


def repair(protocol: str) -> str:
    """What a judge is told whose reply could not be read."""
    if protocol == GRADE:
        return "That cannot be read. Reply with one line alone: Grade: and a whole number, 1 to 10."
    if protocol == SCORES:
        return (
            "That cannot be read. Reply with one line alone: two numbers from 1 to 10 with a space "
            "between them, the score of answer A and then that of answer B."
        )
    return "That cannot be read. Reply with one line alone: Verdict: A, Verdict: B or Verdict: tie."


def parts_of(text: str) -> Parts | None:
    """The parts that `prompt` made this text of; None if it did not make it."""
    found = _BEGIN.search(text)
    if found is None:
        return None
    question, reference, *given = (_between(text, found[1], name) for name in _NAMES)
    answers = tuple(answer for answer in given if answer is not None)
    if question is None or not answers:
        return None
    for protocol in PAIRWISE if len(answers) == 2 else (GRADE,):
        parts = Parts(protocol, question, answers, reference)
        if prompt(parts) == text:
            return parts
    return None


def _between(text: str, boundary: str, name: str) -> str | None:
    """What stands between the two lines with this boundary and name."""
    _, begun, rest = text.partition(f"\n--- {boundary} begin {name}\n")
    inside, ended, _ = rest.partition(f"\n--- {boundary} end {name}\n")
    return inside if begun and ended else None


def _boundary(texts: list[str]) -> str:
    """Hexadecimal digits that none of the texts holds, drawn from all of them."""
    drawn = digest(texts)[:16]
    while any(drawn in text for text in texts):
        drawn = digest(drawn)[:16]
    return drawn


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=False,  # plain text, in which the boundary keeps the parts apart
        undefined=StrictUndefined,
        trim_blocks=True,
    )
