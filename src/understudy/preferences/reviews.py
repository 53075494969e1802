"""Vicuna's reviews, in which a judge scores two answers, read, and their figures recomputed."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel
from scipy.special import stdtrit

from understudy.errors import UserError
from understudy.files import read_jsonl, validated
from understudy.preferences import Preference, Shown
from understudy.preferences.length import bounded, length_controlled
from understudy.preferences.published import PROTOCOL
from understudy.statistics import LEVEL, Array, clustered_interval

SCORE = r"(10(?:\.0)?|\d(?:\.\d+)?)"
PAIR = re.compile(rf"[^\w.]*{SCORE}[\s,;|]+{SCORE}[^\w.]*")
NAMED = re.compile(
    rf"^[^\w\n]*assistant (1|2)[^\w\n]*(?:score[^\w\n]*)?{SCORE}(?:/10)?[^\w\n]*$", re.I | re.M
)
PULL = 0.99  # of a question on its own prediction, at most: the rest is divided by


class _Answer(BaseModel):
    answer_id: str
    model_id: str
    text: str


class _Review(BaseModel):
    question_id: int | str
    answer1_id: str
    answer2_id: str
    text: str
    reviewer_id: str = ""


class Review(NamedTuple):
    """A judge's scores of two answers.

    Attributes:
        preference: for the answer with the higher score; None where they could not be read.
        scores: of the first and the second, 0..10; nan where they could not be read.
        leading: whether they stood in the first line, as the judge was asked.
    """

    preference: Preference
    scores: tuple[float, float]
    leading: bool


def read_reviews(path: Path, answers: Sequence[Path]) -> list[Review]:
    """The reviews in a file of the format of Vicuna's evaluation (JSONL).

    Args:
        path: of the reviews.
        answers: files with the answers they are of.

    Raises:
        UserError: a file is missing, a line is of another format, or an answer is not there.
    """
    texts = {}
    for file in answers:
        for line, row in read_jsonl(file):
            answer = validated(_Answer, row, f"{file}, line {line}")
            texts[answer.answer_id] = Shown(model=answer.model_id, text=answer.text)
    found = []
    for line, row in read_jsonl(path):
        review = validated(_Review, row, f"{path}, line {line}")
        for answer_id in (review.answer1_id, review.answer2_id):
            if answer_id not in texts:
                raise UserError(
                    f"{path}, line {line}: answer {answer_id} is in none of the files of answers; "
                    "name its file too"
                )
        scores, leading = read_scores(review.text)
        preference = Preference(
            item=str(review.question_id),
            first=texts[review.answer1_id],
            second=texts[review.answer2_id],
            share=None if scores is None else _share(*scores),
            rater=review.reviewer_id,
            protocol=PROTOCOL,
        )
        found.append(Review(preference, scores or (math.nan, math.nan), leading))
    return found


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


def _share(first: float, second: float) -> float:
    return 0.5 if first == second else float(second > first)


def review_figures(path: Path, answers: Sequence[Path]) -> dict[str, Any]:
    """What reviews say of a model against the baseline, raw and at equal length.

    `share_of_baseline` is the model's total score over the baseline's, Vicuna's own figure.
    `at_equal_length` is the same with the model's total moved to a length difference of 0: the
    difference of the scores is regressed (least squares) on tanh(difference in characters / its
    standard deviation). Both have 95 % intervals over questions: the delta method with HC3 errors
    (MacKinnon & White 1985) and Student's quantile. `win_rate` counts the higher score as a win.

    The baseline is the model that the first review has first. `stood_first` says how often each
    model did: unless that is about half each, the position's effect cannot be told from quality.

    Raises:
        UserError: see `read_reviews`; or no two models were reviewed throughout.
    """
    reviews = read_reviews(path, answers)
    pairs = {frozenset(one.preference.models) for one in reviews}
    if len(pairs) != 1 or len(next(iter(pairs))) != 2:
        raise UserError(f"{path}: not reviews of one pair of models; give each pair its own file")
    read = [one for one in reviews if one.preference.share is not None]
    if len(read) < 3:
        raise UserError(f"{path}: {len(read)} reviews with scores; at least 3 are needed")
    baseline, model = reviews[0].preference.models
    scores = np.array(
        [one.scores[:: 1 if one.preference.first.model == baseline else -1] for one in read]
    )
    lengths = np.array(
        [[len(one.preference.text_of(name)) for name in (baseline, model)] for one in read],
        dtype=float,
    )
    delta = lengths[:, 0] - lengths[:, 1]
    shares = np.array([one.preference.share_of(model) for one in read], dtype=float)
    level = np.ones((len(read), 1))
    controlled = length_controlled(shares, delta)
    return {
        "model": model,
        "baseline": baseline,
        "judges": dict(Counter(one.preference.rater for one in reviews)),
        "n": len(read),
        "unread": len(reviews) - len(read),
        "not_in_first_line": sum(not one.leading for one in read),
        "stood_first": dict(Counter(one.preference.first.model for one in reviews)),
        "totals": {baseline: float(scores[:, 0].sum()), model: float(scores[:, 1].sum())},
        "characters": {baseline: float(lengths[:, 0].mean()), model: float(lengths[:, 1].mean())},
        "share_of_baseline": _share_of_baseline(scores, level),
        "at_equal_length": _share_of_baseline(scores, np.column_stack([level, bounded(delta)])),
        "win_rate": _bounds(float(shares.mean()), *clustered_interval(shares, range(len(shares)))),
        "length_controlled_win_rate": _bounds(*controlled[:3]),
    }


def _share_of_baseline(scores: Array, design: Array) -> dict[str, float]:
    """1 + the intercept of the scores' differences over the baseline's mean score.

    Args:
        scores: items × (baseline, model).
        design: items × terms, the intercept first.
    """
    own, change = scores[:, 0], scores[:, 1] - scores[:, 0]
    inverse = np.linalg.pinv(design.T @ design)
    fitted = inverse @ design.T @ change
    pull = (design @ inverse * design).sum(axis=1).clip(max=PULL)
    moved = design @ inverse[0] * (change - design @ fitted) / (1 - pull)
    ratio = fitted[0] / own.mean()
    moved = (moved - ratio * (own - own.mean()) / len(own)) / own.mean()
    half = stdtrit(len(own) - design.shape[1], 1 - LEVEL / 2) * math.sqrt((moved**2).sum())
    return _bounds(1 + ratio, 1 + ratio - half, 1 + ratio + half)


def _bounds(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": float(value), "low": float(low), "high": float(high)}
