"""Benchmarks: what is read, how it is asked, and what is said of broken files."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluate.conftest import ADD, write_lines
from understudy.errors import UserError
from understudy.evaluate.benchmarks import BENCHMARKS, find_benchmark
from understudy.evaluate.benchmarks.kinds import ChoiceItem

HEADER = "The following are multiple choice questions (with answers) about abstract algebra.\n\n"
SHOTS = "".join(
    f"dev {i}, why?\nA. a\nB. b, c\nC. d\nD. e\nAnswer: {'ABCD'[i % 4]}\n\n" for i in range(5)
)


def test_mmlu_is_asked_as_the_harness_asks(data: Path) -> None:
    first = BENCHMARKS["mmlu"].items(data, None, 0)[0]
    asked = "test 0, why?\nA. a\nB. b, c\nC. d\nD. e\nAnswer:"
    assert first == ChoiceItem(
        "abstract_algebra/1",
        "abstract_algebra",
        " test 0, why?",
        ("a", "b, c", "d", "e"),
        0,
        HEADER + SHOTS + asked,
    )


@pytest.mark.parametrize(
    ("limit", "expected"), [(None, (4, 2)), (1, (1, 0)), (3, (2, 1)), (5, (3, 2)), (99, (4, 2))]
)
def test_mmlu_limit_is_dealt_out_over_subjects(
    data: Path, limit: int | None, expected: tuple[int, int]
) -> None:
    items = BENCHMARKS["mmlu"].items(data, limit, 0)
    found = [item.group for item in items]
    assert (found.count("abstract_algebra"), found.count("world_religions")) == expected
    assert found == sorted(found)


def test_nq_holds_its_examples_out_and_shows_all_models_the_same(data: Path) -> None:
    nq = BENCHMARKS["nq"]
    items = nq.items(data, None, 0)
    assert len(items) == 5
    assert items == nq.items(data, None, 0)
    assert nq.items(data, 2, 0) == items[:2]
    lines = items[0].prompt.split("\n")
    assert lines[:2] == ["Answer these questions:", ""]
    assert lines[-2:] == [f"Q: {items[0].question}?", "A:"]
    shown = set(lines[2:-2:2])
    assert len(shown) == 3
    assert not shown & {f"Q: {item.question}?" for item in items}
    assert all(line.startswith("A: The ") for line in lines[3:-2:2])
    assert {nq.items(data, 1, seed)[0].prompt for seed in range(9)} != {items[0].prompt}


def test_nq_takes_examples_from_a_train_file(data: Path) -> None:
    rows = [{"question": f"train {i}", "answer": ["x"]} for i in range(4)]
    write_lines(data / "NQ-open.train.jsonl", rows)
    items = BENCHMARKS["nq"].items(data, None, 0)
    assert len(items) == 8
    assert all(item.prompt.count("Q: train") == 3 for item in items)


def test_unknown_benchmark_lists_the_known() -> None:
    with pytest.raises(UserError, match="no benchmark 'mlmu'; choose from mmlu, nq, humaneval"):
        find_benchmark("mlmu")


ROW = "q,a,b,c,d,A\n"
MISTAKES = [
    ("mmlu", "mmlu/test/abstract_algebra_test.csv", ROW + "q,a,b,c,A\n", "row 2: 5 columns"),
    ("mmlu", "mmlu/test/abstract_algebra_test.csv", ROW * 2 + "q,a,b,c,d,E\n", "row 3: .*'E'"),
    ("mmlu", "mmlu/test/abstract_algebra_test.csv", "q,a,b,c,d,\n", "row 1: .*''"),
    ("mmlu", "mmlu/test/abstract_algebra_test.csv", "", "holds no items"),
    ("mmlu", "mmlu/test/abstract_algebra_test.csv", ROW + '"q' * 99999, "row 2: broken CSV"),
    ("mmlu", "mmlu/dev/abstract_algebra_dev.csv", ROW * 4, "4 rows, 5 are needed"),
    ("mmlu", "mmlu/test/x_test.csv", ROW, "x_dev.csv: no such file"),
    ("nq", "NQ-open.dev.jsonl", '{"question": "q"}\n', "line 1: no list under answer"),
    ("nq", "NQ-open.dev.jsonl", '{"question": "q", "answer": []}\n', "line 1: no list"),
    ("nq", "NQ-open.dev.jsonl", '{"question": "q", "answer": [1]}\n' * 4, "item 1: an answer"),
    ("nq", "NQ-open.dev.jsonl", '{"question": "q", "answer": ["a"]}\n{"q', "line 2: broken JSON"),
    ("nq", "NQ-open.dev.jsonl", '{"question": "q", "answer": ["a"]}\n' * 3, "3 items, more than 3"),
    ("nq", "NQ-open.dev.jsonl", "", "holds no items"),
    ("humaneval", "HumanEval.jsonl", json.dumps(ADD | {"test": 3}), "line 1: no text under test"),
    ("humaneval", "HumanEval.jsonl", "[]", "line 1: no text under task_id"),
]


@pytest.mark.parametrize(("name", "file", "content", "message"), MISTAKES)
def test_broken_files_are_named(
    data: Path,
    broken: Callable[[str, str], Path],
    name: str,
    file: str,
    content: str,
    message: str,
) -> None:
    broken(file, content)
    with pytest.raises(UserError, match=message) as caught:
        BENCHMARKS[name].items(data, None, 0)
    assert str(data) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_an_empty_folder_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=str(tmp_path)):
        BENCHMARKS[name].items(tmp_path, None, 0)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_without_data_and_package_a_folder_is_asked_for(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(module: str, *rest: object) -> object:
        raise ImportError(module)

    monkeypatch.setattr("understudy.evaluate.benchmarks.hub.import_module", missing)
    with pytest.raises(UserError, match="--data"):
        BENCHMARKS[name].items(None, None, 0)


@pytest.mark.realdata
def test_published_files(realdata: Path) -> None:
    mmlu = BENCHMARKS["mmlu"].items(realdata, None, 0)
    assert len(mmlu) == 8991
    assert len({item.group for item in mmlu}) == 33
    assert len({item.id for item in mmlu}) == 8991
    assert all(item.prompt.count("\nAnswer: ") == 5 for item in mmlu)
    assert len(BENCHMARKS["nq"].items(realdata, None, 0)) == 3610 - 3
    humaneval = BENCHMARKS["humaneval"].items(realdata, None, 0)
    assert [item.id for item in humaneval] == [f"HumanEval/{i}" for i in range(164)]
