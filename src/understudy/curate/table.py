"""All that is decided on, one row a dialogue, in a few numbers each."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from understudy.curate.near import let_go
from understudy.curate.segments import COLUMNS, Header, Segments, id_hash
from understudy.dialogue import Dialogue

REASONS = ("", "duplicate", "near_duplicate", "unknown_to_base", "over_budget")


class Table:
    """The columns of all segments under each other, and what is decided on every row.

    Attributes:
        column: by name (`segments.COLUMNS`), shape (rows,); `key` has shape (rows, 2).
        alive: whether a row is still in the set, shape (rows,).
        reason: index in REASONS of what took a row out here, shape (rows,).
        like: the row that stays in its place where that is a copy, else -1, shape (rows,).
        likeness: of the two, shape (rows,).
        unknown: whether a base was found not to know what a row says, shape (rows,).
    """

    def __init__(self, segments: Segments, count: int) -> None:
        self.segments, self.count = segments, count
        nothing = {name: np.empty(0, kind) for name, kind in COLUMNS.items()}
        nothing["key"] = np.empty((0, 2), dtype=np.uint64)
        parts = [segments.columns(number, nothing) for number in range(count)]
        self.starts = np.cumsum([0, *(len(part["fit"]) for part in parts)])
        self.column = {
            name: np.concatenate([none, *(part[name] for part in parts)])
            for name, none in nothing.items()
        }
        self.alive = self.column["fit"].copy()
        self.reason = np.zeros(len(self), dtype=np.uint8)
        self.like = np.full(len(self), -1, dtype=np.int64)
        self.likeness = np.zeros(len(self), dtype=np.float32)
        self.unknown = np.zeros(len(self), dtype=bool)
        ids, first = np.unique(self.column["id"], return_index=True)
        self._ids = ids
        self._repeats = np.ones(len(self), dtype=bool)
        self._repeats[first] = False

    def __len__(self) -> int:
        return int(self.starts[-1])

    def rows(self) -> np.ndarray:
        """The rows that are still in the set."""
        return np.flatnonzero(self.alive)

    def drop(self, rows: np.ndarray, reason: str) -> None:
        """Take rows out."""
        self.alive[rows] = False
        self.reason[rows] = REASONS.index(reason)

    def drop_copies(
        self, rows: np.ndarray, copy_of: np.ndarray, likeness: np.ndarray | float, reason: str
    ) -> None:
        """Take out those of `rows` that are copies.

        Args:
            rows: the rows compared.
            copy_of: for each the place in `rows` of the one that stays, -1 where it stays itself.
            likeness: for each, or one for all.
            reason: for all.
        """
        copies = copy_of >= 0
        self.like[rows[copies]] = rows[copy_of[copies]]
        self.likeness[rows[copies]] = np.broadcast_to(likeness, copy_of.shape)[copies]
        self.drop(rows[copies], reason)

    def final_id(self, row: int, header: Header) -> str:
        """The id of a row: its own, with its place before it where an earlier row has the same."""
        id = str(header["id"])
        if not self._repeats[row]:
            return id
        place = [header["file"] + 1, header["member"], header["position"]]
        prefix = ":".join(str(part) for part in place if part != "")
        while (at := np.searchsorted(self._ids, id_hash(id))) < len(self._ids):
            if self._ids[at] != id_hash(id):
                break
            id = f"{prefix}:{id}"
        return id

    def signatures(self, rows: np.ndarray, path: Path) -> np.ndarray:
        """The MinHash signatures of these rows (ascending), in a file of that name."""
        found: np.ndarray | None = None
        at = 0
        for number in range(self.count):
            first, last = np.searchsorted(rows, self.starts[number : number + 2])
            if first == last:
                continue
            part = self.segments.columns(number, ["signature"])["signature"]
            if found is None:
                shape = (len(rows), part.shape[1])
                found = np.lib.format.open_memmap(path, "w+", part.dtype, shape)
            found[at : at + last - first] = part[rows[first:last] - self.starts[number]]
            at += last - first
            let_go(found)
        return np.empty((0, 1), dtype=np.uint32) if found is None else found

    def units(self, rows: np.ndarray) -> Iterator[tuple[Header, Any]]:
        """Header and content of these rows, in the order of `rows`."""
        homes = np.searchsorted(self.starts, rows, side="right") - 1
        borders = [0, *(np.flatnonzero(np.diff(homes)) + 1), len(rows)]
        for first, last in pairwise(borders):
            if first < last:
                offsets = self.column["offset"][rows[first:last]]
                yield from self.segments.at(int(homes[first]), offsets.tolist())

    def dialogues(self, rows: np.ndarray) -> Iterator[Dialogue]:
        """The dialogues of these rows under their final ids, in the order of `rows`."""
        for row, (header, content) in zip(rows.tolist(), self.units(rows), strict=True):
            yield Dialogue.model_validate(content | {"id": self.final_id(row, header)})

    def texts(self, text: Callable[[Dialogue], str]) -> Callable[[np.ndarray], list[str]]:
        """A function that gives the texts of rows, read from disk in the order they lie there."""

        def read(rows: np.ndarray) -> list[str]:
            order = np.argsort(rows, kind="stable")
            found = [""] * len(rows)
            for place, dialogue in zip(order, self.dialogues(rows[order]), strict=True):
                found[place] = text(dialogue)
            return found

        return read
