"""Every unit goes where was decided: the sets, or dropped.jsonl with its reason; and is counted."""

import json
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from understudy.curate.decontaminate import hit_row
from understudy.curate.segments import Header
from understudy.curate.table import REASONS, Table
from understudy.files import atomic_write
from understudy.progress import progress

DROPPED, TRAIN, HELDOUT = 0, 1, 2


class Tally:
    """What became of the units, counted as they are dealt."""

    def __init__(self, sources: list[str]) -> None:
        self.dropped: Counter[str] = Counter()
        self.edits: Counter[str] = Counter()
        self.teachers: Counter[str] = Counter()
        self.licences: Counter[str] = Counter()
        self.sources: list[dict[str, Any]] = [
            {"file": name, "read": 0, "kept": 0, "formats": Counter()} for name in sources
        ]
        self.first_broken: tuple[str, int, str] | None = None  # file, record, detail

    def count(self, header: Header, reason: str | None) -> None:
        """Count a unit; `reason` is None where it is kept."""
        source = self.sources[header["file"]]
        source["read"] += 1
        source["formats"][header["format"] or "unknown"] += 1
        if reason is not None:
            self.dropped[reason] += 1
            if reason == "broken" and self.first_broken is None:
                self.first_broken = source["file"], header["position"], header["detail"]
            return
        source["kept"] += 1
        self.edits.update(header["edits"])
        self.teachers[header["teacher"] or "unknown"] += 1
        self.licences[header["licence"] or "unknown"] += 1

    def facts(self) -> dict[str, Any]:
        """The counts as the card has them, where read = kept + dropped."""
        return {
            "read": sum(source["read"] for source in self.sources),
            "kept": sum(source["kept"] for source in self.sources),
            "dropped": dict(sorted(self.dropped.items())),
            "trimmed": self.edits["trimmed"],
            "edits": dict(sorted(self.edits.items())),
            "sources": [source for source in self.sources if source["read"]],
            "teachers": dict(sorted(self.teachers.items())),
            "licences": dict(sorted(self.licences.items())),
        }


def deal(
    table: Table,
    side: np.ndarray,
    subsets: dict[str, np.ndarray],
    sources: list[str],
    hits_of_kept: bool,
    out: Path,
) -> Tally:
    """Write train.jsonl, heldout.jsonl, dropped.jsonl, contamination.jsonl and the subsets.

    Args:
        table: the units and why they were dropped.
        side: DROPPED, TRAIN or HELDOUT a row.
        subsets: by file name, whether a row belongs to it.
        sources: the files' names.
        hits_of_kept: write where kept units touch benchmarks; otherwise where dropped ones did.
        out: folder.
    """
    tally = Tally(sources)
    with ExitStack() as stack, progress("curate (writing)", len(table)) as task:
        files = {
            name: stack.enter_context(atomic_write(out / name, "wb"))
            for name in ("train.jsonl", "heldout.jsonl", "dropped.jsonl", *subsets)
        }
        hits = stack.enter_context(atomic_write(out / "contamination.jsonl"))
        for number in range(table.count):
            start = int(table.starts[number])
            for row, (header, content) in enumerate(table.segments.read(number), start):
                id = table.final_id(row, header)
                kept = side[row] != DROPPED
                why = None if kept else _why(table, row, header)
                tally.count(header, why[0] if why else None)
                if why:
                    name = sources[header["file"]]
                    files["dropped.jsonl"].write(_dropped(id, why, name, header, content))
                else:
                    line = _renamed(content, id, header) + b"\n"
                    files["train.jsonl" if side[row] == TRAIN else "heldout.jsonl"].write(line)
                    for name, member in subsets.items():
                        if member[row]:
                            files[name].write(line)
                if kept == hits_of_kept:
                    for hit in header.get("hits", ()):
                        entry = hit_row(hit, id, json.loads(content))
                        hits.write(json.dumps(entry, ensure_ascii=False) + "\n")
            task.advance(int(table.starts[number + 1]) - start)
    return tally


def _why(table: Table, row: int, header: Header) -> tuple[str, str]:
    """Reason and detail of a unit that is not kept."""
    if "reason" in header:
        return header["reason"], header["detail"]
    reason = REASONS[table.reason[row]]
    if table.like[row] < 0:
        return reason, DETAILS[reason]
    other = np.array([table.like[row]])
    ((header, _),) = table.units(other)
    id = table.final_id(int(other[0]), header)
    if reason == "duplicate":
        return reason, f"same as {id}, which was kept"
    return reason, f"{table.likeness[row]:.2f} like {id}, which was kept"


DETAILS = {
    "unknown_to_base": "the base does not know what it says",
    "over_budget": "the mix is full without it",
}


def _dropped(id: str, why: tuple[str, str], file: str, header: Header, content: bytes) -> bytes:
    row = {"id": id, "reason": why[0], "detail": why[1], "file": file}
    row |= {"member": header["member"]} if header["member"] else {}
    row |= {"record": header["position"]}
    kind = b"dialogue" if header.get("spoken") else b"raw"
    head = json.dumps(row, ensure_ascii=False).encode(errors="replace")[:-1]
    return head + b', "' + kind + b'": ' + content + b"}\n"


def _renamed(content: bytes, id: str, header: Header) -> bytes:
    if id == header["id"]:
        return content
    return json.dumps(json.loads(content) | {"id": id}, ensure_ascii=False).encode()
