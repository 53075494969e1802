"""How often the 95 % intervals cover the truth.

Wilson's interval and that of paired differences are gone through outcome by outcome, so that their
coverage is exact. What has clusters or fractional scores is simulated:

- Clusters are of unequal sizes, in proportion to 1, 2, 3, …; a cluster's own share is drawn from a
  beta (for pairs: Dirichlet) distribution whose intra-cluster correlation is named.
- Pairs: the first model's share, the difference and the correlation of right answers are named.
- pass@k: a problem's own share is logistic-normal, of which n programs are drawn; so is a
  probability as `mc2` is one. The two models of a pair share most of a problem's hardness.

A line is a cell: what it is, n, and the coverage at n items. Cells outside 93-97 % are marked; the
end sums up by form and n.

    python benchmarks/intervals.py [--repeats 10000] [--seed 0]
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import binom, multinomial

from understudy.statistics import (
    Array,
    clustered_interval,
    mean_interval,
    paired_difference,
    pass_at_k,
    wilson,
)

SIZES = (50, 200, 1000)
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
CLUSTERS = (10, 30, 57)
FEW = (2, 3, 5)
CORRELATIONS = (0.0, 0.02, 0.1)  # within clusters
DIFFERENCES = (0.0, 0.02, 0.05, 0.1)
BETWEEN = (0.0, 0.3, 0.6)  # correlation of two models' right answers
NEGLIGIBLE = 1e-7  # probability of an outcome that is left out
Cell = tuple[str, str, int, float]  # form, setting, n, coverage in percent
Pairs = tuple[Array, Array]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    forms = (
        wilson_cells(),
        paired_cells(),
        clustered_cells(CLUSTERS, "clustered", args.repeats, rng),
        clustered_pair_cells(CLUSTERS, "paired, clustered", args.repeats, rng),
        fractional_cells(args.repeats, rng),
        clustered_cells(FEW, "few clusters", args.repeats, rng),
        clustered_pair_cells(FEW, "paired, few clusters", args.repeats, rng),
    )
    found = defaultdict(list)
    for cells in forms:
        for form, setting, n, coverage in cells:
            found[form, n].append(coverage)
            mark = "" if 93 <= coverage <= 97 else "  outside"
            print(f"{form:22} {setting:44} {n:5} {coverage:6.2f}{mark}", flush=True)
    print(f"\n{'form':22} {'n':>5} {'cells':>5} {'inside':>6}   mean    min    max")
    for (form, n), coverages in found.items():
        inside = sum(93 <= coverage <= 97 for coverage in coverages)
        mean, low, high = np.mean(coverages), min(coverages), max(coverages)
        print(f"{form:22} {n:5} {len(coverages):5} {inside:6} {mean:6.2f} {low:6.2f} {high:6.2f}")


def percent(covered: int, repeats: int) -> float:
    return 100 * covered / repeats


def wilson_cells() -> Iterator[Cell]:
    for n, share in product(SIZES, SHARES):
        right = np.arange(n + 1)
        bounds = np.array([wilson(count, n) for count in right])
        covers = (bounds[:, 0] <= share) & (share <= bounds[:, 1])
        yield "Wilson", f"p {share}", n, 100 * float(binom.pmf(right[covers], n, share).sum())


def paired_cells() -> Iterator[Cell]:
    for n, share, difference, between in product(SIZES, SHARES, DIFFERENCES, BETWEEN):
        cells = joint(share, difference, between)
        if cells is None:
            continue
        gained, lost = cells
        covered = everything = 0.0
        for g in likely(n, gained):
            ls = likely(n - g, lost / (1 - gained))
            chances = multinomial.pmf(
                np.stack([np.full(len(ls), g), ls, n - g - ls], axis=1),
                n,
                [gained, lost, 1 - gained - lost],
            )
            for lost_count, chance in zip(ls, chances, strict=True):
                if chance > NEGLIGIBLE:
                    everything += chance
                    covered += chance * tango_covers(n, g, int(lost_count), difference)
        setting = f"p {share} difference {difference} correlation {between}"
        yield "paired", setting, n, 100 * covered / everything


def joint(share: float, difference: float, between: float) -> tuple[float, float] | None:
    """Shares gained and lost by a second model; None where two models cannot be like that."""
    other = share + difference
    if other >= 1:
        return None
    both = share * other + between * np.sqrt(share * (1 - share) * other * (1 - other))
    gained, lost = other - both, share - both
    return (gained, lost) if lost > 0 and gained + lost < 1 else None


def likely(n: int, share: float) -> NDArray[np.int_]:
    low, high = binom.ppf([NEGLIGIBLE, 1 - NEGLIGIBLE], n, share).astype(int)
    return np.arange(low, high + 1)


def tango_covers(n: int, gained: int, lost: int, difference: float) -> bool:
    first, second = np.zeros(n), np.zeros(n)
    second[:gained] = first[gained : gained + lost] = 1
    found = paired_difference(first, second)
    return found.low <= difference + 1e-12 and difference - 1e-12 <= found.high


def unequal(n: int, count: int) -> NDArray[np.int_]:
    """Sizes of `count` clusters (or of n, where that is less), in proportion to 1, 2, 3, …."""
    ends = np.cumsum(np.arange(1, min(n, count) + 1))
    edges = np.maximum(np.round(ends / ends[-1] * n).astype(int), np.arange(1, len(ends) + 1))
    return np.diff(edges, prepend=0)


def cluster_shares(shares: Array, correlation: float, rng: np.random.Generator, size: int) -> Array:
    """Shares of outcomes in `size` clusters: Dirichlet, with that intra-cluster correlation."""
    if correlation == 0:
        return np.tile(shares, (size, 1))
    return rng.dirichlet(shares * (1 - correlation) / correlation, size)


def clustered_cells(
    counts: tuple[int, ...], form: str, repeats: int, rng: np.random.Generator
) -> Iterator[Cell]:
    for n, count, correlation, share in product(SIZES, counts, CORRELATIONS, SHARES):
        sizes = unequal(n, count)
        clusters = np.repeat(np.arange(len(sizes)), sizes)
        place = np.concatenate([np.arange(size) for size in sizes])
        covered = 0
        for _ in range(repeats):
            shares = cluster_shares(np.array([share, 1 - share]), correlation, rng, len(sizes))
            right = rng.binomial(sizes, shares[:, 0])
            low, high = clustered_interval(place < right[clusters], clusters.tolist())
            covered += low <= share <= high
        setting = f"p {share} clusters {count} within {correlation}"
        yield form, setting, n, percent(covered, repeats)


def clustered_pair_cells(
    counts: tuple[int, ...], form: str, repeats: int, rng: np.random.Generator
) -> Iterator[Cell]:
    models = ((0.5, 0.0, 0.3), (0.5, 0.05, 0.6), (0.25, 0.02, 0.3), (0.75, 0.1, 0.6))
    for n, count, within, model in product(SIZES, counts, CORRELATIONS, models):
        share, difference, between = model
        cells = joint(*model)
        assert cells is not None
        shares = np.array([*cells, 1 - sum(cells)])
        sizes = unequal(n, count)
        clusters = np.repeat(np.arange(len(sizes)), sizes)
        place = np.concatenate([np.arange(size) for size in sizes])
        covered = 0
        for _ in range(repeats):
            own = cluster_shares(shares, within, rng, len(sizes))
            gained, lost = rng.multinomial(sizes, own)[:, :2].T
            second = place < gained[clusters]
            first = ~second & (place < (gained + lost)[clusters])
            found = paired_difference(first, second, clusters.tolist())
            covered += found.low <= difference <= found.high
        setting = f"p {share} difference {difference} correlation {between}"
        yield form, f"{setting} clusters {count} within {within}", n, percent(covered, repeats)


def passes(
    programs: int, k: int, hardness: float, gain: float
) -> Callable[[tuple[int, ...], np.random.Generator], Pairs]:
    """Problems' pass@k for two models, from so many programs a problem."""
    table = np.array([pass_at_k(programs, passed, k) for passed in range(programs + 1)])

    def draw(shape: tuple[int, ...], rng: np.random.Generator) -> Pairs:
        easy = 2 * rng.normal(size=shape) - hardness
        models = (expit(easy + rng.normal(size=shape) / 3 + more) for more in (0, gain))
        first, second = (table[rng.binomial(programs, share)] for share in models)
        return first, second

    return draw


