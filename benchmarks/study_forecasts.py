"""How often the 90 % intervals of a study's forecasts hold, and how wide they are.

A study of three bases, five amounts and three seeds is made up from a truth on the scale of log
odds, as it would be measured on 400 items of which models find much the same ones hard. Levels and
slopes of the truth are drawn anew each time. Bases differ by their size and by an amount of their
own, in what they know and in how much imitation moves them (by a factor of 1 ± 0.3); base and
student seeds each add noise, and so does every run. Then every run of the largest amount is
foretold from the smaller ones, and every student of the largest base from the smaller bases.

- flat, falling, rising: a shift, or a line in log tokens; saturating: a power law towards a limit
- late: nothing until a leap at the last amounts; peak: a rise that turns. No form is made for late
- style: far off whatever the base, until it is imitated
- uneven seeds: the smallest base's noise four times the largest's; few right: a tenth of the odds

A line is a truth: the share of runs within their interval, the share of studies with less than 80 %
of theirs, the mean width, and the mean error of the forecast, of the next smaller run taken as
forecast, and of the base itself.

    python benchmarks/study_forecasts.py [--repeats 40] [--noise 0.1] [--seed 0]
"""

import argparse
from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from scipy.special import expit, ndtri

from understudy.statistics import DRAWS, Array
from understudy.study.curves import Points, fit

AMOUNTS = (1e4, 4e4, 16e4, 64e4, 256e4)
PARAMETERS = (2e5, 1e6, 5e6)
SEEDS, ITEMS = 3, 400
ALIKE = 0.7  # correlation of what models find hard

# What imitation adds to log odds, from log10(tokens / least) and a size.
CURVES: dict[str, Callable[[Array, float], Array]] = {
    "flat": lambda x, a: np.full(len(x), -0.7 * a),
    "falling": lambda x, a: -a * (0.2 + 0.4 * x),
    "rising": lambda x, a: a * (-0.5 + 0.5 * x),
    "saturating": lambda x, a: -1 + 1.5 * (1 + a) * (1 - 10 ** (-1.2 * x)),
    "late": lambda x, a: a * (-1 + 2 * expit(4 * (x - 1.8))),
    "peak": lambda x, a: a * (x - 0.8 * (x - 0.8) ** 2),
}
TRUTHS = (*CURVES, "style", "flat, uneven seeds", "rising, uneven seeds", "falling, few right")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--noise", type=float, default=0.1, help="of seeds, in log odds")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    points = grid()
    print(f"{'held out':9}{'truth':22}{'within':>7}{'<80%':>6}{'width':>7}{'error':>7}", end="")
    print(f"{'last':>7}{'base':>7}")
    for axis in ("amount", "base"):
        lines = []
        for truth in TRUTHS:
            rng = np.random.default_rng(args.seed)
            tried = [try_out(points, truth, axis, args.noise, rng) for _ in range(args.repeats)]
            few = np.mean([one[0] < 0.8 for one in tried])
            within, *others = np.mean(tried, axis=0)
            lines.append([within, few, *others])
            show(axis, truth, lines[-1])
        show(axis, "all", np.mean(lines, axis=0))


def show(axis: str, truth: str, line: Array | list[float]) -> None:
    within, few, width, *errors = line
    print(f"{axis:9}{truth:22}{within:7.1%}{few:6.0%}{width:7.3f}", end="")
    print("".join(f"{error:7.3f}" for error in errors), flush=True)


def grid() -> Points:
    rows = [
        (base, np.log10(size), amount, seed)
        for base, size in enumerate(PARAMETERS)
        for seed in range(SEEDS)
        for amount in (0.0, *AMOUNTS)
    ]
    return Points(*np.array(rows).T)


def log_odds(points: Points, truth: str, noise: float, rng: Generator) -> Array:
    students = points.amount > 0
    x = np.log10(np.where(students, points.amount, AMOUNTS[0]) / AMOUNTS[0])
    base = points.base.astype(int)
    size = (points.size - points.size.min()) / np.ptp(points.size)
    level = rng.uniform(-2, 0) + rng.uniform(0.3, 1.5) * size + rng.normal(0, 0.25, 3)[base]
    moved, scale = rng.normal(1, 0.3, 3)[base], rng.uniform(0.3, 1)
    if truth == "style":
        found = np.where(students, -2.5 - scale * (1 - 10.0**-x), 0.5 * level)
    else:
        found = level + students * moved * CURVES[truth.split(",")[0]](x, scale)
    if truth.endswith("few right"):
        found = found + np.log(0.1)
    noises = noise * (np.array([2, 1, 0.5])[base] if truth.endswith("uneven seeds") else 1)
    repetition = base * SEEDS + points.seed.astype(int)
    of_base, of_student = rng.standard_normal((2, 3 * SEEDS))
    each = rng.standard_normal(len(x))
    return np.asarray(
        found + noises * (of_base[repetition] + 0.7 * students * (of_student[repetition] + each))
    )


def measured(shares: Array, rng: Generator) -> Array:
    """Scores with draws over items, rows × models."""
    hard = np.sqrt(ALIKE) * rng.standard_normal(ITEMS)
    ability = hard + np.sqrt(1 - ALIKE) * rng.standard_normal((len(shares), ITEMS))
    scores = (ability < ndtri(shares)[:, None]).mean(axis=1)
    error = np.sqrt((scores * (1 - scores)).clip(1 / ITEMS) / ITEMS)
    drawn = np.sqrt(ALIKE) * rng.standard_normal((DRAWS, 1))
    drawn = drawn + np.sqrt(1 - ALIKE) * rng.standard_normal((DRAWS, len(shares)))
    return np.vstack([scores, (scores + error * drawn).clip(0, 1)])


def try_out(points: Points, truth: str, axis: str, noise: float, rng: Generator) -> list[float]:
    scores = measured(expit(log_odds(points, truth, noise, rng)), rng)
    along = points.amount if axis == "amount" else points.size
    out = (points.amount > 0) & (along == along.max())
    fitted = fit(points.take(~out), np.arcsin(np.sqrt(scores[:, ~out])))
    drawn = np.sin(fitted.draws(points.take(out), 0).clip(0, np.pi / 2)) ** 2
    low, middle, high = np.percentile(drawn, [5, 50, 95], axis=0)
    # Rows are bases × seeds × (the base, amounts).
    cube = scores[0].reshape(len(PARAMETERS), SEEDS, 1 + len(AMOUNTS))
    if axis == "amount":
        last, base = cube[:, :, -2].ravel(), cube[:, :, 0].ravel()
    else:
        last = np.tile(cube[-2, :, 1:].mean(axis=0), SEEDS)
        base = np.repeat(cube[-1, :, 0], len(AMOUNTS))
    true = scores[0, out]
    within = float(((low <= true) & (true <= high)).mean())
    errors = [float(np.abs(guess - true).mean()) for guess in (middle, last, base)]
    return [within, float((high - low).mean()), *errors]


if __name__ == "__main__":
    main()
