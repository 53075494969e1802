"""How records lie in files: every container, packed or not, whole, cut or hostile."""

import csv
import gzip
import io
import json
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest
import zstandard

from understudy.curate import containers, row, window
from understudy.curate.records import rows
from understudy.curate.row import DEEPEST, BrokenError, Row, content, parsed
from understudy.errors import UserError
from understudy.files import open_text

RECORDS = [{"a": 'x"\\\n', "b": [1, {"c": "é😀" * 40}]}, 12345, "text", None, [], {"d": -1.5e3}]
TABLE = [{"a": 'x,"\n;', "b": "é"}, {"a": "2", "b": ""}]


def zipped(*files: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return buffer.getvalue()


def parquet(records: list[dict[str, Any]], **how: Any) -> bytes:
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), buffer, **how)
    return buffer.getvalue()


def csv_text(records: list[dict[str, str]], delimiter: str = ",") -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(records[0]), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return buffer.getvalue()


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstandard": zstandard.ZstdCompressor(write_checksum=True).compress,
    "zip": lambda data: zipped(("inner", data)),
    "gzip in zip": lambda data: zipped(("inner", gzip.compress(data))),
}


def found(source: Path | bytes, folder: Path | None = None) -> list[tuple[int, Any]]:
    """(position, record or why there is none); rows go to another process first."""
    if isinstance(source, bytes):
        assert folder
        source, data = folder / "no_suffix", source
        source.write_bytes(data)
    return [(r.position, told(r)) for r in pickle.loads(pickle.dumps(list(rows(source))))]


def told(r: Row) -> Any:
    try:
        return content(r)
    except BrokenError as error:
        return f"! {error}"


@pytest.fixture(params=[3, 50, 1 << 16])
def _piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "PIECE", request.param)


# Whole files


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.usefixtures("_piece")
def test_array(tmp_path: Path, packing: str, indent: int | None) -> None:
    data = ("\ufeff\n " + json.dumps(RECORDS, indent=indent) + "\n").encode()
    assert found(PACKINGS[packing](data), tmp_path) == list(enumerate(RECORDS, start=1))


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.usefixtures("_piece")
def test_lines_and_their_numbers(tmp_path: Path, packing: str) -> None:
    data = '\ufeff{"a": 1}\n\n{"a": "é"}\r\n \n"x"'.encode()
    assert found(PACKINGS[packing](data), tmp_path) == [(1, {"a": 1}), (3, {"a": "é"}), (5, "x")]


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.usefixtures("_piece")
def test_csv(tmp_path: Path, packing: str, delimiter: str) -> None:
    data = csv_text(TABLE, delimiter).encode("utf-8-sig")
    assert found(PACKINGS[packing](data), tmp_path) == [(2, TABLE[0]), (4, TABLE[1])]


@pytest.mark.parametrize("packing", PACKINGS)
def test_parquet(tmp_path: Path, packing: str) -> None:
    data = PACKINGS[packing](parquet(TABLE, row_group_size=1))
    assert found(data, tmp_path) == list(enumerate(TABLE, start=1))


def test_cells_that_json_cannot_hold(tmp_path: Path) -> None:
    data = parquet([{"d": date(2023, 5, 1), "b": b"123", "f": float("nan"), "l": [{"x": 1.5}]}])
    assert found(data, tmp_path) == [
        (1, {"d": "2023-05-01", "b": "3 bytes", "f": None, "l": [{"x": 1.5}]})
    ]


def test_all_members_of_a_zip(tmp_path: Path) -> None:
    path = tmp_path / "set"
    lines = b'{"a": 1}\n{"a": 2}\n'
    path.write_bytes(
        zipped(
            ("one.jsonl", lines),
            ("folder/", b""),
            ("__MACOSX/one.jsonl", b"\0\0\0"),
            ("two.parquet", parquet(TABLE)),
            ("picture", b"\0\1\2" * 9),
            ("cut.parquet", parquet(TABLE)[:-9]),
        )
    )
    read = [(r.member, r.position, told(r)) for r in rows(path)]
    assert read[:4] == [
        ("one.jsonl", 1, {"a": 1}),
        ("one.jsonl", 2, {"a": 2}),
        ("two.parquet", 1, TABLE[0]),
        ("two.parquet", 2, TABLE[1]),
    ]
    assert [(member, position) for member, position, _ in read[4:]] == [
        ("picture", 1),
        ("cut.parquet", 1),
    ]
    assert "neither JSON" in read[4][2]
    assert "not a whole Parquet file" in read[5][2]


