"""A student trained by several processes, each with a GPU of its own.

They run `understudy train` under torchrun, which in turn is run by this module, so that it ends
with whoever waits for it: at the end of its standard input, which a process that dies closes too.
"""

import gc
import json
import os
import re
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import psutil
import torch
from torch.distributed import run as torchrun

from understudy.errors import UserError
from understudy.recipe import TrainSettings
from understudy.train.watch import stop_asked

SAVING_S = 3600  # that processes have to finish a step and save, once they are asked to stop


def check_gpus(wanted: int) -> None:
    """Refuse a machine with fewer GPUs than a student is to have; one without any uses its cores.

    Raises:
        UserError: there are fewer.
    """
    if 0 < (there := torch.cuda.device_count()) < wanted:
        raise UserError(
            f"hardware.gpus_per_student: {wanted}, but there are {there} GPUs here; lower it"
        )


def train_together(
    processes: int,
    base: str,
    data: Path,
    heldout: Path | None,
    settings: TrainSettings,
    out: Path,
    seed: int,
    ledger: str | None = None,
) -> dict[str, Any]:
    """`understudy.train.stage.train` by so many processes; the same files, facts and mistakes.

    Raises:
        UserError: see there; or a process was killed.
        KeyboardInterrupt: it was asked to stop, and has saved its state.
    """
    gc.collect()
    torch.cuda.empty_cache()  # what this process has measured models in, for theirs
    command = ["train", base, data, "--out", out, "--seed", seed, "--json", "--quiet"]
    command += ["--heldout", heldout] if heldout else []
    command += ["--ledger", ledger] if ledger else []
    command += as_changes(settings)
    start = ["--standalone", "--nproc-per-node", processes, "--shutdown-timeout", SAVING_S]
    line = [sys.executable, "-m", __name__, *start, "-m", "understudy", *command]
    with (
        TemporaryFile("w+", encoding="utf-8") as printed,
        TemporaryFile("w+", encoding="utf-8", errors="replace") as said,
        stop_asked() as asked,
        subprocess.Popen(
            [str(word) for word in line],
            stdin=subprocess.PIPE,  # closed at the end of this block, however it ends
            stdout=printed,
            stderr=said,
            start_new_session=True,  # Ctrl-C comes by `asked` alone: twice, it would lose the step
        ) as started,
    ):
        while started.poll() is None and not asked():
            time.sleep(0.1)
        started.terminate()  # if it has not ended; torchrun hands it on
        if started.wait() == 0:
            printed.seek(0)
            facts: dict[str, Any] = json.loads(printed.read().splitlines()[-1])
            return facts
        if asked():
            raise KeyboardInterrupt
        said.seek(0)
        raise _fault(said.read())


def as_changes(settings: TrainSettings) -> list[str]:
    """All settings as the command line takes them."""
    return [f"--set={k}={json.dumps(v)}" for k, v in settings.model_dump(mode="json").items()]


def _fault(said: str) -> Exception:
    """What went wrong, by what the processes and torchrun said.

    Where one has failed, others may have too, for want of it.
    """
    if mistake := re.search(r"^error: (.*)", said, re.MULTILINE):
        return UserError(mistake[1])
    if "(SIGKILL)" in said:
        return UserError(
            "train: one of the processes was killed, most likely for want of memory; the same "
            "command goes on from there"
        )
    ours = re.search(r"^internal error: (.*)", said, re.MULTILINE)
    return RuntimeError(ours[1] if ours else said[-500:])


def _end_with_input() -> None:
    """End this process and those it has started, at once, when its standard input ends."""
    os.read(0, 1)
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_input, daemon=True).start()
    torchrun.main()
