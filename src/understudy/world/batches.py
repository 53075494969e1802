"""OpenAI's files and batches, as the world's teacher has them.

Files, batches and their answers are kept in the server's memory and end with it. A batch is worked
on in the background, a few lines at a time, so that other requests have their turn between them.
"""

import asyncio
import json
import math
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile

from understudy.files import canonical_json, whole_characters
from understudy.world.openai import INTERFACES, MODELS, NO_MODEL, ApiError, bounded, read

# The first two are OpenAI's: platform.openai.com/docs/guides/batch.
MOST_LINES, MOST_FILE_BYTES = 50_000, 200 * 2**20
MOST_FORM_BYTES = MOST_FILE_BYTES + 2**16  # the file and what is around it
MOST_ORDER_BYTES = 2**16
MOST_FAULTS = 20  # of a file that are named
WINDOW_S = 24 * 3600
ENDED = ("failed", "completed", "expired", "cancelled")
EXPIRED = {
    "code": "batch_expired",
    "message": "The batch's time was over before this request was answered.",
}

# Answers one line: (url, JSON of the request, id of the batch) -> (HTTP status, body).
Answer = Callable[[str, bytes, str], tuple[int, dict[str, Any]]]


@dataclass(frozen=True)
class Batching:
    """How batches go.

    Attributes:
        delay_s: before a batch is looked at.
        lines_a_tick: how many lines are answered in one go.
        tick_s: between one go and the next.
        expire: share (0..1) of a batch's lines that is answered when it expires; None: no batch
            expires.
    """

    delay_s: float = 0.0
    lines_a_tick: int = 16
    tick_s: float = 0.0
    expire: float | None = None


AT_ONCE = Batching()


class _Order(BaseModel):
    model_config = ConfigDict(strict=True)

    input_file_id: str
    endpoint: str
    completion_window: Literal["24h"]
    metadata: (
        Annotated[
            dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
            Field(max_length=16),
        ]
        | None
    ) = None


class _Line(BaseModel):
    model_config = ConfigDict(strict=True)

    custom_id: str = Field(min_length=1, max_length=512)
    method: Literal["POST"]
    url: str
    body: dict[str, Any]


class _Page(BaseModel):
    limit: int = Field(20, ge=1, le=100)
    after: str | None = None


