"""How records lie in files: arrays and lines, packed or not, whole or broken."""

import gzip
import json
from pathlib import Path

import pytest

from understudy.curate import records
from understudy.curate.records import read_records
from understudy.errors import UserError

RECORDS = [{"a": 'x"\\\n', "b": [1, {"c": "é😀" * 40}]}, 12345, "text", None, [], {"d": -1.5e3}]


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    data = text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("name", ["set.json", "set.json.gz", "no_suffix"])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("chunk", [1, 7, 1 << 16])
def test_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, indent: int | None, chunk: int
) -> None:
    monkeypatch.setattr(records, "CHUNK", chunk)
    path = written(tmp_path, name, "\n " + json.dumps(RECORDS, indent=indent) + "\n")
    assert list(read_records(path)) == list(enumerate(RECORDS, start=1))


@pytest.mark.parametrize("name", ["set.jsonl", "set.json.gz"])
def test_lines_and_their_numbers(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name, '{"a": 1}\n\n{"a": 2}\r\n')
    assert list(read_records(path)) == [(1, {"a": 1}), (3, {"a": 2})]


@pytest.mark.parametrize(("text", "expected"), [("", []), ("  \n", []), ("[]", []), ("[ \n]", [])])
def test_nothing(tmp_path: Path, text: str, expected: list[object]) -> None:
    assert list(read_records(written(tmp_path, "set.json", text))) == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"a": 1}\n{broken\n', 2),
        ('[\n{"a": 1},\n{"a": }\n]', 3),
        ('[\n{"a": 1}\n{"a": 2}\n]', 3),
        ('[\n{"a": 1},\n{"a": "cut', 3),
        ('[\n{"a": 1},\n', 3),
        ("[\n1,\n]", 3),
        ("[1,\n2]\n3", 3),
        ("[\n1,\nnul", 3),
    ],
)
@pytest.mark.parametrize("chunk", [3, 1 << 16])
def test_broken_json_names_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, line: int, chunk: int
) -> None:
    monkeypatch.setattr(records, "CHUNK", chunk)
    path = written(tmp_path, "set.json", text)
    with pytest.raises(UserError, match=rf"set.json, line {line}: broken JSON .*mend") as caught:
        list(read_records(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[" * 200_000, "[[" + "9" * 5000 + "]]"])
def test_hostile_json_is_a_users_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match="too long or nested"):
        list(read_records(written(tmp_path, "set.json", text)))


def test_not_utf8_and_not_gzip(tmp_path: Path) -> None:
    (tmp_path / "latin.json").write_bytes(b'[{"a": "\xe9"}]')
    (tmp_path / "cut.json.gz").write_bytes(gzip.compress(b"[1, 2]")[:-4])
    with pytest.raises(UserError, match=r"latin\.json.*UTF-8"):
        list(read_records(tmp_path / "latin.json"))
    with pytest.raises(UserError, match=r"cut\.json\.gz.*gzip"):
        list(read_records(tmp_path / "cut.json.gz"))


def test_half_a_surrogate_pair_can_be_written_again(tmp_path: Path) -> None:
    path = written(tmp_path, "set.json", r'[{"a": "x\ud83d", "b": "\ud83d\ude00"}]')
    assert list(read_records(path)) == [(1, {"a": "x?", "b": "😀"})]
