"""Which terms predict held-out preferences best, and what win rates at equal length they give.

Without AlpacaEval's difficulties something else has to say what an instruction asks. This fits, to
annotation files of one judge and baseline over the same instructions, what `preferences.length`
fits with the baseline's length, and others in its place, each with one coefficient of length for
all models and with one for each. It prints for each the log-likelihood of held-out instructions
(ten folds, repeated) as its difference from the best with a standard error, and the win rates.

What `preferences.length` has is the best of those with one term that belongs to the instruction
alone, provided that no other is better at 95 %. Published win rates have no part in the choice.

    python benchmarks/length_control.py [FILE...] [--repeats 3] [--seed 0]

Without files it takes GPT-4-turbo's in the folder that UNDERSTUDY_DATA names.
"""

import argparse
import os
from pathlib import Path

import numpy as np

from understudy.preferences import mixed
from understudy.preferences.length import bounded
from understudy.preferences.published import read_annotations
from understudy.statistics import Array

FOLDS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    folder = Path(os.environ.get("UNDERSTUDY_DATA", "."))
    files = args.files or sorted(folder.glob("alpaca_eval/*.weighted_*.annotations.json.gz"))
    if not files:
        print("no annotations: name files, or their folder in UNDERSTUDY_DATA")
        return
    models, shares, delta, baseline = read(files)
    lengths = np.stack([bounded(row) for row in delta])
    rng = np.random.default_rng(args.seed)
    folds = [rng.permutation(shares.shape[1]) % FOLDS for _ in range(args.repeats)]

    held_out, lines = {}, {}
    for name, terms in instruction_terms(lengths, baseline).items():
        for per_model in (False, True):
            design = make_design(lengths, terms, per_model)
            equal = make_design(np.zeros_like(lengths), terms, per_model)
            fitted = mixed.fit(design, shares)
            label = name, "each" if per_model else "one"
            held_out[label] = held_out_likelihood(design, shares, folds)
            slopes = fitted.coefficients[len(models) :][: len(models) if per_model else 1]
            rates = [f"{100 * mixed.win_rate_at(fitted, own)[0]:5.2f}" for own in equal]
            lines[label] = f"{'  '.join(rates)}   length {np.round(slopes, 2).tolist()}"
    best = max(held_out, key=lambda label: held_out[label].sum())
    print(f"held out, less {' / '.join(best)}; then {', '.join(models)}")
    for (name, slope), likelihoods in held_out.items():
        change = likelihoods - held_out[best]
        error = change.std(ddof=1) * np.sqrt(len(change))
        line = lines[name, slope]
        print(f"{name:22} {slope:4} {change.sum():7.2f} ± {error:4.2f}   {line}", flush=True)
    for model, row in zip(models, abs(lengths), strict=True):
        print(f"{model}: {(row < 0.1).sum()} items within a tenth of a standard deviation")


def read(paths: list[Path]) -> tuple[list[str], Array, Array, Array]:
    """Models; shares and differences in length, models × items; and the baseline's lengths."""
    files = [{one.item: one for one in read_annotations(path)} for path in paths]
    items = sorted(set.intersection(*(set(file) for file in files)))
    rows = [[file[item] for item in items] for file in files]
    shares = np.array([[np.nan if p.share is None else p.share for p in row] for row in rows])
    delta = [[len(one.first.text) - len(one.second.text) for one in row] for row in rows]
    baseline = [len(one.first.text) for one in rows[0]]
    return [row[0].second.model for row in rows], shares, np.array(delta), np.array(baseline)


def instruction_terms(lengths: Array, baseline: Array) -> dict[str, Array]:
    """Items × terms that may stand in for difficulties."""
    scaled = (baseline - baseline.mean()) / baseline.std()
    rank = baseline.argsort().argsort() / len(baseline)
    means = lengths.mean(axis=0)  # the within-between form of Mundlak 1978
    return {
        "nothing": np.empty((len(baseline), 0)),
        "tanh(baseline)": bounded(baseline)[:, None],
        "log(baseline)": np.log1p(baseline)[:, None],
        "rank(baseline)": rank[:, None],
        "baseline, squared": np.column_stack([scaled, scaled**2]),
        "mean over models": means[:, None],
        "mean, tanh(baseline)": np.column_stack([means, bounded(baseline)]),
    }


def make_design(lengths: Array, terms: Array, per_model: bool) -> Array:
    """Models × items × columns: the intercepts, length once or for each model, and the terms."""
    models, items = lengths.shape
    own = np.repeat(np.eye(models)[:, None], items, axis=1)
    length = lengths[:, :, None] * own if per_model else lengths[:, :, None]
    return np.concatenate([own, length, np.repeat(terms[None], models, axis=0)], axis=2)


def held_out_likelihood(design: Array, shares: Array, folds: list[Array]) -> Array:
    """Of each item under fits that did not see it, the mean over the repeats."""
    found = np.zeros((len(folds), shares.shape[1]))
    for repeat, fold in enumerate(folds):
        for number in range(FOLDS):
            seen, out = fold != number, fold == number
            fitted = mixed.fit(design[:, seen], shares[:, seen])
            found[repeat, out] = mixed.likelihood(
                fitted.coefficients, design[:, out], shares[:, out]
            )[0]
    return found.mean(axis=0)


if __name__ == "__main__":
    main()
