"""`understudy chat` and `understudy serve` as a user has them."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chat.students import make_run, plain_transformers, train_student
from end_to_end.commands import Understudy
from train.bases import make_base
from understudy.files import read_json, write_json

PATIENCE_S = 120.0
GREEDY = ("--temperature", 0, "--max-tokens", 12)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    base = make_base(folder, "gpt2")
    return make_run(folder / "made", train_student(folder), base)


def test_a_pipe(here: Understudy, run: Path) -> None:
    model = run / "train" / "model"
    first = plain_transformers(model, "the keeper of", most=12)
    second = plain_transformers(model, "the keeper of", first, "a lamp", most=12)
    done = here("chat", run, *GREEDY, input="the keeper of\na lamp\n")
    assert done.stdout == f"{first}\n{second}\n"


def test_beside_the_base_in_json(here: Understudy, run: Path) -> None:
    done = here("chat", run, "--beside", "base", *GREEDY, "--json", input="a lamp\n/new\n/exit\n")
    found = json.loads(done.stdout)
    assert found["models"] == [str(run), "base"]
    (turn,) = found["turns"]
    assert turn["user"] == "a lamp"
    student, base = turn["answers"]
    assert student["text"] == plain_transformers(run / "train" / "model", "a lamp", most=12)
    assert (student["finish_reason"], base["finish_reason"]) == ("stop", "length")
    assert f"[{run}]\n{student['text']}\n[base]\n" in done.stderr


@pytest.mark.parametrize("command", ["chat", "serve"])
@pytest.mark.parametrize(
    ("name", "told"), [("./none", "no such folder"), ("none.gguf", "no such file; check the path")]
)
def test_what_is_not_there(here: Understudy, command: str, name: str, told: str) -> None:
    done = here(command, name, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {name}: {told}")


@pytest.fixture
def llama_server(tmp_path: Path) -> Path:
    """A folder with a server that says what it is called with, and a file to serve."""
    program = tmp_path / "llama-server"
    program.write_text('#!/bin/sh\necho "$@"\nexit 7\n')
    program.chmod(0o755)
    (tmp_path / "desk.gguf").touch()
    return tmp_path


def test_what_is_served_is_said_first(
    here: Understudy,
    environment: dict[str, str],
    llama_server: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(environment, "PATH", str(llama_server))
    started: list[list[str]] = []
    monkeypatch.setattr("understudy.chat.server.become", started.append)
    done = here("serve", llama_server / "desk.gguf", "--port", 8123, "--json")
    found = json.loads(done.stdout)
    assert (found["url"], found["model"]) == ("http://127.0.0.1:8123/v1", "desk")
    assert started == [found["command"]]
    assert "curl http://127.0.0.1:8123/v1/chat/completions" in done.stderr


@pytest.mark.slow
def test_the_server_takes_the_commands_place(understudy: Understudy, llama_server: Path) -> None:
    done = understudy(
        "serve", llama_server / "desk.gguf", check=False, env={"PATH": str(llama_server)}
    )
    assert (done.returncode, done.stdout) == (7, "")
    assert done.stderr.splitlines()[-1].startswith(f"--model {llama_server / 'desk.gguf'}")


class Typist:
    """A person at a terminal."""

    def __init__(self, *arguments: object, env: dict[str, str]) -> None:
        self._keys, screen = pty.openpty()
        self._unseen = ""
        line = [sys.executable, "-m", "understudy", *map(str, arguments)]
        self.process = subprocess.Popen(line, stdin=screen, stdout=screen, stderr=screen, env=env)
        os.close(screen)

    def sees(self, pattern: str) -> str:
        """What came onto the screen since, up to what is waited for."""
        while not (found := re.search(f".*?{pattern}", self._unseen, re.DOTALL)):
            ready, _, _ = select.select([self._keys], [], [], PATIENCE_S)
            assert ready, f"waited for {pattern!r} in {self._unseen!r}"
            self._unseen += os.read(self._keys, 1 << 16).decode(errors="replace")
        self._unseen = self._unseen[found.end() :]
        return found[0]

    def types(self, text: str) -> None:
        os.write(self._keys, text.encode())


@pytest.fixture
def endless(tmp_path: Path) -> str:
    """A model that goes on and on."""
    model = make_base(tmp_path, "llama")
    config = Path(model) / "config.json"
    write_json(config, read_json(config) | {"max_position_embeddings": 1_000_000})
    return model


def test_a_person_at_a_terminal(endless: str, environment: dict[str, str]) -> None:
    arguments = ("chat", endless, "--temperature", 0, "--max-tokens", 500_000)
    person = Typist(*arguments, env=environment | {"TERM": "dumb"})
    try:
        assert "Ctrl-C stops an answer" in person.sees("> ")
        person.types("lamp\n")
        person.sees("lamp\r\n.")  # its echo, and how the answer begins
        person.process.send_signal(signal.SIGINT)
        assert "\x1b" not in person.sees("> ")
        person.types("/new\n")
        person.sees("a new conversation")
        person.sees("> ")
        person.types("\x04")
        assert person.process.wait(PATIENCE_S) == 0
    finally:
        person.process.kill()
