"""understudy drops near-duplicates, as the curate stage does: texts and signatures stay on disk.

    python benchmarks/peers/run_near.py TEXTS COUNT THRESHOLD OUT

TEXTS has a JSON string a line; OUT gets the places of those dropped, as a JSON list. Prints seconds
of reading, of making shingles and of all, and the peak of memory.
"""

import json
import re
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np

from understudy.curate.minhash import PERMUTATIONS, signatures
from understudy.curate.near import near_duplicates
from understudy.curate.shingles import shingles, words
from understudy.progress import set_quiet

BATCH = 2000  # texts


def main(path: str, count: int, threshold: float, out: str) -> None:
    begun = time.perf_counter()
    reading = shingling = 0.0
    shape = (count, PERMUTATIONS)
    found = np.lib.format.open_memmap(f"{out}.npy", "w+", np.uint32, shape)
    offsets = np.zeros(count + 1, dtype=np.int64)
    with open(path, "rb") as file:
        for first in range(0, count, BATCH):
            started = time.perf_counter()
            lines = list(islice(file, BATCH))
            texts = [json.loads(line.decode()) for line in lines]
            part = slice(first, first + len(lines))
            offsets[first + 1 : first + len(lines) + 1] = np.cumsum([len(line) for line in lines])
            offsets[first + 1 : first + len(lines) + 1] += offsets[first]
            read = time.perf_counter()
            made = shingles(words(texts))
            shingled = time.perf_counter()
            found[part] = signatures(made)
            reading, shingling = reading + read - started, shingling + shingled - read

        def texts_at(places: np.ndarray) -> list[str]:
            texts = []
            for place in places.tolist():
                file.seek(offsets[place])
                texts.append(json.loads(file.readline().decode()))
            return texts

        copy_of, _ = near_duplicates(found, np.arange(count), threshold, texts_at)
    dropped = np.flatnonzero(copy_of >= 0).tolist()
    total = time.perf_counter() - begun
    with open(out, "w") as file:
        json.dump(dropped, file)
    figures = {"read_s": reading, "shingles_s": shingling, "total_s": total}
    print(json.dumps(figures | {"peak_mib": peak_mib()}))


def peak_mib() -> float:
    """Of this process since it began; getrusage would count that of the one that started it."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


if __name__ == "__main__":
    set_quiet(True)
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4])
