"""The world's teacher as an HTTP server with OpenAI's interface.

POST /v1/chat/completions, POST /v1/completions, GET /v1/models, and files and batches
(`world/batches.py`). Rate limits are announced in the headers OpenAI uses and are too high to be
met unless `Limits` says otherwise; refusals and breakdowns come on demand (`Faults`).
"""

import asyncio
import hashlib
import hmac
import json
import math
import random
import secrets
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from understudy.errors import UserError
from understudy.files import canonical_json
from understudy.progress import say
from understudy.recipe import TeacherSettings, WorldSettings
from understudy.serving import listen, quiet_server
from understudy.teacher.client import Endpoint, Teacher, teacher_at
from understudy.world import openai
from understudy.world.batches import AT_ONCE, Batches, Batching
from understudy.world.encyclopedia import World
from understudy.world.openai import ApiError

KEY_ENV = "UNDERSTUDY_WORLD_KEY"
MOST_BYTES = 2**20  # of a request's body
REFUSALS = ("limited", "failing", "unavailable")  # faults that leave no answer
START_S = 30.0


@dataclass(frozen=True)
class Faults:
    """Shares (0..1, 1 in all at most) of the requests that go wrong, and how.

    A batch's line can only be `failing`.

    Attributes:
        limited: 429 with Retry-After `retry_after_s`.
        failing: 500.
        slow: answered `slow_s` seconds late.
        cut: the connection breaks in the middle of the answer.
        broken: the answer ends in the middle of its JSON as if it were whole.
        unavailable: 503 with Retry-After `retry_after_s`.
        seed: with the request's number it draws what happens.
    """

    limited: float = 0.0
    failing: float = 0.0
    slow: float = 0.0
    cut: float = 0.0
    broken: float = 0.0
    unavailable: float = 0.0
    retry_after_s: int = 1
    slow_s: float = 2.0
    seed: int = 0

    def draw(self, number: int) -> str | None:
        """What befalls the request with this number; None for nothing."""
        point = random.Random(f"fault {self.seed} {number}").random()
        for name in ("limited", "failing", "slow", "cut", "broken", "unavailable"):
            point -= getattr(self, name)
            if point < 0:
                return name
        return None


@dataclass(frozen=True)
class Limits:
    """What may be asked for in a minute; more gets 429. Batches are outside it.

    Attributes:
        tokens_per_minute: asked and answered together.
        window_s: how long a minute is; tests make it shorter.
    """

    requests_per_minute: int = 1_000_000
    tokens_per_minute: int = 1_000_000_000
    window_s: float = 60.0


NO_FAULTS, HIGH = Faults(), Limits()


def teacher_app(
    world: World,
    key: str | None = None,
    log: Path | None = None,
    faults: Faults = NO_FAULTS,
    limits: Limits = HIGH,
    batching: Batching = AT_ONCE,
) -> FastAPI:
    """The teacher as an ASGI application.

    Args:
        world: what it knows.
        key: the only key that it takes; None takes any or none.
        log: JSONL file with a row for every request, written before the answer is sent: {"time",
            "digest", "status"}, the digest being the SHA-256 of the body's bytes (of a batch's
            line: of the canonical JSON of its body), with "usage" for an answer, "fault" for one
            that was spoilt and "batch" (its id) for a batch's line.
        faults: what goes wrong.
        limits: how much may be asked.
        batching: how batches go.

    Raises:
        UserError: the log cannot be written.
    """
    teacher = _Teacher(world, key, log, faults, limits)
    batches = Batches(teacher.answer_line, batching)
    only_with_key = [Depends(teacher.check_key)]
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    for url in openai.INTERFACES:
        app.add_api_route(url, teacher.complete, methods=["POST"], response_model=None)
    app.add_api_route("/v1/models", teacher.models, dependencies=only_with_key, response_model=None)
    app.include_router(batches.router(), dependencies=only_with_key)
    app.add_exception_handler(ApiError, _refuse)
    app.add_exception_handler(HTTPException, _elsewhere)
    return app


