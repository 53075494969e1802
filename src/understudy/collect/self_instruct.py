"""The teacher invents the tasks that it is then asked: Self-Instruct's way, as Alpaca took it.

As published: a few seed tasks in the request, seeds only and never invented ones; many tasks a
completion, in Alpaca's wire format; one instance an instruction and no branch for classification;
the filters of `self_instruct_filter`, near-duplicates of seeds and kept instructions among them.

What differs, and why: Alpaca took each task's output from the same completion that invented the
task. Here an item has instruction and input only, and the collect stage asks every kept task as a
call of its own. So an answer is what this teacher says to a user who asks, not the last part of a
long list; it is not cut short by the list's end; its finish reason, cost, samples and
log-probabilities are its own; and nothing is paid for outputs of tasks that fall. And the request
is a chat message that asks for the list to be continued, without a ban on the end token, which
chat interfaces do not have.
"""

import math
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from understudy.collect.self_instruct_filter import Filter
from understudy.collect.self_instruct_tasks import (
    OWN_SEEDS,
    Malformed,
    Task,
    read_completion,
    read_seeds,
    request_text,
)
from understudy.errors import UserError
from understudy.files import write_jsonl
from understudy.progress import say
from understudy.recipe import SelfInstructSettings
from understudy.teacher.client import Answer, Ask, Failure, Request

MOST_AT_ONCE = 64  # requests in a round
FRUITLESS = 3  # rounds in a row that keep nothing, after which no more are asked
SHOWN_REASONS = 3


def self_instruct(
    settings: SelfInstructSettings, n: int, ask: Ask, out: Path, seed: int
) -> dict[str, Any]:
    """Have the teacher invent tasks until `n` of them are kept.

    Writes into `out`, each file at once and at the end:

    - prompts.jsonl: the kept tasks, {"id", "prompt", "instruction", "input"}, where the prompt is
      the instruction and, after a blank line, the input if there is one;
    - candidates_dropped.jsonl: every other item of a completion, {"request", "reason",
      "instruction", "input"}, for near-duplicates with the "nearest" instruction before it and
      the "score" of the two; for what could not be read {"request", "reason", "text"};
    - yield.jsonl: what came of every request, {"request", "call", "asked", "parsed", "kept",
      "dropped"} with the beginning of the ledger's key under "call", or {"request", "failed"} where
      it was not answered.

    Request number i shows seed tasks that `seed` and i alone draw, and how many requests there are
    follows from what came of the earlier ones. So the same answers give the same bytes, and with a
    ledger behind `ask`, a second start asks only for what the first did not get.

    Args:
        settings: seeds, and how to ask.
        n: tasks to keep.
        ask: puts requests to the teacher, with a label for the progress bar; an answer or failure
            for each, in their order.
        out: folder.
        seed: draws the shown seeds and goes into every request's seed.

    Returns:
        {"requests", "candidates", "wanted": n, "kept", "dropped": {reason: count}, "failed":
        {reason: count}, "yield"}, where the yield is the share of the candidates that passed every
        filter, those beyond `n` (`enough`) among them. Kept and dropped add up to the candidates.
        Fewer are kept than wanted where the last rounds of requests kept nothing.

    Raises:
        UserError: nothing was kept, or the seeds are malformed or too few.
    """
    path = Path(settings.seeds) if settings.seeds else OWN_SEEDS
    seeds = read_seeds(path)
    _check(settings, path, seeds)
    outcome = _Outcome(n, Filter([task.instruction for task in seeds], settings.rouge))
    fresh = settings.per_request - settings.shown
    fruitless, rate = 0, float(fresh)  # rate: tasks kept of a request, as far as can be told
    while len(outcome.kept) < n and fruitless < FRUITLESS:
        first, before = len(outcome.requests), len(outcome.kept)
        count = min(MOST_AT_ONCE, math.ceil((n - before) / rate))
        requests = [_request(settings, seeds, seed, first + i) for i in range(count)]
        for answer in ask(requests, "inventing tasks"):
            outcome.take(answer, fresh)
        gained = len(outcome.kept) - before
        # The earlier estimate counts as one request more, so that the rate is never nothing and a
        # round that keeps nothing is followed by a larger one.
        rate = (gained + rate) / (count + 1)
        fruitless = 0 if gained else fruitless + 1
        say(outcome.words())
    outcome.write(out)
    if not outcome.kept:
        raise UserError(
            f"self_instruct: none of {outcome.candidates} invented tasks was kept after "
            f"{len(outcome.requests)} requests ({outcome.reasons()}); see {out / 'yield.jsonl'} "
            "and try another teacher.model or temperature"
        )
    if len(outcome.kept) < n:
        say(
            f"  stopped at {len(outcome.kept)} of {n} tasks: the last {FRUITLESS} rounds of "
            f"requests kept nothing ({outcome.reasons()})"
        )
    return outcome.facts()


