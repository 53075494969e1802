"""The curate stage: raw files in, an imitation set out, nothing lost without a reason.

Records are prepared in segments on disk (`prepare`, in several processes), which a killed stage
takes up again. What needs the whole set in view (equal and near-equal dialogues, what a base knows,
held-out prompts, the mix) is decided from a few numbers a dialogue (`table`). Then every dialogue
is dealt to where it belongs (`deal`) and the card is written.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from heapq import nsmallest
from pathlib import Path
from typing import Any

import numpy as np

from understudy import __version__
from understudy.curate.card import card_markdown
from understudy.curate.deal import DROPPED, HELDOUT, TRAIN, Tally, deal
from understudy.curate.decontaminate import Item, table_of_hits
from understudy.curate.dedupe import compared_text, equals
from understudy.curate.diversity import diversity
from understudy.curate.knowledge import KNOWLEDGE, Complete, probe
from understudy.curate.mix import check_sources, mixing_order, strata_of, subset_sizes
from understudy.curate.near import near_duplicates
from understudy.curate.outputs import write_outputs
from understudy.curate.prepare import Numbered, Preparer, prepare, segmented
from understudy.curate.readers import TERMS
from understudy.curate.records import name_of, rows
from understudy.curate.segments import Segments
from understudy.curate.split import heldout_prompts, scrambled
from understudy.curate.table import Table
from understudy.curate.terms import binding
from understudy.dialogue import Dialogue, read_dialogues
from understudy.errors import UserError
from understudy.files import digest, file_digest, read_jsonl, write_json, write_text
from understudy.progress import progress, say
from understudy.prompts import HUB
from understudy.recipe import CurateSettings, DuplicateSettings

WORK = ".work"
SAMPLES = 3


def curate(
    files: Sequence[Path | str],
    settings: CurateSettings,
    out: Path,
    seed: int,
    items: Sequence[Item] = (),
    complete: Complete | None = None,
) -> dict[str, Any]:
    """Read, clean, check, deduplicate, split and mix data sets of any known format.

    Writes `train.jsonl`, `heldout.jsonl` (dialogues), `dropped.jsonl` (what was left out, with
    reason, file and position), `contamination.jsonl` (where the set touches benchmarks),
    `card.json` (counts, where read = kept + dropped, and all that was measured), `card.md`, and
    what the settings ask for beside them. Killed and called again, it goes on.

    Args:
        files: data files, `datasets` directories or hub:NAME.
        settings: the recipe's, with a tokenizer's name where tokens are to be counted.
        out: folder.
        seed: of all that is drawn.
        items: of the benchmarks and prompt sets that the set is checked against.
        complete: the base whose knowledge is probed, where settings.knowledge asks for it.

    Returns:
        The card's counts.

    Raises:
        UserError: a file is missing or no data set at all, or a setting does not fit the data.
    """
    if (settings.context or settings.mix) and not settings.tokenizer:
        raise UserError("curate: context and mix count tokens; name a tokenizer: --set tokenizer=…")
    sources = _names(files)
    if settings.mix:
        check_sources(settings.mix.weights, sources)
    segments = Segments(out / WORK, _key(files, settings, items, seed))
    try:
        table = Table(segments, _prepare(files, settings, items, segments))
        _drop_copies(table, settings.duplicates, out / WORK)
        known = None
        if settings.knowledge and complete:
            known = _probe(table, settings, complete, out / WORK, seed)
        side = _sides(table, settings, seed)
        mixed, subsets = _mix(table, side, settings, sources, seed)
        kept_hits = settings.contamination.action != "drop"
        tally = deal(table, side, subsets, sources, kept_hits, out)
    except UserError:
        segments.remove()
        raise
    if tally.first_broken:
        name, record, detail = tally.first_broken
        more = f", one of {tally.dropped['broken']} such records" * (tally.dropped["broken"] > 1)
        say(f"{name}, record {record}: {detail}{more}; mend it, or leave it in dropped.jsonl")
    counts = tally.facts() | {name: int((side == to).sum()) for name, to in SIDES.items()}
    measured = {
        "duplicates": _duplicates(settings.duplicates, tally),
        "contamination": _contamination(items, out),
        "tokens": _tokens(table, side, settings),
        "mix": mixed,
        "knowledge": known,
    }
    del table, side, subsets  # what is measured now takes memory of its own
    _close(counts | measured, settings, out, seed)
    if known:
        os.replace(out / WORK / KNOWLEDGE, out / KNOWLEDGE)
    segments.remove()
    return {name: counts[name] for name in COUNTS}


SIDES = {"train": TRAIN, "heldout": HELDOUT}
COUNTS = ("read", "kept", "dropped", "trimmed", "train", "heldout")


# What goes in


def _names(files: Sequence[Path | str]) -> list[str]:
    """The files' names for people: paths where two share a name."""
    for file in files:
        if not str(file).startswith(HUB) and not Path(file).exists():
            raise UserError(f"{file}: no such file; check the path")
    names = [name_of(file) for file in files]
    shared = Counter(names)
    return [name if shared[name] == 1 else str(f) for f, name in zip(files, names, strict=True)]


