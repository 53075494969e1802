"""What travels to a provider's Batch API and back.

Everything that comes back is bounded and checked. Calls are tried again where that may help; the
one that costs money, the order of a batch, only after a look for a batch that it may have made.
"""

import asyncio
import functools
import io
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import aiohttp
from pydantic import BaseModel, Field, ValidationError

from understudy.errors import UserError
from understudy.files import canonical_json, whole_characters
from understudy.teacher.wire import (
    MOST_BYTES,
    WORTH_ANOTHER_TRY,
    Endpoint,
    proxy_for,
    seconds,
    shown,
    without_key,
)

MOST_PAGES = 1000  # of the list of batches, a hundred on each
TRIES, FIRST_WAIT_S, MOST_WAIT_S = 10, 1.0, 60.0  # about five minutes in all
CONNECT_S, READ_S = 30.0, 120.0
ENDED = ("completed", "failed", "expired", "cancelled")
TOKEN = "understudy"  # under which the token is kept in a batch's metadata

Url = Literal["/v1/chat/completions", "/v1/completions"]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}$")]
_Count = Annotated[int, Field(ge=0, lt=2**53)]
T = TypeVar("T")
ModelT = TypeVar("ModelT", bound=BaseModel)


class Batch(BaseModel):
    """As much of OpenAI's batch object as is needed."""

    id: Id
    status: str = Field(pattern=r"^[a-z_]{1,40}$")
    output_file_id: Id | None = None
    error_file_id: Id | None = None
    request_counts: Any = None
    errors: Any = None


class _Counts(BaseModel):
    total: _Count = 0
    completed: _Count = 0
    failed: _Count = 0


class _Named(BaseModel):
    id: Id
    metadata: Any = None

    @property
    def token(self) -> str | None:
        token = self.metadata.get(TOKEN) if isinstance(self.metadata, dict) else None
        return token if isinstance(token, str) else None


class _Page(BaseModel):
    data: list[_Named]
    has_more: bool = False


class _Response(BaseModel):
    status_code: int = Field(ge=100, le=599)
    body: Any = None


class _Result(BaseModel):
    custom_id: str
    response: _Response | None = None
    error: Any = None


class _HiccupError(Exception):
    """A call that another try may mend, after `after_s` seconds if the provider says so."""

    def __init__(self, what: str, after_s: float | None = None) -> None:
        super().__init__(what)
        self.after_s = after_s


@asynccontextmanager
async def provider_at(
    endpoint: Endpoint, journal: Path, say: Callable[[str], None]
) -> AsyncIterator["Provider"]:
    """The Batch API at this address, for a block."""
    async with aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {},
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=READ_S),
        proxy=proxy_for(endpoint.base_url),
    ) as http:
        yield Provider(endpoint, journal, say, http)


