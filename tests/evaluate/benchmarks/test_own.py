"""A user's own benchmark: what docs/benchmarks.md says, done, and what is said of mistakes."""

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from evaluate.conftest import ADD, write_lines
from understudy.errors import UserError
from understudy.evaluate.benchmarks import NAMES, find_benchmark
from understudy.evaluate.benchmarks.kinds import Extract
from understudy.evaluate.benchmarks.templates import FILTERS, METHODS
from understudy.files import write_text

DOCS = (Path(__file__).parents[3] / "docs/benchmarks.md").read_text(encoding="utf-8")


@pytest.fixture
def documented(tmp_path: Path) -> Path:
    """A folder with the files that the document shows."""
    for name, content in re.findall(r"```\w+ (\S+)\n(.*?)```", DOCS, re.DOTALL):
        write_text(tmp_path / name, content)
    return tmp_path


def test_the_documented_choice(documented: Path) -> None:
    benchmark = find_benchmark(str(documented / "capitals.yaml"))
    assert (benchmark.name, benchmark.kind, benchmark.shots) == ("capitals", "choice", 2)
    assert (benchmark.metrics, benchmark.chance, benchmark.harness) == (("accuracy",), 0.25, None)
    found = benchmark.items(Path("/elsewhere"), None)
    assert [item.id for item in found] == [f"capitals/{i}" for i in range(1, 5)]
    assert [item.right for item in found] == [(0,), (1,), (2,), (3,)]
    assert found[0].continuations == (" A", " B", " C", " D")
    chad = "What is the capital of Chad?\nA. Lagos\nB. N'Djamena\nC. Niamey\nD. Abuja\nAnswer:"
    assert found[1].prompt.endswith("\n\n" + chad)
    assert found[1].prompt.count("\nAnswer: ") == 2
    assert "Answer: B" not in found[1].prompt


def test_the_documented_short_answer(documented: Path) -> None:
    benchmark = find_benchmark(str(documented / "rivers.yaml"))
    assert (benchmark.stop, benchmark.max_tokens) == (("\n",), 16)
    assert benchmark.extracts == (("exact_match", Extract()),)
    paris, lyon, cologne = benchmark.items(None, None)
    assert (paris.id, lyon.id, cologne.id) == ("France/1", "France/2", "Germany/1")
    assert paris.prompt == "Q: Which river flows through Paris?\nA:"
    assert paris.answers == ("the Seine", "Seine")
    assert benchmark.items(None, 2) == [paris, cologne]


def test_the_documented_metric(documented: Path) -> None:
    (block,) = re.findall(r"```yaml\n(metrics:.*?)```", DOCS, re.DOTALL)
    path = documented / "rivers.yaml"
    path.write_text(path.read_text() + block)
    benchmark = find_benchmark(str(path))
    rules = Extract(r"answer is (\d+)", -1, (",", r"\$"), ignore_punctuation=False)
    assert benchmark.extracts == (("exact_match", rules),)
    assert benchmark.corrected


def test_the_document_names_everything() -> None:
    for name in (*NAMES, *METHODS, *FILTERS):
        assert f"`{name}`" in DOCS


Make = Any


@pytest.fixture
def own(tmp_path: Path) -> Make:
    """Write a declaration, a valid one with changes, and its data; returns its path."""

    def make(data: Any = None, file: str = "own.jsonl", **changes: Any) -> str:
        content: dict[str, Any] = {
            "name": "own",
            "kind": "short",
            "files": {"test": file},
            "prompt": "{{question}}",
        }
        for key, value in changes.items():
            content[key] = value
            if value is None:
                del content[key]
        if data is None:
            data = [{"question": f"q{i}", "answers": [f"a{i}"]} for i in range(4)]
        if isinstance(data, (str, bytes)):
            (tmp_path / file).write_bytes(data if isinstance(data, bytes) else data.encode())
        else:
            write_lines(tmp_path / file, data)
        path = tmp_path / "own.yaml"
        path.write_text(yaml.safe_dump(content))
        return str(path)

    return make


