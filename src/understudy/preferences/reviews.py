"""Vicuna's reviews, in which a judge scores two answers, read, and their figures recomputed."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel

from understudy.errors import UserError
from understudy.files import read_jsonl, validated
from understudy.preferences import Preference, Shown
from understudy.preferences.length import length_controlled
from understudy.preferences.published import PROTOCOL
from understudy.preferences.scores import preferred, read_scores, scores_of, share_of_baseline
from understudy.preferences.win_rate import shares_of
from understudy.statistics import clustered_interval


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
        preference: for the answer with the higher score; no share where none could be read.
        leading: whether they stood in the first line, as the judge was asked.
    """

    preference: Preference
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
            share=None if scores is None else preferred(*scores),
            rater=review.reviewer_id,
            protocol=PROTOCOL,
            scores=scores,
        )
        found.append(Review(preference, leading))
    return found


def review_figures(path: Path, answers: Sequence[Path]) -> dict[str, Any]:
    """What reviews say of a model against the baseline, raw and at equal length.

    `share_of_baseline` is the model's total score over the baseline's, Vicuna's own figure, and
    `at_equal_length` the same where the answers are as long; see `scores.share_of_baseline`.
    `win_rate` counts the higher score as a win.

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
    scored = [one.preference for one in read]
    lengths = np.array(
        [[len(one.text_of(name)) for name in (baseline, model)] for one in scored], dtype=float
    )
    shares = shares_of(scored, model)
    questions = [one.item for one in scored]
    controlled = length_controlled(shares, lengths[:, 0] - lengths[:, 1], clusters=questions)
    return {
        "model": model,
        "baseline": baseline,
        "judges": dict(Counter(one.preference.rater for one in reviews)),
        "n": len(read),
        "unread": len(reviews) - len(read),
        "not_in_first_line": sum(not one.leading for one in read),
        "stood_first": dict(Counter(one.preference.first.model for one in reviews)),
        "totals": {name: float(scores_of(scored, name).sum()) for name in (baseline, model)},
        "characters": {baseline: float(lengths[:, 0].mean()), model: float(lengths[:, 1].mean())},
        "share_of_baseline": share_of_baseline(scored, model, baseline),
        "at_equal_length": share_of_baseline(scored, model, baseline, at_equal_length=True),
        "win_rate": _bounds(float(shares.mean()), *clustered_interval(shares, questions)),
        "length_controlled_win_rate": _bounds(*controlled[:3]),
    }


def _bounds(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": float(value), "low": float(low), "high": float(high)}
