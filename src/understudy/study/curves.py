"""Scores as a function of imitation data and base size: a fit that says how unsure it is.

One quantity and one kind of data, on a scale on which noise is even:

    base:     m + a(base) + c(base, seed) + e
    student:  k·(m + a(base) + c(base, seed)) + d + f(tokens) + b(base, tokens) + s(base, seed)
              + w(base, tokens) + e

A student keeps a share k of what sets its base apart from others, and is moved by imitation: by d,
by a curve f in tokens (`FORMS`: none, a line in log tokens, Michaelis-Menten's tokens / (tokens +
half), which saturates, or a parabola in log tokens, which turns), by what imitation does to this
base alone (b: a shift and a tilt), and by what no curve says (w: a random walk in log tokens, half
of it shared by all bases). What sets bases apart, a and b, is in equal parts a line in log
parameters and each base's own. c and s are what seeds change; e is the rest, a run's own luck with
its training and with the items.

All of it is normal, given k, the form, and how large each part is beside e. These few numbers are
not chosen: forecasts are averaged over them, each weighed by the probability that it gives to the
data times its prior (Bayesian model averaging: Hoeting et al. 1999, "Bayesian model averaging: a
tutorial", equations 1 to 3). That weight measures fit out of sample, being the product of what a
model foretold of each run from those before it (Dawid 1984, "The prequential approach"; Kass &
Raftery 1995, "Bayes factors", section 3.2). Beforehand forms are equally likely, k is anything in
0..1, and sizes are half-Cauchy, as is advised where there are few groups, such as bases, to tell
them from (Gelman 2006, "Prior distributions for variance parameters in hierarchical models").

With the variance of e integrated out, the forecasts of each are Student's t (O'Hagan & Forster
2004, "Bayesian inference", chapter 11; Rasmussen & Williams 2006, "Gaussian processes for machine
learning", sections 2.2 and 2.7). `benchmarks/study_forecasts.py` measures how often they hold.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import qmc

from understudy.statistics import DRAWS, Array

FORMS = ("constant", "log-linear", "peaked", "saturating")
HALVES = (-1 / 3, 0.0, 1 / 3, 2 / 3, 1.0)  # of saturating curves: their place along the amounts
SCALE = 1.0  # median of a part's standard deviation over that of e
UNKNOWN = 1e3  # the same of m and d, which may be anything
PRIOR_FREEDOM = 1.0  # runs that the variance over items counts as, in the variance of e

# The sampler: first places, half the chains, moves of each, and which of these are kept.
START, CHAINS, SWEEPS, BURNT, EVERY = 256, 32, 35, 15, 5


class Points(NamedTuple):
    """Models measured or asked about, arrays of one length.

    Attributes:
        base: a number for each base.
        size: log10 of its parameters.
        amount: tokens of imitation data; 0 is the base itself.
        seed: a number for each repetition on a base; nan is the mean over all that there could be.
    """

    base: Array
    size: Array
    amount: Array
    seed: Array

    def take(self, chosen: NDArray[np.bool_]) -> "Points":
        return Points(*(column[chosen] for column in self))


class Models(NamedTuple):
    """What remains to be known, arrays with one entry, or row, a model.

    Attributes:
        kept: k.
        level: variances of m, a, c over that of e.
        change: variances of d, b, s, w and of f's shapes over that of e.
        form: index into FORMS.
    """

    kept: Array
    level: Array
    change: Array
    form: NDArray[np.intp]

    @classmethod
    def at(cls, places: Array) -> "Models":
        """From places in the unit cube, over which the prior is even."""
        forms = np.minimum((places[:, 0] * len(FORMS)).astype(int), len(FORMS) - 1)
        halves = np.minimum((places[:, 1] * len(HALVES)).astype(int), len(HALVES) - 1)
        sizes = SCALE**2 * np.tan(np.pi / 2 * np.clip(places[:, 3:], 1e-3, 1 - 1e-3)) ** 2
        apart, seeds, own, own_seeds, walk, curve = sizes.T
        unknown = np.full(len(places), UNKNOWN**2)
        line = np.isin(forms, (1, 2)) * curve
        bent = [((forms == 3) & (halves == half)) * curve for half in range(len(HALVES))]
        return cls(
            places[:, 2],
            np.stack([unknown, apart, seeds], axis=1),
            np.stack([unknown, own, own_seeds, walk, line, (forms == 2) * curve, *bent], axis=1),
            forms,
        )


DIMENSIONS = 9  # of the unit cube


@dataclass(frozen=True)
class Axes:
    """What tokens and parameters are measured against.

    Attributes:
        least, most: the smallest and the largest amount, in tokens.
        size, sizes: middle and range of the bases' log10 parameters.
    """

    least: float
    most: float
    size: float
    sizes: float

    @classmethod
    def of(cls, points: Points) -> "Axes":
        amounts, sizes = points.amount[points.amount > 0], points.size
        middle = float(sizes.max() + sizes.min()) / 2
        return cls(float(amounts.min()), float(amounts.max()), middle, float(np.ptp(sizes)) or 1.0)

    def along(self, points: Points) -> Array:
        """Log tokens, from -1/2 at the least amount to 1/2 at the largest."""
        amounts = np.where(points.amount > 0, points.amount, self.least)
        return np.asarray(np.log(amounts / self.least) / np.log(self.most / self.least) - 0.5)

    def halves(self) -> Array:
        """Tokens at which the saturating curves are half way."""
        return np.asarray(self.least * (self.most / self.least) ** np.array(HALVES))

    def shapes(self, points: Points) -> Array:
        """What curves are made of, shapes × points; each rises by 1 over the amounts, save 2x²."""
        along = self.along(points)
        halves = self.halves()[:, None]
        low, high, at = (n / (n + halves) for n in (self.least, self.most, points.amount))
        return np.stack([along, 2 * along**2, *((at - low) / (high - low) - 0.5)])

    def covariance(self, models: Models, left: Points, right: Points) -> Array:
        """Of two sets of points, models × left × right, without e and in units of its variance."""
        same = left.base[:, None] == right.base
        sizes = ((points.size - self.size) / self.sizes for points in (left, right))
        bases = (np.multiply.outer(*sizes) + same) / 2
        seeds = same & (left.seed[:, None] == right.seed)
        one, other = self.along(left), self.along(right)
        tilts = 1 + np.multiply.outer(one, other)
        far = abs(one + 0.5)[:, None] + abs(other + 0.5) - abs(one[:, None] - other)
        curves = [
            np.multiply.outer(*pair)
            for pair in zip(self.shapes(left), self.shapes(right), strict=True)
        ]
        level = np.stack([np.ones(same.shape), bases, seeds])
        change = np.stack(
            [np.ones(same.shape), bases * tilts, seeds, far * (1 + same) / 4, *curves]
        ) * np.multiply.outer(left.amount > 0, right.amount > 0)
        kept = [np.where(side.amount > 0, models.kept[:, None], 1.0) for side in (left, right)]
        shared = np.tensordot(models.level, level, 1) * kept[0][:, :, None] * kept[1][:, None, :]
        return np.asarray(shared + np.tensordot(models.change, change, 1))


@dataclass(frozen=True)
class Fit:
    """Models of one quantity and kind, drawn from the posterior.

    Attributes:
        points: what was measured.
        values: of them, rows (the data, then DRAWS draws over items) × points.
        squares: for each model the posterior's sum of squares of e, of `freedom` degrees.
        forms: the probability of each of FORMS.
    """

    points: Points
    values: Array
    axes: Axes
    models: Models
    squares: Array
    freedom: float
    forms: Array

    def draws(self, asked: Points, seed: int, items: bool = False) -> Array:
        """Values of points from the posterior, jointly: DRAWS × points.

        A point with a seed is a run, its luck included; one with seed nan is the mean of all runs.

        Args:
            items: they are for other items of the same sort, not for those of the data. Row i then
                belongs to draw i over items.
        """
        rng = np.random.default_rng(seed)
        luck = np.diag(1e-6 + ~np.isnan(asked.seed))  # and what keeps rounding from its roots
        across, weights = self._weights(asked)
        inside = self.axes.covariance(self.models, asked, asked)
        left = inside + luck - across.transpose(0, 2, 1) @ weights
        order = rng.permutation(DRAWS)
        found = np.empty((DRAWS, len(luck)))
        for model, root in enumerate(np.linalg.cholesky(left)):
            rows = order[model :: len(left)]
            deviation = np.sqrt(self.squares[model] / rng.chisquare(self.freedom, len(rows)))
            noise = deviation[:, None] * rng.standard_normal((len(rows), len(luck))) @ root.T
            found[rows] = self.values[1 + rows if items else [0]] @ weights[model] + noise
        return found

    def means(self, asked: Points) -> Array:
        """What each model expects of points, models × points."""
        return np.asarray(self.values[0] @ self._weights(asked)[1])

    def _weights(self, asked: Points) -> tuple[Array, Array]:
        """Covariances of the data with points, and what each datum counts for in their means."""
        noisy = self.axes.covariance(self.models, self.points, self.points)
        noisy += np.eye(noisy.shape[1])
        across = self.axes.covariance(self.models, self.points, asked)
        return across, np.asarray(np.linalg.solve(noisy, across))


def fit(points: Points, values: Array) -> Fit:
    """Models that go with what was measured, from the posterior.

    Differential evolution Markov chains (ter Braak 2006, "A Markov chain Monte Carlo version of the
    genetic algorithm differential evolution") in the unit cube that the prior is even over, from
    places drawn by their weight; half of the chains moves by differences within the other half. In
    between, every chain draws its form given all else (a Gibbs step), since forms lie side by side
    in no order.

    Args:
        points: students with two amounts or more, and bases.
        values: rows (the data, then draws over items) × points, finite.
    """
    axes, rng = Axes.of(points), np.random.default_rng(0)
    over_items = values[1:] - values[0]
    over_items -= over_items.mean(axis=1, keepdims=True)  # what all share sets none apart
    prior = PRIOR_FREEDOM * max(float((over_items**2).mean()), 1e-8)
    freedom = PRIOR_FREEDOM + len(values[0]) - 2  # m and d take one each

    def weigh(places: Array) -> tuple[Array, Array]:
        determinant, squares = _likelihood(axes, Models.at(places), points, values[0])
        squares += prior
        return -(determinant + freedom * np.log(squares)) / 2, squares

    places = qmc.Sobol(DIMENSIONS, rng=0).random(START)
    weights, squares = weigh(places)
    # Flattened, so that the chains do not all start from one place.
    begun = rng.choice(START, 2 * CHAINS, p=softmax(weights / 4))
    places, weights, squares = places[begun], weights[begun], squares[begun]
    kept = []
    for sweep in range(SWEEPS):
        for moved, still in ((0, CHAINS), (CHAINS, 0)):
            mine = slice(moved, moved + CHAINS)
            one, other = (places[still + rng.permutation(CHAINS)] for _ in range(2))
            stride = 2.38 / np.sqrt(2 * DIMENSIONS) * rng.lognormal(0, 0.5, (CHAINS, 1))
            there = places[mine] + stride * (one - other)
            there += 0.02 * rng.standard_normal(there.shape)
            there = 1 - abs(there % 2 - 1)  # reflected at the cube's sides
            found, more = weigh(there)
            better = np.log(rng.random(CHAINS)) < found - weights[mine]
            places[mine][better], weights[mine][better] = there[better], found[better]
            squares[mine][better] = more[better]
        if sweep % EVERY == 0:  # each chain draws its form anew, given all else
            tried = np.repeat(places[None], len(FORMS), axis=0)
            tried[:, :, 0] = (np.arange(len(FORMS))[:, None] + 0.5) / len(FORMS)
            found, more = weigh(tried.reshape(-1, DIMENSIONS))
            found, more = found.reshape(len(FORMS), -1), more.reshape(len(FORMS), -1)
            forms = softmax(found, axis=0)
            drawn = (forms.cumsum(axis=0) < rng.random(len(places))).sum(axis=0)
            drawn = np.minimum(drawn, len(FORMS) - 1), np.arange(len(places))
            places, weights, squares = tried[drawn], found[drawn], more[drawn]
            if sweep >= BURNT:
                kept.append((places.copy(), squares.copy(), forms.T))
    places, squares, forms = (np.concatenate(column) for column in zip(*kept, strict=True))
    return Fit(points, values, axes, Models.at(places), squares, freedom, forms.mean(axis=0))


def _likelihood(axes: Axes, models: Models, points: Points, data: Array) -> tuple[Array, Array]:
    """Of each model, the log determinant of the data's covariance and their sum of squares.

    Both come from one Cholesky factor, of the covariance with the data as one more row.
    """
    n = len(data)
    bordered = np.empty((len(models.form), n + 1, n + 1))
    bordered[:, :n, :n] = axes.covariance(models, points, points) + np.eye(n)
    bordered[:, n, :n] = bordered[:, :n, n] = data
    bordered[:, n, n] = 1 + data @ data  # larger than the sum of squares: e alone gives that
    root = np.linalg.cholesky(bordered)
    determinant = 2 * np.log(np.diagonal(root, axis1=1, axis2=2)[:, :n]).sum(axis=1)
    return determinant, np.asarray((root[:, n, :n] ** 2).sum(axis=1))