@dataclass(frozen=True)
class _File:
    name: str
    purpose: str
    content: bytes
    id: str = field(default_factory=lambda: f"file-{secrets.token_hex(12)}")
    created_at: int = field(default_factory=lambda: int(time.time()))

    def record(self) -> dict[str, Any]:
        """OpenAI's file object."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.content),
            "created_at": self.created_at,
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
        }


class _Batch:
    """A batch: OpenAI's batch object as `record`, and the event that stops its work."""

    def __init__(self, order: _Order) -> None:
        now = int(time.time())
        self.stop = asyncio.Event()
        self.record: dict[str, Any] = {
            "id": f"batch_{secrets.token_hex(12)}",
            "object": "batch",
            "endpoint": order.endpoint,
            "errors": None,
            "input_file_id": order.input_file_id,
            "completion_window": order.completion_window,
            "status": "validating",
            "output_file_id": None,
            "error_file_id": None,
            "created_at": now,
            "in_progress_at": None,
            "expires_at": now + WINDOW_S,
            "finalizing_at": None,
            "completed_at": None,
            "failed_at": None,
            "expired_at": None,
            "cancelling_at": None,
            "cancelled_at": None,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "metadata": order.metadata,
        }

    def turn(self, status: str) -> None:
        self.record |= {"status": status, f"{status}_at": int(time.time())}

    async def pause(self, seconds: float) -> None:
        """Wait, and let others work meanwhile; no longer than until the batch is stopped."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stop.wait()


class Batches:
    """The files and batches of one server.

    Args:
        answer: answers one line.
        settings: how batches go.
    """

    def __init__(self, answer: Answer, settings: Batching) -> None:
        self._answer, self._settings = answer, settings
        self._files: dict[str, _File] = {}
        self._batches: dict[str, _Batch] = {}  # oldest first
        self._at_work: set[asyncio.Task[None]] = set()

    def router(self) -> APIRouter:
        """The routes, below /v1."""
        router = APIRouter(prefix="/v1")
        for method, path, route in (
            ("POST", "/files", self._upload),
            ("GET", "/files/{name}", self._file),
            ("GET", "/files/{name}/content", self._content),
            ("POST", "/batches", self._create),
            ("GET", "/batches", self._list),
            ("GET", "/batches/{name}", self._get),
            ("POST", "/batches/{name}/cancel", self._cancel),
        ):
            router.add_api_route(path, route, methods=[method], response_model=None)
        return router

    async def _upload(self, request: Request) -> Response:
        form = bounded(request, MOST_FORM_BYTES).form(max_files=1, max_fields=8)
        async with form as fields:
            file, purpose = fields.get("file"), fields.get("purpose")
            if not isinstance(file, UploadFile):
                raise ApiError(400, "file: a part of a form with a file is needed", param="file")
            if purpose != "batch":
                raise ApiError(400, "purpose: only 'batch' is offered here", param="purpose")
            if (file.size or 0) > MOST_FILE_BYTES:
                raise ApiError(413, f"The file is longer than {MOST_FILE_BYTES} bytes.")
            kept = self._keep((file.filename or "file")[:255], "batch", await file.read())
        return JSONResponse(kept.record())

    async def _file(self, name: str) -> Response:
        return JSONResponse(self._find(name).record())

    async def _content(self, name: str) -> Response:
        return Response(self._find(name).content, media_type="application/octet-stream")

    async def _create(self, request: Request) -> Response:
        order = read(_Order, await bounded(request, MOST_ORDER_BYTES).body())
        if order.endpoint not in INTERFACES:
            known = ", ".join(INTERFACES)
            raise ApiError(400, f"endpoint: only {known} are offered here", param="endpoint")
        file = self._find(order.input_file_id)
        batch = _Batch(order)
        self._batches[batch.record["id"]] = batch
        task = asyncio.create_task(self._work(batch, file.content))
        self._at_work.add(task)  # or it might be collected as garbage while it works
        task.add_done_callback(self._at_work.discard)
        return JSONResponse(batch.record)

    async def _list(self, request: Request) -> Response:
        """One page, newest first."""
        try:
            page = _Page.model_validate(dict(request.query_params))
        except ValidationError as error:
            fault = error.errors(include_input=False, include_url=False)[0]
            raise ApiError(400, f"{fault['loc'][0]}: {fault['msg']}"[:300]) from None
        names = list(reversed(self._batches))
        begin = 0 if page.after is None else names.index(self._batch(page.after).record["id"]) + 1
        rows = [self._batches[name].record for name in names[begin : begin + page.limit]]
        return JSONResponse(
            {
                "object": "list",
                "data": rows,
                "first_id": rows[0]["id"] if rows else None,
                "last_id": rows[-1]["id"] if rows else None,
                "has_more": begin + page.limit < len(names),
            }
        )

    async def _get(self, name: str) -> Response:
        return JSONResponse(self._batch(name).record)

    async def _cancel(self, name: str) -> Response:
        batch = self._batch(name)
        status = batch.record["status"]
        if status in ENDED or status == "finalizing":
            raise ApiError(400, f"A batch that is {status} cannot be cancelled.")
        if status != "cancelling":
            batch.turn("cancelling")
            batch.stop.set()
        return JSONResponse(batch.record)

    def _keep(self, name: str, purpose: str, content: bytes) -> _File:
        file = _File(name, purpose, content)
        self._files[file.id] = file
        return file

    def _find(self, name: str) -> _File:
        if name not in self._files:
            raise ApiError(404, f"No such File object: {name[:100]}", param="id")
        return self._files[name]

    def _batch(self, name: str) -> _Batch:
        if name not in self._batches:
            raise ApiError(404, f"No batch found with id '{name[:100]}'.")
        return self._batches[name]

    async def _work(self, batch: _Batch, content: bytes) -> None:
        """A batch from its order to its end."""
        record = batch.record
        await batch.pause(self._settings.delay_s)
        lines, faults = await _validated(content, record["endpoint"])
        if batch.stop.is_set():
            batch.turn("cancelled")
            return
        if faults:
            record["errors"] = {"object": "list", "data": faults}
            batch.turn("failed")
            return
        record["request_counts"]["total"] = len(lines)
        batch.turn("in_progress")
        expire = self._settings.expire
        last = len(lines) if expire is None else math.ceil(len(lines) * expire)
        answered, refused = await self._answered(batch, lines[:last])
        if batch.stop.is_set():
            end = "cancelled"
        elif expire is not None:
            end = "expired"
            refused += [_row(custom_id, None, EXPIRED) for custom_id, _ in lines[last:]]
        else:
            end = "completed"
            batch.turn("finalizing")
        for kind, rows in (("output", answered), ("error", refused)):
            if rows:
                file = self._keep(f"{record['id']}_{kind}.jsonl", "batch_output", b"".join(rows))
                record[f"{kind}_file_id"] = file.id
        batch.turn(end)

    async def _answered(
        self, batch: _Batch, lines: list[tuple[str, bytes]]
    ) -> tuple[list[bytes], list[bytes]]:
        """The rows of the output and of the error file, up to where the batch is stopped."""
        rows: dict[str, list[bytes]] = {"completed": [], "failed": []}
        for begin in range(0, len(lines), self._settings.lines_a_tick):
            for custom_id, body in lines[begin : begin + self._settings.lines_a_tick]:
                status, said = self._answer(batch.record["endpoint"], body, batch.record["id"])
                kind = "completed" if status == 200 else "failed"
                response = {"status_code": status, "request_id": secrets.token_hex(8), "body": said}
                rows[kind].append(_row(custom_id, response, None))
                batch.record["request_counts"][kind] += 1
            await batch.pause(self._settings.tick_s)
            if batch.stop.is_set():
                break
        return rows["completed"], rows["failed"]


async def _validated(
    content: bytes, endpoint: str
) -> tuple[list[tuple[str, bytes]], list[dict[str, Any]]]:
    """The lines of an input file as (custom_id, request's JSON), and what is wrong with them."""
    lines: dict[str, bytes] = {}
    faults: list[dict[str, Any]] = []

    def fault(code: str, message: str, number: int | None = None) -> None:
        faults.append({"code": code, "line": number, "message": message[:300], "param": None})

    for number, row in enumerate(content.split(b"\n"), start=1):
        if number % 100 == 0:
            await asyncio.sleep(0)
        if not row.strip():
            continue
        if len(faults) == MOST_FAULTS:
            break
        try:
            line = _Line.model_validate(whole_characters(json.loads(row)))
            body = canonical_json(line.body).encode()
        except ValidationError as error:
            found = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in found["loc"])
            fault("invalid_line", f"{where} {found['msg']}".strip(), number)
        except (ValueError, RecursionError):
            fault("invalid_json_line", "This line is not valid JSON.", number)
        else:
            if line.custom_id in lines:
                fault("duplicate_custom_id", f"custom_id {line.custom_id!r} came before.", number)
            elif line.url != endpoint:
                fault("mismatched_url", f"The url is not the batch's, {endpoint}.", number)
            elif line.body.get("model") not in MODELS:
                fault("model_not_found", NO_MODEL, number)
            lines[line.custom_id] = body
    if not lines and not faults:
        fault("empty_file", "The file holds no requests.")
    if len(lines) > MOST_LINES:
        fault("too_many_requests", f"The file holds more than {MOST_LINES} requests.")
    return list(lines.items()), faults


def _row(custom_id: str, response: dict[str, Any] | None, error: dict[str, str] | None) -> bytes:
    """One line of an output or error file."""
    row = {
        "id": f"batch_req_{secrets.token_hex(12)}",
        "custom_id": custom_id,
        "response": response,
        "error": error,
    }
    return canonical_json(row).encode() + b"\n"