def asked(path: str) -> list[Any]:
    return find_benchmark(path).items(None, None)


CHOICE = {"kind": "choice", "prompt": "{{question}}"}
TASK = {"kind": "perplexity", "prompt": None}
OPTIONS = [{"question": "q", "options": ["x", "y", "z"], "right": 1}]


def test_code(own: Make) -> None:
    path = own([ADD], kind="code", prompt=None, fields={"prompt": "'# ' ~ prompt"}, stop=["\n#"])
    (item,) = asked(path)
    assert item.prompt == "# " + ADD["prompt"]
    assert item.id == "own/1"


def test_perplexity(own: Make) -> None:
    rows = [{"instruction": "Add.", "input": "1, 2", "answer": "3"}]
    rows += [{"instruction": "Greet.", "answer": "Hello."}]  # type: ignore[list-item]
    form = "Task: {{instruction}}{% if input %}\nInput: {{input}}{% endif %}\nAnswer:"
    add, greet = asked(own(rows, kind="perplexity", prompt=form))
    assert (add.prompt, add.continuation) == ("Task: Add.\nInput: 1, 2\nAnswer:", " 3")
    assert (greet.prompt, greet.input) == ("Task: Greet.\nAnswer:", "")
    add, greet = asked(own(rows, kind="perplexity", prompt=None, delimiter="\n"))
    assert (add.prompt, add.continuation, greet.prompt) == ("Add. 1, 2", "\n3", "Greet.")


def test_tables(own: Make) -> None:
    """With a header and a byte-order mark, tabs, and line breaks in cells as they are."""
    table = '﻿question\tgood\tbad\n"a\r\nb?"\t"x, y"\tz\r\n\n'
    fields = {"options": "[good, bad]", "right": "0"}
    (item,) = asked(own(table, "own.tsv", **CHOICE, fields=fields))
    assert (item.question, item.options) == ("a\r\nb?", ("x, y", "z"))


def test_several_files_and_the_first_pattern_that_counts(own: Make, tmp_path: Path) -> None:
    for name in ("b-2", "b-1", "c-1"):
        row = {"question": name, "answers": "x"}
        write_text(tmp_path / f"more/{name}.json", json.dumps({"deep": [row]}))
    files = {"test": ["more/a*.json", "more/b*.json", "more/c*.json"]}
    assert [item.question for item in asked(own(files=files, rows="deep"))] == ["b-1", "b-2"]


def test_rows_may_be_under_a_key(own: Make) -> None:
    content = '{"deep": [{"question": "q", "answers": "a"}]}'
    assert [item.answers for item in asked(own(content, "own.json", rows="deep"))] == [("a",)]
    with pytest.raises(UserError, match=r"own.json: no list of rows under shallow; mend it"):
        asked(own(content, "own.json", rows="shallow"))


@pytest.mark.parametrize(
    ("right", "expected"),
    [(1, (1,)), ("B", (1,)), ("1", (1,)), (["C", 0], (2, 0)), ([1, 1], (1,))],
)
def test_how_the_right_option_may_be_named(own: Make, right: Any, expected: Any) -> None:
    (item,) = asked(own([OPTIONS[0] | {"right": right}], **CHOICE))
    assert item.right == expected


def test_the_answer_of_an_example_is_the_right_option(own: Make) -> None:
    rows = [{"question": f"q{i}", "options": [f"x{i}", f"y{i}"], "right": i % 2} for i in range(3)]
    (first, *_) = asked(own(rows, **CHOICE, shots={"n": 1, "from": "test", "draw": "first"}))
    assert first.prompt == "q1 y1\n\nq0"


