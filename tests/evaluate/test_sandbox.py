"""Programs in the sandbox: what passes, what does not, and what they cannot reach."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from evaluate.conftest import ADD, DOUBLE
from understudy.evaluate import sandbox
from understudy.evaluate.sandbox import KINDS, Outcome, run_program, run_programs, sandbox_kind
from understudy.files import read_jsonl


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    if not sandbox._holds(request.param):
        pytest.skip(f"{request.param} does not work on this machine")
    return str(request.param)


def program(row: dict[str, str], body: str | None = None) -> str:
    body = row["canonical_solution"] if body is None else body
    return f"{row['prompt']}{body}\n{row['test']}\ncheck({row['entry_point']})"


@pytest.mark.parametrize("row", [ADD, DOUBLE])
def test_right_programs_pass(kind: str, row: dict[str, str]) -> None:
    assert run_program(program(row), kind=kind) == Outcome(True, "passed")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("    return a - b\n", "AssertionError"),
        ("    return a +\n", "SyntaxError"),
        ("    return undefined\n", "NameError"),
        ("    while True: pass\n", "ran out of time"),
        ("    import sys; sys.exit(0)\n", "SystemExit"),
        ("    import os; os._exit(0)\n", "ended before"),
        ("    raise KeyboardInterrupt\n", "KeyboardInterrupt"),
        ("    import os; os.kill(os.getpid(), 9)\n", "ran out of time|ended before"),
        ("    print('passed'); print('0' * 64); raise SystemExit(0)\n", "SystemExit"),
        ("    import os; [os.write(n, b'passed') for n in (1, 2)]; os._exit(0)\n", "ended before"),
        ("    import sys; return sys.stdin.read()\n", "AssertionError"),
        ("    return [0] * 10**11\n", "MemoryError"),
        ("    return add(a, b)\n", "RecursionError|ended before"),
        ("    return exec('x' * 10**6 + '\\0')\n", "Error"),
    ],
)
def test_wrong_programs_fail(kind: str, body: str, why: str) -> None:
    outcome = run_program(program(ADD, body), 1, kind)
    assert not outcome.passed
    assert any(part in outcome.why for part in why.split("|")), outcome


def test_sleeping_programs_are_ended(kind: str) -> None:
    source = "import time\ntime.sleep(600)"
    assert run_program(source, 0.2, kind) == Outcome(False, "ran out of time")


def refused(kind: str, statement: str) -> None:
    """The statement runs here and raises in the sandbox."""
    exec(statement, {})
    outcome = run_program(statement, kind=kind)
    assert not outcome.passed
    assert "Error" in outcome.why, outcome


def test_files_of_the_user_are_not_there(kind: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    refused(kind, f"open({str(tmp_path / 'secret')!r}).read()")
    refused(kind, f"open({str(Path(__file__))!r}).read()")
    refused(kind, f"import os; os.listdir({str(Path.cwd())!r})")
    refused(kind, "open('/etc/passwd').read()")
    refused(kind, "open('/proc/self/environ').read()")


def test_nothing_can_be_written(kind: str, tmp_path: Path) -> None:
    refused(kind, f"open({str(tmp_path / 'written')!r}, 'w').write('x')")
    refused(kind, "import tempfile; tempfile.TemporaryFile().write(b'x')")
    assert "Error" in run_program("open('/usr/lib/written', 'w')", kind=kind).why
    assert "Error" in run_program("open('/written', 'w')", kind=kind).why


def test_the_network_is_not_there(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        refused(kind, f"import socket; socket.create_connection({address!r}, 2)")


def test_the_environment_is_empty(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "sk-secret")
    refused(kind, "import os; os.environ['A_KEY']")
    assert run_program("import os; assert 'sk-' not in str(os.environ)", kind=kind).passed


def test_no_process_can_be_started(kind: str) -> None:
    refused(kind, "import os\nif os.fork() == 0: os._exit(0)")
    refused(kind, "import subprocess; subprocess.run(['true'], check=True)")
    assert not run_program("import os\nwhile True: os.fork()", 1, kind).passed


def test_nobody_runs_inside(kind: str) -> None:
    assert run_program("import os; os.setuid(12345)", kind=kind).why.startswith("PermissionError")
    mount = "import ctypes; assert ctypes.CDLL(None).mount(b'x', b'/usr', b'tmpfs', 0, 0) == 0"
    assert not run_program(mount, kind=kind).passed


def test_sets_are_not_shuffled(kind: str) -> None:
    line = [sys.executable, "-c", "print(hash('a'))"]
    fixed = subprocess.check_output(line, env={"PYTHONHASHSEED": "0"}, text=True)
    assert run_program(f"assert hash('a') == {fixed}", kind=kind).passed


def test_nothing_outlives_a_killed_caller(kind: str) -> None:
    call = f"run_program('import time; time.sleep(600)', 60, {kind!r})"
    line = [sys.executable, "-c", f"from understudy.evaluate.sandbox import run_program; {call}"]
    caller = subprocess.Popen(line)
    try:
        wait_until(lambda: "python" in descendants(caller.pid).values())
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
                found[int(stat.parent.name)] = int(parent), name.rstrip("0123456789.")
    return found


def descendants(pid: int) -> dict[int, str]:
    """Names of the processes that a process started, and of those that they did."""
    alive, family = processes(), {pid: ""}
    for member in list(alive) * 4:  # a generation at least each time
        if alive[member][0] in family:
            family[member] = alive[member][1]
    return {member: name for member, name in family.items() if member != pid}


def test_without_a_sandbox_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "sandbox_kind", lambda: None)
    with pytest.raises(RuntimeError):
        run_program("pass")


def test_a_sandbox_that_leaks_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = [sys.executable, "-c", sandbox.RUNNER.read_text()]
    monkeypatch.setattr(sandbox, "_command", lambda kind, root: bare)
    assert run_program("pass", kind="bubblewrap").passed
    assert not sandbox._holds("bubblewrap")


def test_outcomes_come_in_order() -> None:
    if sandbox_kind() is None:
        pytest.skip("no sandbox works on this machine")
    sources = ["pass", "assert False", "pass", "1 / 0"]
    assert [o.passed for o in run_programs(sources, "test")] == [True, False, True, False]


@pytest.mark.realdata
def test_published_solutions_pass(realdata: Path) -> None:
    if sandbox_kind() is None:
        pytest.skip("no sandbox works on this machine")
    rows = [row for _, row in read_jsonl(realdata / "HumanEval.jsonl.gz")]
    right = run_programs([program(row) for row in rows], "solutions")
    assert [o for o in right if not o.passed] == []
    wrong = run_programs([program(row, "    return None\n") for row in rows], "wrong ones")
    assert not any(o.passed for o in wrong)
