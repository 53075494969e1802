"""Local bootstrap: from a few example pairs of a task the teacher writes many like them.

NQ-synthetic was made so (Gudibande et al. 2023, section 3): of ten seed pairs five at random are
shown, ChatGPT is asked for similar but different ones, and again until there are 6,000. Its wording
and temperature, and whether new pairs were shown in their turn, are not published; here only the
user's examples are shown. Its seeds came from the very split that is scored, so pairs are compared
with the evaluation items, and nothing that gives one away is kept.
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from understudy.collect.leaks import NEAR, SAME, Bag, Guard, Held, Index, Rarity, normal
from understudy.collect.pairs import Broken, Pair, parse, read_examples, wording
from understudy.dialogue import Dialogue, Turn, write_dialogues
from understudy.errors import UserError
from understudy.files import write_jsonl
from understudy.progress import say
from understudy.recipe import LocalSettings
from understudy.teacher.client import Answer, Ask, Failure, Request

__all__ = ["Ask", "Held", "bootstrap"]

MOST_REQUESTS = 64  # a round
LEAST_YIELD = 0.25  # pairs a request that a round is sized for, at least
BARREN = 3  # rounds in a row that keep nothing end the work
LINES_READ = 4  # of an answer, for every pair that was asked for
KIN = 0.9  # share of the best likeness from which another example is as near


def bootstrap(
    settings: LocalSettings,
    n: int,
    ask: Ask,
    held: list[Held],
    teacher: str,
    licence: str,
    out: Path,
    seed: int,
) -> dict[str, Any]:
    """Have the teacher write pairs like the examples until `n` are kept.

    Writes dialogues.jsonl (input as the user's turn, output as the assistant's) and dropped.jsonl:
    rows {"request", "line", "reason", "input" and "output" or "text", "against", ...}, where
    `against` is the example, kept pair or held item that a pair collided with.

    Requests go out in rounds that are sized by what the round before yielded, and candidates are
    judged in the order of their requests, so that answers from a ledger give the same files again.
    A candidate falls, in this order, as
    - cut, not_json, not_a_pair, not_texts, too_long, too_many: no pair (`pairs.parse`);
    - surplus: `n` were kept before it;
    - leak: it gives a held item away (`leaks.Guard`);
    - duplicate or contradiction: an example or kept pair has an equal normalised input, and an
      equal or another output;
    - near: one has a likeness of SAME, or of NEAR and an equal output (`leaks`);
    - balance: the example that it is nearest to owns 2n/k pairs of the k examples' already, twice
      its fair share. Of examples that are as near (KIN) it belongs to that which owns fewest, then
      to the first. Where more than half of a round's candidates, or all that could be kept, fell
      so, the bound is doubled for good and they are judged again.

    Args:
        settings: the examples' file, and how to ask.
        n: pairs to keep.
        ask: puts requests to the teacher; the text names the work.
        held: the evaluation items.
        teacher, licence: for the dialogues' provenance.
        out: folder.
        seed: draws which examples are shown, and goes into the requests.

    Returns:
        {"requests", "candidates", "kept", "dropped": {reason: count}, "failed": {reason: count},
        "seeds_held": ids of held items that an example gives away, "balance": pairs that each
        example owns, "bound": how many one may own, "coverage": share of the examples that own at
        least half of their fair share n/k}; candidates = kept + all dropped.

    Raises:
        UserError: the examples are unusable, or no pair at all was kept.
    """
    examples = read_examples(Path(settings.examples))
    kept = _Kept(examples, held, n)
    seeds_held = kept.examples_held()
    if seeds_held:
        say(
            f"{settings.examples}: examples give evaluation items away, which must not be scored: "
            f"{_few(seeds_held)}"
        )
    shown = _shown(examples, settings.shown, seed)
    failed: Counter[str] = Counter()
    asked = candidates = barren = 0
    size = min(MOST_REQUESTS, ceil(n / settings.per_request))
    while len(kept.pairs) < n and barren < BARREN:
        requests = [_request(settings, next(shown), seed, asked + i) for i in range(size)]
        found, failures = _read(ask(requests, "local"), asked, LINES_READ * settings.per_request)
        new = kept.judge(found)
        asked, candidates, failed = asked + size, candidates + len(found), failed + failures
        say(f"  local: {len(kept.pairs)} of {n} kept; {_in_words(new, found, kept.fell, failures)}")
        barren = 0 if new else barren + 1
        size = min(MOST_REQUESTS, ceil((n - len(kept.pairs)) / max(new / size, LEAST_YIELD)))
    if barren == BARREN:
        say(f"  local: {BARREN} rounds in a row kept nothing; stopped at {len(kept.pairs)} of {n}")
    kept.dropped.sort(key=lambda row: (row["request"], row["line"]))
    write_jsonl(out / "dropped.jsonl", kept.dropped)
    dropped = Counter(row["reason"] for row in kept.dropped)
    if not kept.pairs:
        raise UserError(
            f"{settings.examples}: {asked} requests gave no usable pair, mostly for "
            f"{(dropped + failed).most_common(1)[0][0]}; see {out / 'dropped.jsonl'}, and mend the "
            "examples or take another teacher"
        )
    dialogues = (
        _dialogue(kept.name(index), candidate, teacher, licence)
        for index, candidate in enumerate(kept.pairs)
    )
    write_dialogues(out / "dialogues.jsonl", dialogues)
    enough = n / len(examples) / 2
    return {
        "requests": asked,
        "candidates": candidates,
        "kept": len(kept.pairs),
        "dropped": dict(sorted(dropped.items())),
        "failed": dict(sorted(failed.items())),
        "seeds_held": seeds_held,
        "balance": kept.owned,
        "bound": kept.bound,
        "coverage": round(sum(own >= enough for own in kept.owned) / len(examples), 6),
    }


def _request(settings: LocalSettings, shown: list[Pair], seed: int, number: int) -> Request:
    return Request(
        messages=[{"role": "user", "content": wording(shown, settings.per_request)}],
        temperature=settings.temperature,
        max_tokens=settings.max_tokens,
        seed=seed,
        sample=number,
    )


def _shown(examples: list[Pair], count: int, seed: int) -> Iterator[list[Pair]]:
    """The examples that each request shows, without end: `count` distinct ones, or all.

    They are dealt from one shuffled pack after the other, so that at any time no example was shown
    more than once more often than another.
    """
    count = min(count, len(examples))
    packs, pack = 0, list[int]()
    while True:
        hand, pack = pack[:count], pack[count:]
        if len(hand) < count:
            pack = random.Random(f"local {seed} {packs}").sample(
                range(len(examples)), len(examples)
            )
            pack.sort(key=lambda index: index in hand)  # what is in the hand already goes last
            packs += 1
            missing = count - len(hand)
            hand, pack = hand + pack[:missing], pack[missing:]
        yield [examples[index] for index in hand]


@dataclass(frozen=True)
class _Candidate:
    """What a line of an answer says; `origin` stands for the call in the ledger."""

    request: int
    line: int
    found: Pair | Broken
    origin: str

    @property
    def pair(self) -> Pair:
        assert isinstance(self.found, Pair)
        return self.found


def _read(
    answers: list[Answer | Failure], asked: int, most: int
) -> tuple[list[_Candidate], Counter[str]]:
    """A round's candidates in their order, and why requests gave none; the first is `asked`."""
    found: list[_Candidate] = []
    failures: Counter[str] = Counter()
    for request, answer in enumerate(answers, start=asked):
        if isinstance(answer, Failure):
            failures[answer.reason] += 1
            continue
        lines = list(parse(answer.text, answer.finish_reason == "length", most))
        found += [_Candidate(request, n, line, answer.key[:16]) for n, line in enumerate(lines, 1)]
        if not lines:
            failures["empty"] += 1
    return found, failures


