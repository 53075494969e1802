"""Which invented tasks are kept: the filters of Self-Instruct and Alpaca, each with a name.

The bounds are published facts: instructions of 3 words or fewer or of more than 150, those with
words that a text model cannot act on, those that begin with "Write a program", a punctuation mark
or a non-ASCII character, and those with ROUGE-L F above 0.7 to a seed or to one that is kept
(Wang et al., "Self-Instruct", 2022, section 2.2; Taori et al., "Stanford Alpaca", 2023).
"""

import re
from typing import NamedTuple

from understudy.collect.rouge import Duplicate, NearDuplicates
from understudy.collect.self_instruct_tasks import Task

SHORT, LONG = 3, 150  # words
MOST_CHARACTERS = 20_000  # of instruction and input together; no honest task comes near

# Image, graph, file, plot, video and music are known of the published list of 18; the others are
# our own choice of what a model can neither look at, listen to, nor do. Plurals count as well.
# fmt: off
UNSUITABLE = (
    "image", "graph", "file", "plot", "video", "music",
    "photo", "photograph", "screenshot", "webcam", "microphone", "recording", "soundtrack",
    "attachment", "upload", "download", "browse", "click",
)
# fmt: on
_UNSUITABLE = re.compile(rf"\b(?:{'|'.join(UNSUITABLE)})(?:s|es)?\b", re.I)


class Verdict(NamedTuple):
    """Why a task falls; `near` is the kept instruction that it repeats, where it does."""

    reason: str
    near: Duplicate | None = None


class Filter:
    """Judges tasks one after another and remembers those that it kept.

    Args:
        seeds: instructions that every task has to differ from.
        rouge: ROUGE-L F above which two instructions are one.
    """

    def __init__(self, seeds: list[str], rouge: float) -> None:
        self._kept = NearDuplicates(rouge)
        for seed in seeds:
            self._kept.add(seed)

    def judge(self, task: Task) -> Verdict | None:
        """Why the task falls, or None: then it is kept, and later ones have to differ from it."""
        if reason := flaw(task):
            return Verdict(reason)
        if near := self._kept.nearest(task.instruction):
            return Verdict("near_duplicate", near)
        self._kept.add(task.instruction)
        return None


def flaw(task: Task) -> str | None:
    """The name of the first filter that a task fails by itself; None if it passes them all."""
    text = task.instruction
    words = len(text.split())
    if words <= SHORT:
        return "too_short"
    if words > LONG or len(text) + len(task.input) > MOST_CHARACTERS:
        return "too_long"
    if _UNSUITABLE.search(text):
        return "unsuitable_word"
    if text.startswith("Write a program"):
        return "program"
    if not (text[0].isascii() and text[0].isalnum()):
        return "odd_start"
    return None
