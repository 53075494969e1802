"""Formats of conversations, found by content.

A reader is a module with `NAME`, `TERMS` (what is known of the licence and the teacher's terms),
`sniff(record)` and `read(record, context)`. To add a format, write one and name it in `READERS`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from understudy.curate.readers import alpaca, dialogues, messages, sharegpt
from understudy.curate.records import Context, UnreadableError, read_records
from understudy.dialogue import Dialogue, record_digest


class Reader(Protocol):
    """What a format's module offers."""

    NAME: str
    TERMS: str

    def sniff(self, record: dict[str, Any]) -> bool:
        """Whether the record is in this format, well-formed or not."""
        ...

    def read(self, record: dict[str, Any], context: Context) -> Dialogue:
        """The record's dialogue; UnreadableError where there is none in it."""
        ...


READERS: tuple[Reader, ...] = (dialogues, sharegpt, messages, alpaca)
TERMS = {reader.NAME: reader.TERMS for reader in READERS}


@dataclass(frozen=True)
class Record:
    """One record of a file: its dialogue, or why there is none.

    `position` is its line in a JSONL file and its place (from 1) in a JSON array; `format` is the
    reader's name, None where no reader knows the record.
    """

    position: int
    raw: Any
    id: str
    format: str | None
    dialogue: Dialogue | None
    reason: str | None = None
    detail: str = ""


def read_file(path: Path) -> Iterator[Record]:
    """Yield every record of a file, readable or not.

    Raises:
        UserError: the file is missing or its JSON is broken; names file and line.
    """
    path = Path(path)
    for position, raw in read_records(path):
        yield _read(raw, Context(path.name, position, record_digest(raw)))


def _read(raw: Any, context: Context) -> Record:
    fields = raw if isinstance(raw, dict) else {}
    id = context.id_for(fields)
    reader = next((reader for reader in READERS if reader.sniff(fields)), None)
    name = reader.NAME if reader else None
    try:
        if reader is None:
            known = ", ".join(TERMS)
            raise UnreadableError(f"none of the known formats ({known})")
        dialogue = reader.read(fields, context)
    except UnreadableError as error:
        return Record(context.position, raw, id, name, None, "unreadable", str(error))
    return Record(context.position, raw, dialogue.id, name, dialogue)
