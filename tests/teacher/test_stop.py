"""Ctrl-C: calls in flight are waited for and recorded; a second one leaves them."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from teacher.scripted import Said, Scripted, completion, scripted
from understudy.files import read_jsonl
from understudy.teacher.ledger import Ledger

PATIENCE_S = 30.0
PROMPTS = 30


class _Holding:
    """Answers the first few requests and holds the others until it is let go."""

    def __init__(self, at_once: int, then: Said | None = None) -> None:
        self._at_once, self._then = at_once, then or Said(body=completion())
        self.released = threading.Event()

    def __call__(self, number: int, _: dict[str, Any]) -> Said:
        if number < self._at_once:
            return Said(body=completion())
        self.released.wait(PATIENCE_S)
        return self._then


class _Process:
    """The collect command at work."""

    def __init__(self, folder: Path, server: Scripted, *more: str) -> None:
        prompts = folder / "prompts.txt"
        prompts.write_text("".join(f"Number {n}.\n" for n in range(PROMPTS)))
        command = [sys.executable, "-m", "understudy", "collect", str(prompts), "--json"]
        command += ["--out", str(folder / "out"), "--base-url", server.base_url, "--model", "m"]
        self.process = subprocess.Popen(
            [*command, "--concurrency", "8", *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.words: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.words += self.process.stderr

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def said(self, words: str) -> bool:
        return any(words in line for line in self.words)

    def ends(self) -> int:
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code


@contextmanager
def collecting(folder: Path, server: Scripted, *more: str) -> Iterator[_Process]:
    running = _Process(folder, server, *more)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
        running.process.communicate()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


def recorded(folder: Path) -> int:
    path = folder / "out" / "ledger.sqlite"
    if not path.exists():
        return 0
    with Ledger(path) as ledger:
        return int(ledger.summary()["calls"])


def asked(server: Scripted) -> list[str]:
    return [body["messages"][0]["content"] for body in server.bodies]


def test_the_first_waits_for_the_calls_in_flight_and_sends_no_more(tmp_path: Path) -> None:
    holding = _Holding(at_once=4)
    with scripted(holding) as server:
        with collecting(tmp_path, server) as running:
            until(lambda: len(server.bodies) == 12 and recorded(tmp_path) == 4)
            running.interrupt()
            until(lambda: running.said("stopping: waiting for 8 calls in flight"))
            holding.released.set()
            assert running.ends() == 130
            assert running.said("stopped; the same command continues")
            assert not running.said("Traceback")
        assert len(server.bodies) == 12
        assert recorded(tmp_path) == 12
        with collecting(tmp_path, server) as running:
            assert running.ends() == 0
        assert len(asked(server)) == len(set(asked(server))) == PROMPTS
    rows = [row for _, row in read_jsonl(tmp_path / "out" / "dialogues.jsonl")]
    assert [row["id"] for row in rows] == [str(n) for n in range(1, PROMPTS + 1)]


def test_the_second_leaves_at_once_and_what_was_answered_stays(tmp_path: Path) -> None:
    holding = _Holding(at_once=4)
    with scripted(holding) as server:
        with collecting(tmp_path, server, "--max-calls", "100") as running:
            until(lambda: len(server.bodies) == 12 and recorded(tmp_path) == 4)
            running.interrupt()
            until(lambda: running.said("Ctrl-C again leaves them"))
            running.interrupt()
            assert running.ends() == 130  # while the server goes on holding
            assert not running.said("Traceback")
        holding.released.set()
        assert recorded(tmp_path) == 4
        with Ledger(tmp_path / "out" / "ledger.sqlite") as ledger:
            assert ledger.spent("out").calls == 12  # the eight may be billed
        with collecting(tmp_path, server) as running:
            assert running.ends() == 0
        counts = [asked(server).count(text) for text in asked(server)[:4]]
        assert counts == [1] * 4
        assert len(server.bodies) == 12 + PROMPTS - 4


@pytest.mark.parametrize("then", [Said(400, b"no"), Said(429, b"slow down")])
def test_who_waits_for_the_budget_or_another_try_sends_no_more_either(
    tmp_path: Path, then: Said
) -> None:
    holding = _Holding(at_once=0, then=then)
    with scripted(holding) as server, collecting(tmp_path, server, "--max-calls", "6") as running:
        until(lambda: len(server.bodies) == 6)
        running.interrupt()
        until(lambda: running.said("stopping"))
        holding.released.set()
        assert running.ends() == 130
        assert len(server.bodies) == 6
    with Ledger(tmp_path / "out" / "ledger.sqlite") as ledger:
        assert ledger.spent("out").calls == 0
