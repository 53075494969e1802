"""A provider's Batch API in memory, which can be told to stumble, and what is asked of it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from understudy.files import canonical_json, digest, read_json
from understudy.teacher.batch import BatchLine, answers
from understudy.world.openai import MODEL

CHAT = "/v1/chat/completions"
KEY = "sk-canary-0123456789"
Found = dict[str, tuple[int, Any]]


def result(name: str, body: Any = "yes", status: int = 200) -> dict[str, Any]:
    """A line of results."""
    return {"custom_id": name, "response": {"status_code": status, "body": body}, "error": None}


@dataclass
class Provider:
    """Every batch is ended when it is looked at.

    Attributes:
        write: makes the output file of the input lines; None: each is answered with "yes".
        stumbles: the next answers to a "METHOD /path" (ids are *), before it does its work;
            (status, headers, body), or None to break the connection.
        lost: how many orders of batches are carried out without an answer.
        cut: how many downloads break off in the middle.
        changes: fields of a batch, as it is shown.
        page: batches on a page of the list.
    """

    write: Callable[[list[dict[str, Any]]], bytes] | None = None
    stumbles: dict[str, list[tuple[int, dict[str, str], str] | None]] = field(default_factory=dict)
    lost: int = 0
    cut: int = 0
    changes: dict[str, Any] = field(default_factory=dict)
    page: int = 2

    def __post_init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.batches: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.headers: list[str | None] = []
        self.base_url = ""

    def order(self, token: str, file_id: str = "none") -> dict[str, Any]:
        """A batch as if it had been ordered."""
        name = f"batch_{len(self.batches)}"
        lines = [json.loads(line) for line in self.files.get(file_id, b"").splitlines()]
        rows = [result(line["custom_id"]) for line in lines]
        written = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        self.files[f"out_{name}"] = self.write(lines) if self.write else written
        batch = {"id": name, "status": "completed", "metadata": {"understudy": token}}
        batch |= {"output_file_id": f"out_{name}", "input_file_id": file_id}
        self.batches.append(batch)
        return batch

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.headers.append(request.headers.get("Authorization"))
        path = request.path.removeprefix("/v1").split("/")
        place = "/".join([*path[:2], *(["*"] if len(path) > 2 else []), *path[3:]])
        what = f"{request.method} {place}"
        self.asked.append(what)
        form = await request.post() if what == "POST /files" else {}
        await request.read()
        if waiting := self.stumbles.get(what):
            stumble = waiting.pop(0)
            if stumble is None:
                return self._hang_up(request)
            status, headers, body = stumble
            return web.Response(status=status, headers=headers, text=body)
        if what == "POST /files":
            part = form["file"]
            assert isinstance(part, web.FileField)
            assert form["purpose"] == "batch"
            name = f"file_{len(self.files)}"
            self.files[name] = part.file.read()
            return web.json_response({"id": name})
        if what == "POST /batches":
            body = await request.json()
            batch = self.order(body["metadata"]["understudy"], body["input_file_id"])
            if self.lost:
                self.lost -= 1
                return self._hang_up(request)
            return web.json_response(batch)
        if what == "GET /batches":
            return self._list(request.query.get("after"))
        if what == "GET /batches/*":
            (batch,) = (b for b in self.batches if b["id"] == path[2])
            return web.json_response(batch | self.changes)
        assert what == "GET /files/*/content"
        return await self._download(request, self.files[path[2]])

    def _list(self, after: str | None) -> web.Response:
        rows = self.batches[::-1]
        names = [row["id"] for row in rows]
        begin = names.index(after) + 1 if after else 0
        more = begin + self.page < len(rows)
        return web.json_response({"data": rows[begin : begin + self.page], "has_more": more})

    async def _download(self, request: web.Request, content: bytes) -> web.StreamResponse:
        if not self.cut:
            return web.Response(body=content)
        self.cut -= 1
        response = web.StreamResponse(headers={"Content-Length": str(len(content))})
        await response.prepare(request)
        await response.write(content[: len(content) // 2])
        return self._hang_up(request)

    @staticmethod
    def _hang_up(request: web.Request) -> web.Response:
        assert request.transport
        request.transport.close()
        return web.Response()


@asynccontextmanager
async def serving(provider: Provider) -> AsyncIterator[Provider]:
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{rest:.*}", provider.handle)
    async with TestServer(app) as server:
        provider.base_url = str(server.make_url("/v1"))
        yield provider


class Ours:
    """One address that is asked with one journal, in as many starts as it takes."""

    def __init__(self, folder: Path, base_url: str, key: str | None = KEY) -> None:
        self.folder, self.base_url, self.key = folder, base_url, key
        self.journal = folder / "batches.json"
        self.said: list[str] = []

    async def ask(self, lines: list[BatchLine], url: Any = CHAT, most: int | None = None) -> Found:
        """The answers, or the first `most`; the rest is not waited for."""
        found: Found = {}
        given = answers(self.base_url, self.key, url, lines, self.journal, self.said.append, 0.01)
        async with aclosing(given):
            async for key, status, body in given:
                assert key not in found
                found[key] = (status, json.loads(body))
                if len(found) == most:
                    break
        return found

    @property
    def live(self) -> list[str]:
        """Keys of the journal's lines that are still to be had."""
        return [key for entry in read_json(self.journal)["batches"] for key in entry["keys"]]


def bodies(count: int, **more: Any) -> list[BatchLine]:
    found = []
    for number in range(count):
        messages = [{"role": "user", "content": f"Give me some tips for hobby {number}."}]
        body = {"model": MODEL, "messages": messages, "max_tokens": 4} | more
        found.append(BatchLine(digest(body), canonical_json(body)))
    return found


Work = Callable[[Provider, Ours], Awaitable[None]]


def at(provider: Provider, folder: Path, work: Work) -> None:
    """Do something with a provider that is running."""

    async def do() -> None:
        async with serving(provider):
            await work(provider, Ours(folder, provider.base_url))

    asyncio.run(do())
