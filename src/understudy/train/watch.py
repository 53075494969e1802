"""Watching a training: its log, its trackers, and the guards that stop what has gone wrong."""

import json
import math
import resource
import signal
import statistics
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Any, Self

import torch

from understudy.errors import UserError
from understudy.files import digest, write_jsonl
from understudy.progress import say
from understudy.recipe import TrainSettings
from understudy.train.ranks import Ranks

RECENT = 20  # steps whose median a loss is held against
NAMED = 8  # dialogues that a guard's message names

Tracker = Callable[[int, dict[str, float]], None]


class Log:
    """The rows of a training, in `log.jsonl` and for the trackers; a context manager.

    Every process knows the rows, the first one writes them.

    Args:
        out: the folder of the training; TensorBoard's files go to `tensorboard/` there.
        begun_at: the step to go on from; later rows are of a try that was cut off, and go.
        settings: of the training; they name further trackers.
        ranks: who trains.

    Raises:
        UserError: a tracker's package is not installed.
    """

    def __init__(self, out: Path, begun_at: int, settings: TrainSettings, ranks: Ranks) -> None:
        path = out / "log.jsonl"
        earlier = read_log(path) if begun_at else []
        self.rows = [row for row in earlier if row["step"] <= begun_at]
        self._stack = ExitStack()
        self._file: IO[str] | None = None
        self._trackers: list[Tracker] = []
        ranks.wait()
        if not ranks.first:
            return
        write_jsonl(path, self.rows)
        file = open(path, "a", encoding="utf-8")  # noqa: SIM115
        self._file = self._stack.enter_context(file)
        self._trackers.append(
            self._stack.enter_context(_tensorboard(out / "tensorboard", begun_at))
        )
        for name in settings.trackers:
            tracker = _run_tracker(name, out, settings.model_dump(mode="json"))
            self._trackers.append(self._stack.enter_context(tracker))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def add(self, row: dict[str, Any]) -> None:
        """Write one row: its step, and numbers by name."""
        self.rows.append(row)
        if self._file:
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()
        for tracker in self._trackers:
            tracker(row["step"], {name: row[name] for name in row if name != "step"})

    def values(self, name: str) -> list[float]:
        """The values of one number over all steps that have it."""
        return [row[name] for row in self.rows if name in row]


def read_log(path: Path) -> list[dict[str, Any]]:
    """The whole rows of a training log; a last one that was being written is left out."""
    rows: list[dict[str, Any]] = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return rows


@contextmanager
def _tensorboard(folder: Path, begun_at: int) -> Iterator[Tracker]:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder), purge_step=begun_at + 1 if begun_at else None)

    def track(step: int, numbers: dict[str, float]) -> None:
        for name, value in numbers.items():
            writer.add_scalar(name, value, step)

    try:
        yield track
    finally:
        writer.close()


@contextmanager
def _run_tracker(name: str, out: Path, about: dict[str, Any]) -> Iterator[Tracker]:
    """W&B or trackio, which have one interface; both find their keys in the environment."""
    try:
        package: Any = __import__(name)
    except ImportError:
        raise UserError(
            f"train.trackers: {name} is not installed; pip install {name}, or remove it"
        ) from None
    # By its id a start after an interruption goes on with the same run; trackio goes by the name.
    own = {"dir": str(out), "id": digest(str(out.absolute()))[:16]} if name == "wandb" else {}
    run = package.init(project="understudy", name=str(out), config=about, resume="allow", **own)

    def track(step: int, numbers: dict[str, float]) -> None:
        run.log(numbers, step=step)

    try:
        yield track
    finally:
        run.finish()


class Guard:
    """Stops a training whose loss is no longer a number, or has leapt.

    Args:
        spike: nats above the median of the recent losses that are too many; None: no limit.
        losses: of the steps before, in order.
    """

    def __init__(self, spike: float | None, losses: Sequence[float]) -> None:
        self._spike = spike
        self._recent = deque(losses[-RECENT:], RECENT)

    def see(
        self, step: int, loss: float, gradient: float, dialogues: Callable[[], list[str]]
    ) -> None:
        """Look at a step's mean loss and its gradient's norm, before the gradient is used.

        Raises:
            UserError: it is out of bounds; names the step and its dialogues.
        """
        if not (math.isfinite(loss) and math.isfinite(gradient)):
            what = "gradient" if math.isfinite(loss) else "loss"
            raise UserError(
                f"step {step}: the {what} is no longer a number; lower learning_rate, use dtype "
                f"fp32, or look at {_named(dialogues())}"
            )
        if self._spike and len(self._recent) == RECENT:
            usual = statistics.median(self._recent)
            if loss > usual + self._spike:
                raise UserError(
                    f"step {step}: the loss leapt from about {usual:.2f} to {loss:.2f}; lower "
                    f"learning_rate, raise train.spike, or look at {_named(dialogues())}"
                )
        self._recent.append(loss)


def _named(dialogues: list[str]) -> str:
    more = f" and {len(dialogues) - NAMED} more" if len(dialogues) > NAMED else ""
    return f"dialogues {', '.join(dialogues[:NAMED])}{more}"


@contextmanager
def stop_asked() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or a polite kill has asked to stop; a second one stops at once.

    A step that has begun is finished, so that what is saved is the state after whole steps.
    """
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        say("  stopping after this step; once more stops at once")

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def peak_memory(device: torch.device) -> int:
    """Bytes of the device's memory (of main memory, on a CPU) that were used at most so far."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
