"""How varied a set is: what its card says of nearest prompts, words, topics, lengths and coverage.

A set is read twice and never held. The first pass counts lengths and draws a sample of dialogues
(Vitter, "Random Sampling with a Reservoir", 1985, algorithm R); the second compares prompts of the
sample with all others. A dialogue's prompt is its first user turn.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from understudy.curate.bleu import LONGEST, Nearest, nearest_among, tokenize
from understudy.curate.coverage import coverage
from understudy.curate.topics import topics
from understudy.dialogue import Dialogue
from understudy.errors import UserError
from understudy.progress import Task, progress
from understudy.prompts import read_prompts
from understudy.recipe import DiversitySettings
from understudy.statistics import Z95

Dialogues = Callable[[], Iterable[Dialogue]]

SAMPLE = 20_000  # dialogues for topics and words
EMBEDDED = 10_000  # of them, for coverage: minutes on two cores
TOKENS = 20_000  # whose n-grams are counted
DISTINCT = (1, 2, 3)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
PAIRS = 5  # of the most similar prompts shown
SHOWN = 200  # characters of a text that is shown
NOTE_EVERY = 1000
MEASURE = "sacrebleu sentence BLEU, 13a, exp smoothing, effective order; prompt as hypothesis"


class Sampled(NamedTuple):
    """A dialogue of the sample: the place of its prompt among the set's, and its texts."""

    place: int
    prompt: str
    answer: str


def diversity(dialogues: Dialogues, settings: DiversitySettings, seed: int) -> dict[str, Any]:
    """Measure a set of any size in memory that does not grow with it.

    Args:
        dialogues: gives the set from its beginning at each call, in the same order.
        settings: sizes, and the embedder where semantic coverage is wanted.
        seed: of the sample and of the clusters.

    Returns:
        `prompts` (how many there are), `nearest_bleu` (see `bleu`; None for fewer than two
        prompts), `distinct` (by prompts and answers), `topics`, `lengths`, and `coverage` where
        there is an embedder.

    Raises:
        UserError: an embedder without a target or the reverse, or one of them cannot be read.
    """
    if (settings.embedder is None) != (settings.target is None):
        raise UserError(
            "curate.diversity: embedder and target need each other; set both, or neither"
        )
    steps = 3 if settings.embedder is None else 4
    with progress("diversity", steps) as task:
        lengths = _Lengths()
        read = _noted(dialogues(), task, "read")
        sample, count = _sample(lengths.counted(read), max(SAMPLE, settings.sample), seed)
        task.advance()
        compared = _noted(dialogues(), task, "compared")
        nearest = _nearest(compared, sample[: settings.sample], count) if count > 1 else None
        task.advance()
        found: dict[str, Any] = {
            "prompts": count,
            "nearest_bleu": nearest,
            "distinct": {
                "prompts": distinct(each.prompt for each in sample),
                "answers": distinct(each.answer for each in sample),
            },
            "lengths": lengths.summary(),
            "topics": topics([each.prompt for each in sample[:SAMPLE]], settings.topics, seed),
        }
        task.advance()
        if settings.embedder is not None and settings.target is not None:
            targets = [prompt.messages[-1].content for prompt in read_prompts(settings.target)]
            prompts = [each.prompt for each in sample[:EMBEDDED]]
            found["coverage"] = coverage(prompts, targets, settings.embedder) if prompts else None
            task.advance()
    return found


def distinct(texts: Iterable[str], most: int = TOKENS) -> dict[str, Any]:
    """Distinct n-grams / n-grams, by n, of the first `most` tokens (13a).

    (Li et al., "A Diversity-Promoting Objective Function for Neural Conversation Models", 2016.)
    The more tokens, the lower: figures of sets can be compared where `tokens` is the same.
    """
    left = most
    seen: dict[int, Counter[tuple[str, ...]]] = {n: Counter() for n in DISTINCT}
    for text in texts:
        tokens = tokenize(text)[:left]
        left -= len(tokens)
        for n, grams in seen.items():
            grams.update(zip(*(tokens[at:] for at in range(n)), strict=False))
        if not left:
            break
    shares = {
        str(n): round(len(grams) / grams.total(), 4) if grams else None for n, grams in seen.items()
    }
    return {"tokens": most - left} | shares


