"""Attempts on the sandbox: none passes, and nothing outside is read, changed or ended."""

import json
import os
import re
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from evaluate.sandbox.attempts import FOOLS, FORGERIES, HARMS, OPEN, REACHES
from understudy.evaluate import sandbox
from understudy.evaluate.sandbox import Outcome, Trial, run_trials

WITH_REASONS = FORGERIES | HARMS
PROGRAMS = REACHES | FOOLS | {name: program for name, (program, _) in WITH_REASONS.items()}
WORDS = "words that are nobody's business"


@dataclass
class Outside:
    """What a program must not reach."""

    folder: Path
    server: socket.socket
    bystander: subprocess.Popen[bytes]

    def trial(self, name: str) -> Trial:
        """The attempt of that name with its test."""
        answer = secrets.token_hex(32)
        world: dict[str, Any] = {
            "file": str(self.file),
            "folder": str(self.folder),
            "new": str(self.new(name)),
            "port": self.server.getsockname()[1],
            "pid": self.bystander.pid,
            "caller": os.getpid(),
            "variable": "UNDERSTUDY_KEY",
        }
        if name in REACHES:
            world["token"] = answer
        test = f"def check(f):\n    assert sorted([f({world!r})]) == sorted([{answer!r}])"
        return Trial(PROGRAMS[name], "", test, "f")

    @property
    def file(self) -> Path:
        return self.folder / "file"

    def new(self, name: str) -> Path:
        return self.folder / re.sub(r"\W", "-", name)


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    folder = tmp_path_factory.mktemp("outside")
    (folder / "file").write_text(WORDS)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.MonkeyPatch.context() as patch,
        subprocess.Popen(["sleep", "600"]) as bystander,
    ):
        patch.setenv("UNDERSTUDY_KEY", "sk-secret")
        server.setblocking(False)
        yield Outside(folder, server, bystander)
        bystander.kill()


@pytest.fixture(scope="module")
def outcomes(kind: str, outside: Outside) -> dict[str, Outcome]:
    """How each attempt ended, one after another in as many sandboxes as there are processors.

    Those that are to run out of time get little of it. The others get more than they need on a
    slow machine, so that none fails for want of time alone.
    """
    endless = {name for name, (_, why) in WITH_REASONS.items() if "ran out of time" in why}
    outcomes = {}
    for names, seconds in ((sorted(endless), 0.2), (sorted(PROGRAMS.keys() - endless), 20.0)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sandbox, "sandbox_kind", lambda: kind)
            patch.setattr(sandbox, "TIMEOUT_S", seconds)
            ended = dict(run_trials([outside.trial(name) for name in names], "attempts"))
        outcomes |= {name: ended[i] for i, name in enumerate(names)}
    return outcomes


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_attempt_fails(name: str, outcomes: dict[str, Outcome], outside: Outside) -> None:
    assert not outcomes[name].passed
    assert not os.path.lexists(outside.new(name))
    if name in WITH_REASONS:
        assert re.search(WITH_REASONS[name][1], outcomes[name].why), outcomes[name]


@pytest.mark.usefixtures("outcomes")
def test_what_is_outside_is_as_it_was(outside: Outside) -> None:
    assert [path.name for path in outside.folder.iterdir()] == ["file"]
    assert outside.file.read_text() == WORDS
    assert outside.file.stat().st_mode & 0o777 != 0o777
    assert outside.bystander.poll() is None
    with pytest.raises(BlockingIOError):
        outside.server.accept()


@pytest.mark.skipif(sys.platform != "linux", reason="the attempts are written for Linux")
def test_outside_of_a_sandbox_the_attempts_succeed(tmp_path: Path, outside: Outside) -> None:
    """So they fail inside for its sake, and not for a slip of ours."""

    def run(name: str) -> str:
        folder = tmp_path / outside.new(name).name
        folder.mkdir()
        (folder / "file").write_text(WORDS)
        with socket.create_server(("127.0.0.1", 0)) as server:
            trial = Outside(folder, server, outside.bystander).trial(name)
            text = f"{trial.program}\n{trial.test}\ncheck(f)"
            line = [sys.executable, "-s", "-S", "-E", "-c", text]
            done = subprocess.run(line, capture_output=True, text=True, timeout=60)
        return done.stderr[-300:] if done.returncode else ""

    names = [*OPEN, *FOOLS]
    with ThreadPoolExecutor(2) as pool:
        failed = {
            name: said for name, said in zip(names, pool.map(run, names), strict=True) if said
        }
    assert json.dumps(failed, indent=1) == "{}"
