"""A run's folder with what a panel needs of it."""

import json
from pathlib import Path
from typing import Any

import yaml

RECIPE: dict[str, Any] = {
    "base": "world:tiny",
    "teacher": {"base_url": "world"},
    "collect": {"n": 60, "temperature": 1.0, "max_tokens": 512},
    "answers": {"prompts": "world:topics", "n": 20, "max_tokens": 48},
}
TOPICS = [f"topic {number}" for number in range(20)]


def write_run(folder: Path, topics: list[str] = TOPICS, **changes: Any) -> Path:
    """A run whose models answered a prompt on each topic, the teacher twice."""
    for who in ("teacher", "base", "student"):
        rows = [
            {
                "id": str(number),
                "messages": [{"role": "user", "content": f"Tell me about {topic}."}],
                "answers": [
                    {"text": f"The {who} on {topic}, {time}.", "finish_reason": "stop"}
                    for time in ("once", "again")[: 1 + (who == "teacher")]
                ],
                "reference": f"All of {topic}.",
            }
            for number, topic in enumerate(topics)
        ]
        write_lines(folder / "answers" / who / "answers.jsonl", rows)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE | changes), encoding="utf-8")
    return folder


def write_lines(path: Path, rows: list[Any]) -> Path:
    """Rows as JSONL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
