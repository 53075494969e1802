"""Runs programs that a model wrote, where they can do no harm.

A program sees the system's libraries and the Python it runs on, read-only, and nothing else: no
network, no other process, no environment, no file of the user's, no place to write. It starts no
process, and has limits of memory, time and open files. Two ways lead there: bubblewrap, or
util-linux's `unshare`. Where neither works, no program is run.

A pass is what the runner inside reports with a nonce after the program's own test has returned;
exit codes and output count for nothing.
"""

import json
import math
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from understudy.progress import progress

KINDS = ("bubblewrap", "namespaces")
TIMEOUT_S = 3.0  # of processor time; the harness's code_eval allows as many seconds on the clock
WORKERS = 2
MEMORY_BYTES = 1 << 30
NOBODY = "65534"
RUNNER = Path(__file__).with_name("sandbox_runner.py")
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache")

# In new namespaces: an empty root, the visible paths bound read-only into it, and the rest of the
# arguments run inside. The shell stays, as process 1: when it ends, everything in there ends.
SETUP = """
set -e
umask 022
root=$1
shift
mount -t tmpfs -o size=1m,mode=755,nosuid,nodev tmpfs "$root"
while [ "$1" != -- ]; do
  mkdir -p "$root$(dirname "$1")"
  if [ -L "$1" ]; then
    cp -P "$1" "$root$1"
  else
    if [ -d "$1" ]; then mkdir -p "$root$1"; else : > "$root$1"; fi
    mount -o bind,ro,nosuid,nodev "$1" "$root$1"
  fi
  shift
done
shift
mount -o remount,bind,ro,nosuid,nodev "$root"
cd "$root"
chroot "$root" "$@"
"""

# What must hold inside; run once to find out whether a sandbox can be had.
PROBE = """
import collections, heapq, itertools, math, os, random, re, socket, string, typing
assert not os.path.exists({secret!r}), "a file outside is visible"
assert [name for _, name in socket.if_nameindex()] == ["lo"], "the network is visible"
assert set(os.environ) <= {{"PYTHONHASHSEED", "LC_CTYPE", "PWD"}}, "an environment"
for path in ("/", "/tmp", "/usr", {prefix!r}):
    try:
        open(os.path.join(path, "written"), "w")
    except OSError:
        continue
    raise AssertionError(path + " can be written to")
try:
    os.fork()
except OSError:
    pass
else:
    raise AssertionError("a process can be started")
"""


@dataclass(frozen=True)
class Outcome:
    """How a program ended: passed, or why not (one short line)."""

    passed: bool
    why: str


@cache
def sandbox_kind() -> str | None:
    """The sandbox that works here, found by trying: "bubblewrap", "namespaces" or None."""
    return next((kind for kind in KINDS if _holds(kind)), None)


def run_programs(sources: Sequence[str], label: str) -> list[Outcome]:
    """Run programs, some at a time; outcomes in their order. See `run_program`."""
    with ThreadPoolExecutor(WORKERS) as pool, progress(label, len(sources)) as task:
        outcomes = []
        for outcome in pool.map(run_program, sources):
            outcomes.append(outcome)
            task.advance()
    return outcomes


