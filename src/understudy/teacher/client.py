"""Asking a teacher: many calls at once, retries, and no answer that is not in the ledger first."""

import asyncio
import os
import random
import ssl
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from understudy.errors import UserError
from understudy.files import canonical_json
from understudy.progress import Task, progress
from understudy.recipe import TeacherSettings
from understudy.teacher.ledger import Call, Ledger, call_key
from understudy.teacher.wire import (
    MOST_BYTES,
    Again,
    Completion,
    Endpoint,
    Failure,
    Request,
    parse,
    refusal,
    without_key,
)

__all__ = ["Answer", "Cost", "Endpoint", "Failure", "Request", "ask", "endpoint", "total_cost"]

FIRST_WAIT_S, MOST_WAIT_S = 0.5, 60.0  # before another try
CONNECT_S = 10.0
UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class Answer:
    """A teacher's answer.

    Attributes:
        text: "" where the teacher gave none.
        finish_reason: as the API gives it; "length" means cut short.
        prompt_tokens, completion_tokens: as the teacher counts; 0 where it does not say.
        usd: None where no price, or no count, is known.
        logprobs: the API's logprobs.content.
        key: of the ledger's record.
    """

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    usd: float | None
    logprobs: list[dict[str, Any]] | None
    key: str


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


def total_cost(costs: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The sum of several `Cost.as_dict()`; `usd` is None once any of them has no price."""
    costs = list(costs)
    total: dict[str, Any] = {
        name: sum(cost[name] for cost in costs)
        for name in ("calls", "prompt_tokens", "completion_tokens")
    }
    usd = [cost["usd"] for cost in costs]
    return total | {"usd": None if None in usd else round(sum(usd, 0.0), 6)}


def endpoint(settings: TeacherSettings) -> Endpoint:
    """The teacher of these settings; its key is read from the environment.

    Raises:
        UserError: the address is not one, or the variable is unset or holds no key.
    """
    address = _address(settings.base_url)
    return Endpoint(
        base_url=address,
        model=settings.model,
        identity=address,
        key=_key(settings.api_key_env) if settings.api_key_env else None,
        key_env=settings.api_key_env,
        prices=settings.prices,
        concurrency=settings.concurrency,
        timeout_s=settings.timeout_s,
        retries=settings.retries,
    )


def _address(text: str) -> str:
    """A base_url in one spelling. Passwords and queries are refused, since it is written down."""
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError):
        raise UserError("teacher.base_url: not an address; write it like https://host/v1") from None
    if url.userinfo:
        raise UserError(
            "teacher.base_url: holds a name or password; put the key into an environment variable "
            "and name that as teacher.api_key_env"
        )
    if url.scheme not in ("http", "https") or not url.host:
        raise UserError(
            f"teacher.base_url: {text!r} is no http(s) address; write it like https://host/v1"
        )
    if url.query or url.fragment:
        raise UserError("teacher.base_url: must end with its path, such as /v1; remove ? and #")
    return str(url).rstrip("/")


def _key(name: str) -> str:
    key = os.environ.get(name, "").strip()
    if not key:
        raise UserError(f"teacher.api_key_env: {name} is not set; export {name}=<your key>")
    if not all("!" <= character <= "~" for character in key):
        raise UserError(f"teacher.api_key_env: {name} holds spaces or signs that no key has")
    return key


def ask(
    teacher: Endpoint, ledger: Path, requests: Sequence[Request], label: str
) -> list[Answer | Failure]:
    """Put requests to a teacher; what the ledger holds already is not asked.

    Equal requests are asked once. Every answer is on disk before it is returned, so that after a
    kill a second start asks only for the rest.

    Args:
        teacher: whom to ask; `concurrency` calls at once.
        ledger: its file, made if it is missing.
        requests: what to ask.
        label: names the work beside the progress bar.

    Returns:
        An answer or failure for every request, in their order.

    Raises:
        UserError: the teacher cannot be reached, refuses the key, has no such model, or the ledger
            cannot be written.
    """
    keys = [_call_key(teacher, request) for request in requests]
    wanted = dict(zip(keys, requests, strict=True))
    with Ledger(ledger) as book:
        found = {call.key: _read(call, teacher) for call in book.lookup(wanted)}
        missing = {key: request for key, request in wanted.items() if key not in found}
        if missing:
            with progress(label, len(wanted)) as task:
                task.advance(len(found))
                found |= asyncio.run(_ask(teacher, book, missing, task))
    return [found[key] for key in keys]


def _call_key(teacher: Endpoint, request: Request) -> str:
    body = request.body(teacher.model)
    return call_key(teacher.identity, teacher.model, body, request.sample)


def _read(call: Call, teacher: Endpoint) -> Answer | Failure:
    """The answer in a ledger's record; a price that was not known then is taken from now."""
    if call.finish_reason == "content_filter":
        return Failure("content_filter", "the provider's filter withheld the answer")
    completion = Completion.model_validate_json(call.response)
    return Answer(
        text=completion.text,
        finish_reason=call.finish_reason,
        prompt_tokens=call.prompt_tokens,
        completion_tokens=call.completion_tokens,
        usd=_usd(completion, teacher) if call.usd is None else call.usd,
        logprobs=completion.logprobs,
        key=call.key,
    )


def _usd(completion: Completion, teacher: Endpoint) -> float | None:
    asked, given = completion.count("prompt_tokens"), completion.count("completion_tokens")
    return None if asked is None or given is None else teacher.usd(asked, given)


async def _ask(
    teacher: Endpoint, ledger: Ledger, missing: dict[str, Request], task: Task
) -> dict[str, Answer | Failure]:
    """Ask for what is missing with `concurrency` workers that share one iterator."""
    found: dict[str, Answer | Failure] = {}
    requests = iter(missing.items())
    caller = _Caller(teacher, ledger, httpx.create_ssl_context(), task)
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(teacher.concurrency, len(missing))):
                group.create_task(caller.work(requests, found))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return found


