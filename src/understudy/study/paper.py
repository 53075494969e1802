"""Tables 1 and 2 of the paper, as printed, through the gap code for published scores.

Gudibande et al. 2023, "The False Promise of Imitating Proprietary LLMs", arXiv 2305.15717v1.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from understudy.study.gap import published_gap

NQ_ITEMS = 3610  # of NQ-open's validation set; the paper does not say that it used all
CHATGPT = 0.31
NQ = {  # Table 1: Natural Questions, accuracy: base, then with imitation data
    "LLaMA 7B": (0.17, {"broad (ShareGPT-Mix)": 0.10, "local (NQ-synthetic)": 0.22}),
    "LLaMA 13B": (0.20, {"broad (ShareGPT-Mix)": 0.15, "local (NQ-synthetic)": 0.27}),
}
AMOUNTS = (20_000_000, 80_000_000, 150_000_000)  # tokens of broad imitation data, in Table 2


class Measure(NamedTuple):
    """A row of Table 2: style beside one random answer of ChatGPT's.

    Attributes:
        base: LLaMA's; the caption does not say of which size.
        students: at AMOUNTS.
        ceiling: of a second random answer of ChatGPT's.
        printed_to: the last place.
        reach: from the least to the most that the measure can be.
    """

    base: float
    students: tuple[float, float, float]
    ceiling: float
    printed_to: float = 0.01
    reach: float = 1.0


STYLE = {
    "list when ChatGPT gives a list": Measure(0.13, (0.50, 0.67, 0.81), 0.83),
    "summary when ChatGPT gives one": Measure(0.02, (0.40, 0.42, 0.48), 0.55),
    "unigram intersection": Measure(0.195, (0.404, 0.419, 0.425), 0.492, 0.001),
    "length, Pearson's r": Measure(-0.11, (0.51, 0.62, 0.62), 0.67, reach=2.0),
    "authoritative tone": Measure(0.57, (0.99, 0.98, 0.98), 0.98),
}
ALL = "all five"


def table_1(seed: int = 0) -> list[dict[str, Any]]:
    """Gap closed on Natural Questions; rows "base", "data", and what `published_gap` gives.

    Intervals allow for so many questions and for whole percents. Models are drawn apart, since
    nothing published pairs them.
    """
    return [
        {"base": name, "data": data}
        | published_gap(base, student, CHATGPT, n=NQ_ITEMS, rounded_to=0.01, seed=seed)
        for name, (base, students) in NQ.items()
        for data, student in students.items()
    ]


def table_2() -> list[dict[str, Any]]:
    """Style's share of its ceiling; rows "measure", "tokens", "value", and "least" and "most".

    The ceiling is ChatGPT's second answer. Between "least" and "most" is what the printed figures
    may be rounded from; on how many prompts they are is not said, so there are no intervals. ALL is
    the share in the mean of the measures, each over its reach.
    """
    rows = {name: [row] for name, row in STYLE.items()} | {ALL: list(STYLE.values())}
    return [
        {"measure": name, "tokens": tokens} | _share(measures, at)
        for name, measures in rows.items()
        for at, tokens in enumerate(AMOUNTS)
    ]


def _share(measures: Sequence[Measure], at: int) -> dict[str, float]:
    """In the mean of the measures at one of AMOUNTS: as printed, and at the ends of rounding."""
    reach = np.array([[row.reach] for row in measures])
    rows = np.array([(row.base, row.students[at], row.ceiling) for row in measures])
    printed = (rows / reach).mean(axis=0)
    half = (np.array([[row.printed_to] for row in measures]) / 2 / reach).mean()
    found = [
        published_gap(*(printed + half * np.array(signs)).tolist())["value"]
        for signs in [(0, 0, 0), *product((-1, 1), repeat=3)]
    ]
    return {"value": found[0], "least": min(found), "most": max(found)}
