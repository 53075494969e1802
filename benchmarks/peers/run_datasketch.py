"""datasketch drops near-duplicates: MinHash.bulk, then MinHashLSH, text by text.

Settings, of what its documentation offers:

- `MinHash.bulk`, which its documentation gives for many texts; shingles are made as bytes, which
  it wants, so that none is encoded by itself.
- a text is dropped if one of those that `query` gives is near by `MinHash.jaccard`, else inserted:
  its documentation says to filter the answers so. Without it, precision suffers.
- plain: its defaults, SHA-1 and the bands that it chooses for the threshold.
- tuned: a faster hash function, as its documentation advises (CRC-32, the fastest at hand; the
  MinHash mixes it), and bands of 6, with which the recall at a threshold of 0.8 is 99.8 %.

    .peers/dedupe/bin/python benchmarks/peers/run_datasketch.py TEXTS COUNT THRESHOLD OUT [tuned]
"""

import json
import re
import sys
import time
import zlib
from pathlib import Path

from datasketch import MinHash, MinHashLSH

WORD = re.compile(rb"\w+")
UNICODE_WORD = re.compile(r"\w+")
PERMUTATIONS = 128
BANDS = (21, 6)


def shingles(text: str) -> list[bytes]:
    lower = text.lower()
    if lower.isascii():
        words = WORD.findall(lower.encode())
    else:
        words = [word.encode() for word in UNICODE_WORD.findall(lower)]
    if len(words) < 5:
        return [b" ".join(words)] if words else []
    runs = zip(words, words[1:], words[2:], words[3:], words[4:], strict=False)
    return list(map(b" ".join, runs))


def main(path: str, threshold: float, out: str, tuned: bool) -> None:
    begun = time.perf_counter()
    with open(path) as lines:
        texts = [json.loads(line) for line in lines]
    read = time.perf_counter()
    sets = [shingles(text) for text in texts]
    shingled = time.perf_counter()
    options = {"hashfunc": zlib.crc32} if tuned else {}
    hashes = MinHash.bulk(sets, num_perm=PERMUTATIONS, **options)
    params = BANDS if tuned else None
    index = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS, params=params)
    dropped = []
    for place, one in enumerate(hashes):
        if any(hashes[other].jaccard(one) >= threshold for other in index.query(one)):
            dropped.append(place)
        else:
            index.insert(place, one, check_duplication=False)
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
    main(sys.argv[1], float(sys.argv[3]), sys.argv[4], "tuned" in sys.argv[5:])
