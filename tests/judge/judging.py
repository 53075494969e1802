"""A judge that says what a test tells it to, and answers for it to compare."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from teacher.scripted import Said, completion
from understudy.files import write_jsonl
from understudy.judge.prompts import Parts, parts_of


def judging(reply: Callable[[Parts, bool], str | Said]) -> Callable[[int, dict[str, Any]], Said]:
    """A script for `scripted`: what to say of these parts, the first time or (True) in a repair."""

    def script(number: int, body: dict[str, Any]) -> Said:
        parts = parts_of(body["messages"][0]["content"])
        assert parts is not None
        said = reply(parts, len(body["messages"]) > 1)
        return Said(body=completion(said)) if isinstance(said, str) else said

    return script


def longer(parts: Parts, repair: bool = False) -> str:
    """Prefers the longer answer."""
    first, second = map(len, parts.answers)
    return "tie" if first == second else "A" if first > second else "B"


def write_answers(
    folder: Path, texts: list[str], references: Sequence[str | None] | None = None
) -> Path:
    """An answers.jsonl of ours to the prompts p0, p1, ..., with right answers where there are."""
    rows = (
        {
            "id": f"p{number}",
            "messages": [{"role": "user", "content": f"Question {number}?"}],
            "answers": [{"text": text, "finish_reason": "stop"}],
            **({"reference": reference} if reference else {}),
        }
        for number, (text, reference) in enumerate(
            zip(texts, references or [None] * len(texts), strict=True)
        )
    )
    write_jsonl(folder / "answers.jsonl", rows)
    return folder / "answers.jsonl"


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