def run_program(source: str, timeout_s: float = TIMEOUT_S, kind: str | None = None) -> Outcome:
    """Run a program in the sandbox; it passes if it comes to its end without an exception.

    Args:
        source: Python text that ends by calling its test.
        timeout_s: seconds of processor time; on the clock three times as many and two more.
        kind: of KINDS; None takes the one that works here.

    Raises:
        RuntimeError: no sandbox works here; nothing was run.
    """
    kind = kind or sandbox_kind()
    if kind is None:
        raise RuntimeError("no sandbox works here")
    nonce = secrets.token_hex(32)
    seconds = math.ceil(timeout_s)
    limits = {
        "RLIMIT_AS": MEMORY_BYTES,
        "RLIMIT_CPU": seconds,
        "RLIMIT_NPROC": 0,
        "RLIMIT_FSIZE": 1 << 20,  # also bounds what may be written as a report
        "RLIMIT_NOFILE": 64,
        "RLIMIT_CORE": 0,
    }
    job = json.dumps({"nonce": nonce, "source": source, "limits": limits})
    with (
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as report,
        tempfile.TemporaryDirectory(prefix="understudy-") as root,
    ):
        given.write(job.encode("utf-8", "replace"))
        given.seek(0)
        process = subprocess.Popen(
            _command(kind, root),
            stdin=given,
            stdout=report,
            stderr=subprocess.DEVNULL,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            cwd="/",
            start_new_session=True,
        )
        try:
            process.wait(timeout=3 * timeout_s + 2)
        except subprocess.TimeoutExpired:
            return Outcome(False, "ran out of time")
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        report.seek(0)
        said = report.read(400).decode("utf-8", "replace")
    if secrets.compare_digest(said.encode(), nonce.encode()):
        return Outcome(True, "passed")
    if process.returncode in (128 + signal.SIGKILL, 128 + signal.SIGXCPU):
        return Outcome(False, "ran out of time")
    said = "".join(c if c.isprintable() else " " for c in said).strip()
    return Outcome(False, said or "ended before its test did")


def _command(kind: str, root: str) -> list[str]:
    """The command that runs the runner in a sandbox; `root` is an empty folder to mount on."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = Path(sys.base_prefix).resolve() / "bin" / version
    # Isolated (-I) but for PYTHONHASHSEED: the environment is ours, and sets must not be shuffled.
    inner = [str(python), "-s", "-S", "-P", "-c", RUNNER.read_text(encoding="utf-8")]
    return _bubblewrap(inner) if kind == "bubblewrap" else _namespaces(inner, root)


def _bubblewrap(inner: list[str]) -> list[str]:
    command = ["bwrap", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    command += ["--unshare-cgroup-try", "--die-with-parent", "--new-session"]
    command += ["--clearenv", "--setenv", "PYTHONHASHSEED", "0", "--cap-drop", "ALL"]
    if _is_root():
        # The limit on processes does not bind root, also not under another name in a namespace.
        command += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        inner = ["setpriv", *_as_nobody(), *inner]
    else:
        command += ["--unshare-user", "--uid", NOBODY, "--gid", NOBODY]
    for path in _visible():
        for parent in reversed(path.parents[:-1]):
            command += ["--perms", "0755", "--dir", str(parent)]
        link = path.is_symlink()
        command += ["--symlink", os.readlink(path)] if link else ["--ro-bind", str(path)]
        command.append(str(path))
    return [*command, "--remount-ro", "/", "--chdir", "/", "--", *inner]


def _namespaces(inner: list[str], root: str) -> list[str]:
    unshare = ["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child"]
    unshare += [] if _is_root() else ["--user", "--map-root-user"]
    powerless = ["env", "-i", "PYTHONHASHSEED=0"]
    powerless += ["setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
    powerless += _as_nobody() if _is_root() else []
    setup = ["sh", "-c", SETUP, "sh", root, *map(str, _visible()), "--"]
    return ["setpriv", "--pdeathsig", "KILL", *unshare, *setup, *powerless, *inner]


def _as_nobody() -> list[str]:
    return [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


def _is_root() -> bool:
    return os.geteuid() == 0


def _visible() -> list[Path]:
    """What a program may see: the system's programs and libraries, and Python's own."""
    prefix = Path(sys.base_prefix).resolve()
    paths = [Path(path) for path in SYSTEM]
    paths += [] if prefix.is_relative_to("/usr") else [prefix]
    return [path for path in paths if path.exists()]


def _holds(kind: str) -> bool:
    """Whether a kind of sandbox works here and keeps what it promises."""
    with tempfile.NamedTemporaryFile(prefix="understudy-") as secret:
        probe = PROBE.format(secret=secret.name, prefix=sys.base_prefix)
        try:
            return run_program(probe, 10, kind).passed
        except OSError:  # the command is missing
            return False
