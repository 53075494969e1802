"""Asking a teacher: no answer that is not in the ledger first, and none paid for twice.

`ask_all` puts any number of jobs to a teacher and leaves the answers in the ledger; `answers` reads
them from there in their order, so that neither holds more than a few hundred at a time. `ask` does
both for a list of requests.
"""

import asyncio
import itertools
import os
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understudy.errors import UserError
from understudy.progress import progress
from understudy.recipe import BudgetSettings, TeacherSettings, WaySettings
from understudy.teacher.batched import ask_in_batches
from understudy.teacher.budget import Budget
from understudy.teacher.caller import Caller
from understudy.teacher.databases import is_address
from understudy.teacher.jobs import Job, jobs_of
from understudy.teacher.ledger import Call, Ledger, chunks, exists
from understudy.teacher.prices import prices_of
from understudy.teacher.wire import Completion, Endpoint, Failure, Request, Teacher

__all__ = [
    "Account",
    "Answer",
    "Ask",
    "Cost",
    "CostOnce",
    "Endpoint",
    "Failure",
    "Request",
    "Teacher",
    "answers",
    "ask",
    "ask_all",
    "teacher_at",
    "teacher_of",
    "total_cost",
]

LOOKED_UP = 200  # requests at once
UNLIMITED = BudgetSettings()
SEEN_BYTES = 16  # of a key; two keys of one job that share them are not to be expected


@dataclass(frozen=True)
class Account:
    """A teacher, the ledger that its answers go to, and what they may cost.

    `ledger` is a file or a postgresql:// address; calls are booked there under `recipe`, whose
    budget counts them over all starts.
    """

    teacher: Teacher
    ledger: str | Path
    recipe: str = ""
    budget: BudgetSettings = UNLIMITED

    def journal(self, folder: Path) -> Path:
        """The file that names the batches: beside the ledger's, or in `folder` if it has none."""
        if is_address(self.ledger):
            return folder / "batches.json"
        return Path(f"{self.ledger}.batches.json")


@dataclass(frozen=True)
class Answer:
    """A teacher's answer.

    Attributes:
        text: "" where the teacher gave none.
        finish_reason: as the API gives it; "length" means cut short.
        prompt_tokens, completion_tokens: as the teacher counts; 0 where it does not say.
        usd: None where no price, or no count, is known.
        logprobs: as the chat API's logprobs.content.
        key: of the ledger's record.
    """

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    usd: float | None
    logprobs: list[dict[str, Any]] | None
    key: str


Ask = Callable[[list[Request], str], list[Answer | Failure]]
"""Puts requests to a teacher, with a label for the progress: an outcome for each, in order."""


@dataclass
class Cost:
    """What answers cost; `usd` is None once any of them has no price."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = 0.0

    def add(self, answer: Answer) -> None:
        self.calls += 1
        self.prompt_tokens += answer.prompt_tokens
        self.completion_tokens += answer.completion_tokens
        known = self.usd is not None and answer.usd is not None
        self.usd = (self.usd or 0.0) + (answer.usd or 0.0) if known else None

    def as_dict(self) -> dict[str, Any]:
        return {
            "calls": self.calls,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "usd": None if self.usd is None else round(self.usd, 6),
        }


class CostOnce(Cost):
    """What answers cost when those that share a record of the ledger are paid for once."""

    def __init__(self) -> None:
        super().__init__()
        self._paid: set[bytes] = set()

    def add(self, answer: Answer) -> None:
        short = short_key(answer.key)
        if short not in self._paid:
            self._paid.add(short)
            super().add(answer)


def short_key(key: str) -> bytes:
    """A key in as little room as still tells those of one job apart."""
    return bytes.fromhex(key)[:SEEN_BYTES]


def total_cost(costs: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The sum of several `Cost.as_dict()`; `usd` is None once any of them has no price."""
    costs = list(costs)
    total: dict[str, Any] = {
        name: sum(cost[name] for cost in costs)
        for name in ("calls", "prompt_tokens", "completion_tokens")
    }
    usd = [cost["usd"] for cost in costs]
    return total | {"usd": None if None in usd else round(sum(usd, 0.0), 6)}


def teacher_of(settings: TeacherSettings) -> Teacher:
    """The teacher of these settings; its keys are read from the environment.

    Raises:
        UserError: an address is not one, or a variable is unset or holds no key.
    """
    first = WaySettings(base_url=settings.base_url, api_key_env=settings.api_key_env)
    endpoints = [
        Endpoint(_address(way.base_url), _key(way.api_key_env), way.api_key_env)
        for way in (first, *settings.ways)
    ]
    return teacher_at(settings, endpoints[0].base_url, *endpoints)


def teacher_at(settings: TeacherSettings, identity: str, *endpoints: Endpoint) -> Teacher:
    """The teacher of these settings, at given endpoints and under a given identity."""
    return Teacher(
        model=settings.model,
        identity=identity,
        endpoints=endpoints,
        api=settings.api,
        prices=prices_of(settings)[0],
        concurrency=settings.concurrency,
        timeout_s=settings.timeout_s,
        retries=settings.retries,
    )


