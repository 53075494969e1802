"""A server that answers with what a test tells it to, and keeps what it was sent."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from understudy.recipe import BudgetSettings
from understudy.teacher.client import UNLIMITED, Account
from understudy.teacher.wire import Endpoint, Teacher


@dataclass
class Said:
    """One scripted answer; `length` None announces the true one."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None


def completion(text: Any = "Yes.", finish_reason: str | None = "stop", **more: Any) -> bytes:
    """The body of a chat completion."""
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    return json.dumps({"choices": [choice], "usage": usage, **more}).encode()


@dataclass
class Scripted:
    """The server: `script` gives the answer to the request with a number (from 0) and body."""

    script: Callable[[int, dict[str, Any]], Said]
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    base_url: str = ""

    def teacher(
        self, key: str | None = None, key_env: str | None = None, **changes: Any
    ) -> Teacher:
        """This server as a teacher, with a few quick retries."""
        given: dict[str, Any] = {"concurrency": 4, "timeout_s": 20.0, "retries": 3} | changes
        return Teacher("m", "scripted", (Endpoint(self.base_url, key, key_env),), **given)

    def account(self, ledger: Path, budget: BudgetSettings = UNLIMITED, **changes: Any) -> Account:
        """This server as a teacher (see `teacher`) whose answers go to a file."""
        return Account(self.teacher(**changes), ledger, "test", budget)


@contextmanager
def scripted(script: Callable[[int, dict[str, Any]], Said]) -> Iterator[Scripted]:
    """Run the server on a free port."""
    state, lock = Scripted(script), threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                number = len(state.bodies)
                state.bodies.append(body)
                state.headers.append({k.lower(): v for k, v in self.headers.items()})
            said = state.script(number, body)
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            length = len(said.body) if said.length is None else said.length
            self.send_header("content-length", str(length))
            self.end_headers()
            self.wfile.write(said.body)
            self.close_connection = said.length is not None

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    state.base_url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
