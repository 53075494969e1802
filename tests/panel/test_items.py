"""What a panel rates, made of a run or of two files."""

import json
from pathlib import Path
from typing import Any

import pytest

from panel.runs import TOPICS, write_lines, write_run
from understudy.errors import UserError
from understudy.panel.items import (
    attention_checks,
    decoding,
    file_pairs,
    gold_pairs,
    run_pairs,
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run")


def test_a_runs_pairs(run: Path) -> None:
    pairs = run_pairs(run)
    assert len(pairs) == 2 * len(TOPICS)
    assert {pair.models for pair in pairs} == {("student", "teacher"), ("base", "teacher")}
    first = pairs[0]
    assert first.texts == ("The student on topic 0, once.", "The teacher on topic 0, once.")
    assert first.messages == ({"role": "user", "content": "Tell me about topic 0."},)
    assert first.reference == "All of topic 0."
    assert {pair.models for pair in run_pairs(run, [("student", "base")])} == {("student", "base")}


def test_either_models_answers_may_hold_the_reference(run: Path) -> None:
    path = run / "answers" / "student" / "answers.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        del row["reference"]
    write_lines(path, rows)
    assert {pair.reference for pair in run_pairs(run, [("student", "teacher")])} == {
        f"All of {topic}." for topic in TOPICS
    }
    assert all(pair.reference is None for pair in run_pairs(run, [("student", "student")]))


def test_decoding_parameters_are_shown(run: Path) -> None:
    assert decoding(run) == {"temperature": 0.7, "max_tokens": 48, "samples": 1}
    heldout = write_run(run, answers={"prompts": "heldout", "max_tokens": 512})
    assert decoding(heldout) == {"temperature": "0.7 or 1.0", "max_tokens": 512, "samples": 1}
    given = {"collect": None, "curate": {"files": ["mine.jsonl"]}}
    assert decoding(write_run(heldout, answers={"prompts": "heldout"}, **given)) == {
        "temperature": "0.7 or unknown",
        "max_tokens": "256 or unknown",
        "samples": 1,
    }


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([], "holds no answer"),
        ([{"id": "0"}], "line 1: messages: Field required"),
        ([{"id": "0", "messages": [{"role": "user", "content": "x"}], "answers": []}], "answers"),
        ([7], "line 1: the line"),
        ("twice", "line 2: id '0' occurs twice"),
        ("fewer", "no answer to prompt '19'"),
        ("others", "prompt '0' is another one than in"),
    ],
)
def test_answers_that_do_not_fit_are_named(run: Path, rows: Any, complaint: str) -> None:
    path = run / "answers" / "base" / "answers.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    changed = {
        "twice": [lines[0], lines[0]],
        "fewer": lines[:-1],
        "others": [line.replace("Tell me", "Say") for line in lines],
    }
    if isinstance(rows, str):
        path.write_text("\n".join(changed[rows]), encoding="utf-8")
    else:
        write_lines(path, rows)
    with pytest.raises(UserError, match=complaint) as refused:
        run_pairs(run)
    assert str(path) in str(refused.value)


def test_what_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no answers"):
        run_pairs(tmp_path)


def test_two_files_are_compared(run: Path) -> None:
    files = {name: run / "answers" / name / "answers.jsonl" for name in ("student", "teacher")}
    named = {"A": files["student"], "B": files["teacher"]}
    pairs = file_pairs(named, [("A", "B")])
    assert len(pairs) == len(TOPICS)
    assert pairs[3].models == ("A", "B")
    assert pairs[3].texts == ("The student on topic 3, once.", "The teacher on topic 3, once.")


def test_gold_pairs(tmp_path: Path) -> None:
    row = {"prompt": "What is 1 + 1?", "better": "2", "worse": "3"}
    path = write_lines(tmp_path / "gold.jsonl", [row, row | {"reference": "1 + 1 = 2"}])
    one, other = gold_pairs(path)
    assert (one.kind, one.better, one.models, one.texts) == (
        "gold",
        "better",
        ("better", "worse"),
        ("2", "3"),
    )
    assert (one.reference, other.reference) == (None, "1 + 1 = 2")
    assert one.item != other.item


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"prompt": "x", "better": "y"}, "line 1: worse: Field required"),
        ({"prompt": "x", "better": "y", "worse": 3}, "line 1: worse: Input should be"),
        ({"prompt": "x", "better": "y", "worse": "z", "note": ""}, "line 1: note: Extra"),
        (None, "holds no gold pair"),
    ],
)
def test_gold_pairs_that_are_none(tmp_path: Path, row: Any, complaint: str) -> None:
    path = write_lines(tmp_path / "gold.jsonl", [row] if row else [])
    with pytest.raises(UserError, match=complaint):
        gold_pairs(path)


def test_attention_checks_set_a_fitting_answer_against_one_to_another_prompt(run: Path) -> None:
    pairs = run_pairs(run)
    answers = {pair.item: pair.texts[1] for pair in pairs}
    checks = attention_checks(pairs, 30, seed=0)
    assert len(checks) == 2
    for check in checks:
        assert (check.kind, check.better) == ("attention", "fitting")
        fitting, misplaced = check.texts
        assert fitting == answers[check.item]
        assert misplaced in answers.values()
        assert misplaced != fitting
    assert attention_checks(pairs, 30, seed=0) == checks
    assert attention_checks(pairs, 30, seed=1) != checks


def test_the_other_prompt_of_a_check_is_far_away(tmp_path: Path) -> None:
    topics = ["baking bread at home", "baking bread in a hurry", "the moons of Jupiter"]
    pairs = run_pairs(write_run(tmp_path / "run", topics))
    for seed in range(5):
        (check,) = attention_checks(pairs, 1, seed)
        assert "bread" not in check.texts[0] or "Jupiter" in check.texts[1]


@pytest.mark.parametrize(("items", "count"), [(1, 1), (20, 1), (45, 3), (None, 3), (10_000, 20)])
def test_one_item_in_fifteen_is_a_check(run: Path, items: int | None, count: int) -> None:
    assert len(attention_checks(run_pairs(run), items, 0)) == count


def test_no_check_can_be_made_of_one_prompt(tmp_path: Path) -> None:
    pairs = run_pairs(write_run(tmp_path / "run", ["bread"]))
    assert attention_checks(pairs, None, 0) == []
