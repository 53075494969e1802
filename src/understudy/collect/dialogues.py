"""Prompts in, a teacher's answers as dialogues out: one turn, or several with follow-ups.

Nothing is held in memory but ids and failures: the ledger has the answers, and the files are
written by going through prompts and ledger side by side.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from understudy.collect.follow_ups import FollowUps
from understudy.dialogue import Dialogue, Turn, read_dialogues
from understudy.errors import UserError
from understudy.files import atomic_write, write_jsonl
from understudy.prompts import Prompt, iter_prompts
from understudy.recipe import CollectSettings
from understudy.teacher.client import (
    Account,
    Answer,
    CostOnce,
    Failure,
    Request,
    answers,
    ask_all,
)
from understudy.teacher.jobs import Spool, jobs_of

LICENCE = "terms of the teacher's provider"
DIALOGUES, DROPPED, TURNS = "dialogues.jsonl", "dropped.jsonl", "turns"


@dataclass(frozen=True)
class PromptFile:
    """The first `n` prompts of a source, or all; read anew for each iteration (`iter_prompts`).

    Iterating raises UserError if there is none.
    """

    source: str | Path
    column: str | None = None
    n: int | None = None

    def __iter__(self) -> Iterator[Prompt]:
        prompts = islice(iter_prompts(self.source, self.column), self.n)
        first = next(prompts, None)
        if first is None:
            raise UserError(f"{self.source}: holds no prompt; write one a line")
        return chain([first], prompts)


def requests(settings: CollectSettings, prompts: Iterable[Prompt], seed: int) -> Iterator[Request]:
    """What the teacher is asked first: every prompt, `samples` times."""
    for prompt in prompts:
        for sample in range(settings.samples):
            yield _request(settings, _chat(settings, prompt), seed, sample)


def converse(
    settings: CollectSettings,
    prompts: Iterable[Prompt],
    account: Account,
    out: Path,
    seed: int,
    follow_ups: FollowUps | None = None,
) -> dict[str, Any]:
    """Ask the teacher every prompt; writes dialogues.jsonl and dropped.jsonl into `out`.

    Every prompt (times `samples`) ends in one of the two files, in the order of the prompts; rows
    of dropped.jsonl are {"id", "reason", "detail"}. Killed and called again, it goes on from the
    ledger. A dialogue that fails after its first answer is kept as far as it got.

    Args:
        settings: how to ask.
        prompts: what to ask; their ids become the dialogues'. Iterated several times.
        account: whom to ask, and what it may cost.
        out: folder.
        seed: goes into every request's seed.
        follow_ups: says what the user says next; needed for more than one turn.

    Returns:
        {"asked", "dialogues", "dropped": {reason: count}, "cost"}, where the cost is that of all
        answers in the file, those that an earlier start paid for included; with several turns also
        "shortened": {reason: count} of the dialogues that a failed answer ended early.

    Raises:
        UserError: no prompt was answered, or see `ask_all`.
    """
    writer = _Writer(settings, account, out, seed)
    turns = settings.turns
    writer.first(prompts, _turn_file(out, 1, turns))
    asked: Path | None = None
    for turn in range(2, turns + 1):
        assert follow_ups is not None
        before, last = _turn_file(out, turn - 1, turns), asked
        asked = out / TURNS / f"{turn}.prompts.jsonl"
        write_jsonl(asked, _continued(_live(before, last), follow_ups))
        writer.next(before, asked, turn, _turn_file(out, turn, turns))
    shutil.rmtree(out / TURNS, ignore_errors=True)
    return writer.facts()


def _turn_file(out: Path, turn: int, turns: int) -> Path:
    return out / DIALOGUES if turn == turns else out / TURNS / f"{turn}.jsonl"


def _live(before: Path, asked: Path | None) -> Iterator[Dialogue]:
    """The dialogues whose last answer is whole, of those that were `asked` last (None: all)."""
    prompts = iter_prompts(asked) if asked else iter(())
    waiting = next(prompts, None)
    for dialogue in read_dialogues(before):
        answered = asked is None
        if waiting and waiting.id == dialogue.id:
            answered = len(dialogue.turns) > len(waiting.messages)
            waiting = next(prompts, None)
        if answered and not dialogue.cut:
            yield dialogue


def _continued(live: Iterator[Dialogue], follow_ups: FollowUps) -> Iterator[dict[str, Any]]:
    """The dialogues that go on, with the user's next turn, as rows of prompts."""
    for some in iter(lambda: list(islice(live, 200)), []):
        for dialogue, text in zip(some, follow_ups(some), strict=True):
            if text is not None:
                messages = [*dialogue.messages(), {"role": "user", "content": text}]
                yield {"id": dialogue.id, "messages": messages}


