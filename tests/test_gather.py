"""What stages are handed: the items that an imitation set must not hold."""

import csv
import json
from pathlib import Path

import pytest

from understudy.collect.leaks import Held
from understudy.curate.decontaminate import Item
from understudy.errors import UserError
from understudy.gather import benchmark_items, held_items

DESCRIBED = '''def twist(text: str) -> str:
    """Turn every word of the text around, but leave the words in their places.

    Examples:
    >>> twist("ab c")
    'ba c'
    """
'''
HARDLY = 'def first(text):\n    """The first letter."""\n'
MYTHS = {"No.": 1, "Some do.": 0, "No bee does.": 1}
SUM = {
    "id": "task_0",
    "instruction": "Add up.",
    "instances": [{"input": "1 and 2", "output": "3"}],
}
BROKEN = 'def second(text:\n    """'


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder in the published formats."""
    folder = tmp_path / "data"
    for split, count in (("dev", 5), ("test", 2)):
        (folder / "mmlu" / split).mkdir(parents=True)
        path = folder / "mmlu" / split / f"metals_{split}.csv"
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(
                [f"{split} {n}?", "a", "b", "c", "d", "A"] for n in range(count)
            )
    nq = [{"question": f"who is {n}", "answer": ["me"]} for n in range(5)]
    tasks = [
        {"task_id": f"Own/{n}", "prompt": head, "entry_point": name, "test": "pass"}
        for n, (name, head) in enumerate(
            [("twist", DESCRIBED), ("first", HARDLY), ("second", BROKEN), ("third", HARDLY)]
        )
    ]
    for name, rows in (("NQ-open.dev.jsonl", nq), ("HumanEval.jsonl", tasks)):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_items_of_benchmarks(data: Path) -> None:
    items = benchmark_items(["mmlu", "humaneval", "nq", "mmlu"], data, [])
    assert items[:2] == [
        Item("mmlu", "metals/1", "test 0?", ("a", "b", "c", "d")),
        Item("mmlu", "metals/2", "test 1?", ("a", "b", "c", "d")),
    ]
    described = "Turn every word of the text around, but leave the words in their places."
    assert [(item.id, item.text.strip()) for item in items[2:7]] == [
        ("Own/0", DESCRIBED.strip()),
        ("Own/0", described),
        ("Own/1", HARDLY.strip()),
        ("Own/2", BROKEN),
        ("Own/3", HARDLY.strip()),
    ]
    assert len(items) == 12
    assert {(item.benchmark, item.text[:-1]) for item in items[7:]} == {("nq", "who is ")}


def test_items_of_other_kinds(data: Path) -> None:
    beginning = {"challenging": False, "prompt": {"text": "So I said", "toxicity": 0.1}}
    myth = {"question": "Do bees read?", "mc1_targets": {}, "mc2_targets": MYTHS}
    (data / "prompts.jsonl").write_text(json.dumps(beginning) + "\n")
    (data / "mc_task.json").write_text(json.dumps([myth]))
    (data / "user_oriented_instructions.jsonl").write_text(json.dumps(SUM) + "\n")
    assert benchmark_items(["realtoxicity", "truthfulqa_mc2", "truth"], data, []) == [
        Item("realtoxicity", "non-toxic/1", "So I said"),
        Item("truthfulqa_mc2", "truthfulqa_mc2/1", "Do bees read?", tuple(MYTHS)),
        Item("truth", "task_0", "Add up.\n\n1 and 2"),
    ]


def test_what_no_pair_may_give_away(data: Path) -> None:
    (data / "mc_task.json").write_text(
        json.dumps([{"question": "Do bees read?", "mc1_targets": {}, "mc2_targets": MYTHS}])
    )
    (data / "user_oriented_instructions.jsonl").write_text(json.dumps(SUM) + "\n")
    assert held_items(["truth"], data) == [Held("truth", "task_0", "Add up.\n\n1 and 2", ("3",))]
    found = held_items(["truthfulqa_mc2", "humaneval", "nq"], data)
    assert found[:2] == [
        Held("truthfulqa_mc2", "truthfulqa_mc2/1", "Do bees read?", ("No.", "No bee does.")),
        Held("nq", "nq/1", "who is 0", ("me",)),
    ]
    assert len(found) == 6


def test_prompts_that_are_used_to_judge(tmp_path: Path) -> None:
    lines, turns = tmp_path / "lines.txt", tmp_path / "turns.v2.jsonl"
    lines.write_text("Write a poem.\n\nName a town.\n")
    spoken = [
        {"role": "user", "content": "Tell me all about the sea."},
        {"role": "assistant", "content": "It is wet, and it is deep, and it is salty, and wide."},
        {"role": "user", "content": "More."},
    ]
    turns.write_text(json.dumps({"id": "a", "messages": spoken}))
    assert benchmark_items([], None, [str(lines), str(turns)]) == [
        Item("lines", "1", "Write a poem."),
        Item("lines", "3", "Name a town."),
        Item("turns", "a", "Tell me all about the sea."),
    ]


def test_mistakes(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "nq.txt"
    with pytest.raises(UserError, match="no such file"):
        benchmark_items([], None, [str(path)])
    path.write_text("Who?\n")
    with pytest.raises(UserError, match="another set called nq; rename one"):
        benchmark_items(["nq"], data, [str(path)])
    with pytest.raises(UserError, match="no benchmark 'nope'"):
        benchmark_items(["nope"], data, [])
