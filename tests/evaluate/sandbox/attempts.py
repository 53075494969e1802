"""Programs that try to get out of the sandbox, to do harm, or to pass without being right.

Each defines `f(world)`. Those in REACHES return `world["token"]`, which their test asks for, once
they have got through to what they name; the others are asked for an answer they cannot know. HARMS
are to be run nowhere else.

`world` holds `file` (with words in it) in `folder`, `new` (a path to write to), `port` (that
listens), `pid` (of a bystander), `caller` (the tests' own) and `variable` (in their environment).
"""

from textwrap import dedent, indent

LIBC = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    result = getattr(libc, name)(*args)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result
"""


def _reach(body: str, head: str = "import os, sys, signal, socket") -> str:
    body = indent(dedent(body).strip(), "    ")
    return f"{head}\ndef f(world):\n{body}\n    return world['token']\n"


def _system(body: str) -> str:
    return _reach(body, LIBC)


READING = {
    "a file": "open(world['file']).read()",
    "a file by climbing": "open('/usr/lib/../..' + world['file']).read()",
    "a file by its descriptor": """
        there = os.open(world['file'], os.O_PATH)
        open(f'/proc/self/fd/{there}').read()
    """,
    "a file through the root of a process": "open('/proc/self/root' + world['file']).read()",
    "a file through another's root": "open(f\"/proc/{world['pid']}/root\" + world['file']).read()",
    "a folder": "os.listdir(world['folder'])",
    "the users": "open('/etc/passwd').read()",
    "the environment": "os.environ[world['variable']]",
    "the environment at its source": "open('/proc/self/environ').read()",
    "the caller's environment": "open(f\"/proc/{world['caller']}/environ\").read()",
    "own memory as a file": "open('/proc/self/mem', 'rb')",
    "the parent's command line": "open(f'/proc/{os.getppid()}/cmdline').read()",
    "the open descriptors": "os.listdir('/proc/self/fd')",
    "the mounts": "open('/proc/self/mounts').read()",
    "the kernel's settings": "os.listdir('/sys/kernel')",
    "devices": "open('/dev/zero', 'rb').read(1)",
}
WRITING = {
    "a file anew": "open(world['new'], 'w').write('x')",
    "a file over": "open(world['file'], 'w').write('x')",
    "at a file's end": "open(world['file'], 'a').write('x')",
    "a folder": "os.mkdir(world['new'])",
    "a temporary file": "import tempfile; tempfile.TemporaryFile().write(b'x')",
    "shared memory": """
        open('/dev/shm/' + world['token'], 'w').write('x')
        os.unlink('/dev/shm/' + world['token'])
    """,
    "memory as a file": "os.write(os.memfd_create('x'), b'x')",
    "a cut": "os.truncate(world['file'], 0)",
    "a removal": "os.unlink(world['file'])",
    "a new name": "os.rename(world['file'], world['new'])",
    "rights": "os.chmod(world['file'], 0o777)",
    "times": "os.utime(world['file'], (0, 0))",
    "a link": "os.symlink(world['file'], world['new'])",
    "a link to read by": """
        os.symlink(world['file'], world['new'])
        open(world['new']).read()
    """,
    "a hard link": "os.link(world['file'], world['new'])",
    "a fifo": "os.mkfifo(world['new'])",
}
NETWORK = {
    "tcp": "socket.create_connection(('127.0.0.1', world['port']), 1)",
    "udp": "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', world['port']))",
    "a server": "socket.create_server(('127.0.0.1', 0))",
    "unix sockets": "socket.socketpair()",
    "an abstract unix socket": """
        there = socket.socket(socket.AF_UNIX)
        there.bind(chr(0) + 'understudy-' + world['token'])
    """,
    "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
}
PROCESSES = {
    "fork": """
        if os.fork() == 0:
            os._exit(0)
    """,
    "a command": "import subprocess; subprocess.run(['true'], check=True)",
    "a spawned command": "os.posix_spawn('/bin/true', ['true'], {})",
    "exec": "os.execv('/bin/true', ['true'])",
    "a thread": "import threading; threading.Thread(target=int).start()",
    "a signal to a process": "os.kill(world['pid'], 0)",
    "a signal to the caller": "os.kill(world['caller'], 0)",
    "a signal to the parent": "os.kill(os.getppid(), 0)",
    "a signal to the group": "os.killpg(os.getpgid(0), 0)",
    "a signal by a descriptor": """
        signal.pidfd_send_signal(os.pidfd_open(os.getppid()), 0)
    """,
    "a session of its own": "os.getsid(0) != os.getpid() and os.setsid()",
    "another's limits": """
        import resource
        resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE)
    """,
    "another's priority": "os.setpriority(os.PRIO_PROCESS, world['pid'], 1)",
    "signals by a descriptor's owner": """
        import fcntl
        fcntl.fcntl(1, fcntl.F_SETOWN, os.getppid())
    """,
}
KERNEL = {
    "tracing": "call('ptrace', 0, 0, None, None)",
    "another's memory": """
        class Part(ctypes.Structure):
            _fields_ = [("at", ctypes.c_void_p), ("long", ctypes.c_size_t)]
        here, there = ctypes.create_string_buffer(8), ctypes.create_string_buffer(8)
        parts = [ctypes.byref(Part(ctypes.addressof(b), 8)) for b in (here, there)]
        call('process_vm_readv', os.getpid(), parts[0], 1, parts[1], 1, 0)
    """,
    "outliving its parent": "call('prctl', 1, 0, 0, 0, 0)",
    "being looked into": "call('prctl', 4, 1, 0, 0, 0)",
    "system v memory": "call('shmctl', call('shmget', 0, 4096, 0o1600), 0, None)",
    "message queues": "call('msgctl', call('msgget', 0, 0o1600), 0, None)",
    "event descriptors": "call('eventfd', 0, 0)",
    "inotify": "call('inotify_init')",
    "a personality": "call('personality', 0xffffffff)",
}
PRIVILEGES = {
    "the parent's memory": "open(f'/proc/{os.getppid()}/mem', 'rb')",
    "a file's attributes": "os.setxattr(world['file'], 'user.x', b'x')",
    "io_uring": "call('syscall', 425, 1, ctypes.create_string_buffer(120))",
    "a user namespace": "call('unshare', 0x10000000)",
    "root": "call('setuid', 0); call('mount', b'x', b'/usr', b'tmpfs', 0, None)",
    "another root": "call('chroot', b'/usr'); call('chroot', b'../../..')",
    "a mount": "call('mount', b'tmpfs', b'/usr', b'tmpfs', 0, None)",
    "undoing a mount": "call('umount2', b'/usr', 2)",
    "the caller's namespaces": "call('setns', os.open('/proc/1/ns/mnt', 0), 0)",
    "the 32-bit interface of x86": """
        import mmap
        code = mmap.mmap(-1, 4096, prot=7)
        code.write(bytes.fromhex('b814000000cd80c3'))  # getpid by int 0x80
        run = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
        assert run() > 0
    """,
    "the x32 interface": "call('syscall', 0x40000000 + 39)",
}

# What works on an ordinary machine, as a test makes sure, and what need not.
OPEN = {
    **{f"reading {name}": _reach(body) for name, body in READING.items()},
    **{f"writing {name}": _reach(body) for name, body in WRITING.items()},
    **{f"network: {name}": _reach(body) for name, body in NETWORK.items()},
    **{f"processes: {name}": _reach(body) for name, body in PROCESSES.items()},
    **{f"kernel: {name}": _system(body) for name, body in KERNEL.items()},
}
REACHES = OPEN | {f"privileges: {name}": _system(body) for name, body in PRIVILEGES.items()}

# These pass where program and test share an interpreter, as a test makes sure.
EQUAL = "def __eq__(self, other): return True\n    __hash__ = None\n"
FOOLS = {
    "an exit at once": "import sys; sys.exit(0)",
    "an exit when called": "import sys\ndef f(world): sys.exit(0)",
    "a hard exit at once": "import os; os._exit(0)",
    "a hard exit when called": "import os\ndef f(world): os._exit(0)",
    "a value equal to all": f"class E:\n    {EQUAL}def f(world): return E()",
    "a text equal to all": f"class E(str):\n    {EQUAL}def f(world): return E('x')",
    "a list equal to all": f"class E(list):\n    {EQUAL}def f(world): return E([1])",
    "a class equal to all": f"class M(type):\n    {EQUAL}class E(metaclass=M): pass\n"
    "def f(world): return E",
    "patched builtins": "import builtins\n"
    "def f(world):\n    builtins.sorted = lambda _: [1]\n    return 1",
    "a hook for exceptions": "import os, sys\nsys.excepthook = lambda *_: os._exit(0)\n"
    "def f(world): return 1",
    "an exit at exit": "import atexit, os\natexit.register(os._exit, 0)\ndef f(world): return 1",
    "a trace of the test": """
