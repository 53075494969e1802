"""Near-duplicates, side by side in one run: understudy, datasketch and rensa, from texts to drops.

The texts are put together from sentences of the published files in the folder UNDERSTUDY_DATA (of
generated ones where it is not set), about 1 KB each, a fifth of them whole records of those files.
Among them lie planted copies of some, with words changed, added and taken away until their exact
Jaccard likeness (of the sets of runs of 5 words) has a level: 0.95, 0.9, 0.85 or 0.8 and up to 0.02
more, which is near at the threshold of 0.8, or 0.6 or 0.68, which is not. Every pair's likeness is
computed by plain sets. Recall is the share of near pairs of which one was dropped; precision the
share of such drops in all drops but those of whole records, of which nobody planted anything.

Each contestant is a process of its own, all on one core, in rounds. A run is from the file of texts
to the list of those dropped; imports are left out for everybody. understudy works as its curate
stage does, with texts and signatures on disk; the peers hold everything in memory, with the
settings that were fastest of those they document (benchmarks/peers/run_*.py say which).

The floor is printed first: to read the texts out of JSON, to take every byte once into a hash, and
to compute P products, sums and minima a shingle in vector instructions, P = 128.

    sh benchmarks/peers/setup.sh          # the peers, once; those missing are left out
    python benchmarks/dedupe.py [--n 100000] [--rounds 3] [--only NAME ...]
    python benchmarks/dedupe.py --alone --n 1000000
"""

import argparse
import gzip
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from understudy.curate.minhash import PERMUTATIONS
from understudy.curate.shingles import SIZE, words

HERE = Path(__file__).parent
PEERS = HERE.parent / ".peers"
THRESHOLD = 0.8
NEAR, FAR = (0.95, 0.9, 0.85, 0.8), (0.68, 0.6)
WIDTH = 0.02  # of a level
PLANTED = 0.03  # of all texts, a level
MOST_PLANTED = 3000  # a level
LENGTH = 1000  # characters of a text, about
GOALS = {"datasketch": 5.0, "datasketch tuned": 5.0}  # understudy's speed by theirs
COMMANDS = {
    "understudy": (Path(sys.executable), "run_near.py", ()),
    "datasketch": (PEERS / "dedupe/bin/python", "run_datasketch.py", ()),
    "datasketch tuned": (PEERS / "dedupe/bin/python", "run_datasketch.py", ("tuned",)),
    "rensa": (PEERS / "dedupe/bin/python", "run_rensa.py", ()),
}
WORD = re.compile(r"\w+")
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass(frozen=True)
class Pair:
    """Places of a text and of its planted copy, and their likeness."""

    text: int
    copy: int
    likeness: float


@dataclass(frozen=True)
class Set:
    """A file of texts, and what is known of them."""

    path: Path
    count: int
    characters: int
    pairs: dict[float, list[Pair]]  # by level
    whole: frozenset[int]  # places of whole records


@dataclass(frozen=True)
class Run:
    """Seconds, peak MiB, recall by level and precision."""

    total_s: float
    read_s: float
    shingles_s: float
    peak_mib: float
    dropped: int
    recall: dict[float, float]
    precision: float


# The texts