def serve(
    world: World,
    host: str,
    port: int,
    key: str | None,
    log: Path | None,
    faults: Faults = NO_FAULTS,
    limits: Limits = HIGH,
) -> None:
    """Serve the teacher until Ctrl-C and say where; port 0 takes a free one.

    Raises:
        UserError: the port is taken, or the log cannot be written.
    """
    app = teacher_app(world, key, log, faults, limits)
    with listen(host, port) as listener:
        say(f"the world's teacher listens on http://{host}:{listener.getsockname()[1]}/v1")
        _server(app).run(sockets=[listener])


@contextmanager
def running_teacher(
    world_settings: WorldSettings,
    settings: TeacherSettings,
    log: Path,
    faults: Faults = NO_FAULTS,
    limits: Limits = HIGH,
    batching: Batching = AT_ONCE,
) -> Iterator[Teacher]:
    """A teacher on a free port of this machine's loopback, which ends with the block.

    It runs in a thread, so that it dies with the process, and takes one key that is drawn for this
    start. Its identity in ledgers is the world's, since its port changes.
    """
    world = World.of(world_settings)
    key = secrets.token_urlsafe(24)
    app = teacher_app(world, key, log, faults, limits, batching)
    server = _server(app)
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(
            target=server.run, args=([listener],), name="world's teacher", daemon=True
        )
        thread.start()
        try:
            _await_start(server, thread)
            address = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
            yield teacher_at(settings, f"world:{world.identity}", Endpoint(address, key))
        finally:
            server.should_exit = True
            thread.join()


def _server(app: FastAPI) -> uvicorn.Server:
    return quiet_server(app, timeout_graceful_shutdown=1)


def _await_start(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + START_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the world's teacher did not start")
        time.sleep(0.005)


class _Pace:
    """What is used of the limits, in a window that begins with the first request after the last."""

    def __init__(self, limits: Limits) -> None:
        self._most = {"requests": limits.requests_per_minute, "tokens": limits.tokens_per_minute}
        self._window_s = limits.window_s
        self._end, self._used = 0.0, dict.fromkeys(self._most, 0)

    def take(self, name: str, count: int) -> None:
        """Use so many of `name`; ApiError 429 where the window does not hold them any more."""
        if self._left_s() == 0:
            self._end = time.monotonic() + self._window_s
            self._used = dict.fromkeys(self._most, 0)
        if self._used[name] + count > self._most[name]:
            message = f"Rate limit reached: {self._most[name]} {name} a minute, {count} asked for."
            wait_s = max(1, math.ceil(self._left_s()))
            raise ApiError(429, message, "rate_limit_exceeded", None, name, wait_s)
        self._used[name] += count

    def headers(self) -> dict[str, str]:
        left = self._left_s()
        reset = f"{math.ceil(left)}s" if left >= 1 else f"{math.ceil(left * 1000)}ms"
        headers = {}
        for name, most in self._most.items():
            headers[f"x-ratelimit-limit-{name}"] = str(most)
            headers[f"x-ratelimit-remaining-{name}"] = str(most - self._used[name])
            headers[f"x-ratelimit-reset-{name}"] = reset
        return headers

    def _left_s(self) -> float:
        return max(0.0, self._end - time.monotonic())


class _Teacher:
    """Answers, and the check, the count and the log that go with them."""

    def __init__(
        self, world: World, key: str | None, log: Path | None, faults: Faults, limits: Limits
    ) -> None:
        self._world, self._key, self._log, self._faults = world, key, log, faults
        self._pace, self._count = _Pace(limits), 0
        if log:
            try:
                log.parent.mkdir(parents=True, exist_ok=True)
                log.open("ab").close()
            except OSError as error:
                raise UserError(f"{log}: {error.strerror}; name another file") from error

    async def models(self) -> Response:
        models = [
            {"id": name, "object": "model", "created": 0, "owned_by": "understudy"}
            for name in openai.MODELS
        ]
        return JSONResponse({"object": "list", "data": models})

    async def complete(self, request: Request) -> Response:
        """A request of either interface."""
        interface = openai.INTERFACES[request.scope["path"]]
        body, fault = b"", None
        try:
            await self.check_key(request)
            body = await openai.bounded(request, MOST_BYTES).body()
            self._pace.take("requests", 1)
            fault = self._draw()
            if fault in REFUSALS:
                raise _refused(fault, self._faults)
            if fault == "slow":
                await asyncio.sleep(self._faults.slow_s)
            asked = openai.parse(interface, body)
            choices = openai.answers(self._world, asked)
            used = openai.usage(asked, choices)
            self._pace.take("tokens", used["total_tokens"])
        except ApiError as error:
            self._note(body, error.status, fault)
            return _refusal(error, self._pace.headers())
        self._note(body, 200, fault, used)
        headers = self._pace.headers()
        head = openai.heading(self._world, interface, asked.model, body)
        if not asked.stream:
            whole = openai.completion(head, interface, asked, choices, used)
            return _spoilt(canonical_json(whole).encode(), "application/json", headers, fault)
        with_usage = asked.stream_options is not None and asked.stream_options.include_usage
        parts = openai.events(head, choices, used if with_usage else None)
        if fault in ("cut", "broken"):
            return _spoilt(b"".join(parts), "text/event-stream", headers, fault)
        return StreamingResponse(
            _each(parts),
            headers={**headers, "cache-control": "no-cache"},
            media_type="text/event-stream",
        )

    def answer_line(self, url: str, body: bytes, batch: str) -> tuple[int, dict[str, Any]]:
        """The status and body that a line of a batch gets."""
        interface = openai.INTERFACES[url]
        fault = "failing" if self._draw() == "failing" else None
        try:
            if fault:
                raise _refused(fault, self._faults)
            asked = openai.parse(interface, body)
            if asked.stream:
                raise ApiError(400, "stream: not in a batch", param="stream")
            choices = openai.answers(self._world, asked)
        except ApiError as error:
            self._note(body, error.status, fault, batch=batch)
            return error.status, error.body
        used = openai.usage(asked, choices)
        self._note(body, 200, None, used, batch)
        head = openai.heading(self._world, interface, asked.model, body)
        return 200, openai.completion(head, interface, asked, choices, used)

    async def check_key(self, request: Request) -> None:
        if self._key is None:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode("latin-1"), self._key.encode())
        if scheme.lower() != "bearer" or not right:
            raise ApiError(401, "Incorrect API key provided.", "invalid_api_key")

    def _draw(self) -> str | None:
        """What befalls the next request."""
        self._count += 1
        return self._faults.draw(self._count)

    def _note(
        self,
        body: bytes,
        status: int,
        fault: str | None,
        used: dict[str, int] | None = None,
        batch: str | None = None,
    ) -> None:
        if self._log is None:
            return
        row: dict[str, Any] = {
            "time": round(time.time(), 3),
            "digest": hashlib.sha256(body).hexdigest(),
            "status": status,
        }
        more = {"usage": used, "fault": fault, "batch": batch}
        row |= {name: value for name, value in more.items() if value}
        # Opened anew for each row and closed, so that it is whole in the file whatever comes next.
        with self._log.open("ab", buffering=0) as file:
            file.write(json.dumps(row).encode() + b"\n")


