"""Atomic writes, and errors that name file and line."""

import errno
import gzip
import os
from pathlib import Path

import pytest

from understudy import files
from understudy.errors import UserError
from understudy.files import (
    atomic_write,
    digest,
    file_digest,
    read_json,
    read_jsonl,
    write_json,
    write_jsonl,
)


def test_a_failed_write_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(RuntimeError), atomic_write(path) as file:  # noqa: PT012
        file.write("half")
        raise RuntimeError
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="disk is full; free some space"):
        write_json(tmp_path / "a.json", {})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_behind_a_library_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(room: int) -> None:
        monkeypatch.setattr(files, "_room", lambda _: room)
        with atomic_write(tmp_path / "a.pt", "wb"):
            raise RuntimeError("unexpected position")

    with pytest.raises(UserError, match="disk is full; free some space"):
        write(4096)
    with pytest.raises(RuntimeError, match="unexpected position"):
        write(1 << 30)


def test_jsonl_round_trip_and_gzip(tmp_path: Path) -> None:
    rows = [{"a": "é\u2028"}, {"b": [1, None]}]
    assert write_jsonl(tmp_path / "a.jsonl", rows) == 2
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    for path in (tmp_path / "a.jsonl", packed):
        assert list(read_jsonl(path)) == [(1, rows[0]), (2, rows[1])]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1}\n\n{oops\n', "line 3: broken JSON"),
        (b'"\xff"\n', "not UTF-8"),
    ],
)
def test_broken_lines_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(read_jsonl(path))


def test_missing_folder_and_damaged_gzip(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_json(tmp_path / "none.json")
    with pytest.raises(UserError, match="is a folder"):
        read_json(tmp_path)
    (tmp_path / "a.jsonl.gz").write_bytes(b"no gzip")
    with pytest.raises(UserError, match="not a whole gzip"):
        list(read_jsonl(tmp_path / "a.jsonl.gz"))


def test_digests_follow_content_only(tmp_path: Path) -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 2, "b": 1})
    for name in ("x", "y"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "f").write_text("same")
    assert file_digest(tmp_path / "x") == file_digest(tmp_path / "y")
    (tmp_path / "y" / "sub" / "f").write_text("other")
    assert file_digest(tmp_path / "x") != file_digest(tmp_path / "y")