def _dialogue(id: str, candidate: _Candidate, teacher: str, licence: str) -> Dialogue:
    return Dialogue(
        id=id,
        turns=[
            Turn(role="user", content=candidate.pair.input),
            Turn(role="assistant", content=candidate.pair.output),
        ],
        source="collect",
        teacher=teacher,
        licence=licence,
        origin=candidate.origin,
    )


class _Kept:
    """The pairs that were kept so far, and what candidates are judged against."""

    def __init__(self, examples: list[Pair], held: list[Held], n: int) -> None:
        self.examples, self.held, self.n = examples, held, n
        self.pairs: list[_Candidate] = []
        self.dropped: list[dict[str, Any]] = []
        self.fell: Counter[str] = Counter()
        self.owned = [0] * len(examples)
        self.bound = ceil(2 * n / len(examples))
        self._asked = [normal(item.question) for item in held]
        # Normalised inputs and outputs of the examples and then of the kept pairs.
        self._inputs = [normal(pair.input) for pair in examples]
        self._outputs = [normal(pair.output) for pair in examples]
        self._places = {text: place for place, text in enumerate(self._inputs)}
        self._weigh()

    def name(self, index: int) -> str:
        """The id of a kept pair."""
        return f"local-{index + 1:05d}"

    def examples_held(self) -> list[str]:
        """Ids of the held items that examples give away."""
        pairs = zip(self._bags, self._outputs, strict=True)
        leaks = [leak for bag, output in pairs for leak in self._guard.leaks(bag, output)]
        return sorted({leak.item.id for leak in leaks})

    def judge(self, candidates: list[_Candidate]) -> int:
        """Keep or drop a round's candidates, in their order; returns how many were kept."""
        before = len(self.pairs)
        self.fell.clear()
        self._weigh()
        waiting = [candidate for candidate in candidates if not self._decide(candidate)]
        while waiting and (len(waiting) > len(candidates) / 2 or len(self.pairs) == before):
            self.bound *= 2
            waiting = [candidate for candidate in waiting if not self._decide(candidate)]
        for candidate in waiting:
            self._drop(candidate, "balance")
        return len(self.pairs) - before

    def _weigh(self) -> None:
        """Weigh words anew, by all that is known by now."""
        rarity = self._rarity = Rarity([*self._inputs, *self._asked])
        self._guard = Guard(self.held, rarity)
        self._bags, self._index = [Bag(text, rarity) for text in self._inputs], Index()
        for bag in self._bags:
            self._index.add(bag)

    def _decide(self, candidate: _Candidate) -> bool:
        """Whether it is kept or dropped now; otherwise only the balance is against it."""
        if isinstance(candidate.found, Broken):
            return self._drop(candidate, candidate.found.reason)
        if len(self.pairs) == self.n:
            return self._drop(candidate, "surplus")
        bag, output = Bag(normal(candidate.pair.input), self._rarity), normal(candidate.pair.output)
        if leaks := self._guard.leaks(bag, output):
            leak = max(leaks, key=lambda leak: (leak.likeness, leak.cover))
            near = {"likeness": round(leak.likeness, 3), "cover": round(leak.cover, 3)}
            return self._drop(candidate, "leak", leak.item.id, **near)
        if (place := self._places.get(bag.text)) is not None:
            same = output == self._outputs[place]
            return self._drop(candidate, "duplicate" if same else "contradiction", self._at(place))
        for place, other in self._index.near(bag):
            likeness = bag.likeness(other)
            if likeness >= (NEAR if output == self._outputs[place] else SAME):
                return self._drop(candidate, "near", self._at(place), likeness=round(likeness, 3))
        owner = self._owner(bag)
        if self.owned[owner] >= self.bound:
            return False
        self._keep(candidate, owner, bag, output)
        return True

    def _owner(self, bag: Bag) -> int:
        likeness = [bag.likeness(example) for example in self._bags[: len(self.examples)]]
        kin = [index for index, value in enumerate(likeness) if value >= KIN * max(likeness)]
        return min(kin, key=lambda index: (self.owned[index], index))

    def _keep(self, candidate: _Candidate, owner: int, bag: Bag, output: str) -> None:
        self._places[bag.text] = len(self._inputs)
        self._inputs.append(bag.text)
        self._outputs.append(output)
        self._index.add(bag)
        self.owned[owner] += 1
        self.pairs.append(candidate)

    def _at(self, place: int) -> str:
        """What stands at a place among inputs and outputs."""
        own = place - len(self.examples)
        return f"example {place + 1}" if own < 0 else self.name(own)

    def _drop(
        self, candidate: _Candidate, reason: str, against: str | None = None, **near: float
    ) -> bool:
        row: dict[str, Any] = {
            "request": candidate.request,
            "line": candidate.line,
            "reason": reason,
        }
        if isinstance(candidate.found, Pair):
            row |= {"input": candidate.pair.input, "output": candidate.pair.output}
        else:
            row["text"] = candidate.found.text
        self.dropped.append(row | ({"against": against} if against else {}) | near)
        self.fell[reason] += 1
        return True


def _in_words(new: int, found: list[_Candidate], fell: Counter[str], failures: Counter[str]) -> str:
    """A round's yield, and what it lost most to."""
    share = f"{new / len(found):.0%} of {len(found)} candidates" if found else "no candidates"
    lost = [f"{count} {reason}" for reason, count in (fell + failures).most_common(3)]
    return f"{share} ({', '.join(lost)} fell)" if lost else share


def _few(ids: list[str], most: int = 8) -> str:
    more = f" and {len(ids) - most} more" if len(ids) > most else ""
    return ", ".join(ids[:most]) + more
