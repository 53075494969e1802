"""Every form gives back what went in, through our own readers."""

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from understudy.curate import outputs
from understudy.curate.outputs import WRITERS, write_outputs
from understudy.curate.readers import read_file
from understudy.dialogue import Dialogue, Turn, read_dialogues, write_dialogues
from understudy.errors import UserError

FILES = {
    "parquet": ["data/train.parquet", "data/heldout.parquet"],
    "messages": ["train.messages.jsonl", "heldout.messages.jsonl"],
    "sharegpt": ["train.sharegpt.json", "heldout.sharegpt.json"],
    "datasets": ["dataset"],
}
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    ["", "\x00", "a\u2028b\u2029c\x85d", "\r\n\ttext ", "</script>", '{"turns": []}', "𝔘nicode 🎭"]
)
name = text.filter(bool)
dialogues = st.builds(
    Dialogue,
    id=name,
    turns=st.lists(
        st.builds(Turn, role=st.sampled_from(["system", "user", "assistant"]), content=text),
        min_size=1,
        max_size=5,
    ),
    source=name,
    teacher=st.none() | name,
    licence=st.none() | name,
    origin=st.none() | name,
    cut=st.booleans(),
)


def dialogue(number: int, words: int = 3) -> Dialogue:
    turns = [Turn(role="user", content=f"question {number}"),
             Turn(role="assistant", content=f"answer {number} " * words)]  # fmt: skip
    return Dialogue(id=f"d{number}", turns=turns, source="made", origin="0")


def write_sets(folder: Path, train: list[Dialogue], heldout: list[Dialogue]) -> tuple[Path, Path]:
    sets = folder / "train.jsonl", folder / "heldout.jsonl"
    for path, content in zip(sets, (train, heldout), strict=True):
        write_dialogues(path, content)
    return sets


def read_back(path: Path) -> list[Dialogue]:
    records = list(read_file(path))
    assert [record.reason for record in records] == [None] * len(records)
    return [record.dialogue for record in records if record.dialogue]


@pytest.mark.parametrize("kind", WRITERS)
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(train=st.lists(dialogues, min_size=1, max_size=4), heldout=st.lists(dialogues, max_size=2))
def test_read_back_losslessly(
    kind: str, train: list[Dialogue], heldout: list[Dialogue], tmp_path: Path
) -> None:
    written = write_outputs(*write_sets(tmp_path, train, heldout), tmp_path, [kind])
    assert written == FILES[kind]
    if kind == "datasets":
        assert read_back(tmp_path / "dataset" / "train") == train
        assert read_back(tmp_path / "dataset" / "heldout") == heldout
    else:
        assert [read_back(tmp_path / file) for file in written] == [train, heldout]


def test_the_forms_are_those_that_others_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    from pyarrow import parquet

    train = [dialogue(number) for number in range(5)]
    write_outputs(*write_sets(tmp_path, train, []), tmp_path, list(WRITERS))
    line = (tmp_path / "train.messages.jsonl").read_text().splitlines()[0]
    assert json.loads(line) == {
        "messages": train[0].messages(), "id": "d0", "source": "made", "origin": "0",
    }  # fmt: skip
    array = json.loads((tmp_path / "train.sharegpt.json").read_text())
    assert array[4]["conversations"][1] == {"from": "gpt", "value": train[4].answer}
    assert json.loads((tmp_path / "heldout.sharegpt.json").read_text()) == []
    table = parquet.read_table(tmp_path / "data/train.parquet").to_pylist()
    assert [Dialogue(**row) for row in table] == train
    saved = datasets.load_from_disk(str(tmp_path / "dataset"))
    assert {split: len(rows) for split, rows in saved.items()} == {"train": 5, "heldout": 0}
    assert [Dialogue(**row) for row in saved["train"]] == train


def test_a_cached_answer_is_not_taken_for_another_sets(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    prints = []
    for number in (1, 2, 1):
        sets = write_sets(tmp_path, [dialogue(number)], [])
        write_outputs(*sets, tmp_path, ["datasets"])
        saved = datasets.load_from_disk(str(tmp_path / "dataset"))
        prints.append(saved["train"]._fingerprint)
    assert prints[0] != prints[1]
    assert prints[0] == prints[2]


def test_large_sets_are_written_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyarrow import parquet

    sets = write_sets(tmp_path, [dialogue(number, words=50) for number in range(10, 35)], [])
    monkeypatch.setattr(outputs, "BLOCK_ROWS", 10)
    write_outputs(*sets, tmp_path, ["parquet"])
    assert parquet.ParquetFile(tmp_path / "data/train.parquet").num_row_groups == 3
    monkeypatch.setattr(outputs, "BLOCK_CHARACTERS", 1000)
    write_outputs(*sets, tmp_path, ["parquet"])
    assert parquet.ParquetFile(tmp_path / "data/train.parquet").num_row_groups == 13


@pytest.mark.parametrize("kind", ["messages", "sharegpt"])
def test_memory_does_not_grow_with_the_set(kind: str, tmp_path: Path) -> None:
    def many(count: int) -> Iterator[Dialogue]:
        return (dialogue(number, words=100) for number in range(count))

    peaks = []
    for count in (200, 2000):
        write_dialogues(tmp_path / "train.jsonl", many(count))
        write_dialogues(tmp_path / "heldout.jsonl", [])
        tracemalloc.start()
        write_outputs(tmp_path / "train.jsonl", tmp_path / "heldout.jsonl", tmp_path, [kind])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] + 200_000


def test_a_broken_line_is_named_and_nothing_half_written_stays(tmp_path: Path) -> None:
    train, heldout = write_sets(tmp_path, [dialogue(0)], [])
    train.write_text(train.read_text() + '{"id": "x"}\n')
    for kind in WRITERS:
        with pytest.raises(UserError, match=r"train\.jsonl, line 2"):
            write_outputs(train, heldout, tmp_path, [kind])
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert not {path for path in left if "train." in path} - {"train.jsonl"}
    assert not (tmp_path / "dataset").exists()
    assert list(read_dialogues(heldout)) == []
