"""Where dialogues hold items of benchmarks: an imitation set with the answers proves nothing.

Three rules, of which the first that holds is named:

- `verbatim`: all words of the item in a row, or all its letters, whatever their case and whatever
  punctuation there is;
- `near`: at least 80 % of them in order and close together, with none missing that tells one
  question from another (names, numbers, any but the plainest words), foreign words between or not;
- `n-gram`: 70 % of the item's 8-grams, or 13 words in a row that are half of it, unless a number
  was exchanged or more than one telling word in 25.

The thresholds are those of GPT-3 (13-grams; arXiv 2005.14165, appendix C), PaLM (70 % of 8-grams;
arXiv 2204.02311, section 8), Llama 2 (80 % of an item, foreign words allowed for; arXiv 2307.09288,
appendix A.6) and GPT-4 (letters only; arXiv 2303.08774, appendix C). That names and numbers must
agree is ours: without it, tasks written to one pattern pass for copies of each other. `Index`
nominates, `match` and `spelled` decide.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from understudy.curate.decontaminate.align import match, window
from understudy.curate.decontaminate.framed import BEGIN, Framed
from understudy.curate.decontaminate.index import Index
from understudy.curate.decontaminate.letters import spelled
from understudy.curate.decontaminate.needles import Item, Needles
from understudy.dialogue import Dialogue

__all__ = ["Contamination", "Hit", "Item", "hit_row", "table_of_hits"]

BATCH = 1 << 20  # characters checked at once
SPAN = 1000  # characters of a span that a row shows

Found = tuple[str, float, int, int]  # rule, share, start and end, as a Hit has them


@dataclass(frozen=True)
class Hit:
    """An item that a turn of a dialogue holds.

    Attributes:
        benchmark, item: which.
        rule: by which rule, see above.
        share: of the item's words that is there.
        turn: from 1.
        start, end: characters of the turn, from the first to the last word of the item.
    """

    benchmark: str
    item: str
    rule: str
    share: float
    turn: int
    start: int
    end: int


class Contamination:
    """Items of benchmarks, ready to be looked for in many dialogues.

    An item may be given several times, with other texts that stand for it.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self._names = [(item.benchmark, item.id) for item in items]
        self._needles = Needles(items)
        self._index = Index(self._needles.words, self._needles.starts)

    def hits(self, dialogues: Sequence[Dialogue]) -> list[list[Hit]]:
        """The items that each dialogue holds, in the order of turns and items.

        An item counts once a turn, by its fullest match. All turns are looked at, whoever speaks.
        """
        found: list[list[Hit]] = [[] for _ in dialogues]
        turns = (
            (owner, number, turn.content)
            for owner, dialogue in enumerate(dialogues)
            for number, turn in enumerate(dialogue.turns, start=1)
        )
        batch: list[tuple[int, int, str]] = []
        size = 0
        for turn in turns:
            batch.append(turn)
            size += len(turn[2])
            if size > BATCH:
                self._check(batch, found)
                batch, size = [], 0
        self._check(batch, found)
        return found

    def _check(self, turns: Sequence[tuple[int, int, str]], found: list[list[Hit]]) -> None:
        framed = Framed([text for _, _, text in turns])
        nominated = self._index.candidates(framed.words, framed.starts)
        best: dict[tuple[int, str, str], tuple[int, Found]] = {}
        for place, text in enumerate(nominated.texts.tolist()):
            sequence = int(nominated.sequences[place])
            first, last = nominated.bounds[place : place + 2]
            starts = nominated.starts[first:last] - framed.starts[text]
            proof = self._proof(sequence, framed, text, starts)
            if proof is None:
                continue
            size = round(proof[1] * self._needles.size(sequence))
            for owner in self._needles.owners[sequence]:
                key = text, *self._names[owner]
                if key not in best or best[key][0] < size:
                    best[key] = size, proof
        for (text, benchmark, item), (_, proof) in sorted(best.items(), key=lambda pair: pair[0]):
            rule, share, start, end = proof
            owner, turn, _ = turns[text]
            found[owner].append(Hit(benchmark, item, rule, round(share, 3), turn, start, end))

    def _proof(self, sequence: int, framed: Framed, text: int, starts: np.ndarray) -> Found | None:
        """What proves that a text holds a sequence, which would begin at one of `starts`."""
        needle = self._needles[sequence]
        within = framed.of(text)
        place = window(needle, within, starts)
        if place is None:
            return None
        proof = match(needle, within, *place)
        if proof is not None and not framed.has_number(text, proof.foreign):
            span = framed.characters(text, proof.first, proof.last)
            return proof.rule, proof.share, *span
        whole = needle.words[0] == BEGIN
        if whole and len(within) > 2 * len(needle.words):
            return None
        low, high = (0, len(within)) if whole else place
        start, end = framed.characters(text, low, high - 1)
        there = spelled(self._needles.parts(sequence), framed.texts[text][start:end], whole)
        return ("verbatim", 1.0, start + there[0], start + there[1]) if there else None


def hit_row(hit: Mapping[str, Any], id: str, dialogue: Mapping[str, Any]) -> dict[str, Any]:
    """A row of contamination.jsonl.

    Args:
        hit: a Hit as a dictionary.
        id: the dialogue's.
        dialogue: as it was checked, as a dictionary.
    """
    text = dialogue["turns"][hit["turn"] - 1]["content"]
    return {
        "benchmark": hit["benchmark"],
        "item": hit["item"],
        "dialogue": id,
        "rule": hit["rule"],
        "share": hit["share"],
        "turn": hit["turn"],
        "span": text[hit["start"] : min(hit["end"], hit["start"] + SPAN)],
    }


def table_of_hits(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What rows of contamination.jsonl say of each benchmark.

    Returns:
        By benchmark: `hits`, of them by `rules`, and how many different `items` and `dialogues`.
    """
    hits: dict[str, Counter[str]] = {}
    seen: dict[str, tuple[set[str], set[str]]] = {}
    for row in rows:
        name = row["benchmark"]
        hits.setdefault(name, Counter())[row["rule"]] += 1
        items, dialogues = seen.setdefault(name, (set(), set()))
        items.add(row["item"])
        dialogues.add(row["dialogue"])
    return {
        name: {
            "hits": rules.total(),
            "rules": dict(sorted(rules.items())),
            "items": len(seen[name][0]),
            "dialogues": len(seen[name][1]),
        }
        for name, rules in sorted(hits.items())
    }