def probabilities(
    spread: float, gain: float
) -> Callable[[tuple[int, ...], np.random.Generator], Pairs]:
    """Probabilities of the right answers for two models, as mc2 has them."""

    def draw(shape: tuple[int, ...], rng: np.random.Generator) -> Pairs:
        easy = spread * rng.normal(size=shape)
        first, second = (expit(easy + rng.normal(size=shape) / 3 + more) for more in (0, gain))
        return first, second

    return draw


FRACTIONAL = {
    "pass@1 of 10": passes(10, 1, 1, 0.4),
    "pass@1 of 10, mean 0.07": passes(10, 1, 4, 0.4),
    "pass@1 of 10, mean 0.03": passes(10, 1, 5.3, 0.4),
    "pass@10 of 20": passes(20, 10, 1, 0.4),
    "probabilities, wide": probabilities(2.0, 0.3),
    "probabilities, narrow": probabilities(0.5, 0.05),
}


def fractional_cells(repeats: int, rng: np.random.Generator) -> Iterator[Cell]:
    for (setting, draw), n in product(FRACTIONAL.items(), SIZES):
        large = [draw((1000, 1000), rng) for _ in range(8)]
        truth = float(np.mean([first for first, _ in large]))
        difference = float(np.mean([second - first for first, second in large]))
        alone = paired = 0
        for _ in range(repeats):
            first, second = draw((n,), rng)
            low, high = mean_interval(first)
            alone += low <= truth <= high
            found = paired_difference(first, second)
            paired += found.low <= difference <= found.high
        yield "fractional", setting, n, percent(alone, repeats)
        yield "paired, fractional", setting, n, percent(paired, repeats)


if __name__ == "__main__":
    main()
