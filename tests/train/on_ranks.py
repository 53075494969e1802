"""Trainings that torchrun's processes go through one after the other; `test_ranks` looks at them.

Called with a folder that holds a base, data and, for each training, what `CASES` says.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from train.bases import settings
from understudy.train import loop, speed, stage
from understudy.train.ranks import Ranks, joined

STOP_AFTER = 3
DIALOGUES = 25
# Single dialogues, four a step and one in the last, where a process has nothing to do.
COMMON: dict[str, Any] = {
    "packing": False,
    "batch_dialogues": 4,
    "micro_batch_tokens": 64,
    "epochs": 1,
}
CASES: dict[str, dict[str, Any]] = {
    "plain": {"evaluations": 2},
    "packed": {"packing": True, "batch_dialogues": None, "batch_tokens": 60},
    "lora": {"lora": {"rank": 4, "dropout": 0.0}},
    "scaled": {"optimizer": "scaled_adamw", "learning_rate": 0.1},
    "best": {"select": "best", "evaluations": 8, "learning_rate": 0.03},
    "twice": {"gradient_checkpointing": True},
    "bf16": {"dtype": "bf16", "learning_rate": 1e-3},
    "left by one": {},
    "left by two": {},
}


def train(folder: Path, name: str, out: Path) -> None:
    """Go through the training `name`."""
    wanted = settings(**(COMMON | CASES[name]))
    base = str(folder / ("base-gpt2" if name == "plain" else "base-llama"))
    stage.train(base, folder / "train.jsonl", folder / "heldout.jsonl", wanted, out, 1)


@contextmanager
def stopping(asks: bool) -> Iterator[None]:
    """Trainings within are asked to stop after a few steps, if this process is one that `asks`."""
    before = loop.stop_asked

    @contextmanager
    def stop_asked() -> Iterator[Callable[[], bool]]:
        steps = iter(range(1, 1000))
        yield lambda: next(steps) == STOP_AFTER and asks

    loop.stop_asked = stop_asked  # type: ignore[attr-defined]
    try:
        yield
    finally:
        loop.stop_asked = before  # type: ignore[attr-defined]


def main(folder: Path) -> None:
    """Go through all trainings, in one meeting of the processes."""
    speed.matmul_flops = lambda *_: 1e12
    with joined() as ranks:

        @contextmanager
        def already_joined() -> Iterator[Ranks]:
            yield ranks

        stage.joined = already_joined  # type: ignore[attr-defined]
        for name in CASES:
            out = folder / "two" / name
            if name != "left by two":
                train(folder, name, out)
                continue
            with stopping(ranks.rank == 1):
                try:
                    train(folder, name, out)
                except KeyboardInterrupt:
                    continue
                raise AssertionError("was not stopped")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
