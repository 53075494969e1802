"""Speed and exactness of nearest-neighbour BLEU against sacrebleu's plain pairwise loop.

1. A sample of the prompts, each against all others of the sample: every score is compared with the
   maximum of `sacrebleu.BLEU(effective_order=True).sentence_score` over those others.
2. All prompts against all: by us in full; by the plain loop for a slice of queries, whose scores
   are compared too and whose time a pair is extrapolated to all pairs. The loop is timed as
   it comes and, to the peer's advantage, also, on the sample, with n-grams that it counts only once
   a prompt (its tokenizer keeps what it has seen in both).

All on one core.

    python benchmarks/diversity.py [--data DIR] [--n 20000] [--sample 1000]
    python benchmarks/diversity.py [--data DIR] --table

DIR (default: UNDERSTUDY_DATA) holds the files named in SETS as published. Where these hold fewer
prompts than asked for, the rest is put together from the halves of two of them; without DIR all are
made up. `--table` gives the figures of docs/diversity.md instead.
"""

import argparse
import os
import random
import resource
import time
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from pathlib import Path

import numpy as np
import sacrebleu.metrics.bleu as peer

from understudy.curate.bleu import nearest_bleu
from understudy.curate.diversity import distinct
from understudy.files import read_json, read_jsonl
from understudy.statistics import Z95

SETS = {
    "GPTeacher, Toolformer": "gpteacher/toolformer.json.gz",
    "T0's templates": "self_instruct/t0_train_sample.jsonl.gz",
    "GPTeacher, Codegen": "gpteacher/codegen-instruct.json.gz",
    "GPTeacher, Roleplay": "gpteacher/roleplay-instruct.json.gz",
    "Alpaca demo of LLaMA-Factory": "alpaca_en_demo.json",
    "AlpacaEval": "alpaca_eval/gpt4.model_outputs.json.gz",
    "Self-Instruct, user-oriented": "self_instruct/user_oriented_instructions.jsonl",
    "Self-Instruct, seeds": "self_instruct/seed_tasks.jsonl",
    "Koala's test set": "koala_test_set.jsonl",
    "Vicuna's 80 questions": "vicuna80/question.jsonl",
    "FastChat's dummy conversations": "fastchat/dummy_conversation.json",
}
SLICE = 400_000  # pairs of the full size that the plain loop goes through, about
KEPT = 100  # queries of the sample that it goes through with n-grams kept
EQUAL = 0.01  # points
SIZES = (80, 175, 500, 1000)  # to which the sets of the table are cut down
DRAWS = 5  # samples of such a size, whose mean is given
TOKENS = 1500  # for distinct n-grams: as many as the smallest set has


def real_sets(folder: Path) -> dict[str, list[str]]:
    """The prompts of those published files that the folder has."""
    return {
        name: [prompt(row) for row in records(folder / file)]
        for name, file in SETS.items()
        if (folder / file).exists()
    }


def records(path: Path) -> Iterator[dict]:
    if ".jsonl" in path.name:
        yield from (row for _, row in read_jsonl(path))
    else:
        yield from read_json(path)


def prompt(row: dict) -> str:
    """The first thing that the user of a record says."""
    if "conversations" in row:
        return next(turn["value"] for turn in row["conversations"] if turn["from"] == "human")
    if "instruction" not in row:
        return row.get("prompt") or row["text"]
    more = row["instances"][0]["input"] if "instances" in row else row.get("input")
    return f"{row['instruction']}\n\n{more}" if more else row["instruction"]


def table(sets: dict[str, list[str]]) -> Iterator[str]:
    """The figures of docs/diversity.md, as the rows of its table."""
    for name, prompts in sets.items():
        found = nearest_bleu(prompts)
        half = Z95 * found.score.std(ddof=1) / len(prompts) ** 0.5
        cells = [name, str(len(prompts)), f"{found.score.mean():.1f} ± {half:.1f}"]
        cells.append(f"{100 * found.copied.mean():.1f} %")
        for size in SIZES:
            means = [
                nearest_bleu(random.Random(seed).sample(prompts, size)).score.mean()
                for seed in range(DRAWS)
                if size <= len(prompts)
            ]
            cells.append(f"{np.mean(means):.1f}" if means else "–")
        shuffled = random.Random(0).sample(prompts, len(prompts))
        words = distinct(shuffled, most=TOKENS)
        cells.append(" / ".join(f"{words[n]:.2f}" for n in "123"))
        yield "| " + " | ".join(cells) + " |"