def test_random_examples_of_the_items_group(own: Make) -> None:
    rows = [{"question": f"{g}{i}", "answers": "x", "group": g} for g in "ab" for i in range(6)]
    shots = {"n": 2, "from": "test", "own_group": True}
    found = asked(own(rows, fields={"group": "group"}, shots=shots, between="|", delimiter="="))
    for group in "ab":
        rng = random.Random(1234)
        for number in range(6):
            drawn = [f"{group}{i}" for i in rng.sample(range(6), 3) if i != number]
            item = found["ab".index(group) * 6 + number]
            assert item.prompt == f"{drawn[0]}=x|{drawn[1]}=x|{group}{number}"


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"name": "mmlu"}, "a shipped benchmark is called mmlu; rename"),
    ({"name": "../x"}, "name: String should match pattern"),
    ({"kind": None}, "Unable to extract tag using discriminator 'kind'"),
    ({"kind": "essay"}, "'essay'.*does not match any of the expected tags"),
    ({"prompt": None}, "prompt is missing"),
    ({"promt": "x"}, "promt is no key that is known there"),
    ({"shots": {"n": 1}}, "shots.from is missing"),
    ({"shots": {"n": 0, "from": "test"}}, "shots.n: Input should be greater than 0"),
    ({"shots": {"n": 1, "from": "dev"}}, "files lacks dev; add it"),
    ({"split": "dev"}, "files lacks dev; add it"),
    ({"files": {}}, "neither files nor hub"),
    ({"fields": {"options": "x"}}, "unknown field options; known: question, answers, id, group"),
    ({"fields": {"question": "a b"}}, "fields.question: not an expression .expected token"),
    ({"prompt": "{{question"}, "prompt: not a template .unexpected end"),
    ({"prompt": "{% for q in question %}{% endfor %}"}, "prompt: not a template .For is not"),
    ({"prompt": "{{question | pprint}}"}, "prompt: not a template .No filter named 'pprint'"),
    ({"metrics": {"m": {"pattern": "("}}}, "metrics.m.pattern: not a regular expression"),
    ({"metrics": {}}, "metrics: Dictionary should have at least 1 item"),
    ({"max_tokens": 0}, "max_tokens: Input should be greater than 0"),
]


@pytest.mark.parametrize(("changes", "message"), MISTAKES)
def test_mistakes_in_a_declaration(own: Make, changes: dict[str, Any], message: str) -> None:
    path = own(**changes)
    with pytest.raises(UserError, match=message) as caught:
        find_benchmark(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name: [", "own.yml, line 1: broken YAML"),
        ("just words", "own.yml: .*valid dictionary"),
        ("x" * 100_001, "own.yml: longer than 100000 characters"),
        ("name: \x00", "own.yml.*: broken YAML"),
    ],
)
def test_what_is_no_declaration(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "own.yml").write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        find_benchmark(str(tmp_path / "own.yml"))
    assert "\n" not in str(caught.value)


def test_a_missing_declaration(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"own.yaml: no such file"):
        find_benchmark(str(tmp_path / "own.yaml"))


