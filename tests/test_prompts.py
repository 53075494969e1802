"""Prompts from every kind of source, one at a time; a mistake names its row."""

import gzip
import sys
import types
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from understudy.errors import UserError
from understudy.files import write_jsonl
from understudy.prompts import Prompt, iter_prompts, read_prompts

CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Two?"}]


def written(folder: Path, text: str, name: str = "prompts") -> Path:
    path = folder / name
    data = text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def parquet(folder: Path, columns: dict[str, Any], **more: Any) -> Path:
    path = folder / "prompts.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), path, **more)
    return path


def texts(prompts: list[Prompt]) -> list[tuple[str, str]]:
    return [(prompt.id, prompt.messages[-1].content) for prompt in prompts]


def test_plain_lines_are_prompts(tmp_path: Path) -> None:
    path = written(tmp_path, "First?\n\n  Second.  \n")
    assert texts(read_prompts(path)) == [("1", "First?"), ("3", "Second.")]


def test_rows_hold_a_prompt_or_messages(tmp_path: Path) -> None:
    rows = (
        '{"id": "a", "prompt": "One?", "more": 1}\n'
        '{"messages": [{"role": "system", "content": "Be brief."},'
        ' {"role": "user", "content": "Two?"}]}\n'
    )
    first, second = read_prompts(written(tmp_path, rows))
    assert (first.id, first.chat()) == ("a", [{"role": "user", "content": "One?"}])
    assert (second.id, second.chat()) == ("2", CHAT)


def test_a_reference_comes_along_where_it_is_a_text(tmp_path: Path) -> None:
    rows = [
        {"prompt": "Who?", "reference": "Ada."},
        {"messages": [{"role": "user", "content": "When?"}], "reference": "In 1843."},
        {"prompt": "Where?", "reference": " "},
        {"prompt": "Why?", "reference": ["a published set", "may have a list there"]},
    ]
    write_jsonl(tmp_path / "asked.jsonl", rows)
    found = read_prompts(tmp_path / "asked.jsonl")
    assert [prompt.reference for prompt in found] == ["Ada.", "In 1843.", None, None]


def test_sets_that_students_were_judged_by_are_read_as_published(tmp_path: Path) -> None:
    task = {"id": "user_oriented_task_3", "motivation_app": "Notes", "instruction": "Sort these."}
    rows: list[dict[str, Any]] = [
        task | {"instances": [{"input": "b, a", "output": "a, b"}]},
        task | {"id": "user_oriented_task_4", "instances": [{"input": "", "output": "Done."}]},
        {"question_id": 7, "text": "What is rest?", "category": "generic"},
        {"question_id": 81, "category": "writing", "turns": ["Write a note.", "Make it short."]},
        {"id": "koala_0", "prompt": "List some films."},
    ]
    write_jsonl(tmp_path / "asked.jsonl", rows)
    found = read_prompts(tmp_path / "asked.jsonl")
    assert texts(found) == [
        ("user_oriented_task_3", "Sort these.\n\nb, a"),
        ("user_oriented_task_4", "Sort these."),
        ("7", "What is rest?"),
        ("81", "Write a note."),
        ("koala_0", "List some films."),
    ]
    assert [prompt.reference for prompt in found] == ["a, b", "Done.", None, None, None]
    assert [prompt.messages[-1].input for prompt in found] == ["b, a", None, None, None, None]
    assert found[0].chat_with_inputs()[0]["input"] == "b, a"
    assert "input" not in found[0].chat()[0]


def test_half_a_surrogate_pair_becomes_a_question_mark(tmp_path: Path) -> None:
    (found,) = read_prompts(written(tmp_path, '{"prompt": "a\\ud800b"}\n'))
    assert found.chat()[0]["content"] == "a?b"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.txt.gz", "One?\nTwo?\n"),
        ("p.jsonl.gz", '{"prompt": "One?"}\n{"prompt": "Two?"}\n'),
        ("p.csv.gz", "prompt\nOne?\nTwo?\n"),
        ("p.csv", "\ufeffother,prompt\n1,One?\n\n2,Two?\n"),
    ],
)
def test_packed_and_marked_files(tmp_path: Path, name: str, text: str) -> None:
    assert texts(read_prompts(written(tmp_path, text, name))) == [("1", "One?"), ("2", "Two?")]


