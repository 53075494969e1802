"""Where a benchmark's rows come from: files as published, or the hub's copies."""

import csv
import glob
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from understudy.errors import UserError
from understudy.evaluate.benchmarks.declaration import Declaration, Hub
from understudy.files import open_text, read_json, read_jsonl, whole_characters


@dataclass(frozen=True)
class Row:
    """A row as it was read, and where it stands, for errors; `group` where its file has one."""

    place: str
    columns: Mapping[str, Any]
    group: str | None = None


class Source(Protocol):
    """Where rows come from."""

    @property
    def fields(self) -> Mapping[str, str]:
        """What a row says, in terms of its columns."""
        ...

    def has(self, split: str) -> bool:
        """Whether the split is there."""
        ...

    def where(self, split: str) -> str:
        """The split's place, for errors."""
        ...

    def rows(self, split: str) -> list[Row]:
        """All rows of a split.

        Raises:
            UserError: there are none, or a file is broken; names file and row.
        """
        ...


@dataclass(frozen=True)
class Files:
    """Files in a folder."""

    folder: Path
    declared: Declaration

    @property
    def fields(self) -> Mapping[str, str]:
        return _columns(self.declared) | self.declared.fields

    def has(self, split: str) -> bool:
        return bool(self._found(split))

    def where(self, split: str) -> str:
        return str(self.folder / self.declared.files[split][0])

    def rows(self, split: str) -> list[Row]:
        found = self._found(split)
        if not found:
            raise UserError(
                f"{self.where(split)}: no such file; fetch it, or leave {self.declared.name} out"
            )
        return [row for path, group in found for row in self._read(path, group)]

    def _found(self, split: str) -> list[tuple[Path, str | None]]:
        """The split's files and their groups: those of the first pattern that any file has."""
        for pattern in self.declared.files[split]:
            anywhere = glob.escape(str(self.folder)) + "/" + pattern.replace("{group}", "*")
            name, marked, end = pattern.rpartition("/")[2].partition("{group}")
            paths = [Path(path) for path in sorted(glob.glob(anywhere))]
            if paths:
                return [
                    (path, path.name[len(name) : len(path.name) - len(end)] if marked else None)
                    for path in paths
                ]
        return []

    def _read(self, path: Path, group: str | None) -> list[Row]:
        suffix = Path(path.name.removesuffix(".gz").removesuffix(".zst")).suffix
        readers = {".jsonl": self._jsonl, ".json": self._json, ".csv": self._csv, ".tsv": self._csv}
        if suffix not in readers:
            raise UserError(f"{path}: not a {', '.join(readers)} file; convert it")
        try:
            rows = [Row(f"{path}, {at}", row, group) for at, row in readers[suffix](path)]
        except UserError as error:
            if isinstance(error.__cause__, UnicodeDecodeError):
                _text(path)  # says which line
            raise
        for row in rows:
            if not isinstance(row.columns, dict):
                raise UserError(f"{row.place}: not an object with named values; mend or remove it")
        if not rows:
            raise UserError(f"{path}: holds no items; fetch it again")
        return rows

    def _jsonl(self, path: Path) -> Iterator[tuple[str, Any]]:
        return ((f"line {number}", row) for number, row in read_jsonl(path))

    def _json(self, path: Path) -> Iterator[tuple[str, Any]]:
        content = whole_characters(read_json(path))
        key = self.declared.rows
        rows = content.get(key) if key and isinstance(content, dict) else content
        if not isinstance(rows, list):
            raise UserError(f"{path}: no list of rows{f' under {key}' if key else ''}; mend it")
        return ((f"item {number}", row) for number, row in enumerate(rows, start=1))

    def _csv(self, path: Path) -> Iterator[tuple[str, Any]]:
        text = io.StringIO(_text(path).removeprefix("\ufeff"), newline="")
        lines = csv.reader(text, delimiter="\t" if ".tsv" in path.suffixes else ",")
        columns, number = self.declared.columns, 0
        try:
            for number, line in enumerate(lines, start=1):
                if columns is None:
                    columns = line
                elif len(line) == len(columns):
                    yield f"row {number}", dict(zip(columns, line, strict=True))
                elif line:
                    raise UserError(
                        f"{path}, row {number}: {len(line)} columns; {len(columns)} are expected: "
                        f"{', '.join(columns)[:200]}"
                    )
        except csv.Error as error:
            raise UserError(f"{path}, row {number + 1}: broken CSV ({error}); mend it") from None


@dataclass(frozen=True)
class FromHub:
    """The hub's copy, through the optional package `datasets`."""

    hub: Hub
    declared: Declaration

    @property
    def fields(self) -> Mapping[str, str]:
        return _columns(self.declared) | self.declared.fields | self.hub.fields

    def has(self, split: str) -> bool:
        return True

    def where(self, split: str) -> str:
        return f"{self.hub.name} ({self.hub.splits.get(split, split)})"

    def rows(self, split: str) -> list[Row]:
        rows = hub_rows(self.hub.name, self.hub.config, self.hub.splits.get(split, split))
        place = self.where(split)
        if not rows:
            raise UserError(f"{place}: holds no items; name a folder of its files with --data")
        return [Row(f"{place}, row {number}", row) for number, row in enumerate(rows, start=1)]


def _columns(declared: Declaration) -> dict[str, str]:
    """The needed fields, each read from the column of its name unless it has a default."""
    return {name: name for name in declared.needs} | dict(declared.defaults)


def hub_rows(name: str, config: str | None, split: str) -> list[dict[str, Any]]:
    """The rows of a split of a hub data set.

    Raises:
        UserError: `datasets` is not installed, or the hub cannot be reached.
    """
    mend = "name a folder of the published files with --data (evaluate.data in a recipe)"
    try:
        load = import_module("datasets").load_dataset
    except ImportError:
        raise UserError(
            f"{name}: the hub's copies need the package datasets; install it, or {mend}"
        ) from None
    try:
        return list(load(name, config, split=split))
    except Exception as error:  # whatever the network, the hub or its cache raise
        reason = (str(error).strip() or repr(error)).splitlines()[0][:200]
        raise UserError(f"{name}: cannot be had from the hub ({reason}); {mend}") from error


def _text(path: Path) -> str:
    """The text of a file, line breaks as they are; an error names the line that is not UTF-8."""
    try:
        with open_text(path) as file:
            cast(io.TextIOWrapper, file).reconfigure(newline="")
            return file.read()
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}: not UTF-8 text; convert the file") from error
