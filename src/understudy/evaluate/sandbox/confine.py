"""Shuts the calling process in, by Linux's own means.

`namespaces` and `landlock` are two ways to take files, network and other processes from it; each
needs no program and no right that an ordinary user lacks. `close` comes last, in every kind of
sandbox: limits, and a filter on system calls. The filter names what computing needs and refuses the
rest, since what the next kernel will offer cannot be named.

Everything here raises OSError where it cannot be had, and nothing may run then.
"""

import ctypes
import os
import resource
import select
import signal
import sys
from struct import pack

NOBODY = 65534
MEMORY_BYTES = 1 << 30

# Numbers from Linux's headers (linux/sched.h, mount.h, prctl.h, landlock.h, seccomp.h, audit.h).
CLONE = {"mount": 0x20000, "uts": 0x4000000, "ipc": 0x8000000, "pid": 0x20000000, "net": 0x40000000}
CLONE_NEWUSER = 0x10000000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE = 442, -100, 0x8000
READ_ONLY_NOSUID_NODEV = 1 | 2 | 4
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP = 1, 4, 22
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38
CAPABILITIES_VERSION_3 = 0x20080522
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
RULESET_VERSION, PATH_BENEATH = 1, 1
READ_FILE, READ_DIR = 1 << 2, 1 << 3
FILE_RIGHTS = (13, 14, 15, 15, 16)  # how many rights on files Landlock's ABI 1, 2, ... knows
SECCOMP_MODE_FILTER, ALLOW, KILL, REFUSE = 2, 0x7FFF0000, 0x80000000, 0x00050000 | 1  # EPERM
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06

# What computing in Python needs: memory, time, reading files, what it already holds open, its end.
# Numbers on x86_64 and on aarch64; None where there is no such call.
CALLS: dict[str, tuple[int, int | None]] = {
    "read": (0, 63),
    "write": (1, 64),
    "open": (2, None),
    "close": (3, 57),
    "stat": (4, None),
    "fstat": (5, 80),
    "lstat": (6, None),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "pread64": (17, 67),
    "readv": (19, 65),
    "writev": (20, 66),
    "access": (21, None),
    "select": (23, None),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "nanosleep": (35, 101),
    "getpid": (39, 172),
    "exit": (60, 93),
    "wait4": (61, 260),
    "uname": (63, 160),
    "getcwd": (79, 17),
    "gettimeofday": (96, 169),
    "getrusage": (98, 165),
    "times": (100, 153),
    "getuid": (102, 174),
    "getgid": (104, 176),
    "geteuid": (107, 175),
    "getegid": (108, 177),
    "getppid": (110, 173),
    "sigaltstack": (131, 132),
    "gettid": (186, 178),
    "time": (201, None),
    "futex": (202, 98),
    "getdents64": (217, 61),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "openat": (257, 56),
    "newfstatat": (262, 79),
    "faccessat": (269, 48),
    "pselect6": (270, 72),
    "getrandom": (318, 278),
    "statx": (332, 291),
    "rseq": (334, 293),
    "faccessat2": (439, 439),
}
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_libc = ctypes.CDLL(None, use_errno=True)


def die_with(parent: int) -> None:
    """Be killed when the thread that started this process ends; `parent` is its process's id."""
    if sys.platform != "linux":
        return
    _call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def namespaces(visible: list[str], parent: int) -> None:
    """Go on as nobody, the first process of namespaces where only `visible` is, read-only.

    What called this stays outside and ends as that process does. Linux 5.12 or later.
    """
    uid, gid = os.geteuid(), os.getegid()
    _call("unshare", sum(CLONE.values()) | (CLONE_NEWUSER if uid else 0))
    die_with(parent)
    if uid:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{NOBODY} {uid} 1")
        _write("/proc/self/gid_map", f"{NOBODY} {gid} 1")
    _new_root(visible)
    _first_process()


def landlock(visible: list[str], parent: int) -> None:
    """Keep this process and its children from every file but reading `visible`.

    Landlock says nothing of file names and attributes, of sockets and of signals: the filter, which
    there must be, refuses to change the former and all of the latter. Linux 5.13 or later.
    """
    if os.uname().machine not in AUDIT_ARCH:
        raise OSError(f"no filter of system calls for {os.uname().machine}")
    _drop_capabilities()
    die_with(parent)
    _call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # as the first process of a namespace is
    abi = _syscall(CREATE_RULESET, None, 0, RULESET_VERSION)
    files = (1 << FILE_RIGHTS[min(abi, len(FILE_RIGHTS)) - 1]) - 1
    network, scope = 0b11 if abi >= 4 else 0, 0b11 if abi >= 6 else 0
    handled = pack("QQQ", files, network, scope)
    rules = _syscall(CREATE_RULESET, handled, len(handled), 0)
    for path in visible:
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rights = READ_FILE | READ_DIR if os.path.isdir(path) else READ_FILE
        _syscall(ADD_RULE, rules, PATH_BENEATH, pack("=Qi", rights, folder), 0)
        os.close(folder)
    _syscall(RESTRICT_SELF, rules, 0)
    os.close(rules)


