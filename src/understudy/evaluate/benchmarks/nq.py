"""Natural Questions, open-domain (Lee et al. 2019), 3-shot, as the harness's task `nq_open`.

Files: `NQ-open.dev.jsonl`, rows {"question", "answer": [texts]}. The examples come from
`NQ-open.train.jsonl` where the folder has it. Otherwise they are drawn from the dev file and held
out from scoring. Either way the draw depends on the seed and the data alone, so that all models
are shown the same; the harness draws other examples for every item, from the train split.
"""

import random
from pathlib import Path
from typing import Any

from understudy.errors import UserError
from understudy.evaluate.benchmarks.hub import hub_rows
from understudy.evaluate.benchmarks.kinds import Benchmark, ShortItem, read_rows

SHOTS = 3
DEV, TRAIN = "NQ-open.dev.jsonl", "NQ-open.train.jsonl"
Rows = list[dict[str, Any]]


def items(data: Path | None, limit: int | None, seed: int) -> list[ShortItem]:
    """The dev file's items, without those that serve as examples."""
    train, dev = _rows(data)
    rng = random.Random(f"nq {seed}")
    shots = rng.sample(train or dev, SHOTS)
    shown = "".join(f"Q: {row['question']}?\nA: {row['answer'][0]}\n" for row in shots)
    found = []
    for number, row in enumerate(dev, start=1):
        if any(row is shot for shot in shots):
            continue
        prompt = f"Answer these questions:\n\n{shown}Q: {row['question']}?\nA:"
        found.append(ShortItem(f"nq/{number}", row["question"], tuple(row["answer"]), prompt))
    return found[:limit]


# The harness allows 256 tokens; no answer that counts as right has more than 51 characters.
NQ = Benchmark(
    "nq", "short", "exact_match", SHOTS, None, items, stop=("\n", ".", ","), max_tokens=64
)


def _rows(data: Path | None) -> tuple[Rows, Rows]:
    """Train rows, empty where there are none, and dev rows."""
    if data is None:
        name = "google-research-datasets/nq_open"
        return hub_rows(name, None, "train"), hub_rows(name, None, "validation")
    path = data / DEV
    dev = _read(path)
    if len(dev) <= SHOTS:
        raise UserError(f"{path}: {len(dev)} items, more than {SHOTS} are needed; fetch it again")
    return (_read(data / TRAIN) if (data / TRAIN).exists() else []), dev


def _read(path: Path) -> Rows:
    rows = read_rows(path, {"question": str, "answer": list})
    for number, row in enumerate(rows, start=1):
        if not all(isinstance(answer, str) for answer in row["answer"]):
            raise UserError(f"{path}, item {number}: an answer is not a text; fetch it again")
    return rows
