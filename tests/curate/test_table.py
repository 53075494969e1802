"""Segments on disk and the table over them."""

from pathlib import Path

import numpy as np

from understudy.curate.segments import Segments, Unit, id_hash
from understudy.curate.table import Table
from understudy.dialogue import Dialogue, Turn


def unit(id: str, file: int = 0, position: int = 1, fit: bool = True) -> Unit:
    turns = [Turn(role="user", content=f"text of {id}"), Turn(role="assistant", content="yes")]
    header = {"file": file, "member": "", "position": position, "id": id, "format": "dialogues"}
    numbers = {"fit": fit, "id": id_hash(id), "prompt": 7, "source": file, "answer": 3}
    return Unit(header, Dialogue(id=id, turns=turns, source="s"), id.encode().ljust(16), numbers)


def table(folder: Path, *parts: list[Unit]) -> Table:
    segments = Segments(folder / "work", "key")
    for number, units in enumerate(parts):
        signatures = np.full((len(units), 4), number, dtype=np.uint32)
        signatures[:, 0] = range(len(units))
        segments.write(number, units, signatures)
    return Table(segments, len(parts))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    found = table(tmp_path, [unit("a"), unit("b", fit=False)], [unit("c"), unit("ü 😀")])
    assert len(found) == 4
    assert found.rows().tolist() == [0, 2, 3]
    backwards = np.array([3, 0, 2, 3])
    assert [d.id for d in found.dialogues(backwards)] == ["ü 😀", "a", "c", "ü 😀"]
    texts = found.texts(lambda dialogue: dialogue.prompt)
    assert texts(backwards) == ["text of ü 😀", "text of a", "text of c", "text of ü 😀"]
    assert texts(np.array([], dtype=np.int64)) == []
    headers = [header["id"] for number in (0, 1) for header, _ in found.segments.read(number)]
    assert headers == ["a", "b", "c", "ü 😀"]


def test_signatures_of_some_rows(tmp_path: Path) -> None:
    found = table(tmp_path, [unit("a"), unit("b")], [unit("c")], [unit("d"), unit("e")])
    rows = np.array([1, 3, 4])
    kept = found.signatures(rows, tmp_path / "signatures.npy")
    assert kept.tolist() == [[1, 0, 0, 0], [0, 2, 2, 2], [1, 2, 2, 2]]
    assert found.signatures(rows[:0], tmp_path / "none.npy").shape[0] == 0


def test_copies_go_and_say_of_what(tmp_path: Path) -> None:
    found = table(tmp_path, [unit("a"), unit("b")], [unit("c")])
    rows = np.array([0, 2])
    found.drop_copies(rows, np.array([1, -1]), 0.9, "near_duplicate")
    assert found.rows().tolist() == [1, 2]
    assert (found.like[0], found.like[2]) == (2, -1)
    assert found.likeness[0] == np.float32(0.9)


def test_final_ids_are_unique(tmp_path: Path) -> None:
    units = [unit("a"), unit("1:2:a"), unit("a", position=2), unit("a", file=1, position=2)]
    found = table(tmp_path, units)
    ids = [d.id for d in found.dialogues(np.arange(4))]
    assert ids == ["a", "1:2:a", "1:2:1:2:a", "2:2:a"]


def test_other_inputs_begin_afresh(tmp_path: Path) -> None:
    table(tmp_path, [unit("a")])
    assert Segments(tmp_path / "work", "key").has(0)
    assert not Segments(tmp_path / "work", "other").has(0)