@dataclass
class _Caller:
    """What the workers share."""

    teacher: Endpoint
    ledger: Ledger
    tls: ssl.SSLContext
    task: Task

    def __post_init__(self) -> None:
        self.cost, self.begun = Cost(), time.monotonic()

    async def work(
        self, requests: Iterator[tuple[str, Request]], found: dict[str, Answer | Failure]
    ) -> None:
        """One worker: take requests until none is left."""
        async with self._http() as http:
            for key, request in requests:
                outcome = await self._call(http, key, request)
                found[key] = outcome
                if isinstance(outcome, Answer):
                    self.cost.add(outcome)
                self.task.advance(note=self._note())

    def _http(self) -> httpx.AsyncClient:
        """A worker's own connection; one pool for all would be searched at every call."""
        url, key = httpx.URL(self.teacher.base_url), self.teacher.key
        return httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            # A call as a whole has its time limit; connecting has another, to tell the two apart.
            timeout=httpx.Timeout(None, connect=min(CONNECT_S, self.teacher.timeout_s / 2)),
            limits=httpx.Limits(max_connections=1),
            verify=self.tls,
            # No proxy has a way to this machine's own loopback.
            trust_env=url.host not in ("127.0.0.1", "localhost", "::1"),
        )

    def _note(self) -> str:
        rate = self.cost.calls / max(time.monotonic() - self.begun, 1e-3)
        usd = "" if self.cost.usd is None else f"${self.cost.usd:.3f}, "
        return f"{usd}{rate:.1f}/s"

    async def _call(self, http: httpx.AsyncClient, key: str, request: Request) -> Answer | Failure:
        """One request with its retries; an answer is recorded before it is returned."""
        body = request.body(self.teacher.model)
        outcome = await self._try(http, body)
        for attempt in range(self.teacher.retries):
            if not isinstance(outcome, Again):
                break
            await asyncio.sleep(wait_s(attempt, outcome.after_s))
            outcome = await self._try(http, body)
        if isinstance(outcome, Again):
            if outcome.failure.reason == UNREACHABLE:
                raise UserError(
                    f"{self.teacher.base_url}: cannot be reached ({outcome.failure.detail}); "
                    "check teacher.base_url and the network, and run the command again"
                )
            outcome = outcome.failure
        if isinstance(outcome, Failure):
            return outcome
        completion, response = outcome
        call = Call(
            key=key,
            identity=self.teacher.identity,
            model=self.teacher.model,
            sample=request.sample,
            request=canonical_json(body),
            response=response,
            finish_reason=completion.finish_reason,
            prompt_tokens=completion.count("prompt_tokens") or 0,
            completion_tokens=completion.count("completion_tokens") or 0,
            usd=_usd(completion, self.teacher),
            created=time.time(),
        )
        return _read(await asyncio.wrap_future(self.ledger.record(call)), self.teacher)

    async def _try(
        self, http: httpx.AsyncClient, body: dict[str, Any]
    ) -> tuple[Completion, str] | Again | Failure:
        """One attempt: a completion with the body it came in, or what went wrong."""
        try:
            async with asyncio.timeout(self.teacher.timeout_s):
                return await self._post(http, body)
        except TimeoutError:
            limit = f"no whole answer within {self.teacher.timeout_s:g} s"
            return Again(Failure("timeout", limit))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            return Again(Failure(UNREACHABLE, str(error) or type(error).__name__))
        except httpx.DecodingError:
            return Again(Failure("broken", "the answer's compression is broken"))
        except httpx.TransportError as error:
            return Again(Failure("cut", f"the connection broke ({type(error).__name__})"))

    async def _post(
        self, http: httpx.AsyncClient, body: dict[str, Any]
    ) -> tuple[Completion, str] | Again | Failure:
        url = f"{self.teacher.base_url}/chat/completions"
        async with http.stream("POST", url, json=body) as response:
            received = bytearray()
            async for piece in response.aiter_bytes():
                received += piece
                if len(received) > MOST_BYTES:
                    limit = f"the answer is longer than {MOST_BYTES // 2**20} MiB"
                    return Failure("too_long", limit)
        if response.status_code != 200:
            after = response.headers.get("retry-after")
            return refusal(self.teacher, response.status_code, bytes(received), after)
        content = without_key(self.teacher, bytes(received))
        completion = parse(content)
        return completion if isinstance(completion, Again) else (completion, content.decode())


def wait_s(attempt: int, asked_s: float | None) -> float:
    """Seconds before another try: what the server asks for, and a random time that doubles.

    Exponential back-off with full jitter (M. Brooker, "Exponential Backoff and Jitter", 2015).
    """
    jitter = random.uniform(0, min(MOST_WAIT_S, FIRST_WAIT_S * 2 ** min(attempt, 16)))
    return min(MOST_WAIT_S, asked_s or 0.0) + jitter