class _Lengths:
    """How often each length occurs, of prompts, answers and dialogues."""

    def __init__(self) -> None:
        self.prompts: Counter[int] = Counter()
        self.answers: Counter[int] = Counter()
        self.turns: Counter[int] = Counter()

    def counted(self, dialogues: Iterable[Dialogue]) -> Iterator[Dialogue]:
        """The dialogues, counted as they pass."""
        for dialogue in dialogues:
            spoken = [turn for turn in dialogue.turns if turn.role != "system"]
            self.prompts[len(dialogue.prompt)] += 1
            self.answers.update(len(turn.content) for turn in spoken if turn.role == "assistant")
            self.turns[len(spoken)] += 1
            yield dialogue

    def summary(self) -> dict[str, Any]:
        return {
            "prompt_characters": _spread(self.prompts),
            "answer_characters": _spread(self.answers),
            "turns": _spread(self.turns),
        }


def _spread(counts: Counter[int]) -> dict[str, float] | None:
    """Mean, extremes and quantiles (the lowest value with as much at or below it) of counts."""
    if not counts:
        return None
    values = sorted(counts)
    reached = np.cumsum([counts[value] for value in values])
    total = reached[-1]
    mean = sum(value * times for value, times in counts.items()) / total
    quantiles = {
        f"p{round(100 * share)}": values[int(np.searchsorted(reached, share * total))]
        for share in QUANTILES
    }
    return {"mean": round(float(mean), 1), "min": values[0], **quantiles, "max": values[-1]}


def _asking(dialogues: Iterable[Dialogue]) -> Iterator[Dialogue]:
    """Those that have a prompt."""
    return (dialogue for dialogue in dialogues if dialogue.prompt.strip())


def _sample(dialogues: Iterable[Dialogue], size: int, seed: int) -> tuple[list[Sampled], int]:
    """A sample of the dialogues with a prompt, in random order, and how many there are."""
    rng = random.Random(seed)
    sample: list[Sampled] = []
    count = 0
    for place, dialogue in enumerate(_asking(dialogues)):
        count += 1
        slot = place if place < size else rng.randrange(count)
        if slot < size:
            one = Sampled(place, dialogue.prompt[:LONGEST], dialogue.answer[:LONGEST])
            sample[slot : slot + 1] = [one]
    rng.shuffle(sample)
    return sample, count


def _nearest(dialogues: Iterable[Dialogue], sample: Sequence[Sampled], of: int) -> dict[str, Any]:
    """Nearest-neighbour BLEU of the sample's prompts among all."""
    queries = {each.place: each.prompt for each in sample}
    found = nearest_among((dialogue.prompt for dialogue in _asking(dialogues)), queries)
    n = len(sample)
    mean = float(found.score.mean())
    half = Z95 * float(found.score.std(ddof=1)) / np.sqrt(n) if n > 1 else 100.0
    return {
        "mean": round(mean, 3),
        "low": round(max(0.0, mean - half), 3),
        "high": round(min(100.0, mean + half), 3),
        "n": n,
        "of": of,
        "exact": True,
        "copied": round(float(found.copied.mean()), 4),
        "measure": MEASURE,
        "most_similar": _most_similar(sample, found),
    }


def _most_similar(sample: Sequence[Sampled], found: Nearest) -> list[dict[str, Any]]:
    """The pairs with the highest scores, exact copies aside, each once."""
    pairs: dict[frozenset[int], dict[str, Any]] = {}
    for at in np.argsort(-found.score, kind="stable"):
        pair = frozenset((sample[at].place, int(found.index[at])))
        if len(pairs) == PAIRS or found.index[at] < 0:
            break
        if not found.copied[at] and pair not in pairs:
            texts = {"prompt": sample[at].prompt[:SHOWN], "other": found.text[at][:SHOWN]}
            pairs[pair] = {"score": round(float(found.score[at]), 2), **texts}
    return list(pairs.values())


def _noted(dialogues: Iterable[Dialogue], task: Task, what: str) -> Iterator[Dialogue]:
    """The dialogues, with a note of how many have passed."""
    for number, dialogue in enumerate(dialogues, start=1):
        yield dialogue
        if number % NOTE_EVERY == 0:
            task.advance(0, f"{number} {what}")