class Provider:
    """The calls. `journal` is only named in messages, `say` shown how batches go.

    Every call raises UserError where the provider refuses it, or goes on failing for some minutes.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        journal: Path,
        say: Callable[[str], None],
        http: aiohttp.ClientSession,
    ) -> None:
        self._endpoint, self._journal, self._say, self._http = endpoint, journal, say, http
        self._told: dict[str, tuple[str, int]] = {}

    async def upload(self, content: bytes) -> str:
        """The id of the file that holds these lines from now on."""
        return (await self._get(_Named, "POST", "/files", file=content)).id

    async def order(self, file_id: str, url: Url, token: str) -> str:
        """Order the batch of a file, once even if answers get lost on their way; gives its id."""
        body = {
            "input_file_id": file_id,
            "endpoint": url,
            "completion_window": "24h",
            "metadata": {TOKEN: token},
        }
        doubtful = False

        async def once() -> str:
            nonlocal doubtful
            if doubtful and (made := await self.find({token})):
                return made[token]
            doubtful = True
            return (await self._once(_Named, "POST", "/batches", json=body)).id

        return await self._tried(once)

    async def find(self, tokens: set[str]) -> dict[str, str]:
        """The ids of the batches that carry these tokens, by token, as far as there are any."""
        found: dict[str, str] = {}
        query = {"limit": "100"}
        for _ in range(MOST_PAGES):
            page = await self._get(_Page, "GET", "/batches", params=query)
            found |= {row.token: row.id for row in page.data if row.token in tokens}
            if len(found) == len(tokens) or not page.has_more or not page.data:
                return found
            query = {"limit": "100", "after": page.data[-1].id}
        raise UserError(
            f"{self._endpoint.base_url}: lists batches without end, and whether one of them is "
            f"ours cannot be told; remove old ones there, or move {self._journal} away"
        )

    async def look(self, batch_id: str) -> Batch:
        """How a batch is; said, too, when its status changes or another tenth of it is done."""
        batch = await self._get(Batch, "GET", f"/batches/{batch_id}")
        counts = _read(_Counts, batch.request_counts) or _Counts()
        done = counts.completed + counts.failed
        told = (batch.status, 10 * done // max(counts.total, 1))
        if self._told.get(batch_id) != told:
            self._told[batch_id] = told
            failed = f", {counts.failed} of them failed" if counts.failed else ""
            self._say(f"batch {batch_id}: {batch.status}, {done} of {counts.total} done{failed}")
        return batch

    def failure(self, batch: Batch) -> str:
        """What is wrong with a batch that was refused as a whole: its first error."""
        rows = batch.errors.get("data") if isinstance(batch.errors, dict) else None
        first = rows[0] if isinstance(rows, list) and rows else None
        what = "no reason given"
        if isinstance(first, dict):
            line, code, message = (first.get(name) for name in ("line", "code", "message"))
            what = f"line {line}: {message} ({code})" if line else f"{message} ({code})"
        said = shown(self._endpoint, what[:2000].encode(errors="replace"))
        return (
            f"{self._endpoint.base_url}: batch {batch.id} was refused as a whole, {said}; "
            "mend that and run the command again"
        )

    async def results(
        self, batch: Batch, keys: set[str]
    ) -> AsyncGenerator[tuple[str, int, bytes], None]:
        """(key, HTTP status, body) of the lines with these keys, each of them once."""
        left, broken = set(keys), 0
        for file_id in filter(None, (batch.output_file_id, batch.error_file_id)):
            attempt, over = 0, False
            while not over:
                skipped = 0
                try:
                    async with self._open("GET", f"/files/{file_id}/content") as response:
                        async for line in _lines(response.content):
                            result = None if line is None else _read(_Result, _json(line))
                            if result is None:
                                skipped += 1
                            elif result.custom_id in left and not _undone(batch, result):
                                left.remove(result.custom_id)
                                yield result.custom_id, *self._outcome(result)
                    broken, over = broken + skipped, True
                except _HiccupError as hiccup:
                    await self._wait(attempt, hiccup)
                    attempt += 1
        if broken:
            self._say(f"batch {batch.id}: {broken} lines of its results are broken and left out")

    def _outcome(self, result: _Result) -> tuple[int, bytes]:
        """The HTTP status and the body that a line got."""
        response = result.response or _Response(status_code=500)
        body = {"error": result.error} if response.body is None else response.body
        return response.status_code, without_key(self._endpoint, canonical_json(body).encode())

    async def _get(self, model: type[ModelT], method: str, path: str, **how: Any) -> ModelT:
        """One call, tried again where that may help, and its answer."""
        return await self._tried(functools.partial(self._once, model, method, path, **how))

    async def _tried(self, once: Callable[[], Awaitable[T]]) -> T:
        attempt = 0
        while True:
            try:
                return await once()
            except _HiccupError as hiccup:
                await self._wait(attempt, hiccup)
                attempt += 1

    async def _wait(self, attempt: int, hiccup: _HiccupError) -> None:
        """Wait before another try; UserError after the last."""
        if attempt + 1 >= TRIES:
            raise UserError(
                f"{self._endpoint.base_url}: {hiccup}, {TRIES} times in a row; batches that were "
                "ordered go on there, so run the command again later"
            )
        await asyncio.sleep(min(MOST_WAIT_S, max(hiccup.after_s or 0.0, FIRST_WAIT_S * 2**attempt)))

    async def _once(self, model: type[ModelT], method: str, path: str, **how: Any) -> ModelT:
        async with self._open(method, path, **how) as response:
            found = _read(model, _json(await _bounded(response)))
        if found is None:
            raise _HiccupError(f"{method} {path}: the answer is not what a Batch API gives")
        return found

    @asynccontextmanager
    async def _open(
        self, method: str, path: str, file: bytes | None = None, **how: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response to one call, unless it is a refusal; `file` is sent as a form's file."""
        if file is not None:
            how["data"] = aiohttp.FormData({"purpose": "batch"})
            how["data"].add_field("file", io.BytesIO(file), filename="understudy.jsonl")
        address = self._endpoint.base_url + path
        try:
            async with self._http.request(
                method, address, allow_redirects=False, **how
            ) as response:
                if not 200 <= response.status < 300:
                    body = await _bounded(response)
                    raise self._refusal(method, path, response, body)
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            what = f"{method} {path}: the connection broke ({type(error).__name__})"
            raise _HiccupError(what) from None

    def _refusal(
        self, method: str, path: str, response: aiohttp.ClientResponse, body: bytes
    ) -> UserError | _HiccupError:
        place, status = self._endpoint.base_url, response.status
        said = f"HTTP {status}: {shown(self._endpoint, body)}"
        if status in (401, 403):
            return UserError(f"{place}: refuses the key ({said}); check the variable that holds it")
        if b"insufficient_quota" in body:
            return UserError(f"{place}: the account has no credit left ({said})")
        if status >= 500 or status in WORTH_ANOTHER_TRY:
            after_s = seconds(response.headers.get("Retry-After"))
            return _HiccupError(f"{method} {path}: {said}", after_s)
        if status in (404, 410) and path not in ("/files", "/batches"):
            return UserError(
                f"{place}: has no {path.removeprefix('/')} ({said}); use the key that it was "
                f"ordered with, or move {self._journal} away to ask, and pay for, its lines anew"
            )
        return UserError(f"{place}: refuses {method} {path} ({said}); ask it without batches")


def _undone(batch: Batch, result: _Result) -> bool:
    """Whether a line was not asked because its batch ended before."""
    return batch.status in ("expired", "cancelled") and result.response is None


def _read(model: type[ModelT], value: Any) -> ModelT | None:
    try:
        return model.model_validate(value)
    except ValidationError:
        return None


def _json(text: bytes) -> Any:
    try:
        return whole_characters(json.loads(text))
    except (ValueError, RecursionError):
        return None


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MOST_BYTES:
            raise _HiccupError(f"an answer is longer than {MOST_BYTES // 2**20} MiB")
    return bytes(body)


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes | None]:
    """The lines that are not blank; None for one that is longer than MOST_BYTES."""
    line, too_long = bytearray(), False
    async for piece in content.iter_any():
        *ends, rest = piece.split(b"\n")
        for end in ends:
            line += end
            if too_long or len(line) > MOST_BYTES:
                yield None
            elif line.strip():
                yield bytes(line)
            line, too_long = bytearray(), False
        line += rest
        if len(line) > MOST_BYTES:
            line, too_long = bytearray(), True
    if too_long or line.strip():
        yield None if too_long else bytes(line)
