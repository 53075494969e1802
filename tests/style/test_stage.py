"""The style stage end to end, by hand and on published answers."""

import gzip
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from understudy.errors import UserError
from understudy.files import read_json, write_jsonl
from understudy.style.stage import style

PLAIN = "It is good. It works."
LISTED = "Sure!\n\n- plan it\n- do it\n\nOverall, it is good.\n\nLet me know if I can help."


def written(path: Path, texts: Sequence[Sequence[str]]) -> Path:
    """An answers.jsonl with one row for every prompt's texts."""
    rows = [
        {
            "id": str(number),
            "prompt": "p",
            "answers": [{"text": text, "finish_reason": "stop"} for text in given],
        }
        for number, given in enumerate(texts)
    ]
    write_jsonl(path, rows)
    return path


def compared(
    folder: Path,
    teacher: Sequence[Sequence[str]],
    base: Sequence[str],
    student: Sequence[str],
    seed: int = 0,
) -> dict[str, Any]:
    files = {
        "teacher": written(folder / "teacher.jsonl", teacher),
        "base": written(folder / "base.jsonl", [[text] for text in base]),
        "student": written(folder / "student.jsonl", [[text] for text in student]),
    }
    facts = style(files, folder / "style", seed)
    found = read_json(folder / "style" / "style.json")
    assert facts == {"prompts": found["n"], "style_gap_closed": found["gap_closed"]}
    return dict(found)


def drawn(rng: random.Random, listed: float) -> str:
    return (LISTED if rng.random() < listed else PLAIN) + " word" * rng.randint(0, 9)


def test_a_student_with_the_teachers_habits_closes_the_gap(tmp_path: Path) -> None:
    rng = random.Random(0)
    teacher = [[drawn(rng, 0.7), drawn(rng, 0.7)] for _ in range(200)]
    base, student = [PLAIN] * 200, [drawn(rng, 0.7) for _ in range(200)]
    found = compared(tmp_path, teacher, base, student)
    assert found["n"] == 200
    assert found["gap_closed"]["low"] < 1 < found["gap_closed"]["high"]
    assert 0.9 < found["gap_closed"]["value"] < 1.1
    assert found["ceiling"] == found["distance"]["teacher_2"]["value"] > 0
    assert found["distance"]["base"]["low"] > found["distance"]["student"]["high"]
    lists = found["measures"]["lists"]
    assert set(lists) == {"base", "student", "teacher_2", "teacher"}
    assert lists["base"]["value"] == 0
    assert 0.6 < lists["student"]["low"] < lists["student"]["value"] < lists["student"]["high"]
    assert set(found["measures"]["list_when_teacher_lists"]) == {"base", "student", "teacher_2"}


def test_recorded_answers_have_no_ceiling(tmp_path: Path) -> None:
    teacher = [[LISTED]] * 9 + [[PLAIN, PLAIN]]
    found = compared(tmp_path, teacher, [PLAIN] * 10, [text for text, *_ in teacher])
    assert found["ceiling"] is None
    assert "teacher_2" not in found["distance"]
    assert found["gap_closed"]["value"] == 1
    assert any(note.startswith("9 of 10 prompts have no second answer") for note in found["notes"])


@pytest.mark.parametrize("prompts", [1, 2, 20])
def test_empty_answers_everywhere(tmp_path: Path, prompts: int) -> None:
    empty = [""] * prompts
    found = compared(tmp_path, [["", ""]] * prompts, empty, empty)
    assert found["gap_closed"] == {"value": None, "low": None, "high": None}
    assert found["distance"]["base"]["value"] == 0
    assert any("not reliably farther" in note for note in found["notes"])
    full = compared(tmp_path, [[LISTED, LISTED]] * prompts, empty, empty)
    assert full["gap_closed"]["value"] == 0


def test_same_bytes_again_whatever_the_order(tmp_path: Path) -> None:
    rng = random.Random(1)
    teacher = [[drawn(rng, 0.7), drawn(rng, 0.7)] for _ in range(30)]
    base, student = [PLAIN] * 30, [drawn(rng, 0.4) for _ in range(30)]
    path = tmp_path / "style" / "style.json"
    compared(tmp_path, teacher, base, student)
    first = path.read_bytes()
    lines = (tmp_path / "base.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "base.jsonl").write_text("".join(reversed(lines)))
    style({name: tmp_path / f"{name}.jsonl" for name in ("teacher", "base", "student")},
          tmp_path / "style", 0)  # fmt: skip
    assert path.read_bytes() == first
    compared(tmp_path, teacher, base, student, seed=1)
    assert path.read_bytes() != first


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"base\.jsonl: holds no answers"),
        ('{"id": "0"}', r"base\.jsonl, line 1: answers: Field required"),
        ('{"id": "0", "answers": []}', r"base\.jsonl, line 1: no answers"),
        ('{"id": "0", "answers": [{"text": null}]}', r"base\.jsonl, line 1: answers\.0\.text"),
        ('{"id": "0", "answers": [{"text": "x"}]}\n' * 2, r"base\.jsonl, line 2: 0 occurs twice"),
        ('{"id": "0", "answers": [{"text": "x"}]}', r"base\.jsonl: no answer to 1"),
        (
            "".join(f'{{"id": "{n}", "answers": [{{"text": "x"}}]}}\n' for n in range(3)),
            r"base\.jsonl: 2 is not the teacher's",
        ),
    ],
)
def test_mistakes_name_the_file(tmp_path: Path, text: str, message: str) -> None:
    files = {
        "teacher": written(tmp_path / "teacher.jsonl", [["x"]] * 2),
        "base": tmp_path / "base.jsonl",
        "student": written(tmp_path / "student.jsonl", [["x"]] * 2),
    }
    files["base"].write_text(text)
    with pytest.raises(UserError, match=message):
        style(files, tmp_path / "style", 0)


def lines_of(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else open(path) as file:
        return [json.loads(line) for line in file]


@pytest.mark.realdata
def test_vicuna_is_nearer_to_chatgpt_than_llama_is(realdata: Path, tmp_path: Path) -> None:
    def texts(name: str) -> list[str]:
        rows = lines_of(realdata / "vicuna80" / f"answer_{name}.jsonl")
        return [row["text"] for row in sorted(rows, key=lambda row: row["question_id"])]

    teacher = [[text] for text in texts("gpt35")]
    vicuna = compared(tmp_path, teacher, texts("llama-13b"), texts("vicuna-13b"))
    assert vicuna["n"] == 80
    assert vicuna["distance"]["student"]["high"] < vicuna["distance"]["base"]["low"]
    assert vicuna["gap_closed"]["low"] > 0.2
    alpaca = compared(tmp_path, teacher, texts("alpaca-13b"), texts("vicuna-13b"))
    assert alpaca["distance"]["student"]["high"] < alpaca["distance"]["base"]["low"]


@pytest.mark.realdata
def test_self_instruct_moves_davinci_towards_its_teacher(realdata: Path, tmp_path: Path) -> None:
    def texts(name: str) -> list[str]:
        path = realdata / "self_instruct" / f"{name}_predictions.jsonl.gz"
        return [row["response"] for row in lines_of(path)]

    teacher = [[text] for text in texts("text-davinci-003")]
    found = compared(tmp_path, teacher, texts("davinci"), texts("davinci-self-instruct"))
    assert found["n"] == 252
    assert 0 < found["gap_closed"]["low"] < found["gap_closed"]["high"] < 1
    assert found["measures"]["summary_when_teacher_sums"]["base"]["value"] is None
