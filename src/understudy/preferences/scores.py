"""Scores, where a judge gives both of two answers one: read, and made a share of a total.

Vicuna's evaluation asked GPT-4 for two scores from 1 to 10 in a review's first line, and reasons
after them. Its headline is the model's total over the baseline's.
"""

import math
import re
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from understudy.preferences import Preference
from understudy.preferences.length import bounded
from understudy.preferences.win_rate import Codes, count, numbered
from understudy.statistics import LEVEL, Array, Interval

SCORE = r"(10(?:\.0)?|\d(?:\.\d+)?)"
PAIR = re.compile(rf"[^\w.]*{SCORE}[\s,;|]+{SCORE}[^\w.]*")
NAMED = re.compile(
    rf"^[^\w\n]*assistant (1|2)[^\w\n]*(?:score[^\w\n]*)?{SCORE}(?:/10)?[^\w\n]*$", re.I | re.M
)
PULL = 0.99  # of an item on its own prediction, at most: the rest is divided by


def read_scores(text: str) -> tuple[tuple[float, float] | None, bool]:
    """The two scores, 0 to 10, that a review gives, and whether they are its first line.

    Where the first line is not two numbers, they are the last that are named ("Assistant 1: 9")
    each on a line of its own, else a last line of two numbers. None: there are none.
    """
    lines = [line for line in text.splitlines() if line.strip()] or [""]
    if found := PAIR.fullmatch(lines[0]):
        return (float(found[1]), float(found[2])), True
    named = dict(NAMED.findall(text))
    if len(named) == 2:
        return (float(named["1"]), float(named["2"])), False
    if found := PAIR.fullmatch(lines[-1]):
        return (float(found[1]), float(found[2])), False
    return None, False


def preferred(first: float, second: float) -> float:
    """The share of the second answer: the higher score wins, equal ones are a tie."""
    return 0.5 if first == second else float(second > first)


def scores_of(preferences: Sequence[Preference], model: str) -> Array:
    """The scores of a model's answers; nan where there are none."""
    scores = (one.score_of(model) for one in preferences)
    return np.array([math.nan if score is None else score for score in scores])


def share_of_baseline(
    scored: Sequence[Preference], model: str, baseline: str, at_equal_length: bool = False
) -> Interval:
    """The model's total score over the baseline's, Vicuna's own figure, with its 95 % interval.

    At equal length the model's total is moved to a length difference of 0: the difference of the
    scores is regressed (least squares) on tanh(difference in characters / its standard deviation).

    Intervals are over items, an item's preferences (of either order) being alike: the delta method
    with HC3 errors (MacKinnon & White 1985), where several share an item their clustered kind, and
    Student's quantile.

    Args:
        scored: preferences between the two models, all with scores.

    Returns:
        No bounds where there are too few items for any; no value where the baseline's total is 0.
    """
    own = scores_of(scored, baseline)
    if not own.any():
        return {"value": None, "low": None, "high": None}
    change = scores_of(scored, model) - own
    columns = [np.ones(len(own))]
    if at_equal_length:
        longer = [len(one.text_of(baseline)) - len(one.text_of(model)) for one in scored]
        columns.append(bounded(np.array(longer, dtype=float)))
    items = numbered([one.item for one in scored])
    return _ratio(own, change, np.column_stack(columns), items)


def _ratio(own: Array, change: Array, design: Array, items: Codes) -> Interval:
    """1 + the intercept of the scores' differences over the baseline's mean score.

    Args:
        own: the baseline's scores.
        change: the model's less those.
        design: rows × terms, the intercept first; the same for all rows of an item.
        items: numbers of the rows' items.
    """
    inverse = np.linalg.pinv(design.T @ design)
    fitted = inverse @ design.T @ change
    value = float(1 + fitted[0] / own.mean())
    freedom = count(items) - design.shape[1]
    if freedom < 1:
        return {"value": value, "low": None, "high": None}
    pull = np.bincount(items, weights=(design @ inverse * design).sum(axis=1)).clip(max=PULL)
    moved = design @ inverse[0] * (change - design @ fitted) / (1 - pull[items])
    moved = (moved - (value - 1) * (own - own.mean()) / len(own)) / own.mean()
    spread = math.sqrt((np.bincount(items, weights=moved) ** 2).sum())
    half = float(stdtrit(freedom, 1 - LEVEL / 2)) * spread
    return {"value": value, "low": value - half, "high": value + half}
