"""Win rates at equal length: what is left of a preference when length is controlled for.

After AlpacaEval 2 (Dubois et al. 2024, "Length-controlled AlpacaEval: a simple way to debias
automatic evaluators", section 3). There the logit of a preference is the model's intercept, plus a
coefficient times tanh(difference in length / its standard deviation), plus a coefficient times the
instruction's difficulty; the win rate is the mean prediction at a difference of 0.

The difficulties matter. Where an instruction asks for little, the baseline's answer is short, so
that the model's is about as long; and there a weak model also wins more often. Without a term for
the instruction all of that is put down to length. AlpacaEval's difficulties come from a joint fit
over all models of its leaderboard. Where they are not at hand, the length of the baseline's answer
can stand in for them, on the same scale, tanh(characters / their standard deviation): it is the
same for every model, and so belongs to the instruction. With several models of the same
instructions, what else they find hard together is taken up by a random effect.
`benchmarks/length_control.py` compares this with other terms on held-out instructions.

AlpacaEval's l1 penalty, and the two "gamed" baselines towards which it draws its coefficients, are
left out: these are maximum-likelihood fits.
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from understudy.preferences import mixed
from understudy.preferences.logistic import fit, win_rate_at
from understudy.statistics import Array


class LengthControlled(NamedTuple):
    """A win rate at equal length.

    Attributes:
        win_rate: in 0..1.
        low, high: its 95 % interval.
        coefficients: of the regression, by term.
        terms: of the regression, in order.
    """

    win_rate: float
    low: float
    high: float
    coefficients: dict[str, float]
    terms: tuple[str, ...]


def length_controlled(
    shares: Array,
    delta_characters: Array,
    difficulty: Array | None = None,
    *,
    baseline_characters: Array | None = None,
    clusters: Sequence[Hashable] | None = None,
) -> LengthControlled:
    """The win rate that a model would have if its answers were as long as the baseline's.

    Terms: `intercept`, `length`, and `difficulty` or `baseline_length` where these are given.

    Args:
        shares: how far the model is preferred over the baseline, 0..1, one an item.
        delta_characters: the baseline's characters less the model's.
        difficulty: of each instruction, as published by AlpacaEval.
        baseline_characters: of the baseline's answers, to stand in for difficulties.
        clusters: what may be alike, where an item is there more than once; None: no two are.

    Raises:
        ValueError: there are no items.
    """
    if not len(shares):
        raise ValueError("no preferences to control for length")
    columns = {"intercept": np.ones(len(shares)), "length": bounded(delta_characters)}
    if difficulty is not None:
        columns["difficulty"] = difficulty
    if baseline_characters is not None:
        columns["baseline_length"] = bounded(baseline_characters)
    design = np.column_stack(list(columns.values()))
    fitted = fit(design, shares, clusters)
    equal = design * [name != "length" for name in columns]
    coefficients = dict(zip(columns, fitted.coefficients.tolist(), strict=True))
    return LengthControlled(*win_rate_at(fitted, equal, shares), coefficients, tuple(columns))


def jointly_length_controlled(
    shares: Array,
    delta_characters: Array,
    baseline_characters: Array,
    clusters: Sequence[Hashable] | None = None,
) -> list[LengthControlled]:
    """`length_controlled` for several models against one baseline, whose instructions they share.

    A logistic regression with a random effect: an instruction's difficulty is a coefficient times
    the baseline's length on it (`baseline_length`), plus a normal deviate that all models share,
    whose standard deviation is `spread`. The coefficient of `length` is shared as well; each model
    has its `intercept`. All maximise the likelihood with the deviates integrated out. The win rate
    is the mean over instructions, and over the deviates, at a difference of 0.

    Args:
        shares: models × items: how far each is preferred over the baseline, 0..1; nan where it was
            not judged.
        delta_characters: models × items: the baseline's characters less the model's.
        baseline_characters: one an item.
        clusters: one an item, as for `length_controlled`.

    Raises:
        ValueError: a model was judged on no item.
    """
    judged = ~np.isnan(shares)
    if not judged.any(axis=1).all():
        raise ValueError("no preferences to control for length")
    models, items = shares.shape
    lengths = [bounded(row) for row in np.where(judged, delta_characters, np.nan)]
    design = np.zeros((models, items, models + 2))
    design[range(models), :, range(models)] = 1
    design[:, :, -2], design[:, :, -1] = np.nan_to_num(lengths), bounded(baseline_characters)
    fitted = mixed.fit(design, shares, clusters)
    *intercepts, length, baseline_length, spread = fitted.coefficients.tolist()
    shared = {"length": length, "baseline_length": baseline_length, "spread": abs(spread)}
    equal = design * (np.arange(models + 2) != models)
    return [
        LengthControlled(
            *mixed.win_rate_at(fitted, own),
            {"intercept": intercept, **shared},
            ("intercept", *shared),
        )
        for own, intercept in zip(equal, intercepts, strict=True)
    ]


def bounded(characters: Array) -> Array:
    """tanh(characters / their sample standard deviation); 0 where none differ, nan where nan."""
    known = characters[~np.isnan(characters)]
    spread = float(np.std(known, ddof=1)) if len(known) > 1 else 0.0
    return np.tanh(characters / spread) if spread else np.zeros(len(characters))
