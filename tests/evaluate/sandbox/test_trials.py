"""Trials: what passes, what does not, where they run, and what is left of them."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from understudy.evaluate import sandbox
from understudy.evaluate.sandbox import (
    Outcome,
    Trial,
    confine,
    kinds,
    missing,
    run_trial,
    run_trials,
    sandbox_kind,
)
from understudy.files import read_jsonl

PASSED = Outcome(True, "passed")


def trial(program: str, test: str = "assert f() == 1", setup: str = "") -> Trial:
    return Trial(program, setup, f"def check(f):\n    {test}", "f")


# Program and the test's assertion: honest ones, whose outcome must be that of one interpreter.
HONEST = [
    ("def f(): return 1", "assert f() == 1"),
    ("def f(): return True", "assert f() == 1"),
    ("def f(): return 1.0", "assert f() == 1"),
    ("def f(): return '1'", "assert f() == 1"),
    ("def f(): return 0.1 + 0.2", "assert f() == 0.3"),
    ("def f(): return 0.1 + 0.2", "assert abs(f() - 0.3) < 1e-9"),
    ("def f(): return float('nan')", "assert f() == f()"),
    ("def f(): return 2 ** 64", "assert f() == 2 ** 64"),
    ("def f(): return (1, 2)", "assert f() == [1, 2]"),
    ("def f(): return [1, 2]", "assert f() == (1, 2)"),
    ("def f(): return [(1, {2: None}), 'x']", "assert f() == [(1, {2: None}), 'x']"),
    ("def f(): return {1, 2}", "assert f() == {2, 1}"),
    ("def f(): return {1: 2}.keys()", "assert f() == {1}"),
    ("def f(): return {1: 2}.values()", "assert f() == [2]"),
    ("def f(): return map(str, [1])", "assert f() == ['1']"),
    ("def f(): return map(str, [1])", "assert tuple(f()) == ('1',)"),
    ("def f(): yield 1", "assert list(f()) == [1]"),
    ("def f(): return range(3)", "assert f() == range(0, 3)"),
    ("def f(): return range(3)", "assert f() == [0, 1, 2]"),
    ("import re\ndef f(): return re.match('a', 'a')", "assert f()"),
    ("import re\ndef f(): return re.match('a', 'b')", "assert not f()"),
    ("import re\ndef f(): return re.match('a', 'a')", "assert f() is True"),
    ("def f(): return 2 > 1", "assert f() is True"),
    ("def f(): pass", "assert f() is None"),
    ("from fractions import Fraction\ndef f(): return Fraction(2, 2)", "assert f() == 1"),
    ("from decimal import Decimal\ndef f(): return Decimal('1.5')", "assert f() == 1.5"),
    ("from collections import Counter\ndef f(): return Counter('a')", "assert f() == {'a': 1}"),
    ("class C:\n    pass\ndef f(): return C()", "assert f() == 1"),
    ("def f(): raise ValueError('no')", "assert f() == 1"),
    ("def f(a, *, b): return a - b", "assert f(3, b=2) == 1"),
    ("f = lambda: 1", "assert f() == 1"),
    ("class f:\n    pass", "assert f()"),
    ("def f(a): return a", "assert f() == 1"),
    ("def f(): return g()\ndef g(): return 1", "assert f() == 1"),
    ("from __future__ import annotations\ndef f(a: Nothing = 1): return a", "assert f() == 1"),
    ("def f(): return 1\nif __name__ == '__main__': raise SystemExit", "assert f() == 1"),
    ("import doctest\ndef f():\n    '''\n    >>> f()\n    2\n    '''\n    return 1\n"
     "doctest.testmod()", "assert f() == 1"),
    ("import datetime, hashlib, logging, math, random, statistics, string, time, typing\n"
     "def f():\n    time.sleep(0.01)\n    logging.warning(datetime.datetime.now())\n"
     "    return int(random.random() < 1)", "assert f() == 1"),
    ("import dataclasses, typing\n@dataclasses.dataclass\nclass C:\n    x: int = 1\n"
     "class N(typing.NamedTuple):\n    x: int = 1\ndef f(): return [C().x, N()]",
     "assert f() == [1, (1,)]"),
    ("def f(): return input()", "assert f() == ''"),
    ("print('x' * 100_000)\ndef f(): return 1", "assert f() == 1"),
    ("def g(n): return n and 1 + g(n - 1)\ndef f(): return g(900)", "assert f() == 900"),
    ("import sys\nsys.setrecursionlimit(10**5)\ndef g(n): return n and 1 + g(n - 1)\n"
     "def f(): return g(9000)", "assert f() == 9000"),
    ("a = []\ndef f():\n    a.append(1)\n    return len(a)", "assert [f(), f()] == [1, 2]"),
    ("def f(n): return n + 1", "assert all(f(n) == n + 1 for n in range(500))"),
]  # fmt: skip


ONE_INTERPRETER = """
import json, os, sys
outcomes, sys.stdout = [], sys.stderr
for program, test in json.load(sys.stdin):
    sys.stdin = open(os.devnull)
    try:
        exec(f"{program}\\n{test}\\ncheck(f)", {})
        outcomes.append("passed")
    except Exception as error:
        outcomes.append(type(error).__name__)