def _key(
    files: Sequence[Path | str], settings: CurateSettings, items: Sequence[Item], seed: int
) -> str:
    """Digest of what the work on disk, segments and probe, depends on."""
    found = [str(f) if str(f).startswith(HUB) else file_digest(Path(f)) for f in files]
    how = settings.model_dump(exclude={"heldout", "heldout_max", "mix", "diversity", "outputs"})
    checked = [[item.benchmark, item.id, item.text, *item.options] for item in items]
    return digest([__version__, found, how, checked, seed if settings.knowledge else None])


def _prepare(
    files: Sequence[Path | str],
    settings: CurateSettings,
    items: Sequence[Item],
    segments: Segments,
) -> int:
    """Prepare all segments; returns how many there are."""
    preparer = Preparer([name_of(file) for file in files], settings, items, segments)
    count = read = 0
    with progress("curate (files)", len(files)) as task:

        def numbered() -> Iterator[Numbered]:
            for number, file in enumerate(files):
                for row in rows(file):
                    yield number, row
                task.advance(1)

        for number, size in prepare(preparer, segmented(numbered()), available_cores()):
            count, read = max(count, number + 1), read + size
            task.advance(0, f"{read:,} records")
    return count


def available_cores() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# What is decided on the whole set


def _drop_copies(table: Table, settings: DuplicateSettings, work: Path) -> None:
    """Take out equal and near-equal dialogues; the first or the longest of them stays."""
    place = np.arange(len(table))
    longest = settings.keep == "longest"
    order = np.lexsort((place, -table.column["answer"])) if longest else place
    rank = np.empty_like(place)
    rank[order] = place
    alive = table.rows()
    table.drop_copies(alive, equals(table.column["key"][alive], rank[alive]), 1.0, "duplicate")
    alive = table.rows()
    if settings.near is None or not len(alive):
        return
    say("  looking for near-duplicates")
    read = table.texts(lambda dialogue: compared_text(dialogue, settings.of))
    copy_of, likeness = near_duplicates(
        table.signatures(alive, work / "signatures.npy"),
        rank[alive],
        settings.near,
        lambda places: read(alive[places]),
    )
    table.drop_copies(alive, copy_of, likeness, "near_duplicate")


def _probe(
    table: Table, settings: CurateSettings, complete: Complete, work: Path, seed: int
) -> dict[str, Any]:
    """Mark what the base knows; takes the unknown out where they are to be filtered."""
    assert settings.knowledge is not None
    alive = table.rows()
    say("  asking the base what it knows")
    found = probe(table.dialogues(alive), complete, settings.knowledge, work, seed)
    rows_of = (row for _, row in read_jsonl(work / KNOWLEDGE))
    unknown = {row["id"] for row in rows_of if row["label"] == "unknown"}
    ids = (dialogue.id for dialogue in table.dialogues(alive))
    rows = alive[np.fromiter((id in unknown for id in ids), dtype=bool, count=len(alive))]
    table.unknown[rows] = True
    if settings.knowledge.use == "filter":
        table.drop(rows, "unknown_to_base")
    return found


def _sides(table: Table, settings: CurateSettings, seed: int) -> np.ndarray:
    """DROPPED, TRAIN or HELDOUT for every row."""
    prompts = table.column["prompt"]
    alive = table.alive
    chosen = heldout_prompts(prompts[alive], settings.heldout, settings.heldout_max, seed)
    side = np.where(alive, TRAIN, DROPPED).astype(np.int8)
    side[alive & np.isin(prompts, chosen)] = HELDOUT
    return side