def made_up(rng: random.Random) -> list[str]:
    """Prompts of words whose frequencies fall off like those of a language (Zipf's law)."""
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(20_000)]
    lengths = (rng.randrange(5, 60) for _ in range(1_000))
    return [
        " ".join(words[int(rng.paretovariate(0.8)) % len(words)] for _ in range(length))
        for length in lengths
    ]


def extended(texts: list[str], count: int, rng: random.Random) -> list[str]:
    """`count` distinct texts: the given ones, and halves of two of them put together."""
    found = dict.fromkeys(texts)
    while len(found) < count:
        first, second = (rng.choice(texts).split() for _ in range(2))
        found.setdefault(" ".join(first[: len(first) // 2] + second[len(second) // 2 :]))
    return rng.sample(list(found), count)


def plain(prompts: list[str], queries: list[int], label: str) -> tuple[np.ndarray, float]:
    """The queries' highest BLEU with another prompt, by sacrebleu, and seconds a pair."""
    score = peer.BLEU(effective_order=True).sentence_score
    begun = spoke = time.perf_counter()
    found = []
    for done, query in enumerate(queries):
        text = prompts[query]
        others = (other for place, other in enumerate(prompts) if place != query)
        found.append(max(score(text, [other]).score for other in others))
        if time.perf_counter() - spoke > 10:
            spoke = time.perf_counter()
            print(f"  {label}: {done + 1} of {len(queries)} queries", flush=True)
    seconds = time.perf_counter() - begun
    return np.array(found), seconds / (len(queries) * (len(prompts) - 1))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=os.environ.get("UNDERSTUDY_DATA"))
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--sample", type=int, default=1_000)
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    rng = random.Random(0)
    sets = real_sets(Path(arguments.data)) if arguments.data else {}
    if arguments.data and not sets:
        raise SystemExit(f"{arguments.data}: holds none of {', '.join(SETS.values())}")
    if arguments.table:
        print(*table(sets), sep="\n")
        return
    texts = list(dict.fromkeys(chain.from_iterable(sets.values()))) or made_up(rng)
    n = arguments.n
    prompts = extended(texts, n, rng)
    kind = "distinct real" if arguments.data else "made-up"
    made = len(set(prompts) - set(texts))
    print(f"{len(texts)} {kind} prompts; of the {n} compared, {made} are halves of two of them")

    some = rng.sample(prompts, min(arguments.sample, n))
    expected, _ = plain(some, list(range(len(some))), "plain, sample")
    difference = np.abs(nearest_bleu(some).score - expected).max()
    print(f"sample of {len(some)}: mean {expected.mean():.4f}, largest difference {difference:.2g}")

    begun = time.perf_counter()
    found = nearest_bleu(prompts).score
    ours_s = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"all {n}: mean {found.mean():.4f}; ours {ours_s:.1f} s, peak memory {peak:.0f} MB")

    queries = rng.sample(range(n), max(1, SLICE // n))
    expected, as_it_comes = plain(prompts, queries, "plain, slice")
    apart = np.abs(found[queries] - expected).max()
    peer.extract_all_word_ngrams = lru_cache(maxsize=None)(peer.extract_all_word_ngrams)
    plain(some, [0], "plain, once for the cache")
    _, cached = plain(some, list(range(min(KEPT, len(some)))), "plain, n-grams kept")
    print(f"slice of {len(queries)} queries against all: largest difference {apart:.2g}")
    pairs = n * (n - 1)
    for label, a_pair in (("plain", as_it_comes), ("plain, n-grams kept", cached)):
        print(
            f"{label}: {1e6 * a_pair:.1f} µs a pair, {pairs * a_pair:.0f} s for all (extrapolated),"
            f" {pairs * a_pair / ours_s:.0f} times ours"
        )
    if max(difference, apart) > EQUAL:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
