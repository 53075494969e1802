"""The kinds of sandbox: how each starts the runner, and what each must keep.

    bubblewrap     bwrap makes the namespaces and starts the runner in them
    namespaces     the runner makes them itself
    landlock       the runner gives up files for good, where namespaces may not be made
    sandbox-exec   macOS's: without a limit of memory, without a space of processes

The runner is started by its text, compiled once here, so that no file of ours need be visible.
"""

import json
import marshal
import os
import shutil
import sys
from functools import cache
from pathlib import Path

KINDS = ("bubblewrap", "namespaces", "landlock", "sandbox-exec")
NOBODY = "65534"
ENVIRONMENT = {"PYTHONHASHSEED": "0"}  # so sets have one order, and a program one outcome
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/nix/store")
MODULES = ("plain", "confine", "runner")  # in the order in which they import each other

START = """
import marshal, sys
for name, code in marshal.loads({modules}):
    module = sys.modules[name] = type(sys)(name)
    exec(code, module.__dict__)
module.main()
"""

PROFILE = """
(version 1)
(deny default)
(import "system.sb")
(deny network*)
(deny file-write*)
(allow file-write-data (literal "/dev/null"))
(allow file-read-metadata)
(allow file-read* (subpath "/usr/lib") (subpath "/System/Library") (subpath (param "PREFIX")))
(allow process-exec (subpath (param "PREFIX")))
(allow process-fork)
"""

# Run as a trial of its own before a kind is used: what is within reach that should not be.
PROBE = """
import os, socket, sys

def reached(secret, address, caller, places):
    def fork():
        if os.fork() == 0:
            os._exit(0)

    attempts = {
        "a file of the user": lambda: open(secret).read(),
        "another process's environment": lambda: open(f"/proc/{caller}/environ").read(),
        "a port of this machine": lambda: socket.create_connection(address, 1),
        "the process that started this": lambda: os.kill(caller, 0),
        "a new process": fork,
    }
    for path in places:
        attempts["writing to " + path] = lambda path=path: open(path, "w")
    if sys.platform == "linux":
        attempts["more memory"] = lambda: bytearray(2 << 30)
    found = ["the environment"] if set(os.environ) - {"PYTHONHASHSEED", "LC_CTYPE", "PWD"} else []
    for name, attempt in attempts.items():
        try:
            attempt()
        except (OSError, MemoryError):
            continue
        found.append(name)
    return found
"""


def command(kind: str, seconds: int) -> list[str]:
    """The command that runs one trial in that kind of sandbox, with so much processor time."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = os.path.join(_prefix(), "bin", version)
    # Isolated (-I) but for PYTHONHASHSEED: the environment is ours.
    runner = [python, "-s", "-S", "-P", "-c", _runner()]
    runner.append(json.dumps([kind, _visible(), os.getpid(), seconds]))
    if kind == "bubblewrap":
        return [*_bubblewrap(), *runner]
    if kind == "sandbox-exec":
        return ["sandbox-exec", "-D", f"PREFIX={_prefix()}", "-p", PROFILE, *runner]
    return runner


def _bubblewrap() -> list[str]:
    options = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    options += ["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--clearenv"]
    options += [word for name, value in ENVIRONMENT.items() for word in ("--setenv", name, value)]
    options += ["--cap-drop", "ALL"]
    if os.geteuid() == 0:  # the runner becomes nobody
        options += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        options += ["--unshare-user", "--uid", NOBODY, "--gid", NOBODY]
    for path in map(Path, _visible()):
        for parent in reversed(path.parents[:-1]):
            options += ["--perms", "0755", "--dir", str(parent)]
        link = path.is_symlink()
        options += ["--symlink", os.readlink(path)] if link else ["--ro-bind", str(path)]
        options.append(str(path))
    return [shutil.which("bwrap") or "bwrap", *options, "--remount-ro", "/", "--chdir", "/", "--"]


def _prefix() -> str:
    """Where Python itself is installed, whatever environment this runs in."""
    return str(Path(sys.base_prefix).resolve())


def _visible() -> list[str]:
    """What a program may see: the system's programs and libraries, and Python's own."""
    paths = [path for path in SYSTEM if os.path.exists(path)]
    return paths if _prefix().startswith("/usr/") or _prefix() == "/usr" else [*paths, _prefix()]


@cache
def _runner() -> str:
    modules = []
    for name in MODULES:
        text = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
        modules.append((f"{__package__}.{name}", compile(text, name, "exec")))
    return START.format(modules=marshal.dumps(modules))
