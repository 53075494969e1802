"""What a worker is given to do in tests, instead of a study's stages."""

import os
import signal
import threading
import time
from pathlib import Path

import torch

from understudy.errors import UserError
from understudy.study.workers import Facts, Task, interruptible


def do(task: Task) -> Facts:
    """What a task's name says: refuse, die, or wait for Ctrl-C; others tell of the worker."""
    word, _, rest = task.name.partition(" ")
    if word == "refuse":
        raise UserError(f"{rest}: no such file; check the path")
    if word == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "wait":
        try:
            with interruptible():
                Path(rest).touch()
                time.sleep(600)
        except KeyboardInterrupt:
            Path(rest).write_text("saved")
            raise
    threads = [thread.name for thread in threading.enumerate()]
    one = {"process": os.getpid(), "threads": threads, "torch threads": torch.get_num_threads()}
    return {"worker": one}