def _check(settings: SelfInstructSettings, path: Path, seeds: list[Task]) -> None:
    if settings.shown >= settings.per_request:
        raise UserError(
            f"self_instruct.per_request is {settings.per_request} with {settings.shown} of them "
            "shown; raise it above shown"
        )
    if len(seeds) < settings.shown:
        raise UserError(
            f"{path}: holds {len(seeds)} seed tasks, and a request shows {settings.shown}; add "
            "some or lower self_instruct.shown"
        )


def _request(settings: SelfInstructSettings, seeds: list[Task], seed: int, number: int) -> Request:
    shown = random.Random(f"self-instruct {seed} {number}").sample(seeds, settings.shown)
    return Request(
        messages=[{"role": "user", "content": request_text(shown, settings.per_request)}],
        temperature=settings.temperature,
        max_tokens=settings.max_tokens,
        seed=seed,
        sample=number,
        stop=(f"{settings.per_request + 1}. Instruction:",),
    )


@dataclass
class _Outcome:
    """What came of the requests so far."""

    n: int
    filter: Filter
    kept: list[Task] = field(default_factory=list)
    dropped: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)

    @property
    def candidates(self) -> int:
        return len(self.kept) + len(self.dropped)

    def take(self, answer: Answer | Failure, asked: int) -> None:
        """Judge the candidates in an answer to the next request, which asked for so many."""
        number = len(self.requests)
        if isinstance(answer, Failure):
            self.requests.append({"request": number, "failed": answer.reason})
            return
        kept, dropped = len(self.kept), len(self.dropped)
        items = read_completion(answer.text, answer.finish_reason == "length")
        for item in items:
            if fallen := self._judge(item):
                self.dropped.append({"request": number, **fallen})
        self.requests.append(
            {
                "request": number,
                "call": answer.key[:16],
                "asked": asked,
                "parsed": sum(isinstance(item, Task) for item in items),
                "kept": len(self.kept) - kept,
                "dropped": _counts(row["reason"] for row in self.dropped[dropped:]),
            }
        )

    def _judge(self, item: Task | Malformed) -> dict[str, Any] | None:
        """Keep an item, or say why it falls."""
        if isinstance(item, Malformed):
            return {"reason": item.reason, "text": item.text}
        verdict = self.filter.judge(item)
        if verdict is None and len(self.kept) < self.n:
            self.kept.append(item)
            return None
        row: dict[str, Any] = {
            "reason": verdict.reason if verdict else "enough",
            "instruction": item.instruction,
            "input": item.input,
        }
        if verdict and verdict.near:
            row |= {"nearest": verdict.near.text, "score": round(verdict.near.score, 4)}
        return row

    def reasons(self) -> str:
        """Why candidates fell or requests failed, the most frequent reasons first."""
        failed = (row["failed"] for row in self.requests if "failed" in row)
        counted = Counter([row["reason"] for row in self.dropped])
        counted.update(f"request failed: {reason}" for reason in failed)
        top = counted.most_common(SHOWN_REASONS)
        return ", ".join(f"{reason} {count}" for reason, count in top) or "no item in any answer"

    def words(self) -> str:
        return (
            f"  {len(self.kept)} of {self.n} tasks after {len(self.requests)} requests; "
            f"yield {self.share():.0%} of {self.candidates}; most fell by {self.reasons()}"
        )

    def share(self) -> float:
        """The candidates that passed every filter, as a share."""
        passed = len(self.kept) + sum(row["reason"] == "enough" for row in self.dropped)
        return passed / max(1, self.candidates)

    def write(self, out: Path) -> None:
        write_jsonl(
            out / "prompts.jsonl",
            (
                {
                    "id": f"invented-{number:05d}",
                    "prompt": task.prompt,
                    "instruction": task.instruction,
                    "input": task.input,
                }
                for number, task in enumerate(self.kept)
            ),
        )
        write_jsonl(out / "candidates_dropped.jsonl", self.dropped)
        write_jsonl(out / "yield.jsonl", self.requests)

    def facts(self) -> dict[str, Any]:
        return {
            "requests": len(self.requests),
            "candidates": self.candidates,
            "wanted": self.n,
            "kept": len(self.kept),
            "dropped": _counts(row["reason"] for row in self.dropped),
            "failed": _counts(row["failed"] for row in self.requests if "failed" in row),
            "yield": round(self.share(), 4),
        }


def _counts(reasons: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(reasons).items()))
