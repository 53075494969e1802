"""Records become dialogues that are clean, checked and measured: the work that workers share."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    as_completed,
    wait,
)
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain
from multiprocessing import get_context, parent_process
from typing import Any

import numpy as np

from understudy.curate.clean import Cleaner
from understudy.curate.decontaminate import Contamination, Hit, Item
from understudy.curate.dedupe import compared_text, dialogue_key, prompt_key
from understudy.curate.minhash import signatures
from understudy.curate.readers import read_row
from understudy.curate.records import Row
from understudy.curate.segments import Header, Segments, Unit, id_hash
from understudy.curate.shingles import shingles, words
from understudy.dialogue import Dialogue
from understudy.recipe import CurateSettings

SEGMENT = 2000  # rows
SEGMENT_BYTES = 1 << 24  # characters of rows after which a segment is closed early
NO_KEY = bytes(16)
AHEAD = 2  # segments that wait for each worker

Numbered = tuple[int, Row]  # a file's number and one of its rows


class Preparer:
    """Turns rows into units and writes them.

    Args:
        sources: the files' names.
        settings: the recipe's, with a tokenizer where tokens are to be counted.
        items: of the benchmarks that the set is checked against.
        segments: where to write.
    """

    def __init__(
        self,
        sources: Sequence[str],
        settings: CurateSettings,
        items: Sequence[Item],
        segments: Segments,
    ) -> None:
        self.sources, self.settings, self.segments = sources, settings, segments
        self.items = items
        self.cleaner = Cleaner(settings.clean, settings.context, settings.tokenizer)
        self.contamination = Contamination(items) if items else None

    def write(self, number: int, rows: Sequence[Numbered]) -> None:
        """Prepare a segment."""
        units = [unit for file, row in rows for unit in self._read(file, row)]
        self._check(units)
        near = self.settings.duplicates.near is not None
        self.segments.write(number, units, self._signatures(units) if near else None)

    def _read(self, file: int, row: Row) -> Iterator[Unit]:
        """The units of one row: one, or several where a long dialogue is split."""
        record = read_row(row, self.sources[file])
        place = {"file": file, "position": record.position, "member": record.member}
        header: Header = place | {"id": record.id, "format": record.format}
        if record.dialogue is None:
            yield _barred(header, record.raw, record.reason or "unreadable", record.detail)
            return
        cleaned = self.cleaner.clean(record.dialogue)
        header |= {"edits": dict(cleaned.edits)}
        if cleaned.reason:
            yield _barred(header, record.dialogue, cleaned.reason, cleaned.detail)
            return
        tokens = cleaned.tokens or [0] * len(cleaned.parts)
        for part, count in zip(cleaned.parts, tokens, strict=True):
            yield self._unit(header | {"id": part.id}, part, count, file)
            header["edits"] = {}  # counted once a row
        for pair in cleaned.left_out:
            detail = "one question and answer of it are longer than the context"
            yield _barred(header | {"id": pair.id}, pair, "over_long", detail)

    def _unit(self, header: Header, dialogue: Dialogue, tokens: int, file: int) -> Unit:
        header |= {"teacher": dialogue.teacher, "licence": dialogue.licence}
        numbers = {
            "fit": True,
            "id": id_hash(dialogue.id),
            "prompt": prompt_key(dialogue),
            "source": file,
            "turns": len(dialogue.turns),
            "answer": sum(len(t.content) for t in dialogue.turns if t.role == "assistant"),
            "tokens": tokens,
        }
        key = dialogue_key(dialogue, self.settings.duplicates.of)
        return Unit(header, dialogue, key, numbers)

    def _check(self, units: list[Unit]) -> None:
        """Note where units touch a benchmark, and bar them if hits are to be dropped."""
        if self.contamination is None:
            return
        places = [place for place, unit in enumerate(units) if unit.numbers["fit"]]
        found = self.contamination.hits([units[place].content for place in places])
        for place, hits in zip(places, found, strict=True):
            if hits:
                unit = units[place]
                unit.header["hits"] = [asdict(hit) for hit in hits]
                if self.settings.contamination.action == "drop":
                    detail = _touched(hits)
                    units[place] = _barred(unit.header, unit.content, "contaminated", detail)

    def _signatures(self, units: list[Unit]) -> np.ndarray:
        of = self.settings.duplicates.of
        texts = [compared_text(u.content, of) if u.numbers["fit"] else "" for u in units]
        return signatures(shingles(words(texts)))


def _barred(header: Header, content: object, reason: str, detail: str) -> Unit:
    numbers = {"fit": False, "id": id_hash(header["id"]), "source": header["file"]}
    return Unit(header | {"reason": reason, "detail": detail}, content, NO_KEY, numbers)


def _touched(hits: Sequence[Hit]) -> str:
    first = hits[0]
    more = f" and {len(hits) - 1} more" if len(hits) > 1 else ""
    return f"{first.rule} of {first.benchmark} {first.item}{more}, in turn {first.turn}"


# Segments and workers


def segmented(rows: Iterator[Numbered]) -> Iterator[list[Numbered]]:
    """The rows in segments, whose borders depend on the rows alone."""
    batch: list[Numbered] = []
    size = 0
    for numbered in rows:
        batch.append(numbered)
        row = numbered[1]
        size += len(repr(row.value)) if row.text is None else len(row.text)
        if len(batch) == SEGMENT or size > SEGMENT_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def prepare(
    preparer: Preparer, parts: Iterator[list[Numbered]], workers: int
) -> Iterator[tuple[int, int]]:
    """Write every segment that is not there yet; yields (number, rows) of each when it is done.

    Rows are read here and in order, no further ahead than the workers can soon take. Workers'
    processes take a second to come up, so a set of one segment is prepared here.
    """
    first, second = next(parts, []), next(parts, [])
    numbered = enumerate(part for part in chain([first, second], parts) if part)
    if not second or workers < 2:
        for number, rows in numbered:
            if not preparer.segments.has(number):
                preparer.write(number, rows)
            yield number, len(rows)
        return
    with _pool(preparer, workers) as pool:
        waiting: set[Future[tuple[int, int]]] = set()
        for number, rows in numbered:
            if preparer.segments.has(number):
                yield number, len(rows)
                continue
            waiting.add(pool.submit(_work, number, rows))
            if len(waiting) > AHEAD * workers:
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in finished)
        for future in as_completed(waiting):
            yield future.result()


@contextmanager
def _pool(preparer: Preparer, workers: int) -> Iterator[ProcessPoolExecutor]:
    """Workers that know what the preparer knows; what they have not begun is dropped on errors.

    They are spawned: a fork of a process in which torch has threads may hang.
    """
    known = (preparer.sources, preparer.settings, preparer.items, preparer.segments)
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin, known)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


_here: Preparer | None = None


def _begin(*known: Any) -> None:
    """Set a worker up: it leaves Ctrl-C to its parent, and ends when its parent is no more."""
    global _here
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _here = Preparer(*known)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(number: int, rows: list[Numbered]) -> tuple[int, int]:
    assert _here is not None
    _here.write(number, rows)
    return number, len(rows)
