"""HumanEval (Chen et al. 2021), 0-shot, one greedy program an item, as the harness's `humaneval`.

File: `HumanEval.jsonl.gz` (or unpacked), rows {"task_id", "prompt", "entry_point", "test"}.
"""

from pathlib import Path

from understudy.errors import UserError
from understudy.evaluate.benchmarks.hub import hub_rows
from understudy.evaluate.benchmarks.kinds import Benchmark, CodeItem, read_rows

FILES = ("HumanEval.jsonl.gz", "HumanEval.jsonl")
FIELDS = dict.fromkeys(("task_id", "prompt", "entry_point", "test"), str)
STOP = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")


def items(data: Path | None, limit: int | None, seed: int) -> list[CodeItem]:
    """The file's items, in its order."""
    if data is None:
        rows = hub_rows("openai/openai_humaneval", None, "test")
    else:
        paths = [data / name for name in FILES if (data / name).exists()]
        if not paths:
            raise UserError(f"{data}: holds no {FILES[0]}; fetch it, or leave humaneval out")
        rows = read_rows(paths[0], FIELDS)
    return [
        CodeItem(row["task_id"], row["prompt"], row["entry_point"], row["test"])
        for row in rows[:limit]
    ]


HUMANEVAL = Benchmark("humaneval", "code", "pass@1", 0, None, items, stop=STOP)
