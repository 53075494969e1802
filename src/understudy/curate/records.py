"""Rows of raw files, and what readers say of the records in them.

A reader (one file a format, in `readers/`) turns a record into a Dialogue. How records lie in files
is known to `containers` alone, and which of them belong together to `joins`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understudy.curate.containers import parts
from understudy.curate.joins import joined
from understudy.curate.row import Row
from understudy.dialogue import Dialogue, Role, Turn
from understudy.prompts import HUB

LONGEST_NAME = 1000  # characters of ids, models and licences; a longer one names nothing
TEACHERS = ("teacher", "model", "generator")
LICENCES = ("licence", "license")


def rows(source: Path | str) -> Iterator[Row]:
    """Yield the records of a data set one by one, in little memory; none is parsed if it can wait.

    Args:
        source: a file (JSON lines, a JSON array, an object with one, CSV or Parquet; plain, gzip,
            Zstandard or in a zip), a folder that `datasets` saved, or hub:NAME[:SPLIT].

    Raises:
        UserError: it is missing or no data set, or nothing in it can be read as any container.
    """
    for part in parts(source):
        yield from joined(part)


def name_of(source: Path | str) -> str:
    """What a data set is called: its file's name, or hub:NAME as it is."""
    return str(source) if str(source).startswith(HUB) else Path(source).name


class UnreadableError(Exception):
    """A record of a known format that holds no readable dialogue; the text says why."""

    reason = "unreadable"


class NoAnswerError(UnreadableError):
    """A record that holds a question alone."""

    reason = "no_answer"


@dataclass(frozen=True)
class Context:
    """Where a record lies.

    Attributes:
        source: the file's name.
        place: file, member and position, the id of a record that has none.
        origin: the record's digest.
        licence: the format's, where it is certain.
        asked: the text that the record answers, where another record holds it.
    """

    source: str
    place: str
    origin: str
    licence: str | None
    asked: str | None = None

    def dialogue(
        self,
        record: dict[str, Any],
        turns: Iterable[tuple[Role, str]],
        teacher: str | None = None,
        id: Any = None,
        extra: str = "",
    ) -> Dialogue:
        """A dialogue with the provenance that the record states itself, or else its place.

        Args:
            turns: roles and texts.
            teacher: where the format tells it.
            id: the record's, where it is not under "id".
            extra: what the first turn's text ends with, where the record keeps it apart.
        """
        said = [Turn(role=role, content=content) for role, content in turns]
        if extra.strip():
            said[0] = said[0].model_copy(update={"input": extra})
        return Dialogue(
            id=name(id) or self.id_for(record),
            turns=said,
            source=self.source,
            teacher=teacher or first_name(record, TEACHERS),
            licence=first_name(record, LICENCES) or self.licence,
            origin=self.origin,
        )

    def id_for(self, record: dict[str, Any]) -> str:
        """The record's own id, or its place where it has none."""
        return name(record.get("id")) or self.place


def name(value: Any) -> str | None:
    """A value that can serve as a name: a whole number, or a text that is not too long."""
    if isinstance(value, str):
        return value if 0 < len(value) <= LONGEST_NAME else None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def first_name(record: dict[str, Any], keys: Iterable[str]) -> str | None:
    """The first text under one of `keys` that can serve as a name."""
    for key in keys:
        value = record.get(key)
        if isinstance(value, str) and 0 < len(value) <= LONGEST_NAME:
            return value
    return None


def text_at(record: dict[str, Any], key: str) -> str:
    """The text under `key`.

    Raises:
        UnreadableError: there is no such key, or it does not hold text.
    """
    if key not in record:
        raise UnreadableError(f"no {key}")
    if not isinstance(record[key], str):
        raise UnreadableError(f"{key} is not text but {type(record[key]).__name__}")
    return str(record[key])


def objects_at(record: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The list of objects under `key`.

    Raises:
        UnreadableError: it is no list, or holds something other than objects.
    """
    found = record.get(key)
    if not isinstance(found, list) or not all(isinstance(part, dict) for part in found):
        raise UnreadableError(f"{key} is not a list of objects")
    return found


def with_input(instruction: str, extra: str) -> str:
    """An instruction and, after a blank line, what it is about, if anything: one user turn."""
    return f"{instruction}\n\n{extra}" if extra.strip() else instruction


def pair(question: str, answer: str) -> list[tuple[Role, str]]:
    """The turns of one question and one answer."""
    return [("user", question), ("assistant", answer)]


def carried(record: dict[str, Any], dialogue: Dialogue) -> Dialogue:
    """The dialogue with the provenance of ours that a record of another form carries.

    It is what `understudy` writes beside the turns: `source`, `origin` (null where there is none)
    and `cut`; id, teacher and licence are taken from every record.
    """
    changes: dict[str, Any] = {"source": first_name(record, ["source"]) or dialogue.source}
    if "origin" in record and (record["origin"] is None or name(record["origin"])):
        changes["origin"] = name(record["origin"])
    return dialogue.model_copy(update=changes | {"cut": record.get("cut") is True})