def test_csv_takes_a_column_and_ids(tmp_path: Path) -> None:
    path = written(tmp_path, 'id,question\nx,"One, or\nmore?"\ny,"Say ""two""."\n', "p.csv")
    found = list(iter_prompts(path, "question"))
    assert texts(found) == [("x", "One, or\nmore?"), ("y", 'Say "two".')]


def test_parquet_goes_on_over_row_groups(tmp_path: Path) -> None:
    rows = {"id": list(range(25)), "prompt": [f"p{n}" for n in range(25)], "x": [[1]] * 25}
    path = parquet(tmp_path, rows, row_group_size=10)
    assert texts(read_prompts(path)) == [(str(n), f"p{n}") for n in range(25)]
    path = parquet(tmp_path, {"text": ["a", "b"]})
    assert texts(list(iter_prompts(path, "text"))) == [("1", "a"), ("2", "b")]


def test_parquet_and_saved_sets_hold_messages(tmp_path: Path) -> None:
    columns = {"prompt": ["One?", None], "messages": [None, CHAT]}
    datasets.Dataset.from_dict(columns).save_to_disk(tmp_path / "saved")
    for path in (parquet(tmp_path, columns), tmp_path / "saved"):
        first, second = read_prompts(path)
        assert first.chat() == [{"role": "user", "content": "One?"}]
        assert second.chat() == CHAT


def test_a_saved_set_is_read_and_of_several_splits_one(tmp_path: Path) -> None:
    split = datasets.Dataset.from_dict({"question": ["a", "b"], "id": ["x", "y"]})
    datasets.DatasetDict({"train": split, "test": split}).save_to_disk(tmp_path / "both")
    assert texts(list(iter_prompts(tmp_path / "both" / "test", "question"))) == [
        ("x", "a"),
        ("y", "b"),
    ]
    with pytest.raises(UserError, match=r"both: holds several splits; .*: train, test$"):
        list(iter_prompts(tmp_path / "both"))


def test_the_hub_is_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(name: str, **how: Any) -> Any:
        asked.append((name, how))
        yield from ({"prompt": f"p{n}", "more": {}} for n in range(2))
        raise ConnectionError("no network\nat all")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    found = iter_prompts("hub:some/set:test")
    assert texts([next(found), next(found)]) == [("1", "p0"), ("2", "p1")]
    with pytest.raises(UserError, match=r"^hub:some/set:test: cannot be had .*\(no network\)$"):
        next(found)
    next(iter_prompts(Path("hub:other/set")))
    assert asked == [
        ("some/set", {"split": "test", "streaming": True}),
        ("other/set", {"split": "train", "streaming": True}),
    ]


@pytest.mark.parametrize(
    ("module", "source"),
    [("pyarrow.parquet", "a.parquet"), ("datasets", "hub:x"), ("datasets", ".")],
)
def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, module: str, source: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=r"pip install 'understudy\[data\]'"):
        list(iter_prompts(source))


