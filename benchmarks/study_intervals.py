"""How often a study's 95 % intervals of means over seeds, and over bases, cover the truth.

What is measured is a difference (student − base) on items, with several seeds on each base. Its
parts are all drawn afresh in every repeat: what an item does for all models, what it does for one
seed alone, and what a seed does on one base. In units of the standard deviation between seeds:

- "seeds": items hardly matter; "skewed seeds": nor here, and seeds are exponential;
- "both": the mean over items errs as much as one seed does, half of it in common to all seeds
  (crossed: the same items for all); "both, nested": nothing of it in common;
- "items": seeds differ by items' noise alone, whose error is 1.

Bases differ in how much their seeds spread, as named. Four intervals of the mean over all:

- items: draws over items, seeds as they are;
- bootstrap: seeds are drawn with replacement on each base, items on top;
- Student: each base's seeds weighted as in `study.table`, and averaged over bases;
- Welch: as findings do it, see `study.contrast`.

A line is a cell: coverage in percent and mean width of each. The end sums up.

    python benchmarks/study_intervals.py [--repeats 300] [--seed 0]
"""

import argparse
from collections import defaultdict
from itertools import product

import numpy as np

from understudy.statistics import DRAWS, Array
from understudy.study.contrast import welch
from understudy.study.table import seed_weights

ITEMS = 100
SEEDS = (2, 3, 5)
BASES = {
    "1 base": (1.0,),
    "3 bases 1:1:1": (1.0, 1.0, 1.0),
    "3 bases 1:2:4": (0.25, 0.5, 1.0),
    "3 bases 0:0:1": (0.0, 0.0, 1.0),
}
WORLDS = {  # spread of seeds, whether skewed, error of a mean over items, share of it in common
    "seeds": (1.0, False, 0.1, 0.5),
    "skewed seeds": (1.0, True, 0.1, 0.5),
    "both": (1.0, False, 1.0, 0.5),
    "both, nested": (1.0, False, 1.0, 0.0),
    "items": (0.0, False, 1.0, 0.5),
}
METHODS = ("items", "bootstrap", "Student", "Welch")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    weights = rng.dirichlet(np.ones(ITEMS), DRAWS).T
    print(f"{'seeds':>5} {'bases':14} {'world':13}" + "".join(f"{m:>16}" for m in METHODS))
    found = defaultdict(list)
    for seeds, (bases, spread), (world, settings) in product(SEEDS, BASES.items(), WORLDS.items()):
        bounds = np.array(
            [
                intervals(differences(seeds, spread, settings, rng), weights, rng)
                for _ in range(args.repeats)
            ]
        )
        coverage = 100 * ((bounds[:, :, 0] <= 0) & (bounds[:, :, 1] >= 0)).mean(axis=0)
        width = (bounds[:, :, 1] - bounds[:, :, 0]).mean(axis=0)
        found[seeds, bases[0]].append((coverage, width))
        cells = "".join(f"{c:9.1f} {w:6.2f}" for c, w in zip(coverage, width, strict=True))
        print(f"{seeds:5} {bases:14} {world:13}{cells}", flush=True)
    print("\nmean over worlds and spreads")
    for (seeds, bases), rows in found.items():
        cells = "".join(f"{c:9.1f} {w:6.2f}" for c, w in np.mean(rows, axis=0).T)
        print(f"{seeds:5} {bases + ' base' + 's' * (bases != '1'):28}{cells}")


def differences(
    seeds: int,
    spread: tuple[float, ...],
    settings: tuple[float, bool, float, float],
    rng: np.random.Generator,
) -> Array:
    """Differences of mean 0 in the long run, bases × seeds × items."""
    size, skewed, error, common = settings
    shape = (len(spread), seeds, 1)
    effect = rng.standard_exponential(shape) - 1 if skewed else rng.standard_normal(shape)
    item = rng.standard_normal(ITEMS)
    own = rng.standard_normal((len(spread), seeds, ITEMS))
    noise = np.sqrt(common) * item + np.sqrt(1 - common) * own
    scaled: Array = size * np.reshape(spread, (-1, 1, 1)) * effect + error * np.sqrt(ITEMS) * noise
    return scaled


def intervals(values: Array, weights: Array, rng: np.random.Generator) -> list[Array]:
    """The mean's interval, method by method."""
    bases, seeds, _ = values.shape
    means = values.mean(axis=2, keepdims=True)
    drawn = np.concatenate([means, values @ weights], axis=2)  # bases, seeds, 1 + DRAWS
    again = rng.multinomial(seeds, [1 / seeds] * seeds, (bases, 1 + DRAWS)) / seeds
    student = np.stack([seed_weights(seeds, rng) for _ in range(bases)])
    rows = (
        drawn.mean(axis=(0, 1)),
        np.einsum("bds,bsd->d", again, drawn) / bases,
        np.einsum("bds,bsd->d", student, drawn) / bases,
        welch(list(drawn[:, :, None]), [1 / bases] * bases, np.ones(1), rng)[0],
    )
    return [np.percentile(row[1:], [2.5, 97.5]) for row in rows]


if __name__ == "__main__":
    main()
