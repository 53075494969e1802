"""How far a model's habits are from the teacher's.

Every measure compares a model's answers with the teacher's first answers to the same prompts
(Gudibande et al. 2023, Table 2, and a few of ours). There are two kinds:

- comparisons, which would be 1 for the teacher's first answers themselves:
  `list_when_teacher_lists` and `summary_when_teacher_sums` (share of the prompts where the teacher
  does), `unigram_intersection` (words in common as multisets, 2|A∩B| / (|A|+|B|), mean over
  prompts) and `length_correlation` (Pearson's r of the word counts);
- rates of a habit over all prompts: `lists`, `summaries`, `openings`, `closings`, `authoritative`,
  `hedges`, `first_person`.

The style distance is the mean over measures of the shortfall: 1 − value for comparisons ((1 − r)/2
for the correlation), |model's rate − teacher's rate| for rates. It lies in 0..1, falls whenever any
measure moves towards the teacher's, and is 0 for the teacher's first answers. A model that samples
exactly like the teacher cannot do better than the teacher's own second answers do; their distance
is the ceiling of imitation, and the gap closed is measured against it. The rates of lists and
summaries stand beside the comparisons so that always writing a list does not pay.

The gap closed measure by measure is in the same shortfalls: towards the value of the teacher's
second answers for comparisons (1 without them), and in |rate − teacher's rate| for rates. A signed
rate would credit a student that writes twice the teacher's lists with more than the whole gap; here
it has overshot, and what it overshot by counts against it. And so, where every measure has a gap,
that of the whole distance is their mean, weighted by how far the base is from the ceiling in each.
Only the base's own difference keeps its sign in the draws: an absolute one is hardly ever 0, and
would pass for a gap where base and teacher do not reliably differ.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from understudy.statistics import Array, Interval, gap_closed, ratio
from understudy.style.profile import Profile

COMPARISONS = (
    "list_when_teacher_lists",
    "summary_when_teacher_sums",
    "unigram_intersection",
    "length_correlation",
)
RATES = (
    "lists",
    "summaries",
    "openings",
    "closings",
    "authoritative",
    "hedges",
    "first_person",
)
MEASURES = COMPARISONS + RATES
LEAST = 5  # prompts on which the teacher has a habit, below which a conditional share means little


ModelT = TypeVar("ModelT")


@dataclass(frozen=True)
class Habits:
    """A model's answers as numbers: `rates` is prompts × RATES, the others one a prompt.

    `overlap` is the share of words in common with the teacher's first answer.
    """

    rates: Array
    length: Array
    overlap: Array


def habits(answers: Sequence[Profile], teacher: Sequence[Profile]) -> Habits:
    """Habits of a model's answers, given the teacher's first answers to the same prompts."""
    rates = [
        [p.has_list, p.has_summary, p.opening, p.closing, p.authoritative, p.hedges, p.first_person]
        for p in answers
    ]
    pairs = zip(answers, teacher, strict=True)
    return Habits(
        rates=np.array(rates, dtype=float).reshape(len(answers), len(RATES)),
        length=np.array([len(p.words) for p in answers], dtype=float),
        overlap=np.array([unigram_intersection(a.words, b.words) for a, b in pairs], dtype=float),
    )


def unigram_intersection(one: list[str], other: list[str]) -> float:
    """Words in common as multisets over the mean number of words; 1 if both are empty."""
    total = len(one) + len(other)
    return 2 * (Counter(one) & Counter(other)).total() / total if total else 1.0


def measure(model: Habits, teacher: Habits, weights: Array) -> Array:
    """Values of MEASURES, rows of `weights` × measures; nan where the teacher leaves none.

    That is so for a conditional share if the teacher does it on fewer than LEAST prompts, and for
    the correlation if its answers are all equally long. A model whose answers are all equally long
    has r = 0.
    """
    total = weights.sum(axis=1)
    comparisons = [
        _when_teacher_does(model.rates[:, 0], teacher.rates[:, 0], weights),
        _when_teacher_does(model.rates[:, 1], teacher.rates[:, 1], weights),
        weights @ model.overlap / total,
        _correlation(model.length, teacher.length, weights),
    ]
    return np.column_stack([*comparisons, weights @ model.rates / total[:, None]])


def shortfalls(values: Array, teacher: Array) -> Array:
    """How far every measure is from the teacher's, 0..1, for a model's and the teacher's `measure`.

    Rows × measures; nan where the teacher leaves none.
    """
    found = 1 - values
    found[:, len(COMPARISONS) - 1] /= 2
    found[:, len(COMPARISONS) :] = np.abs(values - teacher)[:, len(COMPARISONS) :]
    return found


def measures(
    answers: Mapping[ModelT, Sequence[Profile]], teacher: Sequence[Profile], weights: Array
) -> tuple[dict[ModelT, Array], Array]:
    """`measure` of several models' answers, and of the teacher's first answers themselves."""
    own = habits(teacher, teacher)
    models = {model: habits(given, teacher) for model, given in answers.items()}
    values = {model: measure(numbers, own, weights) for model, numbers in models.items()}
    return values, measure(own, own, weights)


def style_distance(values: Array, teacher: Array) -> Array:
    """The distance in 0..1 for every row of a model's and the teacher's `measure`."""
    return np.asarray(np.nanmean(shortfalls(values, teacher), axis=1))


def closed(
    base: Array, student: Array, teacher: Array, second: Array | None
) -> dict[str, dict[str, float | str | None]]:
    """The gap closed by measure, with a "reason" where it is undefined or has no bounds.

    Args:
        base, student, teacher, second: `measure` of each model, of the teacher's first answers, and
            of its second ones, or None.
    """
    far, near = shortfalls(base, teacher), shortfalls(student, teacher)
    ceiling = far * 0 if second is None else shortfalls(second, teacher)
    rates = slice(len(COMPARISONS), None)
    far[:, rates] = np.sign(teacher - base)[0, rates] * (teacher - base)[:, rates]
    found: dict[str, dict[str, float | str | None]] = {}
    for column, name in enumerate(MEASURES):
        gap = gap_closed(-far[:, column], -near[:, column], -ceiling[:, column])
        found[name] = gap | _reason(gap, bool(np.isnan(far[0, column])))
    return found


def _reason(gap: Interval, unmeasured: bool) -> dict[str, str]:
    if unmeasured:
        return {"reason": "the teacher gives too little to compare"}
    if gap["value"] is None:
        return {"reason": "the base is no farther from the teacher than the ceiling is"}
    if gap["low"] is None:
        return {"reason": "the base is not reliably farther from the teacher than the ceiling is"}
    return {}


def _when_teacher_does(model: Array, teacher: Array, weights: Array) -> Array:
    """Share of the model's prompts with a habit among those where the teacher has it."""
    if teacher.sum() < LEAST:
        return np.full(len(weights), np.nan)
    return ratio(weights @ (teacher * model), weights @ teacher)


def _correlation(model: Array, teacher: Array, weights: Array) -> Array:
    """Weighted Pearson r for every row of weights."""
    share = weights / weights.sum(axis=1, keepdims=True)
    x, y = model - model.mean(), teacher - teacher.mean()
    covariance = share @ (x * y) - (share @ x) * (share @ y)
    variance_x = _spread(share @ x**2, share @ x)
    variance_y = _spread(share @ y**2, share @ y)
    both = np.sqrt(variance_x * variance_y)
    r = np.divide(covariance, both, out=np.zeros(len(both)), where=both > 0)
    return np.where(variance_y > 0, np.clip(r, -1, 1), np.nan)


def _spread(mean_square: Array, mean: Array) -> Array:
    """The variance, where what rounding alone leaves counts as none."""
    variance = mean_square - mean**2
    return np.where(variance > 1e-9 * np.maximum(mean_square, 1), variance, 0.0)
