"""Rows out of files: JSON lines and arrays, CSV, Parquet, `datasets` folders, the hub, zip.

Packing and container are found by content, never by name. Files are streamed, so that one larger
than memory can be read, and nothing in them is trusted: what cannot be read becomes a row with a
fault, and reading goes on after it where it can. How formats look is not known here.
"""

import codecs
import csv
import lzma
import math
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, cast

from understudy.curate.row import DECODER, LONGEST, BrokenError, Row, is_utf8, shown
from understudy.curate.window import Window
from understudy.errors import UserError
from understudy.files import PIECE, open_bytes, packing, unpacked
from understudy.prompts import HUB, hub_rows, optional_package, parquet_rows, saved_sets

HEAD = 1 << 18  # bytes by which a container is told
TRIED = 100  # lines of these
MOST_SPOOLED = 16 << 30  # bytes of a packed Parquet file, which cannot be streamed
BATCH = 256  # rows of a saved set
LISTS = ("data", "rows", "records", "examples", "messages")  # where an object holds its records
TURN = {"role", "from"}  # what such a list's objects have if they are turns of one record
PARQUET = b"PAR1"
TOO_LONG = f"a line of more than {LONGEST >> 20} MiB"
NOTHING = "neither JSON, CSV, Parquet nor a packed file of these; convert it"


def parts(source: Path | str) -> Iterator[Iterator[Row]]:
    """The rows of a file or data set by its parts: files of a zip, splits, else a single one.

    Each part has to be read before the next is asked for.

    Args:
        source: a file; a folder that `datasets` saved; or hub:NAME or hub:NAME:SPLIT.

    Raises:
        UserError: it is missing or no data set, or nothing in it can be read as any container.
    """
    path = Path(source)
    if str(source).startswith(HUB):
        yield (Row(number, value=_plain(cells)) for number, cells in hub_rows(str(source)))
    elif path.is_dir():
        for split, table in saved_sets(path).items():
            yield _saved(table, split)
    else:
        with open_bytes(path) as file:
            if file.peek(4).startswith((b"PK\3\4", b"PK\5\6")):
                yield from _members(path, file)
            else:
                yield _top(path, file)


def _top(path: Path, file: BufferedReader) -> Iterator[Row]:
    try:
        yield from _file(file, str(path))
    except BrokenError as error:
        raise UserError(f"{path}: {error}") from error


# Packed files


def _members(path: Path, file: BufferedReader) -> Iterator[Iterator[Row]]:
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise UserError(f"{path}: not a whole zip file ({error}); fetch it again") from error
    with archive:
        for member in archive.infolist():
            # Macs put a second, invisible file beside each.
            if not member.is_dir() and not member.filename.startswith("__MACOSX/"):
                yield _member(archive, member)


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[Row]:
    name = member.filename[:200]
    try:
        file = archive.open(member)
    except (zipfile.BadZipFile, RuntimeError, ValueError, OSError) as error:
        yield Row(1, name, fault=f"cannot be taken out of the zip file ({error})")
        return
    with file:
        try:
            yield from _file(cast(BufferedReader, file), name, name)
        except BrokenError as error:
            yield Row(1, name, fault=str(error))


def _pieces(file: BufferedReader) -> Iterator[bytes]:
    """The unpacked content of a stream. BrokenError where it is cut or damaged."""
    kind = None
    try:
        kind = packing(file)
        stream = unpacked(file, kind)
        while piece := stream.read1(PIECE):
            yield piece
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk's fault
            raise
        raise BrokenError(f"not a whole {kind or 'zip'} file ({error})") from error