import os, sys
def trace(frame, event, arg):
    if event == 'exception':
        os._exit(0)
    return trace
def f(world):
    sys._getframe(1).f_trace = trace
    sys.settrace(trace)
    return 1
""",
    "the answer out of the caller's code": """
import sys
def f(world):
    texts = [c for c in sys._getframe(1).f_code.co_consts if isinstance(c, str)]
    return next(text for text in texts if len(text) == 64)
""",
    "the answer out of the collector": """
import gc
def f(world):
    checks = [c for c in gc.get_objects() if getattr(c, '__name__', '') == 'check']
    texts = [c for check in checks for c in check.__code__.co_consts if isinstance(c, str)]
    return next(text for text in texts if len(text) == 64)
""",
}

# These know the runner from inside. With each goes what its outcome says.
SENDS = "import sys\ndef f(world): sys._getframe(1).f_locals['checker'].send({})"
FORGERIES = {
    "a report on every descriptor": (
        """
import os
def f(world):
    said = b'["ended", "passed"]'
    for descriptor in range(64):
        try:
            os.write(descriptor, len(said).to_bytes(4, 'big') + said)
        except OSError:
            pass
    os._exit(0)
""",
        "RuntimeError: ended: passed",
    ),
    "an answer that is true": (SENDS.format("[None, {'other': [True, None]}]"), "AssertionError"),
    "an answer to nothing": (SENDS.format("{'x': 1}"), "no answer"),
    "an answer of no kind": (SENDS.format("[None, {'eval': ['1']}]"), "no answer"),
    "an answer of two kinds": (SENDS.format("[None, {'set': [], 'dict': []}]"), "no answer"),
    "an exception that is a function": (SENDS.format("['exec', '1']"), "RuntimeError: exec"),
    "an endless answer": (
        """
