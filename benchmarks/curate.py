"""Speed and memory of `understudy curate`, the whole command with its default steps.

A set of N records of about 1 KB is made from sentences of the published files in the folder
UNDERSTUDY_DATA (of generated ones where it is not set), planted near-copies among them, as
benchmarks/dedupe.py makes its texts. It is curated with near-duplicates at 0.8, in a process of its
own, at a tenth of N and at N: seconds, dialogues a second and a core (CPU seconds of all processes
together), and the peak of the memory that all its processes hold at once (PSS: what they share
counts once). Flat memory means that the second peak is the first but for some hundred bytes a
dialogue.

The floor, measured in the same run: to read the file's JSON and write it again, on one core.

    python benchmarks/curate.py [--n 1000000] [--set KEY=VALUE ...]
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dedupe import write_texts

STEP_S = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    data = os.environ.get("UNDERSTUDY_DATA")
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as scratch:
        peaks = []
        for count in (options.n // 10, options.n):
            file = Path(scratch) / f"{count}.jsonl"
            write_records(file, count, Path(data) if data else None)
            floor = copy(file)
            print(f"{count:,} records, {file.stat().st_size / 1e6:,.0f} MB; floor {floor:.1f} s")
            peaks.append(curate(file, count, options.set, Path(scratch) / "out"))
        grown = (peaks[1] - peaks[0]) * 2**20 / (options.n - options.n // 10)
        print(f"memory grows by {grown:,.0f} bytes a dialogue")


def write_records(path: Path, count: int, data: Path | None) -> None:
    """Records in Alpaca's form: a text's first sentence asks, the rest answers."""
    texts = path.with_suffix(".texts")
    write_texts(texts, count, data, random.Random(0))
    with texts.open() as lines, path.open("w") as file:
        for line in lines:
            question, _, answer = json.loads(line).partition(". ")
            record = {"instruction": question + ".", "input": "", "output": answer or question}
            file.write(json.dumps(record) + "\n")
    texts.unlink()


def copy(path: Path) -> float:
    """Seconds to read every record and write it again."""
    begun = time.perf_counter()
    with path.open() as lines, path.with_suffix(".copy").open("w") as out:
        for line in lines:
            out.write(json.dumps(json.loads(line), ensure_ascii=False) + "\n")
    path.with_suffix(".copy").unlink()
    return time.perf_counter() - begun


def curate(file: Path, count: int, changes: list[str], out: Path) -> float:
    """Curate the file; prints its figures and returns the peak of memory in MiB."""
    command = [sys.executable, "-m", "understudy", "curate", str(file), "--out", str(out), "--json"]
    for change in ("duplicates.near=0.8", *changes):
        command += ["--set", change]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, held(process.pid))
        time.sleep(STEP_S)
    seconds = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        sys.exit(process.stderr.read().decode())
    card = json.loads(process.stdout.read())
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    speed = f"{count / seconds:,.0f} dialogues/s, {count / cpu:,.0f} a second and core"
    print(f"  {seconds:.0f} s ({cpu:.0f} CPU s): {speed}, peak {peak:,.0f} MiB")
    print(f"  kept {card['kept']:,}, dropped {card['dropped']}")
    return peak


def held(pid: int) -> float:
    """MiB that a process and its children hold; what they share counts once."""
    total = 0
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, StopIteration):
        return 0.0
    return total / 1024 + sum(held(int(child)) for child in children)


if __name__ == "__main__":
    main()
