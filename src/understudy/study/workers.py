"""Processes that work on a study side by side, each with GPUs of its own, or a core.

A task names what it needs; as soon as that is done and a worker is free, the next task in order
begins. What a task leaves lies in files, so that a study that was stopped goes on where it was.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from understudy.errors import UserError
from understudy.manifest import run_stage
from understudy.progress import set_quiet
from understudy.study.grid import Cell
from understudy.study.job import Job
from understudy.study.rule import chosen_for
from understudy.study.settings import StudySettings
from understudy.teacher.wire import Teacher

Facts = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Task:
    """A piece of a study that one worker does: a base, a pilot, or a cell.

    Attributes:
        name: unique, for people.
        needs: names of the tasks that come before.
        base, pilot, cell: which it is; the others are None.
    """

    name: str
    needs: frozenset[str] = frozenset()
    base: tuple[str, int] | None = None
    pilot: tuple[str, int] | None = None
    cell: Cell | None = None


@dataclass(frozen=True)
class Shared:
    """What every worker is told of the study."""

    settings: StudySettings
    out: Path
    server: Teacher | None


def count_workers(settings: StudySettings) -> int:
    """How many processes work side by side if nobody says.

    One for as many GPUs as a student has. Without any, a core for each process that trains the
    world's bases, which are too small to keep several cores busy, and otherwise one for all cores.
    """
    if settings.workers:
        return settings.workers
    free = 1
    if torch.cuda.is_available():
        free = torch.cuda.device_count()
    elif _are_small(settings):
        free = len(os.sched_getaffinity(0))
    return max(1, free // settings.hardware.gpus_per_student)


def share_gpus(workers: int, each: int) -> list[str]:
    """The GPUs of each worker, `each` of them, as CUDA_VISIBLE_DEVICES has them.

    Where there are more workers than there are GPUs for, several have the same.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = named.split(",") if named else [str(n) for n in range(torch.cuda.device_count())]
    parts = max(1, len(gpus) // each)
    return [",".join(gpus[each * (n % parts) :][:each]) for n in range(workers)]


class Workers:
    """A pool of processes for one study; a context manager, at whose end they are gone.

    Args:
        shared: the study.
        count: how many processes.
    """

    def __init__(self, shared: Shared, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        places = context.Queue()
        for gpus in share_gpus(count, shared.settings.hardware.gpus_per_student):
            places.put(gpus)
        self.count = count
        self._others = set(multiprocessing.active_children())
        self._pool = ProcessPoolExecutor(count, context, _begin, (places, shared, os.getpid()))

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind:  # what they have in hand is saved, and not waited for
                for worker in self._running():
                    assert worker.pid is not None  # it was started
                    os.kill(worker.pid, signal.SIGINT)
            self._pool.shutdown(cancel_futures=True)
        finally:  # also where Ctrl-C came again, or while one was being started
            for worker in self._running():
                worker.kill()

    def _running(self) -> set[BaseProcess]:
        return set(multiprocessing.active_children()) - self._others

    def do(
        self,
        tasks: Sequence[Task],
        begun: Callable[[Task], None],
        done: Callable[[Task, Facts], None],
    ) -> None:
        """Do all tasks, each after those of them that it needs.

        Args:
            tasks: in the order of preference.
            begun, done: are told; `done` also the facts of the task's stages, by stage.

        Raises:
            UserError: a task failed for a reason that the user can mend, or a process died.
            KeyboardInterrupt: it was asked to stop; the workers have saved where they were.
        """
        waiting, finished = list(tasks), set[str]()
        running: dict[Future[Facts], Task] = {}
        try:
            while waiting or running:
                ready = [task for task in waiting if task.needs <= finished]
                for task in ready[: self.count - len(running)]:
                    waiting.remove(task)
                    begun(task)
                    running[self._pool.submit(_do, task)] = task
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    task = running.pop(future)
                    done(task, future.result())
                    finished.add(task.name)
        except BrokenProcessPool:
            raise UserError(
                "study: a worker died, most likely for want of memory; the same command goes on "
                "from there, with --workers 1 on less"
            ) from None


_shared: Shared


def _begin(places: "multiprocessing.Queue[str]", shared: Shared, study: int) -> None:
    """Set a worker of the process `study` up: GPUs or a core of its own, and no words."""
    global _shared
    _shared = shared
    threading.Thread(target=_end_with, args=(study,), daemon=True).start()
    # A terminal's Ctrl-C is for the study, which passes it on, once, to those that have a task.
    os.setpgrp()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["CUDA_VISIBLE_DEVICES"] = places.get()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    set_quiet(True)
    if not torch.cuda.is_available() and _are_small(shared.settings):
        # One thread however many workers there are, so that sums are added up in one order.
        torch.set_num_threads(1)


def _end_with(parent: int) -> None:
    """End this process soon after its parent, which may have been killed without a word."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _are_small(settings: StudySettings) -> bool:
    """Whether all bases are the world's, each of which one core can train."""
    return all(base.base.startswith("world:") for base in settings.bases)


def _do(task: Task) -> Facts:
    """Run a task's stages; returns their facts by name."""
    with ExitStack() as resources, interruptible():
        job = Job(_shared.settings, _shared.out, resources, _shared.server)
        if task.base:
            stages = job.base_stages(*task.base)
        elif task.pilot:
            stages = job.pilot_stages(*task.pilot)
        else:
            assert task.cell is not None
            stages = job.cell_stages(task.cell, chosen_for(job, task.cell.kind))
        return {stage.name: run_stage(stage)[0]["facts"] for stage in stages}


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGINT stop what a worker has in hand; one that has nothing is not to heed it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
