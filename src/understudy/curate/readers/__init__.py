"""Formats of conversations, found by content.

A reader is a module with `NAME`, `TERMS` (what is known of the licence and the teacher's terms),
`LICENCE` (as the Hub writes it; None where it depends), `sniff(record)` and `read(record,
context)`. To add a format, write one and name it in `READERS`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from understudy.curate.readers import (
    alpaca,
    alpaca_eval,
    dialogues,
    discord,
    dolly,
    fastchat,
    gpt4all,
    hc3,
    koala,
    messages,
    openassistant,
    reddit,
    self_instruct,
    sharegpt,
    table,
    webgpt,
)
from understudy.curate.records import Context, UnreadableError, name, name_of, rows
from understudy.curate.row import BrokenError, Row, content, shown
from understudy.dialogue import Dialogue, record_digest


class Reader(Protocol):
    """What a format's module offers."""

    NAME: str
    TERMS: str
    LICENCE: str | None

    def sniff(self, record: dict[str, Any]) -> bool:
        """Whether the record is in this format, well-formed or not."""
        ...

    def read(self, record: dict[str, Any], context: Context) -> Dialogue:
        """The record's dialogue; UnreadableError where there is none in it."""
        ...


# The first that knows a record reads it; those with names of their own come first.
READERS: tuple[Reader, ...] = (
    fastchat,
    openassistant,
    sharegpt,
    messages,
    dialogues,
    discord,
    reddit,
    koala,
    webgpt,
    hc3,
    self_instruct,
    alpaca_eval,
    dolly,
    alpaca,
    gpt4all,
    table,
)
TERMS = {reader.NAME: reader.TERMS for reader in READERS}


@dataclass(frozen=True)
class Record:
    """One record of a file: its dialogue, or why there is none.

    `position` is its line in JSONL and CSV and its place (from 1) in an array or a table, `member`
    the file in a zip or the split of a data set; `format` is the reader's name, None where no
    reader knows the record; `reason` one of
    - `broken`: not what its container promises (no JSON, no UTF-8, cut, too large);
    - `unknown`: in none of the known formats;
    - `unreadable`: of a known format, without a dialogue that can be read;
    - `no_answer`: of a known format, a question or message that is not answered within it.
    """

    position: int
    raw: Any
    id: str
    format: str | None
    dialogue: Dialogue | None
    reason: str | None = None
    detail: str = ""
    member: str = ""


def read_file(source: Path | str) -> Iterator[Record]:
    """Yield every record of a data set, readable or not; see `rows`.

    Raises:
        UserError: the source is missing or no data set.
    """
    called = name_of(source)
    return (read_row(row, called) for row in rows(source))


def read_row(row: Row, source: str) -> Record:
    """The record of a row of the data set called `source`."""
    member = f"/{row.member}" if row.member else ""
    place = f"{source}{member}:{row.position}"

    def unread(raw: Any, id: str, format: str | None, reason: str, detail: str) -> Record:
        return Record(row.position, raw, id, format, None, reason, detail, row.member)

    try:
        raw = content(row)
    except BrokenError as error:
        return unread(shown(row.text), place, None, "broken", str(error))
    fields = raw if isinstance(raw, dict) else {}
    reader = next((reader for reader in READERS if reader.sniff(fields)), None)
    if reader is None:
        return unread(raw, name(fields.get("id")) or place, None, "unknown", UNKNOWN)
    context = Context(source, place, record_digest(raw), reader.LICENCE, row.asked)
    try:
        dialogue = reader.read(fields, context)
    except UnreadableError as error:
        return unread(raw, context.id_for(fields), reader.NAME, error.reason, str(error))
    return Record(row.position, raw, dialogue.id, reader.NAME, dialogue, member=row.member)


UNKNOWN = f"none of the known formats ({', '.join(TERMS)})"