def be_nobody() -> None:
    """Become nobody where this is root, and give up every capability for good."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    _drop_capabilities()


def hide() -> None:
    """Let no other process look into this one, its children included, nor trace it."""
    if sys.platform == "linux":
        _call("prctl", PR_SET_DUMPABLE, 0, 0, 0, 0)


def close(seconds: int) -> None:
    """Set the limits, with so much processor time, and then the filter, where there is one."""
    limits = {
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
    }
    if sys.platform == "linux":  # macOS takes this one and does not keep to it
        limits[resource.RLIMIT_AS] = MEMORY_BYTES
    for limit, most in limits.items():
        allowed = resource.getrlimit(limit)[1]
        most = most if allowed == resource.RLIM_INFINITY else min(most, allowed)
        resource.setrlimit(limit, (most, most))
    if sys.platform == "linux" and os.uname().machine in AUDIT_ARCH:
        _filter_calls(os.uname().machine)


def wait_for(child: int) -> int:
    """The child's exit code, as a shell gives it; what else ends before is seen off."""
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _new_root(visible: list[str]) -> None:
    """Put an empty root with `visible` in the place of the one that is there."""
    root = "/proc"  # is everywhere, and holds nothing of `visible` that the mount would cover
    _mount(None, "/", None, MS_REC | MS_PRIVATE, None)  # nothing done here shows outside
    _mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755")
    for path in visible:
        inside = root + path
        os.makedirs(os.path.dirname(inside), mode=0o755, exist_ok=True)
        if os.path.islink(path):
            os.symlink(os.readlink(path), inside)
            continue
        if os.path.isdir(path):
            os.makedirs(inside, mode=0o755, exist_ok=True)
        else:
            _write(inside, "")
        _mount(path, inside, None, MS_BIND | MS_REC, None)
    change = pack("QQQQ", READ_ONLY_NOSUID_NODEV, 0, 0, 0)
    _syscall(MOUNT_SETATTR, AT_FDCWD, root.encode(), AT_RECURSIVE, change, len(change))
    os.chdir(root)
    _call("pivot_root", b".", b".")  # the old root now lies over the new one
    _call("umount2", b".", MNT_DETACH)
    os.chdir("/")


def _first_process() -> None:
    """Go on in a child, as nobody: the namespace's first process, with which all in it ends."""
    outside_lives, held = os.pipe()
    child = os.fork()
    if child:
        os._exit(wait_for(child))
    os.close(held)
    be_nobody()  # first: whoever becomes another user is no longer killed with its parent
    die_with(0)  # so a parent outside the namespace is called in it
    if select.select([outside_lives], [], [], 0)[0]:
        os._exit(1)
    os.close(outside_lives)


def _drop_capabilities() -> None:
    _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _call("capset", pack("Ii", CAPABILITIES_VERSION_3, 0), bytes(24))


def _filter_calls(machine: str) -> None:
    """Refuse every system call but CALLS, also by the numbers of another architecture or ABI."""
    column = list(AUDIT_ARCH).index(machine)
    steps = [(LOAD, 0, 0, 4), (JUMP_IF_EQUAL, 1, 0, AUDIT_ARCH[machine]), (RETURN, 0, 0, KILL)]
    steps.append((LOAD, 0, 0, 0))
    for numbers in CALLS.values():
        number = numbers[column]
        if number is not None:
            steps += [(JUMP_IF_EQUAL, 0, 1, number), (RETURN, 0, 0, ALLOW)]
    steps.append((RETURN, 0, 0, REFUSE))
    code = ctypes.create_string_buffer(b"".join(pack("HBBI", *step) for step in steps))
    program = pack("HxxxxxxP", len(steps), ctypes.addressof(code))
    _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _call("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0)


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None) -> None:
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    _call("mount", *texts[:3], flags, texts[3])


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _syscall(number: int, *arguments: int | bytes | None) -> int:
    return _call("syscall", number, *arguments)


def _call(name: str, *arguments: int | bytes | None) -> int:
    """A function of the C library, whose result below zero is an error."""
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = getattr(_libc, name)(*words)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
    return result
