"""rensa drops near-duplicates: RMinHashDeduplicator.add_pairs, which says which texts to keep.

Settings, of what its documentation offers:

- the deduplicator takes all texts in one call and keeps the first of those that are near by their
  signatures. It is its only way that decides which copy stays; the one-shot flags of RMinHashLSH,
  faster still, mark every text that shares a band with another, both copies alike.
- 32 bands of 4, since 21 do not divide 128 and 16 of 8 find 95 % at a threshold of 0.8.
- full-set signatures: its rho sketch samples the shingles, and on such texts and 16 bands it marks
  both texts of 32 % of the planted pairs at 0.95 and of 6 % at 0.8, where the full one marks all
  and 97 %.

    .peers/dedupe/bin/python benchmarks/peers/run_rensa.py TEXTS COUNT THRESHOLD OUT
"""

import json
import re
import sys
import time
from pathlib import Path

from rensa import RMinHashDeduplicator

WORD = re.compile(r"\w+")
PERMUTATIONS, BANDS = 128, 32


def shingles(text: str) -> list[str]:
    words = WORD.findall(text.lower())
    if len(words) < 5:
        return [" ".join(words)] if words else []
    runs = zip(words, words[1:], words[2:], words[3:], words[4:], strict=False)
    return list(map(" ".join, runs))


def main(path: str, threshold: float, out: str) -> None:
    begun = time.perf_counter()
    with open(path) as lines:
        texts = [json.loads(line) for line in lines]
    read = time.perf_counter()
    sets = [shingles(text) for text in texts]
    shingled = time.perf_counter()
    sieve = RMinHashDeduplicator(threshold, PERMUTATIONS, True, BANDS)
    kept = sieve.add_pairs((str(place), one) for place, one in enumerate(sets))
    dropped = [place for place, keep in enumerate(kept) if not keep]
    total = time.perf_counter() - begun
    with open(out, "w") as file:
        json.dump(dropped, file)
    figures = {"read_s": read - begun, "shingles_s": shingled - read, "total_s": total}
    print(json.dumps(figures | {"peak_mib": peak_mib()}))


def peak_mib() -> float:
    """Of this process since it began; getrusage would count that of the one that started it."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[3]), sys.argv[4])