print(json.dumps(outcomes), file=sys.__stdout__)
"""


def test_outcomes_are_those_of_one_interpreter(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "sandbox_kind", lambda: kind)
    trials = [trial(program, assertion) for program, assertion in HONEST]
    ended = dict(run_trials(trials, "honest"))
    inside = {HONEST[i]: outcome.why.partition(":")[0] for i, outcome in ended.items()}
    line = [sys.executable, "-c", ONE_INTERPRETER]
    given = json.dumps([(there.program, there.test) for there in trials])
    said = subprocess.run(line, input=given, check=True, capture_output=True, text=True).stdout
    assert inside == dict(zip(HONEST, json.loads(said), strict=True))
    assert set(inside.values()) > {"passed", "AssertionError", "ValueError", "TypeError"}


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("def f(): return 2", "AssertionError: "),
        ("def f(): raise ValueError('no')", "ValueError: no"),
        ("class E(KeyError):\n    pass\ndef f(): raise E('no')", "KeyError: \"'no'\""),
        ("def f(): raise UnicodeDecodeError('utf-8', b'x', 0, 1, 'no')", "RuntimeError: Unicode"),
        ("def f(): raise ValueError('two\\nlines\\x1b[31m')", "ValueError: two lines"),
        ("def f(): raise ValueError('x' * 10**6)", "ValueError: xxx"),
        ("def g(): return 1", "NameError: name 'f' is not defined"),
    ],
)
def test_reasons_are_short_lines(program: str, why: str) -> None:
    outcome = run_trial(trial(program), kind=some_kind())
    assert not outcome.passed
    assert outcome.why.startswith(why.strip())
    assert len(outcome.why) <= 300
    assert outcome.why.isprintable()


def some_kind() -> str:
    kind = sandbox_kind()
    if kind is None:
        pytest.skip("no sandbox works on this machine")
    return kind


def test_a_test_has_the_helpers_of_its_setup_and_not_those_of_the_program() -> None:
    setup = "import math\n\ndef half(x): return x / 2\n\ndef f(x):\n    'Twice.'\n"
    test = "assert half(f(3)) == math.floor(3.5) == f(1.5)"
    program = setup + "    return 2 * x\ndef half(x): return 0\n"
    assert run_trial(trial(program, test, setup), kind=some_kind()) == PASSED
    outcome = run_trial(trial(program, test), kind=some_kind())
    assert outcome.why.startswith("NameError: name 'half'")


def test_a_setup_may_end_before_its_function_has_a_body() -> None:
    setup = "def one(): return 1\n\ndef f():\n    # gives one\n"
    assert (
        run_trial(trial(setup + "    return 1", "assert f() == one()", setup), kind=some_kind())
        == PASSED
    )


def test_a_test_may_call_the_function_by_its_name() -> None:
    there = trial("def f(): return 1", "assert globals()['f']() == f()")
    assert run_trial(there, kind=some_kind()) == PASSED


def test_a_broken_test_is_no_pass() -> None:
    for test in ("def check(f", "x = 1", "def check(f): raise SystemExit(0)"):
        outcome = run_trial(Trial("def f(): return 1", "", test, "f"), kind=some_kind())
        assert not outcome.passed


def test_no_except_of_a_test_hides_a_dead_program(kind: str) -> None:
    test = "try: f()\n    except BaseException: pass"
    outcome = run_trial(trial("import os\ndef f(): os._exit(0)", test), kind=kind)
    assert outcome == Outcome(False, "ended before its test did")


def test_functions_cannot_be_arguments() -> None:
    outcome = run_trial(trial("def f(g): return g()", "assert f(int) == 0"), kind=some_kind())
    assert outcome.why == "TypeError: type is no plain data"


def test_sets_are_not_shuffled(kind: str) -> None:
    line = [sys.executable, "-c", "print(hash('a'))"]
    fixed = subprocess.check_output(line, env={"PYTHONHASHSEED": "0"}, text=True)
    there = trial("def f(): return hash('a')", f"assert f() == hash('a') == {fixed}")
    assert run_trial(there, kind=kind) == PASSED


def test_trials_leave_nothing_for_the_next(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "sandbox_kind", lambda: kind)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # so one sandbox takes them all
    program = (
        "import json, sys\nseen = getattr(json, 'seen', 0)\njson.seen = 1\nsys.argv.append('x')\n"
        "def f(): return [seen, len(sys.argv)]"
    )
    ended = dict(run_trials([trial(program, "assert f() == [0, 2]")] * 3, "trials"))
    assert ended == {0: PASSED, 1: PASSED, 2: PASSED}


def test_a_test_that_does_not_end_is_ended_and_the_next_runs(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "sandbox_kind", lambda: kind)
    monkeypatch.setattr(sandbox, "TIMEOUT_S", 0.5)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    program = "def f(): return 1"
    ended = dict(run_trials([trial(program, "while True: pass"), trial(program)], "trials"))
    assert ended == {0: Outcome(False, "ran out of time"), 1: PASSED}


def test_trials_can_be_left_at_any_time() -> None:
    some_kind()
    before = set(descendants(os.getpid()))  # helpers of other tests
    trials = run_trials([trial("def f(): return 1")] * 200, "trials")
    assert next(trials)[1] == PASSED
    trials.close()  # type: ignore[attr-defined]
    wait_until(lambda: not set(descendants(os.getpid())) - before)


def test_many_trials_at_a_time_all_end() -> None:
    some_kind()
    ended = dict(run_trials([trial(f"def f(): return {n % 2}") for n in range(60)], "trials"))
    assert [ended[n].passed for n in range(60)] == [False, True] * 30


def test_without_a_sandbox_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "sandbox_kind", lambda: None)
    monkeypatch.setattr(subprocess, "Popen", None)
    with pytest.raises(RuntimeError, match="no sandbox works"):
        run_trial(trial("def f(): return 1"))
    with pytest.raises(RuntimeError, match="no sandbox works"):
        next(run_trials([trial("def f(): return 1")], "trials"))


def test_a_sandbox_that_cannot_be_made_is_an_error_and_no_wrong_answer() -> None:
    with pytest.raises(RuntimeError, match=r"the sandbox \(landlock\) failed: OSError: no filter"):
        run_without_filter(lambda: run_trial(trial("def f(): return 1"), kind="landlock"))


@pytest.mark.skipif(sys.platform != "linux", reason="Linux")
def test_without_a_filter_of_system_calls_the_namespaces_still_hold() -> None:
    if not sandbox._holds("namespaces"):
        pytest.skip("namespaces does not work on this machine")
    assert run_without_filter(lambda: sandbox._holds("namespaces"))
    assert not run_without_filter(lambda: sandbox._holds("landlock"))


def run_without_filter(work: Callable[[], object]) -> object:
    """As on a machine whose system calls are not in the table."""
    forget = "sys.modules['understudy.evaluate.sandbox.confine'].AUDIT_ARCH.clear()"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kinds, "START", kinds.START.replace("module.main", f"{forget}\nmodule.main"))
        kinds._runner.cache_clear()
        try:
            return work()
        finally:
            kinds._runner.cache_clear()


def test_a_sandbox_that_leaks_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runner of the kind that expects bwrap around it, without bwrap: filter and limits only."""
    monkeypatch.setattr(kinds, "_bubblewrap", lambda: ["env"])
    assert run_trial(trial("def f(): return 1"), kind="bubblewrap") == PASSED
    assert not sandbox._holds("bubblewrap")


