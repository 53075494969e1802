"""Whatever is done to records and files: nothing crashes and no record gets lost."""

import gzip
import json
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from curate.samples import SAMPLES, discord
from curate.test_records import csv_text, parquet, zipped
from understudy.curate.readers import Record, read_file, read_row, rows
from understudy.curate.stage import curate
from understudy.dialogue import Dialogue
from understudy.errors import UserError
from understudy.files import read_jsonl
from understudy.recipe import CurateSettings

BATCH = 20  # records a file
FILES, SLOW_FILES = 100, 1000  # 2,000 records, and 20,000 with --slow
REASONS = {"broken", "unknown", "unreadable", "no_answer"}
WHOLE = [record for sample in SAMPLES.values() for record in sample.records]
JOINED = [SAMPLES[name].records for name in ("discord", "reddit", "rows of a tree")]
STRANGE: list[Any] = [
    None, True, -1, 2**70, 1e999, float("nan"), "", " ", "\ud800", "\x00", "é" * 3, [], {}, [[]],
    [None], [{}], [{"role": 1}], {"id": []}, ["text"], "[deleted]", "assistant", {"isBot": True},
]  # fmt: skip


def mutated(value: Any, chance: random.Random) -> Any:
    """The value with something in it swapped, removed, added, nested deep or made huge."""
    if chance.random() < 0.25 or not isinstance(value, dict | list) or not value:
        kind = chance.random()
        if kind < 0.06:
            depth = chance.choice([50, 101, 300])
            return json.loads("[" * depth + "]" * depth)
        if kind < 0.1:
            return "ab{[\n" * chance.choice([1000, 20_000])
        return chance.choice(STRANGE)
    if isinstance(value, list):
        at = chance.randrange(len(value))
        if chance.random() < 0.2:
            return value[:at] + value[at + 1 :]
        if chance.random() < 0.1:
            return value * 3
        return [*value[:at], mutated(value[at], chance), *value[at + 1 :]]
    key = chance.choice(list(value))
    rest = {other: inner for other, inner in value.items() if other != key}
    if chance.random() < 0.3:
        return rest
    if chance.random() < 0.2:
        return rest | {chance.choice(list(chance.choice(WHOLE))): value[key]}
    return value | {key: mutated(value[key], chance)}


def records(chance: random.Random) -> list[Any]:
    """A file's records, of which two in three are mutated; at times those of a joined format."""
    pool = chance.choice([WHOLE, WHOLE, *JOINED])
    chosen = [chance.choice(pool) for _ in range(BATCH)]
    return [mutated(record, chance) if chance.random() < 0.67 else record for record in chosen]


def lines(found: list[Any]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in found).encode()


def array(found: list[Any]) -> bytes:
    return json.dumps(found, indent=1).encode()


def wrapped(found: list[Any]) -> bytes:
    whole = {"name": "x", "messages": [discord("0", "first"), *found]}
    return json.dumps(whole).encode()


def cells(found: list[Any]) -> bytes:
    texts = [json.dumps(record) for record in found]
    return csv_text([{"prompt": text, "response": text[::-1]} for text in texts]).encode()


def table(found: list[Any]) -> bytes:
    return parquet([{"prompt": str(record).encode(errors="replace")} for record in found])


FORMS: list[tuple[Callable[[list[Any]], bytes], int]] = [
    (lines, BATCH),
    (array, BATCH),
    (wrapped, BATCH + 1),
    (cells, BATCH),
    (table, BATCH),
]
PACKINGS: list[Callable[[bytes], bytes]] = [
    bytes,
    gzip.compress,
    zstandard.compress,
    lambda data: zipped(("a", data)),
]


def damaged(data: bytes, chance: random.Random) -> bytes:
    """The bytes with some overwritten, or cut off, or with some put in."""
    at = chance.randrange(len(data))
    kind = chance.random()
    if kind < 0.4:
        return data[:at]
    odd = chance.choice([b"\xff", b"\xe9\x80", b"\0", b'"', b"{", b"]", b"\n", b",", b"9" * 5000])
    return data[:at] + odd + data[at + (len(odd) if kind < 0.7 else 0) :]


