"""What a base knows of what factual dialogues say.

Training on answers that a base does not know teaches it to make answers up: Gekhman et al. 2024
(arXiv 2405.05904). As there, a base is asked with solved examples before the question, and the
label follows from which of its answers are right:

- known: greedily right after every draw of examples (their HighlyKnown);
- maybe: right at least once, greedily or sampled (their MaybeKnown and WeaklyKnown);
- unknown: never right.

They take ten draws of four examples, a greedy and 16 sampled answers (temperature 0.5) to each.
Here there are four draws, the samples are dealt out over them, and nothing is sampled where the
greedy answers have decided. Their examples are of the question's relation, which a set does not
tell; here they are those of a random handful that are worded most like the question.
"""

import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from heapq import nsmallest
from math import ceil
from pathlib import Path
from typing import Any

from understudy.curate.dedupe import normalised
from understudy.curate.factual import WORD, Fact, factual
from understudy.dialogue import Dialogue
from understudy.files import canonical_json, digest, read_jsonl
from understudy.recipe import KnowledgeSettings
from understudy.statistics import wilson

Complete = Callable[[Sequence[str], float, int, int], list[str]]
"""(prompts, temperature, max_tokens, seed) -> what follows each prompt, up to its line's end."""

KNOWLEDGE = "knowledge.jsonl"
LABELS = ("known", "maybe", "unknown")
DRAWS = 4  # of examples, for each question
TEMPERATURE = 0.5
ANSWER_TOKENS = 24
BATCH = 256  # dialogues asked about at once
EXAMPLES = 1000  # facts that serve as examples beside those that are probed
HANDFUL = 40  # examples drawn, of which those most like the question are shown


def probe(
    dialogues: Iterable[Dialogue],
    complete: Complete,
    settings: KnowledgeSettings,
    out: Path,
    seed: int,
) -> dict[str, Any]:
    """Mark factual dialogues as known, maybe known or unknown to a base.

    The `settings.n` whose questions have the lowest hashes are asked about. Rows {"id", "label",
    "question", "answer" (the keys), "right" (answers), "asked" (answers)} are appended to
    `out/knowledge.jsonl` as they come; killed and called again, it goes on.

    Args:
        dialogues: their ids are unique; read once, in memory that does not grow with them.
        complete: the base.
        settings: how many are asked about and how.
        out: folder.
        seed: draws the questions, the examples and the answers.

    Returns:
        "factual" (dialogues), "probed", and "labels": by label, count, share and its interval.
    """
    factual_ones = 0

    def facts() -> Iterator[tuple[bytes, str, Fact]]:
        nonlocal factual_ones
        for dialogue in dialogues:
            if fact := factual(dialogue):
                factual_ones += 1
                yield _hash(seed, normalised(fact.question)), dialogue.id, fact

    drawn = nsmallest(settings.n + EXAMPLES, facts(), key=lambda row: row[:2])
    chosen = [(id, fact) for _, id, fact in drawn[: settings.n]]
    examples = _Examples([fact for _, _, fact in drawn], settings.shots, seed)
    out.mkdir(parents=True, exist_ok=True)
    path = out / KNOWLEDGE
    done = _begun(path)
    waiting = [(id, fact) for id, fact in chosen if id not in done]
    with open(path, "a", encoding="utf-8") as file:
        for start in range(0, len(waiting), BATCH):
            batch = waiting[start : start + BATCH]
            answers = _ask([fact for _, fact in batch], examples, complete, settings.samples, seed)
            for (id, fact), (label, right, asked) in zip(batch, answers, strict=True):
                row = {
                    "id": id,
                    "label": label,
                    "question": fact.question,
                    "answer": " / ".join(fact.keys),
                    "right": right,
                    "asked": asked,
                }
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
    labels = Counter(row["label"] for _, row in read_jsonl(path))
    return {
        "factual": factual_ones,
        "probed": len(chosen),
        "labels": {label: _share(labels[label], len(chosen)) for label in LABELS},
    }


