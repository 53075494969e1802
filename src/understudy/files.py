"""Reading and writing files: atomic writes, JSON lines with line numbers in errors, digests."""

import errno
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from understudy.errors import UserError

RecordT = TypeVar("RecordT", bound=BaseModel)

HARDLY_ANY_ROOM = 1 << 20  # bytes
PIECE = 1 << 16  # bytes read at a time
MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "Zstandard"}
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@contextmanager
def atomic_write(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file that appears under `path` whole or not at all.

    The content goes to a hidden neighbour, is synced to disk and renamed into place on a clean
    exit; on an exception the neighbour is removed and an earlier `path` stays as it was.

    Raises:
        UserError: the disk is full or the folder may not be written to.
    """
    path = Path(path)
    neighbour = path.with_name(f".{path.name}.{os.getpid()}.part")
    encoding = None if "b" in mode else "utf-8"
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(neighbour, mode, encoding=encoding) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(neighbour, path)
    except BaseException:
        neighbour.unlink(missing_ok=True)
        raise


def sweep(folder: Path) -> None:
    """Remove what a killed `atomic_write` left in a folder that nobody writes in now."""
    for path in folder.rglob(".*.part"):
        if path.is_file():
            path.unlink()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn refusals to write `path` that a user can mend into a UserError.

    Libraries that write by themselves hide a full disk in exceptions of their own; so whatever
    fails while there is hardly any room is put down to that.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        code = error.errno if isinstance(error, OSError) else None
        if code is None and _room(path) < HARDLY_ANY_ROOM:
            code = errno.ENOSPC
        raise _explain(code, path) or error from error


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into, which takes the place of `folder` once all is written.

    Raises:
        UserError: see `writing`.
    """
    part = folder.with_name(f".{folder.name}.part")
    try:
        with writing(folder):
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            yield part
            shutil.rmtree(folder, ignore_errors=True)
            part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _room(path: Path) -> int:
    """Free bytes on the disk of `path`, which need not exist."""
    there = next(folder for folder in path.absolute().parents if folder.exists())
    return shutil.disk_usage(there).free


def _explain(code: int | None, path: Path) -> UserError | None:
    if code in (errno.ENOSPC, errno.EDQUOT):
        return UserError(f"{path}: the disk is full; free some space and run the command again")
    if code in (errno.EACCES, errno.EROFS, errno.EPERM):
        return UserError(f"{path}: may not be written to; choose another folder with --out")
    return None


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, which may be packed; see `open_text`."""
    try:
        with open_text(path) as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; convert the file") from error


def write_text(path: Path, text: str) -> None:
    """Write `text` atomically."""
    with atomic_write(path) as file:
        file.write(text)


def read_json(path: Path) -> Any:
    """Parse one JSON file; a UserError names the line of a fault."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {error.lineno}: broken JSON ({error.msg})") from error


def write_json(path: Path, value: Any) -> None:
    """Write `value` atomically as indented JSON in a fixed layout."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_jsonl(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield (line number from 1, parsed value) for every line of a JSONL file that is not blank.

    See `whole_characters` for what becomes of characters that UTF-8 cannot hold.

    Raises:
        UserError: the file is missing, or a line does not parse; names file and line.
    """
    with open_text(path) as file:
        try:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    value = json.loads(line)
                except json.JSONDecodeError as error:
                    raise UserError(
                        f"{path}, line {number}: broken JSON ({error.msg}); mend or remove the line"
                    ) from error
                # Only an escape can bring half a pair into a file that is UTF-8.
                yield number, whole_characters(value) if _SURROGATE.search(line) else value
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: not UTF-8 text; convert the file") from error


def validated(kind: type[RecordT], value: Any, place: str, whole: str = "record") -> RecordT:
    """A value read from a file, as a record of a kind.

    Args:
        kind: which.
        value: as JSON.
        place: the file and the record, for messages.
        whole: what the record is called where no part of it alone is at fault.

    Raises:
        UserError: it is none; names the place and the part.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"]) or whole
        raise UserError(f"{place}: {where}: {fault['msg']}; mend it") from None


def whole_characters(value: Any) -> Any:
    """A JSON value in which half of a surrogate pair, which UTF-8 cannot hold, is "?"."""
    try:
        (value if isinstance(value, str) else canonical_json(value)).encode()
    except UnicodeEncodeError:
        return json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
    return value


def write_jsonl(path: Path, rows: Iterable[Any]) -> int:
    """Write `rows` atomically, one JSON value a line; returns how many there were."""
    count = 0
    with atomic_write(path) as file:
        for count, row in enumerate(rows, start=1):  # noqa: B007
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return count


@contextmanager
def open_bytes(path: Path) -> Iterator[BufferedReader]:
    """Open a file as it lies on the disk.

    Raises:
        UserError: there is no such file, or it is a folder.
    """
    try:
        with open(path, "rb") as file:
            yield file
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise UserError(f"{path}: is a folder, not a file; name a file in it") from error


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """Open a UTF-8 file, unpacked where its content is packed by gzip or Zstandard.

    Raises:
        UserError: there is no such file, it is a folder or is cut or damaged.
    """
    path = Path(path)
    with open_bytes(path) as file:
        kind = "gzip" if path.suffix == ".gz" else packing(file)
        try:
            with io.TextIOWrapper(unpacked(file, kind), encoding="utf-8") as text:
                yield text
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise UserError(f"{path}: not a whole {kind} file; fetch it again") from error


def packing(file: BufferedReader) -> str | None:
    """What a stream is packed by, "gzip" or "Zstandard", as its first bytes say; None: nothing."""
    magic = file.peek(4)[:4]
    return next((kind for mark, kind in MAGIC.items() if magic.startswith(mark)), None)


def unpacked(file: BufferedReader, kind: str | None) -> BufferedReader:
    """The unpacked content of a stream, which fails with EOFError where it is cut.

    Other damage to gzip raises gzip.BadGzipFile or zlib.error.
    """
    if kind == "gzip":
        return cast(BufferedReader, gzip.GzipFile(fileobj=file))
    if kind == "Zstandard":
        return BufferedReader(_Zstandard(file), PIECE)
    return file


class _Zstandard(io.RawIOBase):
    """Frames of Zstandard. Unlike the package's own reader it notices where a file is cut.

    Windows may be as large as the format allows, since public archives use that. It is fed little
    at a time: 4 bytes can stand for 128 KiB, so a step gives at most STEP / 4 times as much.
    """

    STEP = 1 << 9

    def __init__(self, file: BufferedReader) -> None:
        import zstandard

        self._start = zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj
        self._damage = zstandard.ZstdError
        self._file, self._frame = file, self._start()
        self._begun, self._packed, self._ready = False, b"", memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        while not self._ready:
            self._packed = self._packed or self._file.read(self.STEP)
            if not self._packed:
                if self._begun:
                    raise EOFError("ends within a frame")
                return 0
            try:
                self._ready = memoryview(self._frame.decompress(self._packed))
            except self._damage as error:
                raise EOFError(f"damaged: {error}") from error
            self._begun, self._packed = True, b""
            if self._frame.eof:
                self._packed = self._frame.unused_data
                self._begun, self._frame = False, self._start()
        size = min(len(into), len(self._ready))
        into[:size], self._ready = self._ready[:size], self._ready[size:]
        return size


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values have equal text."""
    return _CANONICAL.encode(value)


def digest(value: Any) -> str:
    """SHA-256 (hex) of a JSON value's canonical form."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes, or of the names and digests of all files in a folder."""
    path = Path(path)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return digest([[str(file.relative_to(path)), file_digest(file)] for file in files])
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; check the path") from error