def _chat(settings: CollectSettings, prompt: Prompt) -> list[dict[str, str]]:
    chat = prompt.chat()
    if settings.system and chat[0]["role"] != "system":
        return [{"role": "system", "content": settings.system}, *chat]
    return chat


def _request(
    settings: CollectSettings, chat: list[dict[str, str]], seed: int, sample: int
) -> Request:
    return Request(
        messages=chat,
        temperature=settings.temperature,
        max_tokens=settings.max_tokens,
        seed=seed,
        sample=sample,
        top_logprobs=settings.top_logprobs,
    )


class _Writer:
    """Asks turn by turn and writes what came of it; counts as it goes."""

    def __init__(self, settings: CollectSettings, account: Account, out: Path, seed: int) -> None:
        self._settings, self._account, self._out, self._seed = settings, account, out, seed
        self._cost = CostOnce()
        self._dropped, self._shortened = Counter[str](), Counter[str]()
        self._first: str | None = None  # failure, in words
        self._asked = self._kept = 0

    def first(self, prompts: Iterable[Prompt], file: Path) -> None:
        """Ask the prompts; dialogues go to `file`, failures to dropped.jsonl."""
        settings, samples = self._settings, self._settings.samples
        outcomes, self._asked = self._ask(requests(settings, prompts, self._seed), "collect")
        with ExitStack() as files:
            kept = files.enter_context(atomic_write(file))
            dropped = files.enter_context(atomic_write(self._out / DROPPED))
            for prompt in prompts:
                for sample in range(samples):
                    id = prompt.id if samples == 1 else f"{prompt.id}#{sample}"
                    outcome = next(outcomes)
                    if isinstance(outcome, Answer):
                        self._kept += 1
                        kept.write(_line(self._dialogue(id, _chat(settings, prompt), outcome)))
                    else:
                        row = {"id": id, "reason": outcome.reason, "detail": outcome.detail}
                        dropped.write(json.dumps(row, ensure_ascii=False) + "\n")
                        self._drop(outcome)
        if self._dropped and not self._kept:
            file.unlink()
            raise UserError(
                f"{self._account.teacher.base_url}: answered none of {self._asked} prompts; the "
                f"first failed with {self._first}; see {self._out / DROPPED}"
            )

    def next(self, before: Path, asked: Path, turn: int, file: Path) -> None:
        """Ask the prompts in `asked`; those of `before` that do not go on pass through."""
        again = (
            _request(self._settings, prompt.chat(), self._seed, self._sample(prompt.id))
            for prompt in iter_prompts(asked)
        )
        outcomes, _ = self._ask(again, f"collect, turn {turn}")
        prompts = iter_prompts(asked)
        waiting = next(prompts, None)
        with atomic_write(file) as kept:
            for dialogue in read_dialogues(before):
                if waiting is None or waiting.id != dialogue.id:
                    kept.write(_line(dialogue))
                    continue
                outcome = next(outcomes)
                if isinstance(outcome, Answer):
                    dialogue = self._dialogue(dialogue.id, waiting.chat(), outcome)
                else:
                    self._shortened[outcome.reason] += 1
                kept.write(_line(dialogue))
                waiting = next(prompts, None)

    def facts(self) -> dict[str, Any]:
        facts = {
            "asked": self._asked,
            "dialogues": self._kept,
            "dropped": dict(sorted(self._dropped.items())),
            "cost": self._cost.as_dict(),
        }
        if self._settings.turns > 1:
            facts["shortened"] = dict(sorted(self._shortened.items()))
        return facts

    def _ask(self, asked: Iterable[Request], label: str) -> tuple[Iterator[Answer | Failure], int]:
        """Put requests to the teacher: their outcomes, in their order, and how many they are."""
        jobs = Spool(jobs_of(self._account.teacher, asked), self._out)
        journal = self._account.journal(self._out) if self._settings.batch else None
        failures = ask_all(self._account, jobs, jobs.count, label, journal)
        return answers(self._account, jobs, failures), jobs.count

    def _sample(self, id: str) -> int:
        return int(id.rpartition("#")[2]) if self._settings.samples > 1 else 0

    def _dialogue(self, id: str, chat: list[dict[str, str]], answer: Answer) -> Dialogue:
        self._cost.add(answer)
        turns = [Turn(role=message["role"], content=message["content"]) for message in chat]
        return Dialogue(
            id=id,
            turns=[*turns, Turn(role="assistant", content=answer.text)],
            source="collect",
            teacher=self._account.teacher.model,
            licence=LICENCE,
            origin=answer.key[:16],
            cut=answer.finish_reason == "length",
        )

    def _drop(self, failure: Failure) -> None:
        self._first = self._first or f"{failure.reason} ({failure.detail})"
        self._dropped[failure.reason] += 1


def _line(dialogue: Dialogue) -> str:
    return dialogue.model_dump_json(exclude_none=True) + "\n"
