"""Runs programs that a model wrote, where they can do no harm and cannot lie about their tests.

A program sees the system's libraries and the Python it runs on, read-only, and nothing else: no
network, no other process, no environment, no file of the user's, no place to write. It starts no
process and no thread, and has limits of memory, time and open files. `kinds.py` says which ways
lead there; the first that is found to keep all this is taken, and without one no program is run.

A program passes if its function, called from another process, gives the test what it asserts
(`runner.py`); exit codes and output count for nothing.
"""

import math
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from queue import SimpleQueue

from understudy.evaluate.sandbox.kinds import ENVIRONMENT, KINDS, PROBE, command
from understudy.evaluate.sandbox.plain import Channel
from understudy.progress import progress

TIMEOUT_S = 3.0  # of processor time; the harness's code_eval allows as many seconds on the clock
LONGEST = 1_000_000  # characters of a program
OUT_OF_TIME = "ran out of time"
INSTALL = {
    "apt-get": "sudo apt-get install bubblewrap",
    "dnf": "sudo dnf install bubblewrap",
    "zypper": "sudo zypper install bubblewrap",
    "pacman": "sudo pacman -S bubblewrap",
    "apk": "sudo apk add bubblewrap",
}


@dataclass(frozen=True)
class Trial:
    """A program and its test.

    Attributes:
        program: what is not trusted: a benchmark's prompt and a model's completion, or a whole
            module.
        setup: the benchmark's prompt, for the helpers in it that the test uses.
        test: defines `check(candidate)`, which raises unless the function is right.
        entry_point: the function's name.
    """

    program: str
    setup: str
    test: str
    entry_point: str


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: passed, or why not (one short line)."""

    passed: bool
    why: str


@cache
def sandbox_kind() -> str | None:
    """The kind of sandbox that works here, one of KINDS, found by trying; None where none does."""
    return next((kind for kind in KINDS if _holds(kind)), None)


def missing() -> str:
    """What to do on a machine where no sandbox works, in one line."""
    if sys.platform == "linux" and not shutil.which("bwrap"):
        tool = next((tool for tool in INSTALL if shutil.which(tool)), "apt-get")
        return f"no sandbox works here; install bubblewrap: {INSTALL[tool]}"
    if sys.platform == "linux":
        ubuntu = "kernel.apparmor_restrict_unprivileged_userns"
        there = os.path.exists("/proc/sys/" + ubuntu.replace(".", "/"))
        setting = f"{ubuntu}=0" if there else "user.max_user_namespaces=10000"
        return f"no sandbox works here; allow user namespaces: sudo sysctl -w {setting}"
    if sys.platform == "darwin":
        return "no sandbox works here; run in Linux: brew install lima && limactl start"
    return "no sandbox works on this system; run in Linux: wsl --install"


def run_trials(trials: Sequence[Trial], label: str) -> Iterator[tuple[int, Outcome]]:
    """Run trials, as many at a time as there are processors; (index, outcome) as each ends.

    Raises:
        RuntimeError: no sandbox works here and nothing was run, or the sandbox failed.
    """
    kind = _working_kind()
    workers = os.cpu_count() or 1
    idle: SimpleQueue[_Sandbox] = SimpleQueue()
    sandboxes = [_Sandbox(kind, TIMEOUT_S) for _ in range(workers)]
    for sandbox in sandboxes:
        idle.put(sandbox)

    def run(trial: Trial) -> Outcome:
        sandbox = idle.get()
        try:
            return sandbox.run(trial)
        finally:
            idle.put(sandbox)

    pool = ThreadPoolExecutor(workers)
    try:
        with progress(label, len(trials)) as task:
            begun = {pool.submit(run, trial): i for i, trial in enumerate(trials)}
            for ended in as_completed(begun):
                task.advance()
                yield begun[ended], ended.result()
    finally:
        pool.shutdown(cancel_futures=True)
        for sandbox in sandboxes:
            sandbox.close()


def run_trial(trial: Trial, timeout_s: float = TIMEOUT_S, kind: str | None = None) -> Outcome:
    """Run one trial in a sandbox of its own.

    Args:
        trial: what to run.
        timeout_s: seconds of processor time; on the clock three times as many and two more.
        kind: of KINDS; None takes the one that works here.

    Raises:
        RuntimeError: no sandbox works here and nothing was run, or the sandbox failed.
    """
    sandbox = _Sandbox(kind or _working_kind(), timeout_s)
    try:
        return sandbox.run(trial)
    finally:
        sandbox.close()


class _Sandbox:
    """A runner, shut in, that takes one trial after another; a new one where one had to go."""

    def __init__(self, kind: str, timeout_s: float) -> None:
        self._kind, self._timeout_s = kind, timeout_s
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, trial: Trial) -> Outcome:
        """See `run_trial`."""
        if len(trial.program) > LONGEST:
            return Outcome(False, f"longer than {LONGEST} characters")
        if self._process is None:
            self._process = _start(self._kind, self._timeout_s)
        nonce = secrets.token_hex(32)
        channel = Channel(self._process.stdout, self._process.stdin)  # type: ignore[arg-type]
        with suppress(BrokenPipeError):  # it has said why, then
            channel.send(asdict(trial) | {"nonce": nonce})
        if not select.select([channel.reads], [], [], 3 * self._timeout_s + 2)[0]:
            self.close()
            return Outcome(False, OUT_OF_TIME)
        try:
            how, said = channel.receive()
        except EOFError:
            how, said = self._how_it_ended()
        said = "".join(c if c.isprintable() else " " for c in said).strip()
        if how == "failed":
            self.close()
            raise RuntimeError(f"the sandbox ({self._kind}) failed: {said}")
        if secrets.compare_digest(said.encode(), nonce.encode()):
            return Outcome(True, "passed")
        return Outcome(False, said)

    def _how_it_ended(self) -> tuple[str, str]:
        """A report in the place of one from a runner whose checker ended without."""
        assert self._process is not None
        code = self._process.wait()
        self.close()
        if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
            return "ended", OUT_OF_TIME
        if code < 0 or code > 128:
            return "ended", "the test crashed"
        return "failed", f"exit code {code}"

    def close(self) -> None:
        """End whatever runs."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(BrokenPipeError), process:  # closes the pipes and waits
            pass


def _start(kind: str, timeout_s: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(kind, math.ceil(timeout_s)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
        cwd="/",
        start_new_session=True,
    )


def _working_kind() -> str:
    kind = sandbox_kind()
    if kind is None:
        raise RuntimeError(missing())
    return kind


def _holds(kind: str) -> bool:
    """Whether a kind of sandbox works here and keeps what it promises."""
    with (
        tempfile.NamedTemporaryFile(prefix="understudy-") as secret,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        folders = {"/", "/tmp", "/dev/shm", "/usr", tempfile.gettempdir(), sys.base_prefix}
        places = [os.path.join(folder, f"understudy-{secrets.token_hex(8)}") for folder in folders]
        given = [secret.name, server.getsockname(), os.getpid(), places]
        test = f"def check(reached):\n    assert reached(*{given!r}) == []"
        try:
            return run_trial(Trial(PROBE, "", test, "reached"), 10, kind).passed
        except (OSError, RuntimeError):  # the command is missing, or the kernel refuses
            return False
        finally:
            for place in places:  # where one could be written to
                with suppress(OSError):
                    os.unlink(place)
