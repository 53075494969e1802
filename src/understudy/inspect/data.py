"""What a data set holds: the card that curate left, or the same facts of a raw file."""

import random
from bisect import bisect_right
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from understudy.curate.diversity import diversity
from understudy.curate.readers import TERMS, read_file
from understudy.curate.terms import binding
from understudy.dialogue import Dialogue, read_dialogues
from understudy.errors import UserError
from understudy.files import read_json
from understudy.progress import progress
from understudy.recipe import DiversitySettings

CARD = "card.json"
SAMPLE = 5_000  # dialogues of a raw file that its diversity is measured on
LONGEST = 20_000  # characters of a turn of these
SHOWN = 3  # of these that are shown
SEED = 0
NOTE_EVERY = 1000
# Bins by their names, with their lower ends.
TURNS = {"1": 1, "2": 2, "3": 3, "4": 4, "5–6": 5, "7–8": 7, "9–12": 9, "13–20": 13, "21+": 21}
CHARACTERS = {
    "0–49": 0, "50–99": 50, "100–199": 100, "200–499": 200, "500–999": 500, "1–2k": 1000,
    "2–5k": 2000, "5–10k": 5000, "10k+": 10_000,
}  # fmt: skip


class _Source(BaseModel):
    file: str
    read: int
    kept: int
    formats: dict[str, int]


class _Card(BaseModel):
    """What of a card must have its form to be shown; a file may have been changed by hand."""

    model_config = ConfigDict(extra="allow")

    read: int
    kept: int
    dropped: dict[str, int]
    trimmed: int = 0
    train: int
    heldout: int
    sources: list[_Source]
    teachers: dict[str, int] = {}
    licences: dict[str, int] = {}
    terms: dict[str, str] = {}
    samples: list[Dialogue] = []


def card_facts(folder: Path, counted: bool = False) -> dict[str, Any]:
    """The facts of a folder that curate wrote: its card, and `dialogues`, how many there are.

    Args:
        folder: with card.json.
        counted: also count `histograms` of the set's lengths, which takes reading it through.

    Raises:
        UserError: card.json is not as curate writes it.
    """
    path = folder / CARD
    try:
        card = _Card.model_validate(read_json(path)).model_dump()
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise UserError(f"{path}: {where}: {fault['msg']}; curate the data again") from error
    facts = {"kind": "data", "dialogues": card["train"] + card["heldout"], **card}
    if counted:
        lengths = Lengths()
        with progress("inspect (dialogues)", facts["dialogues"]) as task:
            for name in ("train.jsonl", "heldout.jsonl"):
                for dialogue in read_dialogues(folder / name):
                    lengths.count(dialogue)
                    task.advance()
        facts["histograms"] = lengths.histograms()
    return facts


def file_facts(path: Path) -> dict[str, Any]:
    """The same facts of a raw file in any known format, as far as they can be had from it.

    Its diversity is that of a sample of SAMPLE dialogues, drawn evenly over the file.
    """
    rng = random.Random(SEED)
    formats, reasons = Counter[str](), Counter[str]()
    teachers, licences = Counter[str](), Counter[str]()
    lengths = Lengths()
    sample: list[Dialogue] = []
    read = kept = turns = characters = 0
    with progress("inspect (files)", 1) as task:
        for record in read_file(path):
            read += 1
            formats[record.format or "unknown"] += 1
            if read % NOTE_EVERY == 0:
                task.advance(0, f"{read:,} records")
            dialogue = record.dialogue
            if dialogue is None:
                reasons[record.reason or "unreadable"] += 1
                continue
            kept += 1
            teachers[dialogue.teacher or "unknown"] += 1
            licences[dialogue.licence or "unknown"] += 1
            turns += len(dialogue.turns)
            characters += sum(len(turn.content) for turn in dialogue.turns)
            lengths.count(dialogue)
            slot = kept - 1 if kept <= SAMPLE else rng.randrange(kept)
            if slot < SAMPLE:
                sample[slot : slot + 1] = [_bounded(dialogue)]
        task.advance(1)
    return {
        "kind": "data",
        "dialogues": kept,
        "turns": turns,
        "characters": characters,
        "read": read,
        "kept": kept,
        "dropped": dict(reasons),
        "sources": [{"file": path.name, "read": read, "kept": kept, "formats": dict(formats)}],
        "teachers": dict(teachers),
        "licences": dict(licences),
        "terms": {name: terms for name, terms in TERMS.items() if name in formats},
        "binding": binding(licences, teachers, formats),
        "diversity": diversity(lambda: sample, DiversitySettings(), SEED) if sample else None,
        "samples": [dialogue.model_dump(exclude_none=True) for dialogue in sample[:SHOWN]],
        "histograms": lengths.histograms(),
    }


class Lengths:
    """How many dialogues have so many turns, and how many prompts and answers are so long."""

    def __init__(self) -> None:
        self.turns = _Bins(TURNS)
        self.prompts = _Bins(CHARACTERS)
        self.answers = _Bins(CHARACTERS)

    def count(self, dialogue: Dialogue) -> None:
        spoken = [turn for turn in dialogue.turns if turn.role != "system"]
        self.turns.count(len(spoken))
        self.prompts.count(len(dialogue.prompt))
        for turn in spoken:
            if turn.role == "assistant":
                self.answers.count(len(turn.content))

    def histograms(self) -> dict[str, dict[str, int]]:
        """Counts by bin: turns of a dialogue, characters of prompts and of answers."""
        return {
            "turns": self.turns.counts(),
            "prompt_characters": self.prompts.counts(),
            "answer_characters": self.answers.counts(),
        }


class _Bins:
    """Counts values by where they lie; what is below the first bin goes into it."""

    def __init__(self, bins: dict[str, int]) -> None:
        self.names, self.lowest = list(bins), list(bins.values())
        self.held = [0] * len(bins)

    def count(self, value: int) -> None:
        self.held[max(0, bisect_right(self.lowest, value) - 1)] += 1

    def counts(self) -> dict[str, int]:
        return dict(zip(self.names, self.held, strict=True))


def _bounded(dialogue: Dialogue) -> Dialogue:
    """A dialogue of which no turn is held beyond what is measured."""
    turns = [turn.model_copy(update={"content": turn.content[:LONGEST]}) for turn in dialogue.turns]
    return dialogue.model_copy(update={"turns": turns})
