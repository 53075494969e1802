"""The regression of preferences is the one that others compute, and stands what they do not."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit

from understudy.preferences.logistic import coefficient_errors, deviance, fit, win_rate_at

TRIALS = 300


def data(n: int, seed: int, columns: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    design = np.column_stack([np.ones(n), rng.normal(size=(n, columns))])
    return design, expit(design @ rng.normal(size=columns + 1) + rng.normal(size=n))


@pytest.mark.parametrize("whole", [True, False])
def test_coefficients_and_deviance_are_statsmodels(whole: bool) -> None:
    design, shares = data(400, seed=1, columns=4)
    shares = shares.round() if whole else shares
    # Its weights make a fractional target of every row; it asks for no whole ones.
    theirs = sm.GLM(shares, design, family=sm.families.Binomial()).fit(tol=1e-12)
    ours = fit(design, shares)
    assert ours.coefficients == pytest.approx(theirs.params, abs=1e-6)
    assert deviance(shares, expit(design @ ours.coefficients)) == pytest.approx(theirs.deviance)


def test_errors_are_statsmodels_hc3() -> None:
    design, shares = data(200, seed=2)
    theirs = sm.GLM(shares, design, family=sm.families.Binomial()).fit(cov_type="HC0")
    predicted = theirs.fittedvalues
    weights = predicted * (1 - predicted)
    inverse = np.linalg.inv((design.T * weights) @ design)
    pull = weights * np.einsum("ij,jk,ik->i", design, inverse, design)
    squares = ((shares - predicted) / (1 - pull)) ** 2
    covariance = inverse @ (design.T * squares) @ design @ inverse
    errors, _ = coefficient_errors(fit(design, shares))
    assert errors == pytest.approx(np.sqrt(covariance.diagonal()), abs=1e-6)
    assert errors == pytest.approx(theirs.bse, rel=0.05)


def test_a_row_that_is_there_twice_tells_nothing_new_within_its_cluster() -> None:
    design, shares = data(300, seed=3)
    once, _ = coefficient_errors(fit(design, shares))
    twice = np.repeat(design, 2, axis=0), np.repeat(shares, 2)
    clustered, _ = coefficient_errors(fit(*twice, [item for item in range(300) for _ in "ab"]))
    apart, _ = coefficient_errors(fit(*twice))
    assert clustered == pytest.approx(once, rel=0.01)
    assert apart == pytest.approx(once / np.sqrt(2), rel=0.02)


def test_the_interval_of_the_win_rate_covers() -> None:
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(TRIALS):
        design = np.column_stack([np.ones(80), rng.normal(0.5, 1, 80)])
        shares = (rng.random(80) < expit(design @ [-1.0, 0.8])).astype(float)
        level = np.column_stack([np.ones(80), np.zeros(80)])
        _, low, high = win_rate_at(fit(design, shares), level, shares)
        covered += low <= expit(-1.0) <= high
    assert 0.92 <= covered / TRIALS <= 0.99


def test_separation_is_finite_and_knows_that_it_cannot_tell() -> None:
    length = np.linspace(-1, 1, 50)
    design, shares = np.column_stack([np.ones(50), length]), (length > 0.3).astype(float)
    fitted = fit(design, shares)
    errors, quantile = coefficient_errors(fitted)
    assert np.isfinite(fitted.coefficients).all()
    assert fitted.coefficients[1] > 10
    assert fitted.coefficients[1] - quantile * errors[1] < 0
    rate, low, high = win_rate_at(fitted, design * [1, 0], shares)
    assert low < 0.01 < 0.99 < high
    assert 0 <= rate <= 1


def test_a_column_without_content_changes_nothing() -> None:
    design, shares = data(100, seed=5)
    empty = np.column_stack([design, np.zeros(100)])
    ours, plain = fit(empty, shares), fit(design, shares)
    assert ours.coefficients == pytest.approx([*plain.coefficients, 0], abs=1e-9)
    expected = win_rate_at(plain, design * [1, 0, 0], shares)
    assert win_rate_at(ours, empty * [1, 0, 0, 0], shares) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("share", "low", "high"), [(0.0, 0, 0.06), (1.0, 0.94, 1), (0.5, 0.38, 0.62)]
)
def test_shares_that_are_all_the_same(share: float, low: float, high: float) -> None:
    design, shares = data(80, seed=6)[0], np.full(80, share)
    found = win_rate_at(fit(design, shares), design, shares)
    assert found[0] == share
    assert low <= found[1] <= share <= found[2] <= high


def test_too_few_items_tell_nothing() -> None:
    design, shares = data(3, seed=7)
    assert win_rate_at(fit(design, shares), design, shares)[1:] == (0, 1)