@pytest.mark.skipif(os.geteuid() != 0, reason="root can become somebody else")
@pytest.mark.parametrize("kind", ["namespaces", "landlock"])
def test_an_ordinary_user_has_it_too(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    python = Path(f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}")
    if not (python.exists() and shutil.which("setpriv")):
        pytest.skip("there is no Python that every user may run")
    monkeypatch.setattr(kinds, "_prefix", lambda: "/usr")
    as_user = ["setpriv", "--reuid=1234", "--regid=1234", "--clear-groups", "--bounding-set=-all"]
    as_root = sandbox.command
    monkeypatch.setattr(sandbox, "command", lambda *args: [*as_user, *as_root(*args)])
    assert sandbox._holds(kind)
    uid = 65534 if kind == "namespaces" else 1234
    there = trial("import os\ndef f(): return os.getuid()", f"assert f() == {uid}")
    assert run_trial(there, kind=kind) == PASSED
    nothing_outlives_its_killed_caller(kind, as_user)


def test_nothing_outlives_a_killed_caller(kind: str) -> None:
    nothing_outlives_its_killed_caller(kind, [])


def nothing_outlives_its_killed_caller(kind: str, prefix: list[str]) -> None:
    call = f"""
from understudy.evaluate import sandbox
from understudy.evaluate.sandbox import kinds
command = sandbox.command
sandbox.command = lambda *args: {prefix} + command(*args)
kinds._prefix = lambda: {kinds._prefix()!r}
sleep = sandbox.Trial("import time; time.sleep(600)", "", "", "f")
sandbox.run_trial(sleep, 60, {kind!r})
"""
    caller = subprocess.Popen([sys.executable, "-c", call])
    try:
        wait_until(lambda: sum("python" in n for n in descendants(caller.pid).values()) >= 3)
        family = descendants(caller.pid)
    finally:
        caller.kill()
        caller.wait()
    wait_until(lambda: not set(family) & set(processes()))


def wait_until(holds: Callable[[], bool]) -> None:
    for _ in range(400):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("did not come about")


def processes() -> dict[int, tuple[int, str]]:
    """Parent and name of every living process."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
            state, parent, *_ = rest.split()
            if state != "Z":
                found[int(stat.parent.name)] = int(parent), name
    return found


def descendants(pid: int) -> dict[int, str]:
    """Names of the processes that a process started, and of those that they did."""
    alive, family = processes(), {pid: ""}
    for member in list(alive) * 4:  # a generation at least each time
        if alive[member][0] in family:
            family[member] = alive[member][1]
    return {member: name for member, name in family.items() if member != pid}


@pytest.mark.parametrize(
    ("system", "tools", "said"),
    [
        ("linux", ["apt-get"], "sudo apt-get install bubblewrap"),
        ("linux", ["dnf"], "sudo dnf install bubblewrap"),
        ("linux", [], "sudo apt-get install bubblewrap"),
        ("linux", ["bwrap", "apt-get"], "sudo sysctl -w "),
        ("darwin", [], "limactl start"),
        ("win32", [], "wsl --install"),
    ],
)
def test_what_is_missing_is_named(
    system: str, tools: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(shutil, "which", lambda tool: tool if tool in tools else None)
    assert said in missing()
    assert "\n" not in missing()


@pytest.mark.parametrize(
    ("machine", "header"),
    [
        ("x86_64", "x86_64-linux-gnu/asm/unistd_64.h"),
        ("aarch64", "asm-generic/unistd.h"),
    ],
)
def test_system_calls_have_the_numbers_of_the_headers(machine: str, header: str) -> None:
    path = Path("/usr/include", header)
    if not path.exists():
        pytest.skip(f"no {path}")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", path.read_text())
    numbers = {name: int(number) for name, number in found}
    numbers.setdefault("newfstatat", numbers.get("fstatat", -1))  # 64-bit name of the same
    column = list(confine.AUDIT_ARCH).index(machine)
    ours = {name: number[column] for name, number in confine.CALLS.items()}
    assert ours == {name: numbers.get(name) for name in ours}


@pytest.mark.realdata
def test_published_solutions_pass(
    kind: str, realdata: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "sandbox_kind", lambda: kind)
    rows = [row for _, row in read_jsonl(realdata / "HumanEval.jsonl.gz")]

    def trials(body: str | None) -> list[Trial]:
        return [
            Trial(
                r["prompt"] + (body or r["canonical_solution"]),
                r["prompt"],
                r["test"],
                r["entry_point"],
            )
            for r in rows
        ]

    assert len(rows) == 164
    assert [o for _, o in run_trials(trials(None), "solutions") if not o.passed] == []
    assert [i for i, o in run_trials(trials("    return None\n"), "wrong ones") if o.passed] == []