@pytest.mark.parametrize(
    ("name", "first", "then"),
    [
        ("p", '{"prompt": "a"}\n', '{"prompt": \n'),
        ("p.csv", "prompt\na\n", '"b\n'),
    ],
)
def test_the_first_prompt_comes_before_the_last_is_read(
    tmp_path: Path, name: str, first: str, then: str
) -> None:
    found = iter_prompts(written(tmp_path, first + then, name))
    assert isinstance(found, types.GeneratorType)
    assert next(found).messages[0].content == "a"
    with pytest.raises(UserError, match="broken"):
        next(found)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("\n \n", ["holds no prompt"]),
        ('{"text": "x", "y": 1}\n', ["line 1", "prompt", "columns there are text, y"]),
        ('{"prompt": "a"}\n3\n', ["line 2", "not an object"]),
        ('{"prompt": "a"}\n{"prompt": " "}\n', ["line 2", "prompt is empty"]),
        ('{"prompt": ["a"]}\n', ["line 1", "prompt is not a text but list"]),
        ('{"prompt": "a"}\n{"messages": [{"role": "user"}]}\n', ["line 2", "content"]),
        ('{"messages": [{"role": "assistant", "content": "a"}]}\n', ["line 1", "user"]),
        ('{"messages": []}\n', ["line 1", "user"]),
        ('{"id": 1, "prompt": "a"}\n{"id": "1", "prompt": "b"}\n', ["line 2", "'1' occurs twice"]),
        ('{"id": "2", "prompt": "a"}\n{"prompt": "b"}\n', ["line 2", "'2' occurs twice"]),
        ('{"id": null, "prompt": "a"}\n', ["line 1", "id is None"]),
        ('{"id": true, "prompt": "a"}\n', ["line 1", "id is True"]),
        ('{"id": 1.5, "prompt": "a"}\n', ["line 1", "id is 1.5"]),
        ('{"prompt": "a"}\n{"prompt":\n', ["line 2", "broken JSON"]),
    ],
)
def test_mistakes_name_the_line(tmp_path: Path, text: str, names: list[str]) -> None:
    with pytest.raises(UserError) as error:
        read_prompts(written(tmp_path, text))
    assert all(name in str(error.value) for name in names)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("question,x\na,b\n", ["neither a column prompt", "there are question, x"]),
        ("prompt,id\na,1\n,2\n", ["row 2", "prompt is empty"]),
        ("prompt,id\na,1\nb,\n", ["row 2", "id is ''"]),
        ("prompt,id\na,1\nb,1\n", ["row 2", "'1' occurs twice"]),
        ("prompt,id\na,1\nb\n", ["row 2", "1 cells under 2 columns"]),
        ("prompt,id\na,b,1\n", ["row 1", "3 cells under 2 columns"]),
        ('prompt\n"a" b\n', ["line 2", "broken CSV"]),
        ("prompt\n", ["holds no prompt"]),
        ("", ["holds no prompt"]),
    ],
)
def test_mistakes_in_csv_name_the_row(tmp_path: Path, text: str, names: list[str]) -> None:
    path = written(tmp_path, text, "p.csv")
    with pytest.raises(UserError) as error:
        read_prompts(path)
    assert str(error.value).startswith(str(path))
    assert all(name in str(error.value) for name in names)


@pytest.mark.parametrize(
    ("columns", "column", "names"),
    [
        ({"text": ["a"], "n": [1]}, None, ["neither a column prompt", "there are text, n"]),
        ({"text": ["a"], "n": [1]}, "question", ["no column 'question'", "there are text, n"]),
        ({"prompt": [["a"]]}, None, ["row 1", "prompt is not a text but list"]),
        ({"prompt": ["a"], "x": [{"a": 1}]}, "x", ["row 1", "x is not a text but dict"]),
        ({"prompt": ["a", None]}, None, ["row 2", "prompt is empty"]),
        ({"prompt": ["a", "b"], "id": [1, None]}, None, ["row 2", "id is None"]),
        ({"messages": [[{"role": "king", "content": "x"}]]}, None, ["row 1", "messages.0.role"]),
    ],
)
def test_mistakes_in_tables_name_the_row(
    tmp_path: Path, columns: dict[str, Any], column: str | None, names: list[str]
) -> None:
    datasets.Dataset.from_dict(columns).save_to_disk(tmp_path / "saved")
    for path in (parquet(tmp_path, columns), tmp_path / "saved"):
        with pytest.raises(UserError) as error:
            list(iter_prompts(path, column))
        assert str(error.value).startswith(str(path))
        assert all(name in str(error.value) for name in names)


def test_sources_that_are_none(tmp_path: Path) -> None:
    written(tmp_path, "no parquet", "a.parquet")
    written(tmp_path, "One?", "plain")
    (tmp_path / "latin").write_bytes("é".encode("latin-1"))
    (tmp_path / "empty").mkdir()
    for name, column, message in (
        ("a.parquet", None, "not a whole Parquet file"),
        ("b.parquet", None, "no such file"),
        ("b", None, "no such file"),
        ("b.csv", None, "no such file"),
        ("plain", "question", "a text file has no column 'question'"),
        ("latin", None, "not UTF-8"),
        ("empty", None, "not a data set that datasets saved"),
    ):
        with pytest.raises(UserError, match=message) as error:
            list(iter_prompts(tmp_path / name, column))
        assert "\n" not in str(error.value)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "count", "references"),
    [
        ("self_instruct/user_oriented_instructions.jsonl", 252, 252),
        ("koala_test_set.jsonl", 180, 0),
        ("vicuna80/question.jsonl", 80, 0),
        ("fastchat/vicuna_bench_question.jsonl", 80, 0),
    ],
)
def test_published_questions(realdata: Path, name: str, count: int, references: int) -> None:
    found = read_prompts(realdata / name)
    assert len(found) == count
    assert sum(prompt.reference is not None for prompt in found) == references
