"""What moves a rater other than the answers' worth: the side, the length, its own kin.

Wang et al. 2023 ("Large language models are not fair evaluators") and Zheng et al. 2023 ("Judging
LLM-as-a-judge with MT-bench and Chatbot Arena", section 3.3) describe these biases; the measures
here are differences of plain shares, each with its interval.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from understudy.preferences import Preference
from understudy.preferences.win_rate import Rate, rate
from understudy.statistics import Difference, paired_difference


def first_preferred(preferences: Sequence[Preference]) -> Rate | None:
    """How much the answer shown first is preferred; 0.5 is no bias.

    The mean of both orders' shares, each order counting the same however often it was shown, so
    that the better model cannot pass for the better place. None unless both orders were judged.

    Args:
        preferences: between the same two models.
    """
    judged = [one for one in preferences if one.share is not None]
    models = sorted({model for one in judged for model in one.models})
    share = np.array([1 - one.share for one in judged if one.share is not None])
    swapped = np.array([one.first.model != models[0] for one in judged], dtype=int)
    times = np.bincount(swapped, minlength=2)
    if not times.all():
        return None
    means = np.bincount(swapped, weights=share) / times
    # Each preference's part in the mean of both orders: linearised, with that mean as its mean.
    linear = means.mean() + (share - means[swapped]) * len(judged) / (2 * times[swapped])
    return _rate(linear, judged)


class Swapped(NamedTuple):
    """Pairs that one rater judged in both orders, and the share with the same verdict in both."""

    items: int
    same: Rate


def swapped(preferences: Sequence[Preference]) -> Swapped | None:
    """How often a rater prefers the same answer when the two change places; ties are verdicts too.

    A rater that throws a coin does so half of the time. None where nobody judged both orders.

    Args:
        preferences: between the same two models.
    """
    verdicts: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    model = min((model for one in preferences for model in one.models), default="")
    for one in preferences:
        share = one.share_of(model)
        if share is not None:
            verdicts[one.item, one.rater][one.first.model] = float(np.sign(share - 0.5))
    pairs = {key: list(given.values()) for key, given in verdicts.items() if len(given) == 2}
    prompts, raters = [item for item, _ in pairs], [rater for _, rater in pairs]
    same = rate([one == other for one, other in pairs.values()], prompts, raters)
    return Swapped(len(pairs), same) if same else None


def longer_preferred(preferences: Sequence[Preference]) -> Rate | None:
    """How much the longer answer is preferred; None where no two differ in length.

    What is longer may be better, too: `length_controlled` says what is left of a win rate.
    """
    found = []
    for one in preferences:
        more = len(one.second.text) - len(one.first.text)
        if one.share is not None and more:
            found.append((one, one.share if more > 0 else 1 - one.share))
    return _rate([share for _, share in found], [one for one, _ in found])


def self_preference(preferences: Sequence[Preference], judge: str, own: str) -> Difference | None:
    """How much more a judge prefers its own answers than other raters do, pair by pair.

    The difference of shares, −1 to 1, on what both judged (the same prompt and models; the mean of
    both orders and of all others), with an interval clustered by prompt. None where no other rater
    judged what it did.

    Args:
        preferences: of one protocol, by the judge and others.
        judge: the rater.
        own: the model whose answers are its own.
    """
    by_judge: dict[tuple[str, ...], list[float]] = defaultdict(list)
    by_others: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for one in preferences:
        share = one.share_of(own) if own in one.models else None
        if share is not None:
            given = by_judge if one.rater == judge else by_others
            given[one.item, *sorted(one.models)].append(share)
    shared = [unit for unit in by_judge if unit in by_others]
    if not shared:
        return None
    others, judges = (
        [float(np.mean(given[unit])) for unit in shared] for given in (by_others, by_judge)
    )
    return paired_difference(others, judges, [unit[0] for unit in shared])


def _rate(values: Sequence[float], preferences: Sequence[Preference]) -> Rate | None:
    return rate(values, [one.item for one in preferences], [one.rater for one in preferences])