def write_texts(path: Path, count: int, data: Path | None, rng: random.Random) -> Set:
    """Write `count` texts in an order drawn by `rng`."""
    records = list(real_records(data)) if data else []
    sentences = real_sentences(records) if data else made_sentences(rng)
    vocabulary = [word for sentence in sentences[:5000] for word in sentence.split()]
    each = min(MOST_PLANTED, int(count * PLANTED))
    planted = [
        (level, *planted_pair(sentences, vocabulary, level, rng))
        for level in NEAR + FAR
        for _ in range(each)
    ]
    whole = rng.sample(records, min(len(records), count // 5))
    strangers = count - 2 * len(planted) - len(whole)

    places = rng.sample(range(count), count)
    pairs: dict[float, list[Pair]] = {level: [] for level in NEAR + FAR}
    texts: dict[int, str] = {}  # strangers are made as they are written
    for level, text, copy, likeness in planted:
        pair = Pair(places.pop(), places.pop(), likeness)
        texts[pair.text], texts[pair.copy] = text, copy
        pairs[level].append(pair)
    at_whole = frozenset(places.pop() for _ in whole)
    texts.update(zip(at_whole, whole, strict=True))
    assert len(places) == strangers
    characters = 0
    with path.open("w") as file:
        for place in range(count):
            text = texts.pop(place, None) or joined(sentences, rng)
            characters += len(text)
            file.write(json.dumps(text) + "\n")
    shares = f"{len(whole):,} whole records, {len(planted):,} planted pairs"
    print(f"{count:,} texts of {characters / count:,.0f} characters; {shares}, the rest strangers")
    return Set(path, count, characters, pairs, at_whole)


def real_records(folder: Path) -> Iterator[str]:
    """Question and answer of the records in the published files, without repeats."""
    seen = set()
    for path in sorted(folder.rglob("*.json*")):
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
        whole = ".jsonl" not in path.name
        for found in json.loads(text) if whole else map(json.loads, text.splitlines()):
            parts = list(strings(found))
            record = "\n\n".join(parts)
            if len(record) > LENGTH // 5 and record not in seen:
                seen.add(record)
                yield record[: 4 * LENGTH]


def strings(value: Any) -> Iterator[str]:
    """The texts of more than a few words anywhere in a JSON value."""
    if isinstance(value, str):
        if value.count(" ") > 3:
            yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings(part)


def real_sentences(records: list[str]) -> list[str]:
    """Those that understudy and the peers' pattern split into the same words, without repeats."""
    parts = (part.strip() for record in records for part in SENTENCE_END.split(record))
    found = list(dict.fromkeys(part for part in parts if 4 <= part.count(" ") < 40))
    counts = np.diff(words(found).starts).tolist()
    return [s for s, n in zip(found, counts, strict=True) if len(WORD.findall(s.lower())) == n]


def made_sentences(rng: random.Random) -> list[str]:
    """Sentences of invented words, some much more frequent than others."""
    letters = "etaoinshrdlucmfwygpbvk"
    vocabulary = ["".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(30_000)]
    weights = [1 / (rank + 10) for rank in range(len(vocabulary))]
    drawn = iter(rng.choices(vocabulary, weights, k=2_000_000))
    return [" ".join(next(drawn) for _ in range(rng.randint(6, 25))) + "." for _ in range(60_000)]


def joined(sentences: list[str], rng: random.Random) -> str:
    parts: list[str] = []
    size = 0
    while size < LENGTH:
        parts.append(rng.choice(sentences))
        size += len(parts[-1]) + 1
    return " ".join(parts)


def planted_pair(
    sentences: list[str], vocabulary: list[str], level: float, rng: random.Random
) -> tuple[str, str, float]:
    """A text, a copy whose likeness to it is of the level, and that likeness."""
    while True:
        text = joined(sentences, rng)
        original = runs(text)
        for _ in range(20):
            copy = text.split(" ")
            likeness = 1.0
            while likeness >= level + WIDTH:
                change(copy, vocabulary, rng)
                other = runs(" ".join(copy))
                likeness = len(original & other) / len(original | other)
            if likeness >= level:
                return text, " ".join(copy), likeness


def change(copy: list[str], vocabulary: list[str], rng: random.Random) -> None:
    """Replace a word anywhere, or add or take one at the end, which changes the likeness less."""
    kind = rng.random()
    if kind < 0.4:
        copy[rng.randrange(len(copy))] = rng.choice(vocabulary)
    elif kind < 0.8:
        copy.append(rng.choice(vocabulary))
    else:
        copy.pop()


def runs(text: str) -> set[tuple[str, ...]]:
    found = WORD.findall(text.lower())
    return set(zip(*(found[place:] for place in range(SIZE)), strict=False))


# The runs


def run(name: str, texts: Set) -> Run | None:
    """Let one contestant drop the near-duplicates; None where it is not installed."""
    python, script, extra = COMMANDS[name]
    if not python.exists():
        return None
    out = texts.path.with_name("dropped.json")
    command = [str(python), str(HERE / "peers" / script), str(texts.path), str(texts.count)]
    command += [str(THRESHOLD), str(out), *extra]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{name}: exit status {done.returncode}")
    dropped = set(json.loads(out.read_text()))
    recall, precision = judged(texts, dropped)
    figures = json.loads(done.stdout)
    return Run(**figures, dropped=len(dropped), recall=recall, precision=precision)


def judged(texts: Set, dropped: set[int]) -> tuple[dict[float, float], float]:
    """Recall by level, and precision."""
    hits = dict.fromkeys(NEAR, 0)
    for level in NEAR:
        for pair in texts.pairs[level]:
            hits[level] += pair.copy in dropped or pair.text in dropped
    recall = {level: hits[level] / max(1, len(texts.pairs[level])) for level in NEAR}
    right, all_of_them = sum(hits.values()), len(dropped - texts.whole)
    return recall, right / max(1, all_of_them)


def say_floor(texts: Set) -> None:
    read_s = timed(lambda: [json.loads(line) for line in texts.path.open("rb")])
    content = texts.path.read_bytes()
    hash_s = timed(lambda: zlib.crc32(content))
    with texts.path.open("rb") as lines:
        some = [json.loads(next(lines)) for _ in range(min(1000, texts.count))]
    shingles = len(words(some).hashes) / len(some) * texts.count
    block, placed = np.arange(1 << 16, dtype=np.uint32), np.empty(1 << 16, dtype=np.uint32)

    def order() -> None:
        np.multiply(block, np.uint32(0x9E3779B1), out=placed)
        np.add(placed, np.uint32(1), out=placed)
        np.minimum.reduce(placed)

    order_s = timed(lambda: [order() for _ in range(100)]) / 100 / len(block)
    minhash_s = order_s * PERMUTATIONS * shingles
    all_s = read_s + hash_s + minhash_s
    print(
        f"floor: {read_s:.2f} s to read the JSON, {hash_s:.2f} s to hash {len(content):,} bytes, "
        f"{minhash_s:.2f} s for {PERMUTATIONS} x {shingles:,.0f} products, sums and minima: "
        f"{texts.count / all_s:,.0f} texts/s"
    )


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def race(names: Sequence[str], texts: Set, rounds: int) -> None:
    runs_of: dict[str, list[Run]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            done = run(name, texts)
            if done is None:
                print(f"{name}: not installed; run: sh benchmarks/peers/setup.sh")
                runs_of.pop(name, None)
            elif name in runs_of:
                runs_of[name].append(done)
    say_table(texts, runs_of)


def spread(values: Sequence[float], form: str) -> str:
    """The median and the range."""
    return f"{median(values):{form}} ({min(values):{form}}-{max(values):{form}})"


def say_table(texts: Set, runs_of: dict[str, list[Run]]) -> None:
    titles = ("texts/s", "reading s", "shingles s", "the rest s", "peak MiB", "dropped")
    print(f"\n{'':18}" + "".join(f"{title:>24}" for title in titles))
    for name, done in runs_of.items():
        cells = (
            spread([texts.count / one.total_s for one in done], ",.0f"),
            spread([one.read_s for one in done], ".2f"),
            spread([one.shingles_s for one in done], ".2f"),
            spread([one.total_s - one.read_s - one.shingles_s for one in done], ".2f"),
            spread([one.peak_mib for one in done], ",.0f"),
            f"{done[0].dropped:,}",
        )
        print(f"{name:18}" + "".join(f"{cell:>24}" for cell in cells))
    mapped_mib = texts.count * PERMUTATIONS * 4 / 2**20
    print(
        f"(understudy's peak counts its file of signatures, {mapped_mib:,.0f} MiB, as it is mapped)"
    )
    print(
        f"\n{'':18}" + "".join(f"{f'recall {level}':>14}" for level in NEAR) + f"{'precision':>14}"
    )
    for name, done in runs_of.items():
        cells = (*done[0].recall.values(), done[0].precision)
        print(f"{name:18}" + "".join(f"{cell:>14.4f}" for cell in cells))
    ours = runs_of.get("understudy")
    for name, done in runs_of.items():
        if ours is None or name == "understudy":
            continue
        ratios = [other.total_s / one.total_s for one, other in zip(ours, done, strict=True)]
        goal = f", goal {GOALS[name]:g}" if name in GOALS else ""
        print(f"understudy / {name}: {spread(ratios, '.2f')} times its texts/s{goal}")


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder on the repository's disk; the system's own temporary one may be in memory."""
    PEERS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=PEERS) as folder:
        yield Path(folder)


def main() -> None:
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--n", type=int, default=100_000, help="texts")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--alone", action="store_true", help="understudy only, one round")
    parser.add_argument("--data", type=Path, default=os.environ.get("UNDERSTUDY_DATA"))
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with scratch() as folder:
        rng = random.Random(0)
        texts = write_texts(folder / "texts.jsonl", arguments.n, arguments.data, rng)
        say_floor(texts)
        if arguments.alone:
            race(["understudy"], texts, 1)
        else:
            race(arguments.only, texts, arguments.rounds)


if __name__ == "__main__":
    main()