def _mix(
    table: Table, side: np.ndarray, settings: CurateSettings, sources: list[str], seed: int
) -> tuple[list[dict[str, Any]] | None, dict[str, np.ndarray]]:
    """Choose the nested subsets of the training side; what is in none of them is dropped."""
    if settings.mix is None:
        return None, {}
    alive = np.flatnonzero(side == TRAIN)
    column = {name: values[alive] for name, values in table.column.items()}
    weights = np.array([settings.mix.weights.get(name, 1.0) for name in sources])[column["source"]]
    strata = strata_of(column["source"], column["turns"], column["tokens"])
    hashes = scrambled(column["key"][:, 0] ^ column["key"][:, 1], seed)
    weighted = settings.knowledge is not None and settings.knowledge.use == "weight"
    last = table.unknown[alive] if weighted else None
    order = mixing_order(column["tokens"], strata, weights, hashes, last)
    budgets = sorted(settings.mix.tokens)
    sizes = subset_sizes(order, column["tokens"], budgets)
    facts, subsets = [], {}
    for budget, size in zip(budgets, sizes, strict=True):
        name = "train.jsonl" if budget == budgets[-1] else f"train-{budget}.jsonl"
        chosen = alive[order[:size]]
        facts.append(
            {
                "tokens": budget,
                "held": int(table.column["tokens"][chosen].sum()),
                "dialogues": size,
                "file": name,
            }
        )
        subsets[name] = np.zeros(len(table), dtype=bool)
        subsets[name][chosen] = True
    left = np.flatnonzero((side == TRAIN) & ~subsets.pop("train.jsonl"))
    table.drop(left, "over_budget")
    side[left] = DROPPED
    return facts, subsets


# The card


def _duplicates(settings: DuplicateSettings, tally: Tally) -> dict[str, Any]:
    found = {"exact": tally.dropped["duplicate"], "near_found": tally.dropped["near_duplicate"]}
    return settings.model_dump() | found


def _contamination(items: Sequence[Item], out: Path) -> dict[str, Any] | None:
    """Hits by benchmark, those without any included; None where nothing was checked."""
    if not items:
        (out / "contamination.jsonl").unlink()
        return None
    found = table_of_hits(row for _, row in read_jsonl(out / "contamination.jsonl"))
    nothing = {"hits": 0, "rules": {}, "items": 0, "dialogues": 0}
    sizes = Counter(item.benchmark for item in items)
    return {name: {"of": size} | found.get(name, nothing) for name, size in sizes.items()}


def _tokens(table: Table, side: np.ndarray, settings: CurateSettings) -> dict[str, Any] | None:
    if not settings.tokenizer:
        return None
    sums = {name: int(table.column["tokens"][side == to].sum()) for name, to in SIDES.items()}
    return {"tokenizer": settings.tokenizer} | sums


def _close(facts: dict[str, Any], settings: CurateSettings, out: Path, seed: int) -> None:
    """Measure the set's diversity, write its other forms and its card."""
    train, heldout = out / "train.jsonl", out / "heldout.jsonl"
    write_outputs(train, heldout, out, settings.outputs)
    formats = {name for source in facts["sources"] for name in source["formats"]}
    card = facts | {
        "terms": {name: terms for name, terms in TERMS.items() if name in formats},
        "binding": binding(facts["licences"], facts["teachers"], formats),
        "diversity": diversity(lambda: read_dialogues(train), settings.diversity, seed),
        "languages": settings.clean.languages,
        "samples": _samples(read_dialogues(train)),
        "digest": digest([file_digest(train), file_digest(heldout)]),
    }
    write_json(out / "card.json", card)
    write_text(out / "card.md", card_markdown(card))


def _samples(dialogues: Iterable[Dialogue]) -> list[dict[str, Any]]:
    """A few dialogues, chosen by a hash of their ids."""
    chosen = nsmallest(SAMPLES, dialogues, key=lambda dialogue: digest(dialogue.id))
    return [dialogue.model_dump(exclude_none=True) for dialogue in chosen]
