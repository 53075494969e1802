"""Answers that are right in style and wrong in fact, found by rule and drawn by lot."""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import astuple
from functools import cache
from pathlib import Path
from typing import Any

from understudy.curate.knowledge import LABELS
from understudy.study.grid import Cell
from understudy.study.knowledge import Told, answer_to, classify, read_answers
from understudy.style.profile import profile

LONGEST = 1000  # characters of a text that are shown

BaseSeed = tuple[str, int]
Habits = tuple[bool, ...]


def gallery(
    cells: Mapping[Cell, Path],
    teacher: Path,
    base_answers: Mapping[BaseSeed, Path],
    knowledge: Mapping[BaseSeed, Path],
    count: int,
    seed: int,
) -> dict[str, Any]:
    """Students' answers in the teacher's manner that tell a fact wrongly, with authority.

    In the teacher's manner is an answer that opens, closes, lists, sums up and asserts just as one
    of the teacher's own answers to that prompt does. Wrongly and with authority is what `classify`
    calls wrong. Which of them are shown is drawn: those first that the base does not know, then
    those that it may know; among these, each time, the one whose prompt, kind, base, amount and
    seed have been shown least so far; and among these by lot.

    Args:
        cells: answers.jsonl of every student.
        teacher: the teacher's, with one answer a prompt or several.
        base_answers: those of every base and seed.
        knowledge: knowledge.jsonl of every base and seed.
        count: how many are shown, at most.
        seed: of the lot.

    Returns:
        "found" (such answers), "of" (all students' answers to prompts that ask for a fact), and
        "shown": rows {"kind", "base", "amount", "seed", "id", "prompt", "right" (answers), "label"
        (what the base knows), "answers": {"teacher", "base", "student"}}, texts cut at LONGEST.

    Raises:
        UserError: a file is missing or malformed, or a prompt has no answer in it.
    """
    theirs = read_answers(teacher)

    @cache
    def manners(id: str) -> set[Habits]:
        return {_habits(given.text) for given in answer_to(id, theirs, teacher).answers}

    of = 0
    found: list[tuple[Cell, Told]] = []
    for cell, path in sorted(cells.items()):
        all_told = classify(path, knowledge[cell.base, cell.seed])
        of += len(all_told)
        wrong = [told for told in all_told if told.state == "wrong"]
        found += [(cell, told) for told in wrong if _habits(told.text) in manners(told.id)]
    bases = cache(lambda base, seed: read_answers(base_answers[base, seed]))
    shown = []
    for cell, told in _drawn(found, count, seed):
        base = answer_to(told.id, bases(cell.base, cell.seed), base_answers[cell.base, cell.seed])
        texts = {"teacher": theirs[told.id].text, "base": base.text, "student": told.text}
        row = {
            "kind": cell.kind,
            "base": cell.base,
            "amount": cell.amount,
            "seed": cell.seed,
            "id": told.id,
            "prompt": _cut(base.prompt),
            "right": list(told.right),
            "label": told.label,
            "answers": {model: _cut(text) for model, text in texts.items()},
        }
        shown.append(row)
    return {"found": len(found), "of": of, "shown": shown}


def _habits(text: str) -> Habits:
    seen = profile(text)
    return seen.opening, seen.closing, seen.has_list, seen.has_summary, seen.authoritative


def _drawn(found: list[tuple[Cell, Told]], count: int, seed: int) -> list[tuple[Cell, Told]]:
    """Some of what was found, even over what the base knows and over the grid."""
    left = random.Random(seed).sample(found, len(found))
    seen: Counter[tuple[int, Any]] = Counter()  # by place in (prompt, kind, base, amount, seed)

    def rank(one: tuple[Cell, Told]) -> tuple[int, int]:
        cell, told = one
        return LABELS[::-1].index(told.label), sum(seen[of] for of in _places(cell, told))

    drawn = []
    for _ in range(min(count, len(left))):
        chosen = min(left, key=rank)
        left.remove(chosen)
        drawn.append(chosen)
        seen.update(_places(*chosen))
    return drawn


def _places(cell: Cell, told: Told) -> list[tuple[int, Any]]:
    return list(enumerate((told.id, *astuple(cell))))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
