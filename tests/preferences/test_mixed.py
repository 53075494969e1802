"""The fit with a random effect agrees with integrals done by others, and finds what was put in."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm

from understudy.preferences import logistic, mixed

Arrays = tuple[np.ndarray, np.ndarray]


def data(items: int, spread: float, seed: int) -> Arrays:
    """Three models with a column each and one shared column, whose coefficient is -1.5."""
    rng = np.random.default_rng(seed)
    design = np.zeros((3, items, 4))
    design[range(3), :, range(3)] = 1
    design[:, :, 3] = rng.normal(size=(3, items))
    logits = design @ [-1.0, 0.0, 0.5, -1.5] + spread * rng.normal(size=items)
    return design, (rng.random((3, items)) < expit(logits)).astype(float)


def test_the_likelihood_is_the_integral() -> None:
    design, shares = data(6, 1.0, seed=1)
    shares[0, 2], shares[1, 3] = 0.3, np.nan
    coefficients = np.array([-0.5, 0.2, 0.7, -1.1, 1.3])
    ours, _ = mixed.likelihood(coefficients, design, shares)
    for item in range(6):

        def density(deviate: float, item: int = item) -> float:
            logits = design[:, item] @ coefficients[:-1] + coefficients[-1] * deviate
            won, lost = np.log(expit(logits)), np.log(expit(-logits))
            total = np.nansum(shares[:, item] * won + (1 - shares[:, item]) * lost)
            return float(np.exp(total) * norm.pdf(deviate))

        assert ours[item] == pytest.approx(np.log(quad(density, -9, 9)[0]), abs=1e-7)


def test_derivatives_are_those_of_the_likelihood() -> None:
    design, shares = data(5, 1.0, seed=2)
    at = np.array([-0.5, 0.2, 0.7, -1.1, 1.3])
    _, scores = mixed.likelihood(at, design, shares)
    for number, step in enumerate(1e-6 * np.eye(5)):
        above, below = (mixed.likelihood(at + sign * step, design, shares)[0] for sign in (1, -1))
        assert scores[:, number] == pytest.approx((above - below) / 2e-6, abs=1e-6)


def test_it_finds_what_was_put_in() -> None:
    design, shares = data(1500, 1.2, seed=3)
    fitted = mixed.fit(design, shares)
    errors, _ = logistic.coefficient_errors(fitted)
    off = np.abs(fitted.coefficients) - [1.0, 0.0, 0.5, 1.5, 1.2]
    assert (np.abs(off) < 3 * errors).all()
    assert errors.max() < 0.2


def test_without_a_spread_it_is_the_plain_regression() -> None:
    design, shares = data(500, 0.0, seed=4)
    shares = expit(design @ [-1.0, 0.0, 0.5, -1.5])  # nothing is left for the deviates to explain
    fitted = mixed.fit(design, shares)
    plain = logistic.fit(design.reshape(-1, 4), shares.ravel())
    assert fitted.coefficients == pytest.approx([*plain.coefficients, 0], abs=1e-3)
    own, level = design[1], np.array([1, 1, 1, 0])
    assert mixed.win_rate_at(fitted, own * level)[0] == pytest.approx(0.5, abs=1e-4)


def test_the_win_rate_is_the_mean_over_deviates() -> None:
    design, shares = data(500, 1.5, seed=5)
    fitted = mixed.fit(design, shares)
    spread = fitted.coefficients[-1]
    for model in range(3):
        rate, low, high = mixed.win_rate_at(fitted, design[model] * [1, 1, 1, 0])
        intercept = fitted.coefficients[model]
        mean = quad(lambda z: expit(intercept + spread * z) * norm.pdf(z), -9, 9)[0]  # noqa: B023
        assert rate == pytest.approx(mean, abs=1e-7)
        assert low < rate < high
