"""Forecasts: what students of other amounts and bases would score, and how far to trust that.

Every quantity of every kind of data is fitted on its own (see `curves`), on a scale of angles,
arcsin √share. There the noise of a share over items is the same whatever the share (Bartlett 1936,
"The square root transformation in analysis of variance"; Anscombe 1948, "The transformation of
Poisson, binomial and negative-binomial data"), no forecast leaves 0..1, and a share of exactly 0,
common in small models, has a place, as it has not on a scale of odds. Minus a distance of style
becomes minus the angle of that distance.

A forecast is of a new run: base and student of a seed that was not tried, on the same items. How
far to trust that is tried out on runs that are there: those of the largest amount, and those on the
largest base, are foretold from all smaller ones.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from understudy.statistics import Array
from understudy.study.curves import FORMS, Fit, Points, fit
from understudy.study.table import STYLE, Table, Values

SCALE = "arcsin(sqrt(share)); style: minus that of the distance"
LEVEL = 90  # percent of new runs that an interval is to hold
BEYOND = (2, 4, 10)  # times the largest amount
BIGGER = (2, 10)  # times the largest base's parameters
EACH_ALONE = "one seed: how much seeds differ is guessed from the scatter about the curves"
ONE_BASE = "one base: nothing is known of others"


class CannotFitError(ValueError):
    """Too little was measured; says what is missing."""


def forecast(table: Table) -> dict[str, Any]:
    """Fit everything that was measured, and say what lies beyond.

    Returns:
        For report.json: `fits` (each form's weight, and its coefficients on `scale`), `predictions`
        (of a new run: median and 90 % interval; `beyond` says that it lies outside what was
        measured; `base` is null for a base of so many `parameters` that was not tried), `heldout`
        (see `_heldout`), and `notes` on what could not be done.
    """
    fits: list[dict[str, Any]] = []
    predictions: list[dict[str, Any]] = []
    notes: list[str] = []
    if not table.bases:
        notes.append("cannot be fitted: no base was measured")
        return {"fits": fits, "predictions": predictions, "heldout": None, "notes": notes}
    for kind in table.settings.kinds:
        for quantity in table.quantities:
            try:
                fitted = fit_of(table, kind, quantity)
            except CannotFitError as reason:
                notes.append(f"{kind}, {quantity}: cannot be fitted: {reason}")
                continue
            fits.append(
                {"kind": kind, "quantity": quantity, "forms": _forms(fitted), "scale": SCALE}
            )
            predictions += _predictions(table, fitted, kind, quantity)
    if len({seed for _, seed in table.bases}) == 1:
        notes.append(EACH_ALONE)
    if len({base for base, _ in table.bases}) == 1:
        notes.append(ONE_BASE)
    heldout, more = _heldout(table)
    return {"fits": fits, "predictions": predictions, "heldout": heldout, "notes": notes + more}


def predict(table: Table, fitted: Fit, quantity: str, asked: Points, items: bool = False) -> Array:
    """Draws of scores at points, jointly: DRAWS × points.

    Args:
        fitted: `fit_of` the quantity.
        asked: with a seed: a run; with seed nan: the mean over all runs (see `Fit.draws`).
        items: whether they are for other items of the same sort, too; then paired on items with
            those of every other fit.
    """
    return _scores(fitted.draws(asked, table.seed, items), quantity)


def fit_of(table: Table, kind: str, quantity: str) -> Fit:
    """The fit of all that was measured.

    Raises:
        CannotFitError: there is too little of it.
    """
    return _fit(*_measured(table, kind, quantity))


def points_of(table: Table, asked: Iterable[tuple[str | None, float, float, float]]) -> Points:
    """Points from base (None: one that was not tried), parameters, amount and seed."""
    places = {base: place for place, base in enumerate(table.settings.base_names)}
    rows = [
        (-1 if base is None else places[base], np.log10(parameters), amount, seed)
        for base, parameters, amount, seed in asked
    ]
    return Points(*np.array(rows, dtype=float).reshape(-1, 4).T)


def _measured(table: Table, kind: str, quantity: str) -> tuple[Points, Array]:
    """Bases, and students of a kind, with their angles, rows (the data, then draws) × points."""
    found: list[tuple[str, int, int, Values]] = [
        (base, 0, seed, values) for (base, seed), values in table.bases.items()
    ]
    found += [
        (cell.base, cell.amount, cell.seed, values)
        for cell, values in sorted(table.students.items())
        if cell.kind == kind
    ]
    there = [one for one in found if quantity in one[3] and np.isfinite(one[3][quantity][0])]
    asked = [(base, table.parameters[base], amount, seed) for base, amount, seed, _ in there]
    values = np.array([values[quantity] for *_, values in there]).T
    values = np.where(np.isnan(values), values[:1], values)
    return points_of(table, asked), np.sign(values) * np.arcsin(np.sqrt(np.abs(values).clip(0, 1)))


def _fit(points: Points, angles: Array) -> Fit:
    students = points.amount > 0
    amounts = len(np.unique(points.amount[students]))
    if amounts < 2:
        raise CannotFitError(f"students of {amounts} amounts of data, and a curve takes two")
    if students.sum() < 3:
        raise CannotFitError("two students, and a curve takes three")
    return fit(points, angles)


def _scores(angles: Array, quantity: str) -> Array:
    low, high = (-np.pi / 2, 0.0) if quantity == STYLE else (0.0, np.pi / 2)
    angles = angles.clip(low, high)
    return np.asarray(np.sign(angles) * np.sin(angles) ** 2)


def _forms(fitted: Fit) -> list[dict[str, Any]]:
    """Each form's weight, and means of what says its curve, on `SCALE`.

    These are, of the mean student of the measured bases: the `middle` of its curve, its rise
    `per_tenfold_tokens` from the least amount to the most, and its `bend` (below 0: it flattens or
    turns). And what bases differ by: at the middle, the rise `per_tenfold_parameters` from the
    smallest to the largest, and the share of a base's advantage `kept_of_base`.
    """
    axes, points = fitted.axes, fitted.points
    sizes, first = np.unique(points.size, return_index=True)
    amounts = np.array([axes.least, (axes.least * axes.most) ** 0.5, axes.most])
    each = (len(sizes), len(amounts))
    asked = Points(
        np.repeat(points.base[first], 3),
        np.repeat(sizes, 3),
        np.tile(amounts, len(sizes)),
        np.full(each, np.nan).ravel(),
    )
    expected = fitted.means(asked).reshape(-1, *each)
    begin, middle, end = expected.mean(axis=1).T
    coefficients = {
        "middle": middle,
        "per_tenfold_tokens": (end - begin) / np.log10(axes.most / axes.least),
        "bend": begin + end - 2 * middle,
        "per_tenfold_parameters": (expected[:, -1, 1] - expected[:, 0, 1]) / axes.sizes,
        "kept_of_base": fitted.models.kept,
    }
    found = []
    for form, name in enumerate(FORMS):
        chosen = fitted.models.form == form
        means = {
            key: round(float(values[chosen].mean()), 4) if chosen.any() else None
            for key, values in coefficients.items()
        }
        weight = round(float(fitted.forms[form]), 3)
        found.append({"form": name, "weight": weight, "coefficients": means})
    return found


def _predictions(table: Table, fitted: Fit, kind: str, quantity: str) -> list[dict[str, Any]]:
    """Of new runs, on every base at every amount and beyond, and on bases beyond."""
    axes, parameters = fitted.axes, table.parameters
    planned = table.settings.amounts_of(kind)
    bases = [base for base in table.settings.base_names if base in parameters]
    students = {cell.base for cell in table.students if cell.kind == kind}
    largest = max(parameters[base] for base in bases)
    cells: list[tuple[str | None, float, int]] = [
        (base, parameters[base], amount)
        for base in bases
        for amount in [*planned, *(planned[-1] * times for times in BEYOND)]
    ]
    cells += [(None, largest * times, amount) for times in BIGGER for amount in planned]
    asked = points_of(table, [(*cell, -1.0 - new) for new, cell in enumerate(cells)])
    drawn = predict(table, fitted, quantity, asked)
    return [
        {
            "kind": kind,
            "base": base,
            "parameters": size,
            "amount": amount,
            "quantity": quantity,
            **dict(zip(("low", "value", "high"), bounds.round(6).tolist(), strict=True)),
            "beyond": base not in students or not axes.least <= amount <= axes.most,
        }
        for (base, size, amount), bounds in zip(cells, _bounds(drawn).T, strict=True)
    ]


def _bounds(drawn: Array) -> Array:
    """The lower end of an interval, the median, and the upper end."""
    outside = (100 - LEVEL) / 2
    return np.asarray(np.percentile(drawn, [outside, 50, 100 - outside], axis=0))


def _heldout(table: Table) -> tuple[dict[str, Any], list[str]]:
    """How well the largest runs are foretold from the smaller ones.

    Returns:
        For the largest `amount`, the largest `base`, and for both together: `runs` (each seed's
        student is one), `covered` of them by their 90 % intervals, `coverage`, mean `width`, mean
        absolute `error` of the medians and of two simple forecasts: `last_error` (what the same
        base and seed had with the next smaller amount; or the mean of the next smaller base with
        the same amount) and `base_error` (what the base had itself). The two have `rows` of these
        by kind and quantity. And notes on what could not be tried.
    """
    notes, found, everything = [], {}, []
    for axis in ("amount", "base"):
        rows, together = [], []
        for kind in table.settings.kinds:
            for quantity in table.quantities:
                try:
                    tried = _try_out(*_measured(table, kind, quantity), axis, quantity, table.seed)
                except CannotFitError as reason:
                    notes.append(
                        f"{kind}, {quantity}: the largest {axis} cannot be held out: {reason}"
                    )
                    continue
                rows.append({"kind": kind, "quantity": quantity, **_summary(tried)})
                together.append(tried)
        found[axis] = {"rows": rows, **_summary(np.vstack([np.empty((0, 5)), *together]))}
        everything += together
    return {**found, **_summary(np.vstack([np.empty((0, 5)), *everything]))}, notes


def _try_out(points: Points, angles: Array, axis: str, quantity: str, seed: int) -> Array:
    """Of each run held out: covered, width, error, and the errors of two simple forecasts."""
    students = points.amount > 0
    along = points.amount if axis == "amount" else points.size
    steps = np.unique(along[students])
    if len(steps) < 3:
        raise CannotFitError(f"the students have {len(steps)} of them, and it takes three")
    out = students & (along == steps[-1])
    fitted = _fit(points.take(~out), angles[:, ~out])
    low, middle, high = _bounds(_scores(fitted.draws(points.take(out), seed), quantity))
    scores = _scores(angles[0], quantity)
    true = scores[out]

    def mean(chosen: NDArray[np.bool_]) -> float:
        return float(scores[chosen].mean()) if chosen.any() else np.nan

    last, base = [], []
    for run in np.flatnonzero(out):
        same_base = points.base == points.base[run]
        same_seed = same_base & (points.seed == points.seed[run])
        before = students & (along == steps[-2])
        before &= same_seed if axis == "amount" else points.amount == points.amount[run]
        last.append(mean(before))
        base.append(mean(same_seed & ~students))
    covered = (low <= true) & (true <= high)
    errors = (np.abs(guess - true) for guess in (middle, np.array(last), np.array(base)))
    return np.stack([covered, high - low, *errors], axis=1)


def _summary(tried: Array) -> dict[str, Any]:
    names = ("coverage", "width", "error", "last_error", "base_error")
    means = {}
    for name, column in zip(names, tried.T, strict=True):
        there = column[~np.isnan(column)]
        means[name] = round(float(there.mean()), 6) if len(there) else None
    return {"runs": len(tried), "covered": int(tried[:, 0].sum()), **means}