def _ahead(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, and all of them. BrokenError where there are none to be had."""
    taken: list[bytes] = []
    size, broken = 0, None
    try:
        while size < HEAD and (piece := next(pieces, b"")):
            taken.append(piece)
            size += len(piece)
    except BrokenError as error:
        if not size:
            raise
        broken = error
    head = b"".join(taken).removeprefix(codecs.BOM_UTF8)

    def again() -> Iterator[bytes]:
        yield head
        if broken:
            raise broken
        yield from pieces

    return head, again()


# What kind of container


def _file(file: BufferedReader, name: str, member: str = "") -> Iterator[Row]:
    """The rows of one file, packed or not. BrokenError if nothing in it can be read."""
    packed = member or packing(file)
    head, pieces = _ahead(_pieces(file))
    if head.startswith(PARQUET):
        return _packed_parquet(pieces, name, member) if packed else _parquet(file, name, member)
    if head.count(b"\0") * 20 > len(head):  # as in programs, pictures and UTF-16
        raise BrokenError(NOTHING)
    text = head.decode(errors="replace").lstrip()
    first, _, rest = text.partition("\n")
    if text.startswith("[") and not (rest.strip() and _is_json(first)):
        window = Window(pieces)
        return _json(window, window.array(), member)
    if text.startswith("{"):
        return _objects(text, pieces, member)
    if delimiter := _delimiter(text):
        return _csv(pieces, delimiter, member)
    if text and not any(map(_is_json, text.split("\n", TRIED)[:TRIED])):
        raise BrokenError(NOTHING)
    return _lines_of_json(pieces, member)


def _objects(text: str, pieces: Iterator[bytes], member: str) -> Iterator[Row]:
    """The rows of a file that starts with "{": lines, one list within, or objects over lines."""
    first, _, rest = text.partition("\n")
    window = Window(pieces)
    if rest.lstrip().startswith("{") and not first.rstrip().endswith(("[", ",", ":")):
        return _lines_of_json(pieces, member)
    if key := Window(iter([text.encode()])).key_of_list(LISTS, TURN):
        return _json(window, window.list_under(key), member)
    if rest.strip() and not _is_json(first) and _spans_lines(text):
        return _json(window, window.values(), member)
    return _lines_of_json(pieces, member)


def _spans_lines(text: str) -> bool:
    """Whether the object at the start goes over lines, rather than that the first is broken."""
    try:
        Window(iter([text.encode()])).value()
    except BrokenError:
        lines = text.split("\n", TRIED)[:TRIED]
        return not any(line.startswith("{") and _is_json(line) for line in lines)
    return True


def _delimiter(text: str) -> str | None:
    """What divides the cells of CSV; None where the first line is no header of several columns."""
    first, _, rest = text.partition("\n")
    if _is_json(first) or rest.lstrip().startswith('{"'):
        return None
    delimiter = max(",\t;", key=first.count)
    try:
        cells = next(csv.reader([first], delimiter=delimiter), [])
    except csv.Error:
        return None
    return delimiter if len(cells) > 1 else None


def _is_json(line: str) -> bool:
    try:
        DECODER.decode(line)
    except (ValueError, RecursionError):
        return False
    return True


# Text


def _json(window: Window, texts: Iterator[str], member: str) -> Iterator[Row]:
    """A row for every text; what cannot be read and all after it is one with a fault."""
    position = 0
    try:
        for position, text in enumerate(texts, start=1):
            yield Row(position, member, text)
    except BrokenError as error:
        yield Row(position + 1, member, shown(window.rest()), fault=str(error))


def _lines_of_json(pieces: Iterator[bytes], member: str) -> Iterator[Row]:
    """A row for every line that is not blank."""
    for position, (line, fault) in enumerate(_lines(pieces), start=1):
        if fault:
            yield Row(position, member, shown(line), fault=fault)
        elif line and not line.isspace():
            yield Row(position, member, line.decode("utf-8", "surrogateescape"))


def _lines(pieces: Iterator[bytes]) -> Iterator[tuple[bytes, str | None]]:
    """Lines without their ends, and what is wrong with them: too long, or cut with the file.

    Of a line that is too long the beginning is held, and no more.
    """
    begun: list[bytes] = []
    size = 0
    try:
        for piece in pieces:
            *ended, rest = piece.split(b"\n")
            if ended:
                size += len(ended[0])
                yield b"".join((*begun, ended[0])), TOO_LONG if size > LONGEST else None
                for line in ended[1:]:
                    yield line, None
                begun, size = [], 0
            size += len(rest)
            if rest and size <= LONGEST:
                begun.append(rest)
    except BrokenError as error:
        yield b"".join(begun), str(error)
    else:
        yield b"".join(begun), TOO_LONG if size > LONGEST else None


def _csv(pieces: Iterator[bytes], delimiter: str, member: str) -> Iterator[Row]:
    """A row for every one under the header; one that does not fit it has a fault."""
    pending = 0

    def lines() -> Iterator[str]:
        nonlocal pending
        for line, fault in _lines(pieces):
            pending += len(line)
            if fault or pending > LONGEST:
                raise BrokenError(fault or f"a row of more than {LONGEST >> 20} MiB")
            yield line.decode("utf-8", "surrogateescape") + "\n"

    rows = csv.reader(lines(), delimiter=delimiter, strict=True)
    header: list[str] = []
    while True:
        position, pending = rows.line_num + 1, 0
        usual = csv.field_size_limit(LONGEST)  # the process's, so only lent
        try:
            cells, fault, over = next(rows, None), "", False
        except csv.Error as error:
            cells, fault, over = None, f"broken CSV ({error})", False
        except BrokenError as error:
            cells, fault, over = None, str(error), True
        finally:
            csv.field_size_limit(usual)
        if fault:
            yield Row(position, member, fault=fault)
        if over or (cells is None and not fault):
            return
        if cells is None:
            continue
        if not header:
            header = [name.strip() for name in cells]
        elif cells:
            yield _csv_row(position, member, header, cells)


def _csv_row(position: int, member: str, header: list[str], cells: list[str]) -> Row:
    text = "\t".join(cells)
    if not is_utf8(text):
        return Row(position, member, shown(text), fault="not UTF-8 text")
    if len(cells) != len(header):
        fault = f"{len(cells)} cells under {len(header)} columns"
        return Row(position, member, shown(text), fault=fault)
    return Row(position, member, value=dict(zip(header, cells, strict=True)))


# Tables


def _parquet(file: IO[bytes], name: str, member: str) -> Iterator[Row]:
    optional_package("pyarrow.parquet", name)
    file.seek(0)
    position = 0
    try:
        for position, cells in parquet_rows(file, name):
            yield Row(position, member, value=_plain(cells))
    except UserError as error:
        what = str(error).removeprefix(f"{name}: ")
        if not position:
            raise BrokenError(what) from error
        yield Row(position + 1, member, fault=what)


def _packed_parquet(pieces: Iterable[bytes], name: str, member: str) -> Iterator[Row]:
    """The same of a packed file, by way of a temporary one, since Parquet is read from its end."""
    size = 0
    with tempfile.TemporaryFile() as file:
        for piece in pieces:
            size += len(piece)
            if size > MOST_SPOOLED:
                raise BrokenError(
                    f"more than {MOST_SPOOLED >> 30} GiB of packed Parquet; unpack it"
                )
            file.write(piece)
        yield from _parquet(file, name, member)


def _saved(table: Any, split: str) -> Iterator[Row]:
    batches = table.with_format("arrow").iter(BATCH)
    rows = (row for batch in batches for row in batch.to_pylist())
    return (Row(number, split, value=_plain(cells)) for number, cells in enumerate(rows, start=1))


def _plain(value: Any) -> Any:
    """A cell as JSON would hold it: bytes are counted, dates and the like are texts."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value)