class _Examples:
    """Solved examples to put before a question."""

    def __init__(self, facts: Sequence[Fact], shots: int, seed: int) -> None:
        single = [fact for fact in facts if len(fact.keys) == 1]
        by_question = {normalised(fact.question): fact for fact in reversed(single)}
        self.facts = [(fact, _wording(fact.question)) for fact in by_question.values()]
        self.shots, self.seed = shots, seed

    def prompt(self, fact: Fact, draw: int) -> str:
        """The question behind examples, none of which shows its answer."""
        rng = random.Random(digest([self.seed, fact.question, draw]))
        # Half of a small set at most, so that draws differ.
        count = min(HANDFUL, len(self.facts), max(self.shots, len(self.facts) // 2))
        own, wording = normalised(fact.question), _wording(fact.question)
        fitting = [
            (len(wording & words), example)
            for example, words in rng.sample(self.facts, count)
            if normalised(example.question) != own and not _overlap(example, fact)
        ]
        fitting.sort(key=lambda pair: -pair[0])
        lines = [f"Q: {e.question}?\nA: {e.keys[0]}" for _, e in reversed(fitting[: self.shots])]
        return "\n\n".join([*lines, f"Q: {fact.question}?\nA:"])


def _wording(question: str) -> frozenset[str]:
    """The words of a question without the names in it."""
    return frozenset(
        word for word in WORD.findall(question[:1].lower() + question[1:]) if word[0].islower()
    )


def _overlap(example: Fact, fact: Fact) -> bool:
    """Whether an example gives the answer away, in whichever way it is told."""
    return fact.is_told_by(example.keys[0]) or example.is_told_by(fact.keys[0])


def _ask(
    facts: Sequence[Fact], examples: _Examples, complete: Complete, samples: int, seed: int
) -> list[tuple[str, int, int]]:
    """The label, the right answers and all answers for each fact."""
    prompts = [[examples.prompt(fact, draw) for draw in range(DRAWS)] for fact in facts]
    everyone = list(range(len(facts)))
    right = _told(facts, prompts, everyone, complete, 0.0, seed)
    asked = [DRAWS] * len(facts)
    labels = ["known" if count == DRAWS else "maybe" for count in right]
    open_ones = [place for place in everyone if not right[place]]
    for round in range(ceil(samples / DRAWS)):
        count = min(DRAWS, samples - round * DRAWS)
        shown = [row[:count] for row in prompts]
        told = _told(facts, shown, open_ones, complete, TEMPERATURE, seed + round)
        for place, found in zip(open_ones, told, strict=True):
            right[place] += found
            asked[place] += count
    for place in open_ones:
        labels[place] = "maybe" if right[place] else "unknown"
    return list(zip(labels, right, asked, strict=True))


def _told(
    facts: Sequence[Fact],
    prompts: Sequence[Sequence[str]],
    places: Sequence[int],
    complete: Complete,
    temperature: float,
    seed: int,
) -> list[int]:
    """How many prompts were answered rightly, for the facts at these places."""
    asked = [(place, prompt) for place in places for prompt in prompts[place]]
    if not asked:
        return []
    answers = complete([prompt for _, prompt in asked], temperature, ANSWER_TOKENS, seed)
    found = Counter(
        place
        for (place, _), answer in zip(asked, answers, strict=True)
        if facts[place].is_told_by(answer)
    )
    return [found[place] for place in places]


def _begun(path: Path) -> set[str]:
    """The ids that an earlier call has labelled; half a row at the file's end is cut off."""
    if not path.exists():
        return set()
    with open(path, "r+b") as file:
        file.truncate(file.read().rfind(b"\n") + 1)
    return {row["id"] for _, row in read_jsonl(path)}


def _hash(seed: int, text: str) -> bytes:
    return blake2b(canonical_json([seed, text]).encode(), digest_size=8).digest()


def _share(count: int, of: int) -> dict[str, float]:
    low, high = wilson(count, of)
    share = count / of if of else 0.0
    return {"count": count} | {
        name: round(value, 4) for name, value in (("share", share), ("low", low), ("high", high))
    }
