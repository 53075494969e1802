"""Runs trials, one after another, each an untrusted program against a trusted test.

The runner shuts itself in and then forks for each trial: the checker, which forks again before it
reads its job. The child runs the program, and so never held the test, nor the nonce that stands for
a pass. The checker calls the function over two pipes and gets plain data back. Whatever a program
does to its interpreter, or puts into its values, the test's asserts run in an interpreter out of
its reach, on builtin values.

Descriptors: 0 brings jobs, 1 takes reports, 2 leads nowhere. A report is ["ended", the nonce or why
there is none], or ["failed", why nothing could be run].
"""

import builtins
import json
import os
import signal
import sys
from types import CodeType
from typing import Any, NoReturn

from understudy.evaluate.sandbox.confine import (
    be_nobody,
    close,
    die_with,
    hide,
    landlock,
    namespaces,
    wait_for,
)
from understudy.evaluate.sandbox.plain import Channel, any_to_plain, from_plain, to_plain

MOST = 300  # characters of a reason


def main() -> NoReturn:
    """Run the trials that standard input brings, as the last argument says; does not return."""
    kind, visible, parent, seconds = json.loads(sys.argv.pop())
    code = 0
    try:
        shut_in(kind, visible, parent)
        while code == 0:
            code = run_one(seconds)
    except Exception as error:
        outside().send(["failed", words(error)])
        code = 1
    os._exit(code)


def shut_in(kind: str, visible: list[str], parent: int) -> None:
    """Take from this process what the kind of sandbox has not yet taken."""
    if kind == "namespaces":
        namespaces(visible, parent)
    elif kind == "landlock":
        landlock(visible, parent)
    elif kind == "bubblewrap":
        be_nobody()
    hide()


def run_one(seconds: int) -> int:
    """Run one trial in processes of its own; the checker's exit code, which is not 0 if it died."""
    runner = os.getpid()
    checker = os.fork()
    if checker == 0:
        die_with(runner)
        channel, program = start_program(seconds)
        close(seconds)
        check(outside().receive(), channel, program)
    return wait_for(checker)


def outside() -> Channel:
    """What leads to the trials' caller."""
    return Channel(open(0, "rb", closefd=False), open(1, "wb", closefd=False))


def start_program(seconds: int) -> tuple[Channel, int]:
    """Fork the program's process: what leads to it, and its id."""
    reads, asks = os.pipe()
    hears, answers = os.pipe()
    checker = os.getpid()
    program = os.fork()
    if program == 0:
        for end in (0, 1):
            os.dup2(2, end)
        for end in (asks, hears):
            os.close(end)
        die_with(checker)
        close(seconds)
        serve(Channel(os.fdopen(reads, "rb"), os.fdopen(answers, "wb")))
    for end in (reads, answers):
        os.close(end)
    return Channel(os.fdopen(hears, "rb"), os.fdopen(asks, "wb")), program


def serve(checker: Channel) -> NoReturn:
    """Be the program: run its text, then its function as often as the checker asks."""
    namespace: dict[str, Any] = {}
    text, name = checker.receive()

    def load() -> None:
        exec(compile(text, "program", "exec", dont_inherit=True), namespace)
        if name not in namespace:
            raise NameError(f"name '{name}' is not defined")

    answer(checker, load)
    function = namespace.get(name)  # else the checker does not ask
    while True:
        args, kwargs = from_plain(checker.receive())
        answer(checker, function, *args, **kwargs)


def answer(checker: Channel, function: Any, *args: Any, **kwargs: Any) -> None:
    """Call it; send [None, its result], or [the builtin exception that it raised, the words]."""
    try:
        checker.send([None, any_to_plain(function(*args, **kwargs))])
    except BaseException as error:  # SystemExit too: leaving early is no result
        names = (kind.__name__ for kind in type(error).__mro__ if kind in vars(builtins).values())
        checker.send([next(names), str(error)[:MOST]])


def check(job: dict[str, str], channel: Channel, program: int) -> NoReturn:
    """Be the checker: put the program to its test and report how that ended."""
    name = job["entry_point"]

    def ask(question: Any) -> Any:
        try:
            channel.send(question)
            raised, result = channel.receive()
            result = from_plain(result)
        except (EOFError, BrokenPipeError):
            finish(how_it_ended(program))
        except Exception:
            finish("sent what is no answer")
        if raised is not None:
            raise exception(str(raised), str(result))
        return result

    def candidate(*args: Any, **kwargs: Any) -> Any:
        return ask(to_plain([args, kwargs]))

    try:
        ask([job["program"], name])
        namespace: dict[str, Any] = {}
        exec(compiled(job["setup"]), namespace)
        namespace[name] = candidate
        exec(compile(job["test"], "test", "exec", dont_inherit=True), namespace)
        namespace["check"](candidate)
    except BaseException as error:
        finish(words(error))
    finish(job["nonce"])


def compiled(setup: str) -> CodeType:
    """The code of a prompt, whose last function need not have a body yet."""
    try:
        return compile(setup, "setup", "exec", dont_inherit=True)
    except SyntaxError:
        return compile(setup + "\n    pass\n", "setup", "exec", dont_inherit=True)


def exception(kind: str, said: str) -> BaseException:
    """The builtin exception of that name."""
    known = getattr(builtins, kind, None)
    if isinstance(known, type) and issubclass(known, BaseException):
        try:
            return known(said)
        except TypeError:  # one that wants more than words
            pass
    return RuntimeError(f"{kind}: {said}")


def how_it_ended(program: int) -> str:
    """Why the program's process is no more."""
    code = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
    if code >= 0:
        return "ended before its test did"
    if -code in (signal.SIGKILL, signal.SIGXCPU):
        return "ran out of time"
    return f"crashed with signal {-code}"


def finish(said: str) -> NoReturn:
    """Report and end; no `except` of a test can come between."""
    outside().send(["ended", said])
    os._exit(0)


def words(error: BaseException) -> str:
    """An exception in a short line."""
    return f"{type(error).__name__}: {error}"[:MOST]
