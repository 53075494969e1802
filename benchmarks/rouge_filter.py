"""Speed of the near-duplicate filter against a plain loop with `rouge_score`, over real texts.

The peer is what Alpaca's and Self-Instruct's scripts do, on one core as ours: every text is
tokenized once, and `rouge_score`'s own `_score_lcs` compares a candidate's tokens with those of
every text kept so far, and the highest F decides. (`RougeScorer.score` would tokenize both texts
again at each comparison, to the peer's disadvantage.) Both filter the same texts in the same order,
and every decision is compared: kept or not, and the highest F where it is over the threshold.

Then ours alone filters 52,000 texts, as many as Alpaca has.

    python benchmarks/rouge_filter.py --data DIR [--take 5000] [--large 52000]

DIR holds alpaca_en_demo.json, gpteacher/*.json.gz and self_instruct/*.jsonl(.gz) as published. The
plain loop takes a quarter of an hour or more at the default size.
"""

import argparse
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rouge_score import rouge_scorer, tokenizers

from understudy.collect.rouge import NearDuplicates
from understudy.files import read_json, read_jsonl

THRESHOLD = 0.7
MOST_WORDS = 150  # longer texts fall before they come to this filter
FILES = ("alpaca_en_demo.json", "gpteacher/*.json.gz", "self_instruct/*.jsonl*")
EVERY = 500  # texts between two lines of progress


def instructions(folder: Path) -> list[str]:
    """The distinct instructions in the published files."""
    found: dict[str, None] = {}
    for pattern in FILES:
        for path in sorted(folder.glob(pattern)):
            for row in records(path):
                text = row.get("instruction")
                if isinstance(text, str) and 0 < len(text.split()) <= MOST_WORDS:
                    found.setdefault(text.strip())
    if not found:
        raise SystemExit(f"{folder}: holds none of {', '.join(FILES)}; name a folder with --data")
    return list(found)


def records(path: Path) -> Iterator[dict[str, object]]:
    if ".jsonl" in path.name:
        yield from (row for _, row in read_jsonl(path))
    else:
        yield from read_json(path)


def extended(texts: list[str], count: int, rng: random.Random) -> list[str]:
    """`count` distinct texts: the real ones, and halves of two real ones put together."""
    found = dict.fromkeys(texts)
    while len(found) < count:
        first, second = (rng.choice(texts).split() for _ in range(2))
        joined = first[: max(1, len(first) // 2)] + second[len(second) // 2 :]
        found.setdefault(" ".join(joined))
    return rng.sample(list(found), count)


def plain(texts: list[str]) -> list[float]:
    """The highest F of each text with those kept before it; kept where it is not over."""
    split = tokenizers.DefaultTokenizer().tokenize
    kept: list[list[str]] = []
    highest = []
    for text in counted(texts, "plain", lambda: len(kept)):
        tokens = split(text)
        scores = [rouge_scorer._score_lcs(tokens, other).fmeasure for other in kept]
        highest.append(max(scores, default=0.0))
        if highest[-1] <= THRESHOLD:
            kept.append(tokens)
    return highest


def ours(texts: list[str]) -> list[float | None]:
    """The same by the filter; None for a text that is kept."""
    pool = NearDuplicates(THRESHOLD)
    highest = []
    for text in counted(texts, "ours", lambda: len(pool)):
        near = pool.nearest(text)
        highest.append(near.score if near else None)
        if near is None:
            pool.add(text)
    return highest


def counted(texts: list[str], label: str, kept: Callable[[], int]) -> Iterator[str]:
    begun = time.perf_counter()
    for number, text in enumerate(texts):
        if number and number % (EVERY if label == "plain" else 10 * EVERY) == 0:
            seconds = time.perf_counter() - begun
            print(f"  {label}: {number} seen, {kept()} kept, {seconds:.1f} s", flush=True)
        yield text


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=os.environ.get("UNDERSTUDY_DATA"))
    parser.add_argument("--take", type=int, default=5_000)
    parser.add_argument("--large", type=int, default=52_000)
    arguments = parser.parse_args()
    if arguments.data is None:
        raise SystemExit("name the folder of published files with --data or UNDERSTUDY_DATA")
    texts = instructions(arguments.data)
    rng = random.Random(0)
    some = rng.sample(texts, min(arguments.take, len(texts)))
    print(f"{len(texts)} distinct real instructions, {len(some)} of them through both")

    begun = time.process_time()
    by_ours = ours(some)
    ours_s = time.process_time() - begun
    begun = time.process_time()
    by_plain = plain(some)
    plain_s = time.process_time() - begun

    expected = [score if score > THRESHOLD else None for score in by_plain]
    differing = sum(a != b for a, b in zip(by_ours, expected, strict=True))
    print(f"kept by both: {by_ours.count(None)}; decisions or scores that differ: {differing}")
    print(f"plain rouge_score loop: {plain_s:9.2f} s of processor time")
    print(f"ours:                   {ours_s:9.2f} s")
    print(f"ratio: {plain_s / ours_s:.0f}")

    many = extended(texts, arguments.large, rng)
    made = max(0, arguments.large - len(texts))
    print(f"{len(many)} texts, {made} of them put together from halves of two real ones")
    begun = time.process_time()
    kept = ours(many).count(None)
    print(f"ours: {kept} kept, {time.process_time() - begun:.1f} s")
    if differing:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
