"""The world's teacher as a judge of two answers, or of one, in two honest manners.

`world-hurried` looks nothing up. It sees form: an opening line, a list, a summary, an offer of more
help, a tone without doubt, and length up to LONG words. Where forms are nearly alike it takes the
answer that it read first more often than not, as hurried readers do, so that there is a position
bias to be measured.

`world-checking` looks up what the question asks for and every statement that it recognises
(`claims`), and sees nothing else: an answer that is right beats one that says nothing, which beats
one that is wrong, and answers that are equally right are a tie, however they are laid out. What
an answer asks of its judge is no statement; the hurried manner sees in it words like any other.

Asked for style alone, both judge form; the checking one has no habit of place then either. Asked
for scores or a grade, each gives the more the better an answer is in its eyes.

How sure a judge is follows from the difference d between the answers' scores by the model of
Davidson (1970, "On extending the Bradley-Terry model to accommodate ties"): A, B and a tie are to
each other as exp(d/2), exp(-d/2) and a constant.
"""

import math
from itertools import product
from typing import NamedTuple

from understudy.judge.prompts import GRADE, SCORES, Parts, parts_of, repair
from understudy.style.profile import profile
from understudy.world.claims import check
from understudy.world.encyclopedia import World

FORM = {"opening": 1.0, "has_list": 1.0, "has_summary": 0.5, "closing": 1.0, "authoritative": 0.5}
LONG = 120  # words up to which a longer answer looks better
LENGTH = 1.0  # what LONG words are worth beside FORM
MOST_FORM = sum(FORM.values()) + LENGTH
FORM_SLOPE, FACTS_SLOPE = 3.0, 6.0  # of d, in the answers' scores
MOST_CLAIMS = 20  # of an answer that are told
WITH_REASONS = ("checking", SCORES, GRADE)  # the others want one word


class _Manner(NamedTuple):
    """How one judges.

    Attributes:
        checks: looks facts up.
        habit: what standing first is worth, as form is scored.
        even: the constant of a tie.
    """

    checks: bool
    habit: float
    even: float


JUDGES = {
    "world-hurried": _Manner(checks=False, habit=0.25, even=0.2),
    "world-checking": _Manner(checks=True, habit=0.0, even=4.0),
}


def replies(world: World, model: str, chat: list[dict[str, str]]) -> dict[str, float] | None:
    """What a judge may reply, with the probability of each; None if it is not asked to judge.

    Args:
        world: where facts are looked up.
        model: one of JUDGES; any other is no judge.
        chat: the messages. It asks to judge if its first one is a prompt of `judge.prompts`; if it
            ends with that module's request for repair, the line with the verdict alone is given.
    """
    parts = parts_of(chat[0]["content"]) if model in JUDGES else None
    if parts is None:
        return None
    manner = JUDGES[model]
    repaired = chat[-1]["content"] == repair(parts.protocol)
    with_reasons = parts.protocol in WITH_REASONS and not repaired
    reasons = _reasons(world, manner, parts) if with_reasons else ""
    if parts.protocol == SCORES:
        layout, weights = "{said}\n{reasons}", _scores(world, manner, parts)
    elif parts.protocol == GRADE:
        layout = "{reasons}\nGrade: {said}"
        weights = _grades(world, manner, parts.question, parts.answers[0])
    else:
        layout = "{reasons}\nVerdict: {said}" if with_reasons or repaired else "{said}"
        weights = _verdicts(world, manner, parts)
    total = sum(weights.values())
    return {
        layout.format(said=word, reasons=reasons).strip(): weight / total
        for word, weight in weights.items()
    }


def form(text: str) -> float:
    """What a hurried reader sees of an answer, 0 to MOST_FORM."""
    seen = profile(text)
    habits = sum(worth for name, worth in FORM.items() if getattr(seen, name))
    return habits + LENGTH * min(len(seen.words), LONG) / LONG


def _verdicts(world: World, manner: _Manner, parts: Parts) -> dict[str, float]:
    """How likely each verdict is against the others."""
    if manner.checks and parts.protocol != "style":
        first, second = (check(world, parts.question, text).score for text in parts.answers)
        d = FACTS_SLOPE * (first - second)
    else:
        first, second = map(form, parts.answers)
        d = FORM_SLOPE * (first - second + manner.habit)
    return {"tie": manner.even, "A": math.exp(d / 2), "B": math.exp(-d / 2)}


def _scores(world: World, manner: _Manner, parts: Parts) -> dict[str, float]:
    """How likely each two scores are against the others: either is given by itself, as a grade."""
    first, second = (
        _grades(world, manner, parts.question, text, habit)
        for text, habit in zip(parts.answers, (manner.habit, 0.0), strict=True)
    )
    return {f"{one} {other}": first[one] * second[other] for one, other in product(first, second)}


def _grades(
    world: World, manner: _Manner, question: str, text: str, habit: float = 0.0
) -> dict[str, float]:
    """How likely each grade is against the others: near the answer's score, brought to 1..10."""
    if manner.checks:
        centre = 5.5 + 4.5 * max(-1.0, check(world, question, text).score)
    else:
        centre = 1 + 9 * (form(text) + habit) / MOST_FORM
    return {str(grade): math.exp(-((grade - centre) ** 2)) for grade in range(1, 11)}


def _reasons(world: World, manner: _Manner, parts: Parts) -> str:
    """The reasons, in the judge's own words: an answer's text is not repeated in them."""
    if not manner.checks:
        return "I read it once and looked nothing up. What I saw is form."
    lines = []
    for label, text in zip(("A", "B"), parts.answers, strict=False):
        name = "The answer" if parts.protocol == GRADE else f"Answer {label}"
        checked = check(world, parts.question, text)
        if checked.told is not None:
            lines.append(f"{name} tells {'rightly' if checked.told else 'wrongly'} what was asked.")
        elif not checked.claims:
            lines.append(f"{name} states nothing that can be looked up.")
        lines += [
            f"{name} on the {claim.about[1].replace('_', ' ')} of {claim.about[0]}: "
            f"{'right' if claim.right else 'wrong'}."
            for claim in checked.claims[:MOST_CLAIMS]
        ]
    return "\n".join(lines)
