"""Logistic regression of several models' preferences on the same items, with a random effect.

What an item has about it that no column of the design says, and that makes all models win or lose
it together, is a normal deviate; the likelihood is the one with the deviates integrated out
(McCulloch & Searle 2001, "Generalized, linear, and mixed models", chapter 8).
"""

from collections.abc import Hashable, Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logsumexp

from understudy.preferences.logistic import RIDGE, Fit, mean_prediction
from understudy.preferences.win_rate import numbered
from understudy.statistics import Array

# Deviates, in standard deviations. The trapezoid rule integrates a smooth density to many digits
# (Trefethen & Weideman 2014, "The exponentially convergent trapezoidal rule").
GRID = np.linspace(-6, 6, 61)
LOG_WEIGHTS = -(GRID**2) / 2 - logsumexp(-(GRID**2) / 2)
STEP = 1e-4  # of the differences that give second derivatives


def fit(design: Array, shares: Array, clusters: Sequence[Hashable] | None = None) -> Fit:
    """Maximise the marginal likelihood, with `logistic.fit`'s ridge.

    Args:
        design: models × items × columns; finite.
        shares: models × items, 0..1; nan where a model was not judged.
        clusters: one an item: what may be alike; None: no two are.

    Returns:
        The coefficients of the design's columns, then the deviates' standard deviation (of either
        sign); influence has one row an item.
    """
    items, columns = design.shape[1:]
    ridge = RIDGE * np.eye(columns + 1)

    def loss(coefficients: Array) -> tuple[float, Array]:
        likelihoods, scores = likelihood(coefficients, design, shares)
        pulled = ridge @ coefficients
        return pulled @ coefficients / 2 - likelihoods.sum(), pulled - scores.sum(axis=0)

    start = np.append(np.zeros(columns), 1.0)
    best = minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-6}).x
    steps = STEP * np.eye(columns + 1)
    curvature = np.array([(loss(best + step)[1] - loss(best - step)[1]) / 2 for step in steps])
    inverse = np.linalg.inv((curvature + curvature.T) / (2 * STEP))
    _, scores = likelihood(best, design, shares)
    codes = numbered(range(items) if clusters is None else clusters)
    return Fit(best, scores @ inverse, RIDGE * inverse @ inverse, codes)


def likelihood(coefficients: Array, design: Array, shares: Array) -> tuple[Array, Array]:
    """Each item's marginal log-likelihood, and its derivatives, items × coefficients.

    Arguments as for `fit`, whose coefficients are the first.
    """
    logits = (design @ coefficients[:-1])[:, :, None] + coefficients[-1] * GRID
    judged = ~np.isnan(shares)[:, :, None]
    known = np.nan_to_num(shares)[:, :, None]
    joint = LOG_WEIGHTS + ((known * logits - np.logaddexp(0, logits)) * judged).sum(axis=0)
    likelihoods = logsumexp(joint, axis=1)
    posterior = np.exp(joint - likelihoods[:, None])
    errors = (known - expit(logits)) * judged * posterior
    by_column = np.einsum("mi,mic->ic", errors.sum(axis=2), design)
    return likelihoods, np.column_stack([by_column, errors.sum(axis=0) @ GRID])


def win_rate_at(fitted: Fit, design: Array) -> tuple[float, float, float]:
    """A model's mean prediction, over items and all deviates, with its 95 % interval.

    Args:
        fitted: on as many items.
        design: items × columns.
    """
    weights = np.exp(LOG_WEIGHTS)
    *coefficients, spread = fitted.coefficients
    predicted = expit((design @ coefficients)[:, None] + spread * GRID)
    slopes = predicted * (1 - predicted) * weights
    by_column = slopes.sum(axis=1)[:, None] * design
    return mean_prediction(fitted, predicted @ weights, np.column_stack([by_column, slopes @ GRID]))