ROW = {"question": "q", "answers": ["a"]}
BROKEN: list[tuple[Any, dict[str, Any], str]] = [
    ([ROW, {"question": "q"}], {}, "line 2: answers: 'answers' is undefined; the row has question"),
    ([{"x": {}}], {"fields": {"question": "x.y"}}, "line 1: question: .* no attribute 'y'"),
    ([ROW | {"question": 3}], {}, "line 1: question: 3 is no text"),
    ([ROW | {"question": " "}], {}, "line 1: question: ' ' is no text"),
    ([ROW | {"answers": []}], {}, r"line 1: answers: \[\] is no list of texts"),
    ([ROW | {"answers": [""]}], {}, r"line 1: answers: \[''\] is no list of texts"),
    ([ROW | {"answers": ["a", 7]}], {}, "line 1: answers: 7 is no text"),
    ([[1]], {}, "line 1: not an object with named values"),
    ([ROW], {"fields": {"question": "question.nope()"}}, "line 1: question: .*'nope'"),
    ([ROW], {"fields": {"question": "question - 1"}}, "line 1: question: unsupported operand"),
    ([ROW], {"prompt": "{{row.passage}}"}, "line 1: prompt: 'dict object' has no .*'passage'"),
    ([ROW], {"shots": {"n": 1, "from": "test"}}, "own.jsonl: too few rows to show 1"),
    ([ROW | {"id": "x"}] * 2, {"fields": {"id": "id"}}, "line 2: its id 'x' is that of .*line 1"),
    ("", {}, "own.jsonl: holds no items"),
    ('{"question": "q"', {}, "line 1: broken JSON"),
    (b'{}\n{"question": "\xe9"}', {}, "line 2: not UTF-8 text; convert the file"),
    ([{"instruction": "x", "answer": " "}], TASK, "line 1: answer: ' ' is no text"),
    ([{"instruction": "x", "input": 1, "answer": "y"}], TASK, "line 1: input: 1 is no text"),
    ([OPTIONS[0] | {"right": 3}], CHOICE, "line 1: right: 3 is none of its 3 options"),
    ([OPTIONS[0] | {"right": -1}], CHOICE, "line 1: right: -1 is none of its 3 options"),
    ([OPTIONS[0] | {"right": "D"}], CHOICE, "line 1: right: 'D' is none of its 3 options"),
    ([OPTIONS[0] | {"right": ""}], CHOICE, "line 1: right: '' is none of its 3 options"),
    ([OPTIONS[0] | {"right": True}], CHOICE, "line 1: right: True is none of its 3 options"),
    ([OPTIONS[0] | {"right": []}], CHOICE, "line 1: right: no option is right"),
    ([OPTIONS[0] | {"options": ["x"]}], CHOICE, "line 1: options: .* no list of two options"),
    (
        [OPTIONS[0] | {"options": ["x"] * 27}],
        CHOICE | {"continuation": "letter"},
        "line 1: more options than there are letters",
    ),
]


@pytest.mark.parametrize(("rows", "changes", "message"), BROKEN)
def test_broken_rows_are_named(own: Make, rows: Any, changes: dict[str, Any], message: str) -> None:
    path = own(rows, **changes)
    with pytest.raises(UserError, match=message) as caught:
        asked(path)
    assert str(caught.value).startswith(str(Path(path).parent / "own.jsonl"))
    assert "\n" not in str(caught.value)


TABLES = [
    ("own.csv", "question,answers\nq\n", "own.csv, row 2: 1 columns; 2 are expected: question, an"),
    ("own.csv", "question,answers\nq,a\n" + '"q' * 99999, "own.csv, row 3: broken CSV"),
    ("own.csv", "question,answers\n", "own.csv: holds no items"),
    ("own.csv", "question,answer\nq,a\n", "own.csv, row 2: answers: 'answers' is undefined"),
    ("own.csv", b"question,answers\nq,a\nq,\xff\n", "own.csv, line 3: not UTF-8 text"),
    ("own.json", b'[\n{"question": "\xff"}]', "own.json, line 2: not UTF-8 text"),
    ("own.json", '[\n{"question" "q"}]', "own.json, line 2: broken JSON"),
    ("own.json", '[{"question": "q"}]', "own.json, item 1: answers: 'answers' is undefined"),
    ("own.jsonl.gz", b"\x1f\x8b\x08", "own.jsonl.gz: not a whole gzip file"),
    ("own.txt", "q", "own.txt: not a .jsonl, .json, .csv, .tsv file"),
]


@pytest.mark.parametrize(("file", "content", "message"), TABLES)
def test_broken_files_are_named(own: Make, file: str, content: Any, message: str) -> None:
    path = own(content, file)
    with pytest.raises(UserError, match=message) as caught:
        asked(path)
    assert "\n" not in str(caught.value)


def test_a_group_without_examples_is_named(data: Path) -> None:
    (data / "mmlu/test/x_test.csv").write_text("q,a,b,c,d,A\n")
    with pytest.raises(UserError, match=r"_dev.csv: too few rows of x to show 5 as examples"):
        find_benchmark("mmlu").items(data, None)