def test_a_saved_set_and_its_splits(tmp_path: Path) -> None:
    table = datasets.Dataset.from_list(TABLE)
    table.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": table, "test": table}).save_to_disk(tmp_path / "both")
    assert found(tmp_path / "one") == list(enumerate(TABLE, start=1))
    assert [(r.member, r.position, r.value) for r in rows(tmp_path / "both")] == [
        (split, number, cells)
        for split in ("train", "test")
        for number, cells in enumerate(TABLE, start=1)
    ]


def test_the_hub_is_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(name: str, split: str, streaming: bool) -> Iterator[dict[str, str]]:
        assert (name, split, streaming) == ("some/set", "test", True)
        yield from TABLE * 20
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    read = rows("hub:some/set:test")
    assert [next(read).value for _ in range(40)] == TABLE * 20
    with pytest.raises(UserError, match="no network"):
        next(read)


# Which container


@pytest.mark.parametrize(
    ("text", "records"),
    [
        ("", []),
        (" \n", []),
        ("[]", []),
        ("[ \n]", []),
        ('{"a": 1}', [{"a": 1}]),
        ('{\n "a": 1\n}\n{\n "a": [2,\n{}]}', [{"a": 1}, {"a": [2, {}]}]),
        ('{"data": [{"a": 1}, {"a": 2}]}', [{"a": 1}, {"a": 2}]),
        ('{\n"v": "1", "rows": [\n{"a": 1},\n{"a": 2}\n],\n"n": 2}\n', [{"a": 1}, {"a": 2}]),
        ('{"guild": {"id": "1"}, "messages": [{"author": {}}], "n": 1}', [{"author": {}}]),
        ('{"messages": [{"role": "user"}]}', [{"messages": [{"role": "user"}]}]),
        ('{"id": 1,\n"data": ["q", "a"]}', [{"id": 1, "data": ["q", "a"]}]),
        ('{"data": []}', [{"data": []}]),
        ('{"data": [{"a": 1}]}\n{"data": [{"a": 2}]}', [{"data": [{"a": n}]} for n in (1, 2)]),
        ("17\nnull\n", [17, None]),
        ('{"a": NaN, "b": -Infinity}', [{"a": None, "b": None}]),
    ],
)
def test_containers_of_json_are_told_apart(tmp_path: Path, text: str, records: list[Any]) -> None:
    assert [record for _, record in found(text.encode(), tmp_path)] == records


def test_objects_and_headers_longer_than_the_look_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containers, "PIECE", 10)
    monkeypatch.setattr(containers, "HEAD", 30)
    record = {"a": "x" * 50, "b": [{}]}
    assert found(json.dumps(record, indent=1).encode() * 2, tmp_path) == [(1, record), (2, record)]
    assert found((json.dumps(record) + "\n").encode() * 2, tmp_path) == [(1, record), (2, record)]
    assert found(json.dumps([record, 2]).encode(), tmp_path) == [(1, record), (2, 2)]


