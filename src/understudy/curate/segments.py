"""What curation leaves on disk on the way: segments of dialogues with all that is decided on.

Records are prepared a segment at a time. A segment is `N.jsonl`, two lines a dialogue (what is
known of it, then its content), and `N.npz`, columns of numbers, written last. Decisions on the
whole set are made from the columns, at some 60 bytes a dialogue; texts stay on disk, where an
offset finds them.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from understudy.dialogue import Dialogue
from understudy.files import atomic_write, read_json, write_json

COLUMNS = {
    "fit": "bool",  # whether nothing bars it so far
    "id": "uint64",  # hash of the id
    "prompt": "uint64",
    "source": "int32",  # the number of its file
    "turns": "int32",
    "answer": "int64",  # characters of the assistant's turns
    "tokens": "int64",
    "offset": "int64",  # of its lines in the segment's file
}
Header = dict[str, Any]


@dataclass(frozen=True)
class Unit:
    """A dialogue (a part of one, where it was split) or what was read in place of one.

    Attributes:
        header: file (its number), position, member, id, format, edits; reason and detail where it
            is dropped; hits where it touches a benchmark; teacher and licence; spoken, on disk:
            whether the content is a dialogue.
        content: the dialogue, or the raw record where there is none.
        key: 16 bytes by which equal ones are known.
        numbers: the columns.
    """

    header: Header
    content: Dialogue | Any
    key: bytes
    numbers: dict[str, int]


def id_hash(id: str) -> int:
    """64 bits of an id."""
    return int.from_bytes(hashlib.blake2b(id.encode(), digest_size=8).digest(), "little")


class Segments:
    """The segments in a folder, which belong to one set of inputs and settings."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        mark = folder / "key.json"
        if not mark.exists() or read_json(mark) != key:
            shutil.rmtree(folder, ignore_errors=True)
            write_json(mark, key)

    def has(self, number: int) -> bool:
        """Whether a segment is complete."""
        return self._path(number, "npz").exists()

    def write(self, number: int, units: Sequence[Unit], signatures: np.ndarray | None) -> None:
        """Write a segment; `signatures` has a row a unit."""
        offsets = []
        with atomic_write(self._path(number, "jsonl"), "wb") as file:
            for unit in units:
                offsets.append(file.tell())
                content, spoken = unit.content, isinstance(unit.content, Dialogue)
                file.write(_line(unit.header | {"spoken": spoken}))
                file.write(_line(content.model_dump(exclude_none=True) if spoken else content))
        columns: dict[str, Any] = {
            name: np.array([unit.numbers.get(name, 0) for unit in units], dtype=kind)
            for name, kind in COLUMNS.items()
            if name != "offset"
        }
        keys = np.frombuffer(b"".join(unit.key for unit in units), "<u8").reshape(-1, 2)
        columns |= {"offset": np.array(offsets, dtype="int64"), "key": keys}
        if signatures is not None:
            columns["signature"] = signatures
        with atomic_write(self._path(number, "npz"), "wb") as file:
            np.savez(file, **columns)

    def read(self, number: int) -> Iterator[tuple[Header, bytes]]:
        """Each unit's header and its content as a line of JSON without its end."""
        with open(self._path(number, "jsonl"), "rb") as file:
            for header in file:
                yield json.loads(header), next(file).rstrip(b"\n")

    def columns(self, number: int, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Some of a segment's columns; the others are not read."""
        with np.load(self._path(number, "npz")) as found:
            return {name: found[name] for name in names}

    def at(self, number: int, offsets: Sequence[int]) -> Iterator[tuple[Header, Any]]:
        """Header and content of the units at these offsets of a segment, in their order."""
        with open(self._path(number, "jsonl"), "rb") as file:
            for offset in offsets:
                file.seek(offset)
                yield json.loads(file.readline()), json.loads(file.readline())

    def remove(self) -> None:
        shutil.rmtree(self.folder)

    def _path(self, number: int, kind: str) -> Path:
        return self.folder / f"{number:06d}.{kind}"


def _line(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(errors="replace") + b"\n"
