"""What is kept while a benchmark runs, and what is taken up again after a kill."""

from pathlib import Path
from typing import Any

import pytest

from understudy.evaluate.journal import Journal

VALUES = {
    "one": {"texts": ["a\nb", None, "ü"], "seconds": 0.1},
    "two": [-1.25, 1e-300, 12345678901234567890],
    "three": False,
    "half a pair": "\udc80",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "parts" / "own.jsonl"


def fill(path: Path, key: str = "k", **values: Any) -> None:
    with Journal(path, key) as journal:
        for item, value in values.items():
            journal.add("answer", item, value)


def known(path: Path, key: str = "k") -> dict[str, Any]:
    with Journal(path, key) as journal:
        return dict(journal.known("answer"))


def test_values_come_back_by_kind_and_item(path: Path) -> None:
    fill(path, **VALUES)
    with Journal(path, "k") as journal:
        assert journal.known("answer") == VALUES | {"half a pair": "?"}
        assert journal.known("outcome") == {}
        journal.add("outcome", "one", "passed")
        journal.add("answer", "one", "again")
    with Journal(path, "k") as journal:
        assert journal.known("outcome") == {"one": "passed"}
        assert next(iter(journal.known("answer").items())) == ("one", "again")


def test_a_value_is_in_the_file_before_it_is_known(path: Path) -> None:
    with Journal(path, "k") as journal:
        journal.add("answer", "one", 1)
        assert path.read_bytes().count(b"\n") == 2  # as a kill would leave it
    with pytest.raises(ValueError, match="closed"):
        journal.add("answer", "two", 2)
    assert journal.known("answer") == {"one": 1}


def test_wherever_a_kill_cuts_the_file_whole_lines_stay(path: Path) -> None:
    fill(path, one="a", two="é" * 20)
    whole = path.read_bytes()
    first, second, third = (len(line) for line in whole.splitlines(keepends=True))
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        expected = {"one": "a"} if cut >= first + second else {}
        assert known(path) == expected
        fill(path, three="c")
        assert path.read_bytes().endswith(b'"c"}\n')
        assert known(path) == expected | {"three": "c"}
    assert len(whole) == first + second + third


def test_what_was_kept_under_another_key_is_dropped(path: Path) -> None:
    fill(path, one="a")
    fill(path, "other", two="b")
    assert known(path, "other") == {"two": "b"}
    assert known(path) == {}


@pytest.mark.parametrize(
    "line",
    ["{", "[]", "3", '{"kind": "answer"}', '{"kind": [], "item": "x", "value": 1}', "\udcff"],
)
def test_a_broken_file_is_begun_anew(path: Path, line: str) -> None:
    fill(path, one="a", two="b")
    lines = path.read_bytes().splitlines(keepends=True)
    for place in range(len(lines)):
        broken = [*lines]
        broken[place] = line.encode(errors="surrogateescape") + b"\n"
        path.write_bytes(b"".join(broken))
        assert known(path) == {}
        fill(path, three="c")
        assert known(path) == {"three": "c"}