def _refused(fault: str, faults: Faults) -> ApiError:
    if fault == "limited":
        message, code = "Rate limit reached.", "rate_limit_exceeded"
        return ApiError(429, message, code, None, "requests", faults.retry_after_s)
    if fault == "unavailable":
        message, kind = "The server is overloaded.", "service_unavailable"
        return ApiError(503, message, None, None, kind, faults.retry_after_s)
    return ApiError(500, "The server had an error.", None, None, "server_error")


def _refusal(error: ApiError, headers: dict[str, str]) -> Response:
    if error.retry_after_s is not None:
        headers = {**headers, "retry-after": str(error.retry_after_s)}
    return JSONResponse(error.body, error.status, headers)


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return _refusal(error, {})


async def _elsewhere(request: Request, error: Exception) -> Response:
    """Unknown routes and methods, in OpenAI's shape."""
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path}: {error.detail}"[:300]
    return JSONResponse(ApiError(error.status_code, message).body, error.status_code)


def _spoilt(body: bytes, kind: str, headers: dict[str, str], fault: str | None) -> Response:
    """The whole answer, or what a fault leaves of it."""
    if fault == "cut":
        return _Cut(body, headers=headers, media_type=kind)
    if fault == "broken":
        body = body[: len(body) // 2]
    return Response(body, headers=headers, media_type=kind)


class _Cut(Response):
    """Announces the whole body and sends half of it; the server then closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(head)
        half = bytes(self.body[: len(self.body) // 2])
        await send({"type": "http.response.body", "body": half, "more_body": True})


async def _each(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