# What cannot be read


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"a": 1}\n{broken\n{"a": 3}\n', [(1, {"a": 1}), (2, "broken JSON"), (3, {"a": 3})]),
        (b'{"a": \n{"a": 2}\n', [(1, "broken JSON"), (2, {"a": 2})]),
        (b'{"a": 1\n"b": 2}\n{"a": 3}', [(1, "broken"), (2, "broken"), (3, {"a": 3})]),
        (b'oh, no\n{"a": 2}\n', [(1, "broken JSON"), (2, {"a": 2})]),
        (b'{"a": "\xe9"}\n{"a": 2}\n', [(1, "not UTF-8"), (2, {"a": 2})]),
        (b'[{"a": "\xe9"},\n{"a": 2}]', [(1, "not UTF-8"), (2, {"a": 2})]),
        (b'[\n{"a": 1},\n{"a": }\n,3]', [(1, {"a": 1}), (2, "line 3: broken JSON")]),
        (b'[\n{"a": 1}\n{"a": 2}\n]', [(1, {"a": 1}), (2, "line 3: broken JSON (expected ']')")]),
        (b'[\n1,\n{"a": "cut', [(1, 1), (2, "line 3: broken JSON (Unterminated")]),
        (b"[\n1,\n", [(1, 1), (2, "line 3: broken JSON")]),
        (b"[\n1,\n]", [(1, 1), (2, "line 3: broken JSON")]),
        (b"[1,\n2]\n3", [(1, 1), (2, 2), (3, "line 3: broken JSON (more text after the end")]),
        (b"[\n1,\nnul", [(1, 1), (2, "line 3: broken JSON")]),
        (b'{"data": [{"a": 1}], "n"', [(1, {"a": 1}), (2, "line 1: broken JSON")]),
        (b'{\n"a": 1}\n{\n"a"', [(1, {"a": 1}), (2, "line 4: broken JSON")]),
        (b"[" * 200_000, [(1, "nested too deep")]),
        (b"[[" + b"9" * 5000 + b"]]", [(1, "a number too long")]),
        (b"1\n" + b"[" * 200_000, [(1, 1), (2, "nested too deep")]),
        (b"1\n" + b"[" * 150 + b"]" * 150, [(1, 1), (2, "nested more than 100 levels")]),
        (b"a,b\n1,2\n1,2,3\n3,4\n", [(2, {"a": "1", "b": "2"}), (3, "3 cells under 2"), (4, ...)]),
        (b'a,b\n"1"x,2\n3,4\n', [(2, "broken CSV"), (3, {"a": "3", "b": "4"})]),
        (b"a,b\n1,\xe9\n3,4\n", [(2, "not UTF-8"), (3, {"a": "3", "b": "4"})]),
        (b'a,b\n1,2\n3,"4\n', [(2, {"a": "1", "b": "2"}), (3, "broken CSV")]),
    ],
)
@pytest.mark.usefixtures("_piece")
def test_faults_leave_the_rest_readable(
    tmp_path: Path, text: bytes, expected: list[tuple[int, Any]]
) -> None:
    read = found(text, tmp_path)
    assert [position for position, _ in read] == [position for position, _ in expected]
    for (_, record), (_, wanted) in zip(read, expected, strict=True):
        if isinstance(wanted, str):
            assert record.startswith("! ")
            assert wanted in record
        elif wanted is not ...:
            assert record == wanted


def test_faulty_rows_show_what_lies_there(tmp_path: Path) -> None:
    path = tmp_path / "set"
    path.write_bytes(b'[1, {"a": \xff ' + b"x" * 30_000)
    _, fault = rows(path)
    assert fault.text is not None
    assert fault.text.startswith('{"a": \ufffd x')
    assert len(fault.text) == row.SHOWN


