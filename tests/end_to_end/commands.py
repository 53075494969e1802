"""Recipes small enough for a test, and commands that are killed on the way."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

Understudy = Callable[..., subprocess.CompletedProcess[str]]

PRICES = {"input": 0.5, "output": 1.5}
TINY_WORLD = {
    "name": "tiny",
    "base": "world:tiny",
    "teacher": {"base_url": "world", "prices": PRICES},
    "world": {"people": 60, "text_tokens": 20_000},
    "collect": {"n": 60},
    "curate": {"heldout_max": 8},
    "train": {"context": 256, "epochs": 2, "learning_rate": 1e-3, "checkpoint_every_s": 0.5},
    "evaluate": {"limit": 24, "max_tokens": 32},
    "answers": {"prompts": "world:mixed", "n": 10, "max_tokens": 48},
    "judges": [
        {"model": "world-hurried", "prices": PRICES},
        {"model": "world-checking", "protocol": "checking", "prices": PRICES},
    ],
    "report": {"samples": 2},
}


def write_recipe(path: Path, **changes: Any) -> Path:
    """TINY_WORLD with whole parts replaced, as a file."""
    path.write_text(yaml.safe_dump(TINY_WORLD | changes), encoding="utf-8")
    return path


def run_and_kill(line: list[str], env: dict[str, str], after_s: float) -> bool:
    """Start a command and kill -9 it after a while; whether it was still running then."""
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
    try:
        process.wait(timeout=after_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    return False


def numbers_without_time(report: Path) -> dict[str, Any]:
    """A report.json without what measures time."""
    content = json.loads(report.read_text(encoding="utf-8"))
    content.pop("time")
    return content


def requests_answered_twice(log: Path) -> int:
    """How many answers in a teacher's log repeat an earlier request."""
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    answered = [row["digest"] for row in rows if row["status"] == 200]
    return len(answered) - len(set(answered))
