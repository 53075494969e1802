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
    for name in ("list_when_teacher_lists", "lists", "closings"):
        gap = found["closed"][name]
        assert gap["low"] < 1 < gap["high"]
        assert "reason" not in gap


def test_the_gap_by_measure_is_towards_the_second_answers_or_else_to_the_whole(
    tmp_path: Path,
) -> None:
    teacher = [[LISTED, LISTED if number % 4 else PLAIN] for number in range(40)]
    base, student = [PLAIN] * 40, [LISTED] * 20 + [PLAIN] * 20
    found = compared(tmp_path, teacher, base, student)["closed"]
    assert found["list_when_teacher_lists"]["value"] == pytest.approx(0.5 / 0.75)
    assert found["lists"]["value"] == pytest.approx(0.5 / 0.75)
    alone = compared(tmp_path, [[first] for first, _ in teacher], base, student)["closed"]
    assert alone["list_when_teacher_lists"]["value"] == alone["lists"]["value"] == 0.5
    assert alone["lists"]["low"] < 0.5 < alone["lists"]["high"]


def test_more_of_a_habit_than_the_teacher_has_is_no_imitation_of_it(tmp_path: Path) -> None:
    teacher = [[LISTED]] * 40 + [[PLAIN]] * 60
    found = compared(tmp_path, teacher, [PLAIN] * 100, [LISTED] * 70 + [PLAIN] * 30)["closed"]
    assert found["list_when_teacher_lists"]["value"] == 1
    assert found["lists"]["value"] == pytest.approx(0.25)  # 0.4 away, then 0.3


def test_the_gap_of_the_whole_is_the_mean_of_the_measures_gaps(tmp_path: Path) -> None:
    weak = "Maybe, I think. It may be good, I guess?"
    teacher = [[LISTED + " word" * (n % 7)] if n % 5 else [PLAIN + " word" * n] for n in range(60)]
    base = [weak if n % 3 else PLAIN for n in range(60)]
    student = [teacher[n][0] if n % 2 else base[n] for n in range(60)]
    found = compared(tmp_path, teacher, base, student)
    measures, closed = found["measures"], found["closed"]
    weights = {}
    for name, values in measures.items():
        goal = values["teacher"]["value"] if "teacher" in values else 1
        weights[name] = abs(goal - values["base"]["value"])
    weights["length_correlation"] /= 2
    assert all(gap["value"] is not None for gap in closed.values())
    mean = sum(weights[name] * closed[name]["value"] for name in closed) / sum(weights.values())
    assert found["gap_closed"]["value"] == pytest.approx(mean, abs=1e-4)


def test_a_measure_without_a_gap_says_why(tmp_path: Path) -> None:
    teacher = [[LISTED]] * 32 + [[PLAIN]] * 28
    base = [PLAIN] * 30 + [LISTED] * 30
    found = compared(tmp_path, teacher, base, [PLAIN] * 60)["closed"]
    nothing = {"value": None, "low": None, "high": None}
    assert found["hedges"] == nothing | {
        "reason": "the base is no farther from the teacher than the ceiling is"
    }
    assert found["lists"]["value"] < 0
    assert found["lists"]["low"] is None
    assert found["lists"]["reason"].startswith("the base is not reliably farther")
    plain = compared(tmp_path, [[PLAIN]] * 60, base, [PLAIN] * 60)["closed"]
    assert plain["list_when_teacher_lists"] == nothing | {
        "reason": "the teacher gives too little to compare"
    }


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
