"""The curate stage: raw files in, an imitation set out, nothing lost without a reason.

One pass over the files writes what is kept and what is dropped, holding ids and digests only; a
second pass deals the kept lines to train.jsonl and heldout.jsonl.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from understudy.curate.clean import fault, trim
from understudy.curate.dedupe import dialogue_key, prompt_key
from understudy.curate.readers import TERMS, Record, read_file
from understudy.curate.split import heldout_prompts
from understudy.dialogue import Dialogue
from understudy.errors import UserError
from understudy.files import atomic_write, digest, file_digest, write_json
from understudy.progress import progress
from understudy.recipe import CurateSettings

NOTE_EVERY = 1000


def curate(files: list[Path], settings: CurateSettings, out: Path, seed: int) -> dict[str, Any]:
    """Read, clean, deduplicate and split data sets of any known format.

    Writes `train.jsonl`, `heldout.jsonl` (dialogues), `dropped.jsonl` (what was left out, with
    reason, file and position) and `card.json` (counts, where read = kept + dropped, and what
    licences and terms bind the set).

    Returns:
        The card's counts.

    Raises:
        UserError: a file is missing or its JSON is broken; names file and line.
    """
    for file in files:
        if not Path(file).is_file():
            raise UserError(f"{file}: no such file; check the path")
    sieve = Sieve()
    kept = out / ".kept.jsonl"
    with atomic_write(kept) as good, atomic_write(out / "dropped.jsonl") as bad:
        for name, record in _records(files):
            sieve.take(name, record, good, bad)
    heldout = heldout_prompts(sieve.prompts, settings.heldout, settings.heldout_max, seed)
    sides = Counter("heldout" if prompt in heldout else "train" for prompt in sieve.prompts)
    _deal(kept, sieve.prompts, heldout, out)
    kept.unlink()
    counts = sieve.counts() | {"train": sides["train"], "heldout": sides["heldout"]}
    sets = [file_digest(out / name) for name in ("train.jsonl", "heldout.jsonl")]
    write_json(out / "card.json", counts | sieve.provenance() | {"digest": digest(sets)})
    return counts


class Sieve:
    """Decides on every record in turn and keeps the tallies; of texts it holds only digests."""

    def __init__(self) -> None:
        self.read = self.trimmed = 0
        self.dropped: Counter[str] = Counter()
        self.sources: dict[str, dict[str, Any]] = {}
        self.teachers: Counter[str] = Counter()
        self.licences: Counter[str] = Counter()
        self.prompts: list[bytes] = []
        self._first_with: dict[bytes, str] = {}
        self._ids: set[str] = set()

    def take(self, name: str, record: Record, good: IO[str], bad: IO[str]) -> None:
        """Write a record of the file called `name` to `good` as a dialogue, or to `bad`."""
        self.read += 1
        source = self.sources.setdefault(
            name, {"file": name, "read": 0, "kept": 0, "formats": Counter()}
        )
        source["read"] += 1
        source["formats"][record.format or "unknown"] += 1
        id = self._unique(record.id, f"{len(self.sources)}:{record.position}")
        why: tuple[str, str] | None
        if record.dialogue is None:
            why, content = (record.reason or "unreadable", record.detail), {"raw": record.raw}
        else:
            dialogue = record.dialogue.model_copy(update={"id": id})
            content = {"dialogue": dialogue.model_dump(exclude_none=True)}
            whole, dialogue = dialogue, trim(dialogue)
            why = fault(dialogue) or self._repeated(dialogue)
            if not why:
                source["kept"] += 1
                self.trimmed += dialogue is not whole
                self._keep(dialogue, good)
                return
        self.dropped[why[0]] += 1
        place = {"file": name, "record": record.position}
        _write(bad, {"id": id, "reason": why[0], "detail": why[1], **place, **content})

    def _keep(self, dialogue: Dialogue, good: IO[str]) -> None:
        self._first_with[dialogue_key(dialogue)] = dialogue.id
        self.prompts.append(prompt_key(dialogue))
        self.teachers[dialogue.teacher or "unknown"] += 1
        self.licences[dialogue.licence or "unknown"] += 1
        _write(good, dialogue.model_dump(exclude_none=True))

    def _repeated(self, dialogue: Dialogue) -> tuple[str, str] | None:
        """The first of equal dialogues is kept, so the order of the files decides."""
        first = self._first_with.get(dialogue_key(dialogue))
        return ("duplicate", f"same as {first}, which was kept") if first is not None else None

    def _unique(self, id: str, place: str) -> str:
        """The id, with "file number:position:" before it where it was seen already."""
        while id in self._ids:
            id = f"{place}:{id}"
        self._ids.add(id)
        return id

    def counts(self) -> dict[str, Any]:
        """What was read, kept, dropped (by reason) and trimmed."""
        return {
            "read": self.read,
            "kept": len(self.prompts),
            "dropped": dict(sorted(self.dropped.items())),
            "trimmed": self.trimmed,
        }

    def provenance(self) -> dict[str, Any]:
        """Where the kept dialogues come from and what binds them."""
        formats = {name for source in self.sources.values() for name in source["formats"]}
        return {
            "sources": list(self.sources.values()),
            "teachers": dict(sorted(self.teachers.items())),
            "licences": dict(sorted(self.licences.items())),
            "terms": {name: terms for name, terms in TERMS.items() if name in formats},
        }


def _records(files: list[Path]) -> Iterator[tuple[str, Record]]:
    """Every record with its file's name (its path where two files share a name)."""
    names = Counter(Path(file).name for file in files)
    read = 0
    with progress("curate (files)", len(files)) as task:
        for file in map(Path, files):
            name = file.name if names[file.name] == 1 else str(file)
            for record in read_file(file):
                yield name, record
                read += 1
                if read % NOTE_EVERY == 0:
                    task.advance(0, f"{read} records")
            task.advance(1, f"{read} records")


def _deal(kept: Path, prompts: list[bytes], heldout: set[bytes], out: Path) -> None:
    """Copy the kept lines, whose prompts are given in their order, to the two sides."""
    with (
        open(kept, encoding="utf-8") as lines,
        atomic_write(out / "train.jsonl") as train,
        atomic_write(out / "heldout.jsonl") as held,
    ):
        for line, prompt in zip(lines, prompts, strict=True):
            (held if prompt in heldout else train).write(line)


def _write(file: IO[str], row: dict[str, Any]) -> None:
    file.write(json.dumps(row, ensure_ascii=False) + "\n")