def _address(text: str) -> str:
    """A base_url in one spelling. Passwords and queries are refused, since it is written down."""
    try:
        url = urllib.parse.urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError:
        raise UserError("teacher.base_url: not an address; write it like https://host/v1") from None
    if url.username is not None or url.password is not None:
        raise UserError(
            "teacher.base_url: holds a name or password; put the key into an environment variable "
            "and name that as teacher.api_key_env"
        )
    if url.scheme not in ("http", "https") or not host:
        raise UserError(
            f"teacher.base_url: {text!r} is no http(s) address; write it like https://host/v1"
        )
    if url.query or url.fragment:
        raise UserError("teacher.base_url: must end with its path, such as /v1; remove ? and #")
    place = f"[{host}]" if ":" in host else host
    return f"{url.scheme}://{place}{'' if port is None else f':{port}'}{url.path}".rstrip("/")


def _key(name: str | None) -> str | None:
    if name is None:
        return None
    key = os.environ.get(name, "").strip()
    if not key:
        raise UserError(f"teacher.api_key_env: {name} is not set; export {name}=<your key>")
    if not all("!" <= character <= "~" for character in key):
        raise UserError(f"teacher.api_key_env: {name} holds spaces or signs that no key has")
    return key


def ask(account: Account, requests: Sequence[Request], label: str) -> list[Answer | Failure]:
    """Put requests to a teacher; what the ledger holds already is not asked.

    Returns:
        An answer or failure for every request, in their order.

    Raises:
        UserError: see `ask_all`.
    """
    jobs = list(jobs_of(account.teacher, requests))
    failures = ask_all(account, jobs, len(jobs), label)
    return list(answers(account, jobs, failures))


def ask_all(
    account: Account,
    jobs: Iterable[Job],
    total: int,
    label: str,
    journal: Path | None = None,
) -> dict[str, Failure]:
    """Ask for the answers that the ledger does not hold yet, many at once.

    Equal requests are asked once. Every answer is on disk before it counts, so that after a kill a
    second start asks only for the rest. Ctrl-C waits for the calls in flight; a second one does
    not.

    Args:
        account: whom to ask, where the answers go, what they may cost.
        jobs: what to ask; taken as they are needed.
        total: how many they are.
        label: names the work beside the progress bar.
        journal: a file that names the batches; with it the calls go through the Batch API.

    Returns:
        The failures, by the jobs' keys; those beyond the budget have the reason `budget`.

    Raises:
        UserError: the teacher cannot be reached, refuses the key, has no such model, or the ledger
            cannot be written.
        KeyboardInterrupt: stopped; what was answered is in the ledger.
    """
    with Ledger(account.ledger) as ledger, progress(label, total) as task:
        open_jobs = _missing(ledger, jobs, task.advance)
        first = next(open_jobs, None)
        if first is None:
            return {}
        budget = Budget(account.budget, account.teacher, ledger, account.recipe)
        open_jobs = itertools.chain([first], open_jobs)
        common = (account.teacher, ledger, account.recipe, budget, task)
        if journal:
            return asyncio.run(ask_in_batches(*common, open_jobs, journal))
        caller = Caller(*common)
        failures = asyncio.run(caller.run(open_jobs))
        if caller.interrupted:
            raise KeyboardInterrupt
        return failures


def answers(
    account: Account, jobs: Iterable[Job], failures: dict[str, Failure]
) -> Iterator[Answer | Failure]:
    """The outcome of every job, in their order: from the ledger, or its failure."""
    with Ledger(account.ledger) as ledger:
        for keys in chunks((job.key for job in jobs), LOOKED_UP):
            found = {call.key: read(call, account.teacher) for call in ledger.lookup(set(keys))}
            yield from (found.get(key) or failures[key] for key in keys)


def read(call: Call, teacher: Teacher) -> Answer | Failure:
    """The answer in a ledger's record; a price that was not known then is taken from now."""
    if call.finish_reason == "content_filter":
        return Failure("content_filter", "the provider's filter withheld the answer")
    completion = Completion.model_validate_json(call.response)
    usd = call.usd
    if usd is None and completion.count("completion_tokens") is not None:
        usd = teacher.usd(call.prompt_tokens, call.completion_tokens)
    return Answer(
        text=completion.text,
        finish_reason=call.finish_reason,
        prompt_tokens=call.prompt_tokens,
        completion_tokens=call.completion_tokens,
        usd=usd,
        logprobs=completion.logprobs,
        key=call.key,
    )


def missing(account: Account, jobs: Iterable[Job]) -> Iterator[Job]:
    """The jobs, each once, that the ledger, if it is there, has no answer to."""
    if not exists(account.ledger):
        yield from _unseen(jobs, set(), lambda count: None)
        return
    with Ledger(account.ledger) as ledger:
        yield from _missing(ledger, jobs, lambda count: None)


def _missing(ledger: Ledger, jobs: Iterable[Job], answered: Callable[[int], None]) -> Iterator[Job]:
    """The jobs, each once, that the ledger has no answer to; the others are counted."""
    seen: set[bytes] = set()
    for some in chunks(jobs, LOOKED_UP):
        known = ledger.known([job.key for job in some])
        answered(sum(job.key in known for job in some))
        yield from _unseen((job for job in some if job.key not in known), seen, answered)


def _unseen(
    jobs: Iterable[Job], seen: set[bytes], answered: Callable[[int], None]
) -> Iterator[Job]:
    for job in jobs:
        short = short_key(job.key)
        if short in seen:
            answered(1)
        else:
            seen.add(short)
            yield job
