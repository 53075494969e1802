"""Logistic regression of preferences, which are shares in 0..1, with clustered intervals.

A share stands for itself, not for a coin thrown: the fit maximises the Bernoulli quasi-likelihood
(Papke & Wooldridge 1996, "Econometric methods for fractional response variables"), and its errors
come from how far each item moves it (the sandwich, summed over clusters: Liang & Zeger 1986; each
cluster set off for its own pull on the fit: MacKinnon & White 1985, "HC3").
"""

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, stdtrit, xlogy

from understudy.preferences.win_rate import numbered
from understudy.statistics import LEVEL, Array, clustered_interval

RIDGE = 1e-6  # of the coefficients; keeps them finite where the data alone would not
STEPS = 200
SURE = 1e-9  # a rate beyond this or its opposite is the ridge's, and has no bounds
PULL = 0.99  # of a cluster on its own prediction, at most: the rest is divided by


class Fit(NamedTuple):
    """A fitted regression.

    Attributes:
        coefficients: one a column of the design.
        influence: rows × columns: how far the coefficients would move without each row.
        open: columns × columns: the variance that the ridge alone holds in; nearly 0 but where
            the data do not bound a coefficient.
        codes: each row's cluster, a number from 0.
    """

    coefficients: Array
    influence: Array
    open: Array
    codes: NDArray[np.intp]


def fit(design: Array, shares: Array, clusters: Sequence[Hashable] | None = None) -> Fit:
    """Regress shares in 0..1 on the columns of `design` (rows × columns; no intercept is added).

    The ridge is too small to show, except where a column is 0 throughout, a combination of others,
    or tells wins from losses without fail. There it keeps the coefficients finite, and counts as
    an observation of 0 with variance 1 / RIDGE (Theil & Goldberger 1961), so that their errors
    are as wide as they should be.

    Steps are Newton's, each shortened by how far it moves the linear predictor, with which they
    cannot overshoot (Bach 2010, "Self-concordant analysis for logistic regression").
    """
    ridge = RIDGE * np.eye(design.shape[1])
    coefficients = np.zeros(design.shape[1])
    for _ in range(STEPS):
        predicted = expit(design @ coefficients)
        information = (design.T * (predicted * (1 - predicted))) @ design + ridge
        gradient = (shares - predicted) @ design - RIDGE * coefficients
        step = np.linalg.solve(information, gradient)
        coefficients += step / (1 + abs(design @ step).max())
        if abs(step).max() < 1e-10:
            break
    inverse = np.linalg.inv(information)
    codes = numbered(range(len(shares)) if clusters is None else clusters)
    pull = predicted * (1 - predicted) * (design @ inverse * design).sum(axis=1)
    apart = 1 - np.bincount(codes, weights=pull).clip(max=PULL)
    errors = (shares - predicted) / apart[codes]
    return Fit(coefficients, errors[:, None] * design @ inverse, RIDGE * inverse @ inverse, codes)


def coefficient_errors(fitted: Fit) -> tuple[Array, float]:
    """The coefficients' standard errors, and Student's 97.5 % quantile to go with them."""
    variance = _clustered(fitted.influence, fitted.codes) + fitted.open.diagonal()
    return np.sqrt(variance), _quantile(fitted)


def win_rate_at(fitted: Fit, design: Array, shares: Array) -> tuple[float, float, float]:
    """The mean prediction at other rows of the design, one an item, with its 95 % interval.

    Shares that are all the same have their own mean, whatever the design.

    Args:
        fitted: on as many rows.
        design: rows × columns.
        shares: that were fitted.
    """
    if not np.ptp(shares):
        return float(shares[0]), *clustered_interval(shares, fitted.codes.tolist())
    predicted = expit(design @ fitted.coefficients)
    return mean_prediction(fitted, predicted, (predicted * (1 - predicted))[:, None] * design)


def mean_prediction(fitted: Fit, predicted: Array, slopes: Array) -> tuple[float, float, float]:
    """The mean of predictions in 0..1 with its 95 % interval, by the delta method.

    The interval is symmetric on the logit scale, and allows for other items as well as for the
    coefficients.

    Args:
        fitted: on as many rows.
        predicted: one a row.
        slopes: rows × coefficients: the predictions' derivatives.
    """
    rate, slope = float(predicted.mean()), slopes.mean(axis=0)
    if not SURE < rate < 1 - SURE:  # no number of items says so: wins are told apart without fail
        return rate, 0.0, 1.0
    moved = (predicted - rate) / len(predicted) + fitted.influence @ slope
    variance = _clustered(moved[:, None], fitted.codes)[0] + slope @ fitted.open @ slope
    half = _quantile(fitted) * math.sqrt(variance) / (rate * (1 - rate))
    return rate, float(expit(logit(rate) - half)), float(expit(logit(rate) + half))


def deviance(shares: Array, predicted: Array) -> float:
    """Twice the quasi-likelihood lost by predictions against the shares themselves."""
    for_it = xlogy(shares, shares) - xlogy(shares, predicted)
    against = xlogy(1 - shares, 1 - shares) - xlogy(1 - shares, 1 - predicted)
    return float(2 * (for_it + against).sum())


def _clustered(moved: Array, codes: NDArray[np.intp]) -> Array:
    """The variance, column by column, of what the rows move, rows × columns."""
    sums = np.stack([np.bincount(codes, weights=column) for column in moved.T])
    variance: Array = (sums**2).sum(axis=1)
    return variance


def _quantile(fitted: Fit) -> float:
    freedom = int(fitted.codes.max()) + 1 - len(fitted.coefficients)
    return float(stdtrit(freedom, 1 - LEVEL / 2)) if freedom > 0 else math.inf
