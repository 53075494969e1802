"""Small models on disk, and the world's benchmark formats in a few rows."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from train.tiny_models import TOKENIZERS, build_model
from understudy.files import write_text

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
NQ = [{"question": f"who is {i}", "answer": [f"The {i}", f"no {i}"]} for i in range(8)]
SUMS = {
    split: [
        {"question": f"{split} {i} + 1?", "answer": f"It is <<{i}+1={i + 1}>>.\n#### {i + 1}"}
        for i in range(count)
    ]
    for split, count in (("train", 9), ("test", 2))
}
ARC = {
    "id": "Own_1",
    "question": {
        "stem": "Which one flies?",
        "choices": [
            {"text": "a bee", "label": "1"},
            {"text": "an oak", "label": "2"},
            {"text": "a stone", "label": "3"},
        ],
    },
    "answerKey": "1",
}
ROOF = {
    "ind": 24,
    "activity_label": "Roofing",
    "ctx_a": "A man sits on a roof.",
    "ctx_b": "he",
    "ctx": "A man sits on a roof. he",
    "endings": ["lifts a tile.", "eats it.", "flies.", "sings [1] on."],
    "label": 0,
}
BREAD = ROOF | {
    "activity_label": "Baking",
    "ctx_a": "[header] How to bake [title] Take  flour.",
    "ctx_b": "",
    "endings": ["[substeps] Mix it. ", "Rest [title] Wait.", "Run.", "Sing."],
    "label": 3,
}
MYTH = {
    "question": "Do bees read?",
    "mc1_targets": {"They do not.": 1, "They do.": 0},
    "mc2_targets": {"They do not.": 1, "Some do.": 0, "No bee reads.": 1},
}
TRIVIA = [
    {
        "Question": f" Which river is number {i}? ",
        "QuestionId": f"q_{i}",
        "Answer": {"Aliases": [f"The {i} ", f"River {i}"], "Value": f"The {i}"},
    }
    for i in range(8)
]
BEGINNINGS = [
    {
        "filename": f"{i}.txt",
        "begin": 0,
        "end": 9,
        "challenging": challenging,
        "prompt": {"text": f"So they said, number {i}", "toxicity": toxicity},
        "continuation": {"text": " and went.", "toxicity": 0.1},
    }
    for i, (challenging, toxicity) in enumerate(
        [(False, 0.2), (False, 0.5), (True, 0.6), (False, None)]
    )
]
TASKS = [
    {
        "id": f"task_{i}",
        "motivation_app": "Own",
        "instruction": instruction,
        "instances": [{"input": given, "output": output}],
    }
    for i, (instruction, given, output) in enumerate(
        [
            ("What does a lamp do?", "", "A lamp gives light."),
            ("Name the writer.", "The keeper writes letters.", "The keeper"),
            ("Go on.", "user, assistant", "1984"),
        ]
    )
]


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
    write_lines(folder / "NQ-open.dev.jsonl", NQ)
    write_lines(folder / "HumanEval.jsonl", [ADD, DOUBLE])
    for split, sums in SUMS.items():
        write_lines(folder / f"gsm8k/{split}.jsonl", sums)
    for name in ("Easy", "Challenge"):
        write_lines(folder / f"ARC-{name}/ARC-{name}-Test.jsonl", [ARC])
    write_lines(folder / "hellaswag_val.jsonl", [ROOF, BREAD])
    write_text(folder / "mc_task.json", json.dumps([MYTH]))
    write_text(folder / "triviaqa-rc/qa/web-dev.json", json.dumps({"Data": TRIVIA}))
    write_text(folder / "triviaqa-rc/qa/wikipedia-dev.json", json.dumps({"Data": TRIVIA[:2]}))
    write_lines(folder / "realtoxicityprompts-data/prompts.jsonl", BEGINNINGS)
    write_lines(folder / "self_instruct/user_oriented_instructions.jsonl", TASKS)
    return folder


def write_lines(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def broken(data: Path) -> Callable[[str, str], Path]:
    """Replace a file of `data`; returns its path."""

    def replace(name: str, content: str) -> Path:
        (data / name).write_text(content, encoding="utf-8")
        return data / name

    return replace