@pytest.mark.parametrize("packing", ["gzip", "zstandard"])
@pytest.mark.parametrize("form", ["lines", "array", "csv"])
def test_a_cut_file_is_read_up_to_the_cut(tmp_path: Path, packing: str, form: str) -> None:
    records = [{"a": str(hash((n, n))), "b": "é" * (n % 50)} for n in range(20_000)]
    text = {
        "lines": "\n".join(map(json.dumps, records)),
        "array": json.dumps(records),
        "csv": csv_text(records),
    }[form]
    data = PACKINGS[packing](text.encode())
    read = found(data[: len(data) // 2], tmp_path)
    assert len(read) > 1000
    assert [record for _, record in read[:-1]] == records[: len(read) - 1]
    assert read[-1][0] == read[-2][0] + 1
    assert f"not a whole {packing.replace('z', 'Z', packing[0] == 'z')} file" in read[-1][1]


def test_damage_within_a_packed_file_is_noticed(tmp_path: Path) -> None:
    for packing in ("gzip", "zstandard", "zip"):
        data = bytearray(PACKINGS[packing](b'{"a": 1}\n' * 1000))
        data[len(data) // 2 if packing != "zip" else 45] ^= 0x55
        try:
            read = found(bytes(data), tmp_path)
        except UserError:
            continue
        assert read[-1][1].startswith("! not a whole"), packing


def test_a_zip_with_a_password_says_so(tmp_path: Path) -> None:
    data = bytearray(zipped(("a", b"{}")))
    for header, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(header) + at] |= 1
    ((position, why),) = found(bytes(data), tmp_path)
    assert (position, "password" in why) == (1, True)


def test_lines_and_values_that_are_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (containers, window):
        monkeypatch.setattr(module, "LONGEST", 1000)
    monkeypatch.setattr(containers, "PIECE", 300)
    monkeypatch.setattr(containers, "HEAD", 100)
    long = '{"a": "' + "x" * 3000 + '"}'
    assert [p for p, _ in found(f"1\n{long}\n3\n{long}".encode(), tmp_path)] == [1, 2, 3, 4]
    lines = [record for _, record in found(f"1\n{long}\n3\n{long}".encode(), tmp_path)]
    assert (lines[0], lines[2]) == (1, 3)
    assert all(lines[at].startswith("! a line of more than") for at in (1, 3))
    array = found(f'[1, "{long[8:]}'.encode(), tmp_path)
    assert array[0] == (1, 1)
    assert "a value of more than" in array[1][1]
    cells = found(b'a,b\n1,2\n"' + b"x\n" * 3000 + b'",2\n', tmp_path)
    assert cells[0] == (2, {"a": "1", "b": "2"})
    assert cells[1][1].startswith("! ")


def test_a_bomb_is_read_in_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "LONGEST", 1 << 20)
    bomb = zstandard.compress(b'{"a": "' + b"0" * (1 << 27))
    assert len(bomb) < 10_000
    tracemalloc.start()
    try:
        ((position, why),) = found(zipped(("a", bomb)), tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (position, why) == (1, "! a line of more than 64 MiB")
    assert peak < 48 << 20  # one step of Zstandard's can give 16 MiB


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    record = json.dumps({"a": "x" * 1000})
    for form, text in {
        "lines": f"{record}\n" * 20_000,
        "array": "[" + ",\n".join([record] * 20_000) + "]",
        "list": '{"n": 1, "data": [' + ",\n".join([record] * 20_000) + "]}",
    }.items():
        path = tmp_path / form
        path.write_text(text)
        tracemalloc.start()
        try:
            assert sum(1 for _ in rows(path)) == 20_000
            assert tracemalloc.get_traced_memory()[1] < 3 << 20, form
        finally:
            tracemalloc.stop()


def test_nesting_up_to_the_limit_is_read() -> None:
    text = "[" * DEEPEST + "]" * DEEPEST
    assert parsed(text) == json.loads(text)
    with pytest.raises(BrokenError):
        parsed(f"[{text}]")
    braces = json.dumps(["{[" * 500])
    assert parsed(braces) == ["{[" * 500]


def test_half_a_surrogate_pair_can_be_written_again(tmp_path: Path) -> None:
    data = rb'[{"a": "x\ud83d", "b": "\ud83d\ude00"}]'
    assert found(data, tmp_path) == [(1, {"a": "x?", "b": "😀"})]


@pytest.mark.parametrize(
    "data",
    [
        b"Plain prose.\nAnd more of it.\n",
        '{"a": 1}\n'.encode("utf-16"),
        b"\x89PNG\r\n\0\0\0\rIHDR" + bytes(50),
        b"PAR1 and nothing more",
        gzip.compress(b'{"a": 1}')[:8],
        zstandard.compress(b'{"a": 1}')[:6],
        zipped(("a", b"{}"))[:40],
    ],
    ids=["prose", "utf-16", "png", "parquet", "cut gzip", "cut zstandard", "cut zip"],
)
def test_what_is_no_data_is_a_users_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "thing"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"thing: (neither|not a whole)") as caught:
        list(rows(path))
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_a_users_error(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none", "no such file"), (tmp_path, "not a data set")):
        with pytest.raises(UserError, match=why):
            list(rows(path))


@pytest.mark.parametrize("packing", ["gzip", "zstandard"])
def test_text_is_unpacked_by_its_content(tmp_path: Path, packing: str) -> None:
    path = tmp_path / "text"
    data = PACKINGS[packing]("é\nb".encode())
    path.write_bytes(data)
    with open_text(path) as file:
        assert list(file) == ["é\n", "b"]
    path.write_bytes(data[:-3])
    with pytest.raises(UserError, match=r"(?i)not a whole gzip|zstandard"), open_text(path) as file:
        file.read()


def test_zstandard_frames_follow_each_other(tmp_path: Path) -> None:
    skippable = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"meta"
    first, second = (zstandard.compress(text) for text in (b'{"a": 1}\n' * 9999, b'{"a": 2}\n'))
    read = found(first + skippable + second, tmp_path)
    assert (len(read), read[-1]) == (10_000, (10_000, {"a": 2}))