import os
def writes(descriptor):
    try:
        return os.write(descriptor, b'') == 0
    except OSError:
        return False
def f(world):
    answers = next(n for n in range(3, 64) if writes(n))
    while True:
        os.write(answers, bytes(65536))
""",
        "no answer",
    ),
    "a boundless answer": (
        """
import os
def f(world):
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b'\\xff' * 8)
        except OSError:
            pass
""",
        "no answer",
    ),
    "a nested answer": (
        "def f(world):\n    a = []\n    for _ in range(10**5): a = [a]\n    return a",
        "nested too deeply",
    ),
    "an answer within itself": (
        "def f(world):\n    a = []\n    a.append(a)\n    return a",
        "nested too deeply",
    ),
    "a large answer": ("def f(world): return 'x' * (20 << 20)", "too large"),
    "an encoder of its own": (
        "import json\njson.dumps = lambda _: '[null, true]'\ndef f(world): return 1",
        "AssertionError",
    ),
    "an exception of a borrowed name": (
        "class SystemExit(BaseException): code = 0\ndef f(world): raise SystemExit(0)",
        "BaseException: 0",
    ),
    "an exception without words": (
        "class E(Exception):\n    def __str__(self): raise self\ndef f(world): raise E",
        "ended before",
    ),
    "an exit in an exception's words": (
        "import os\nclass E(Exception):\n    def __str__(self): os._exit(0)\ndef f(world): raise E",
        "ended before",
    ),
    "an exit when it is thrown away": (
        "import os\nclass E:\n    def __del__(self): os._exit(0)\ndef f(world): E()",
        "ended before",
    ),
    "an interrupt": ("def f(world): raise KeyboardInterrupt", "KeyboardInterrupt"),
    "no function": ("g = 1", "NameError"),
    "no program": ("def f(world:", "SyntaxError"),
    "a program with a nul": ("def f(world): return '\0'", "SyntaxError|ValueError"),
    "a program with a surrogate": ("def f(world): return '\ud800'", "UnicodeEncodeError"),
    "a long program": ("# " + "x" * 1_100_000 + "\ndef f(world): return 1", "longer than"),
    "a nested program": (
        "def f(world): return " + "(" * 10**5 + "1" + ")" * 10**5,
        "SyntaxError|MemoryError|crashed",
    ),
}
HARMS = {
    "a fork bomb": (
        "import os\ndef f(world):\n    for _ in range(10**4):\n        try: os.fork()\n"
        "        except OSError: pass",
        "AssertionError|TypeError",
    ),
    "a memory bomb": (
        "def f(world):\n    a = []\n    while True: a.append(bytearray(1 << 24))",
        "MemoryError",
    ),
    "a memory bomb in one": ("def f(world): return [0] * 10**11", "MemoryError"),
    "a memory bomb in a number": ("def f(world): return 1 << (1 << 36)", "MemoryError"),
    "a memory bomb that goes on": (
        "def f(world):\n    a = []\n    for _ in range(10**4):\n"
        "        try: a.append(bytearray(1 << 20))\n        except MemoryError: pass\n"
        "    raise MemoryError(len(a) < 1024)",
        "MemoryError: True",
    ),
    "an endless loop that will not die": (
        "import signal\ndef f(world):\n    for n in range(1, 65):\n"
        "        try: signal.signal(n, signal.SIG_IGN)\n"
        "        except (OSError, ValueError): pass\n    while True: pass",
        "ran out of time",
    ),
    "endless output": (
        "import sys\ndef f(world):\n    while True: print('x' * 9999, file=sys.stderr)",
        "ran out of time",
    ),
    "endless sleep": ("import time\ntime.sleep(600)", "ran out of time"),
    "sleep with nothing open": (
        "import os, time\ndef f(world):\n    os.closerange(0, 64)\n    time.sleep(600)",
        "ran out of time",
    ),
    "endless recursion": ("def f(world): return f(world)", "RecursionError"),
    "a crash": ("import ctypes\ndef f(world): ctypes.string_at(0)", "crashed"),
    "an abort": ("import os\ndef f(world): os.abort()", "crashed"),
    "a stop": (
        "import os, signal\ndef f(world): os.kill(os.getpid(), signal.SIGSTOP)",
        "Error|ran out of time",
    ),
    "killing the caller": ("import os\ndef f(world): os.kill(world['caller'], 9)", "Error"),
    "killing a bystander": ("import os\ndef f(world): os.kill(world['pid'], 9)", "Error"),
    "killing the parent": ("import os\ndef f(world): os.kill(os.getppid(), 9)", "Error"),
    "killing everybody": ("import os\ndef f(world): os.kill(-1, 9)", "Error"),
    "a child that stays": (
        """
import os, time
def f(world):
    if os.fork() == 0:
        os.setsid()
        time.sleep(1)
        open(world['new'], 'w').write('x')
        os._exit(0)
""",
        "Error",
    ),
    "a thread that stays": (
        """
import threading, time
def f(world):
    def late():
        time.sleep(1)
        open(world['new'], 'w').write('x')
    threading.Thread(target=late).start()
""",
        "Error",
    ),
}
