"""Small models on disk, and the world's benchmark formats in a few rows."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from train.tiny_models import TOKENIZERS, build_model

SUBJECTS = {"abstract_algebra": 4, "world_religions": 2}
ADD = {
    "task_id": "Own/0",
    "prompt": 'def add(a, b):\n    """The sum of a and b."""\n',
    "entry_point": "add",
    "canonical_solution": "    return a + b\n",
    "test": "\n\ndef check(candidate):\n"
    "    assert candidate(1, 2) == 3\n    assert candidate(-1, 1) == 0\n",
}
DOUBLE = {
    "task_id": "Own/1",
    "prompt": "import math\n\n\ndef half(a):\n    return a / 2\n\n\ndef floor_half(a):\n"
    '    """The floor of the half of a."""\n',
    "entry_point": "floor_half",
    "canonical_solution": "    return math.floor(half(a))\n",
    "test": "\ndef check(candidate):\n    assert candidate(5) == 2\n",
}


@pytest.fixture(scope="session", params=["gpt2", "llama"])
def model_dir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with its tokenizer, as transformers saves them."""
    folder = tmp_path_factory.mktemp(request.param)
    build_model(request.param).save_pretrained(folder)
    TOKENIZERS[request.param]().save_pretrained(folder)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder in the published formats."""
    folder = tmp_path / "data"
    for split, counts in (("dev", dict.fromkeys(SUBJECTS, 5)), ("test", SUBJECTS)):
        (folder / "mmlu" / split).mkdir(parents=True)
        for subject, count in counts.items():
            path = folder / "mmlu" / split / f"{subject}_{split}.csv"
            with open(path, "w", newline="", encoding="utf-8") as file:
                rows = csv.writer(file)
                for i in range(count):
                    rows.writerow([f" {split} {i}, why?", "a", "b, c", "d", "e", "ABCD"[i % 4]])
    nq = [{"question": f"who is {i}", "answer": [f"The {i}", f"no {i}"]} for i in range(8)]
    write_lines(folder / "NQ-open.dev.jsonl", nq)
    write_lines(folder / "HumanEval.jsonl", [ADD, DOUBLE])
    return folder


def write_lines(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def broken(data: Path) -> Callable[[str, str], Path]:
    """Replace a file of `data`; returns its path."""

    def replace(name: str, content: str) -> Path:
        (data / name).write_text(content, encoding="utf-8")
        return data / name

    return replace
