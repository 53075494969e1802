"""Win rates at equal style: what of a preference is left, and what style accounts for.

As LMSYS's style control does it ("Does style matter? Disentangling style and substance in Chatbot
Arena", 2024), with more features of style: the preference is regressed on differences between the
two answers' styles, and the win rate is the one at no difference.
"""

import re
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from understudy.preferences.logistic import coefficient_errors, deviance, fit, win_rate_at
from understudy.statistics import Array

FENCED = re.compile(r"^[ \t]*```.*?(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
ITEM = re.compile(r"^[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+\S", re.MULTILINE)
HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+\S", re.MULTILINE)
BOLD = re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__")
OPENING = re.compile(
    r"\W*(?:sure|certainly|of course|absolutely|here(?: are| is|['’]s)"
    r"|(?:great|good) question|i(?:['’]d| would) be (?:happy|glad))\b",
    re.IGNORECASE,
)
CLOSING = re.compile(
    r"let me know|hopes? (?:this|that) helps|feel free to|any (?:other|further|more) questions"
    r"|(?:happy|glad) to help|(?:in (?:summary|conclusion)|overall),",
    re.IGNORECASE,
)
LAST_WORDS = 200  # characters


class StyleControlled(NamedTuple):
    """A win rate at equal style.

    Attributes:
        win_rate: in 0..1.
        low, high: its 95 % interval, clustered.
        effects: for each feature that varies its "coefficient" (change of the logit for one
            standard deviation more of it than the other answer has) with "low" and "high".
        explained: the share of what varies in the preferences that style predicts, 0..1; None
            where nothing varies or there are too few items.
    """

    win_rate: float
    low: float
    high: float
    effects: dict[str, dict[str, float]]
    explained: float | None


def features(text: str) -> dict[str, float]:
    """How an answer is laid out: characters, and counts of what catches the eye.

    Lists, headings and bold are looked for outside code blocks. `opening` and `closing` are 1 where
    the answer begins or ends with a stock phrase in English.
    """
    prose, blocks = FENCED.subn("\n", text)
    return {
        "characters": float(len(text)),
        "list_items": float(len(ITEM.findall(prose))),
        "headings": float(len(HEADING.findall(prose))),
        "bold": float(len(BOLD.findall(prose))),
        "code_blocks": float(blocks),
        "opening": float(bool(OPENING.match(prose))),
        "closing": float(bool(CLOSING.search(prose[-LAST_WORDS:]))),
    }


def difference(text: str, other: str) -> dict[str, float]:
    """How much more of each feature a text has than another: (a − b) / (a + b), 0 if both have 0.

    So LMSYS normalises them: ten list items against none are as far apart as three against none.
    """
    mine, others = features(text), features(other)
    return {name: (mine[name] - others[name]) / (mine[name] + others[name] or 1.0) for name in mine}


def style_controlled(
    shares: Array, differences: dict[str, Array], clusters: Sequence[Hashable]
) -> StyleControlled:
    """The win rate at equal style, what each feature does, and what they explain together.

    A logistic regression on an intercept and the differences, each divided by its standard
    deviation and not centred, so that 0 stays "no difference". A difference that is the same for
    every item cannot be told from the model's own strength and is left out.

    `explained` is the share of the deviance that the features take away, adjusted for their number:
    the R² of Cameron & Windmeijer (1997, "An R-squared measure of goodness of fit for some common
    nonlinear regression models"), which is McFadden's (1974) where all preferences are 0 or 1.

    Args:
        shares: how far the model is preferred, 0..1, one an item.
        differences: for every feature by how much the model has more of it; see `difference`.
        clusters: what may be alike: the prompt's id.

    Raises:
        ValueError: there are no items.
    """
    if not len(shares):
        raise ValueError("no preferences to control for style")
    columns = {name: value / np.std(value) for name, value in differences.items() if np.ptp(value)}
    design = np.column_stack([np.ones(len(shares)), *columns.values()])
    fitted = fit(design, shares, clusters)
    errors, quantile = coefficient_errors(fitted)
    effects = {
        name: {
            "coefficient": value,
            "low": value - quantile * error,
            "high": value + quantile * error,
        }
        for name, value, error in zip(
            columns, fitted.coefficients[1:].tolist(), errors[1:].tolist(), strict=True
        )
    }
    equal = np.zeros_like(design)
    equal[:, 0] = 1
    return StyleControlled(
        *win_rate_at(fitted, equal, shares),
        effects,
        _explained(shares, expit(design @ fitted.coefficients), len(columns)),
    )


def _explained(shares: Array, predicted: Array, terms: int) -> float | None:
    total = deviance(shares, np.full(len(shares), shares.mean()))
    left = len(shares) - terms - 1
    if left <= 0 or total < 1e-9:
        return None
    return max(0.0, 1 - deviance(shares, predicted) / left / (total / (len(shares) - 1)))