def check(record: Record) -> None:
    """It is a dialogue or says why not, and can be handed on and written."""
    assert (record.dialogue is None) == (record.reason in REASONS) == bool(record.detail)
    assert record.reason or isinstance(record.dialogue, Dialogue)
    json.dumps([record.raw, record.id, record.detail], ensure_ascii=False).encode()
    if record.dialogue:
        record.dialogue.model_dump_json().encode()
    pickle.dumps(record)


def is_flat_tree(found: list[Any]) -> bool:
    keys = {"message_tree_id", "message_id", "parent_id"}
    return any(isinstance(record, dict) and keys <= record.keys() for record in found)


def one_file(path: Path, seed: int) -> int:
    """Read a file made from a seed, in three states; the records that there were."""
    chance = random.Random(seed)
    found = records(chance)
    form, count = chance.choice(FORMS)
    pack = chance.choice(PACKINGS)
    data = form(found)

    path.write_bytes(pack(data))
    read = list(read_file(path))
    for record in read:
        check(record)
    assert [read_row(pickle.loads(pickle.dumps(row)), path.name).id for row in rows(path)] == [
        record.id for record in read
    ]
    if is_flat_tree(found) and form is not cells and form is not table:
        assert 0 < len(read) <= count
    else:
        assert len(read) == count
        assert [record.position for record in read] == sorted({r.position for r in read})

    broken = damaged(data, chance)
    path.write_bytes(pack(broken))
    assert_no_crash(path)
    if form is lines and not is_flat_tree(found) and broken.lstrip().startswith(b"{"):
        there = [n for n, line in enumerate(broken.split(b"\n"), start=1) if line.strip()]
        assert [row.position for row in rows(path)] == there

    path.write_bytes(damaged(pack(data), chance))
    assert_no_crash(path)
    return len(found)


def assert_no_crash(path: Path) -> None:
    found: list[Record] = []
    try:
        found.extend(read_file(path))
    except UserError as error:
        what = str(error)
    else:
        what = f"{path}: read"
    for record in found:
        check(record)
    assert what.startswith(f"{path}: ")
    assert "\n" not in what


def test_nothing_crashes_and_nothing_is_lost(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    files = SLOW_FILES if request.config.getoption("--slow") else FILES
    count = 0
    for seed in range(files):
        try:
            count += one_file(tmp_path / "data", seed)
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
    assert count == files * BATCH


def test_the_whole_stage_accounts_for_mutated_records(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    count = 20_000 if request.config.getoption("--slow") else 600
    chance = random.Random(7)
    # Rows of a tree become one record, so they would not count as they are.
    pool = [r for name, sample in SAMPLES.items() if "tree" not in name for r in sample.records]
    drawn = [chance.choice(pool) for _ in range(count)]
    found = [mutated(record, chance) if chance.random() < 0.67 else record for record in drawn]
    (tmp_path / "data").write_bytes(lines(found))
    counts = curate([tmp_path / "data"], CurateSettings(), tmp_path / "out", 0)
    dropped = [row for _, row in read_jsonl(tmp_path / "out" / "dropped.jsonl")]
    assert counts["read"] == len(found) == counts["kept"] + len(dropped)
    assert counts["kept"] > 0
    assert {row["record"] for row in dropped} <= set(range(1, len(found) + 1))


def test_a_cut_packed_file_gives_all_before_the_cut(tmp_path: Path) -> None:
    chance = random.Random(0)
    found = [{"prompt": chance.randbytes(200).hex(), "response": "x"} for _ in range(2000)]
    for pack in PACKINGS[1:3]:
        data = pack(lines(found))
        for _ in range(5):
            (tmp_path / "data").write_bytes(data[: chance.randrange(len(data) // 2, len(data))])
            *whole, last = read_file(tmp_path / "data")
            assert [record.raw for record in whole] == found[: len(whole)]
            assert (last.reason, last.position) == ("broken", len(whole) + 1)
            assert len(whole) > 100
