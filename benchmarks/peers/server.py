"""The teacher that all contestants ask: as fast as plain Python answers HTTP, and it keeps count.

Any POST whose body holds a message is answered with the same chat completion, under an id of its
own, a fixed time after the request came in. What holds none is no call, and is refused as OpenAI's
API refuses it (one peer asks so at its start, for the rate limits).

    GET /v1/models   the one model
    GET /count       {"calls", "first", "last", "cpu"}: answered calls, the times of the first
                     request and of the last answer (seconds, one clock), the server's CPU seconds

    python benchmarks/peers/server.py [--delay-ms 20] [--tokens 300]

It prints its address, and ends when its standard input is closed.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable

MODEL = "bench"
# Twelve words, of about five bytes each as a teacher's tokens are.
SENTENCE = "Rest the dough beside warm bricks until each round loaf rises again"
ID_DIGITS = 12


class Books:
    """What has been answered, and what every answer consists of."""

    def __init__(self, delay_s: float, tokens: int) -> None:
        self.delay_s, self.calls, self.first, self.last = delay_s, 0, 0.0, 0.0
        words = (SENTENCE.split() * (tokens // 12 + 1))[:tokens]
        message = {"role": "assistant", "content": " ".join(words)}
        answer = {
            "id": "chatcmpl-" + "0" * ID_DIGITS,
            "object": "chat.completion",
            "created": 1,
            "model": MODEL,
            "choices": [
                {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
            ],
            "usage": {
                "prompt_tokens": 20,
                "completion_tokens": tokens,
                "total_tokens": tokens + 20,
            },
        }
        self.head, self.tail = reply(200, answer).split(b"0" * ID_DIGITS)

    def answer(self) -> bytes:
        self.calls += 1
        self.last = time.perf_counter()
        return b"%b%0*d%b" % (self.head, ID_DIGITS, self.calls, self.tail)

    def count(self) -> dict[str, float]:
        cpu = time.process_time()
        return {"calls": self.calls, "first": self.first, "last": self.last, "cpu": cpu}


def reply(status: int, value: object) -> bytes:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


MODELS = reply(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})
REFUSED = reply(400, {"error": {"message": "Empty input messages", "type": "invalid_request"}})


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive and bodies of a known length; what arrives together is taken so."""

    def __init__(self, books: Books, later: Callable[..., object]) -> None:
        self.books, self.later, self.waiting = books, later, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        while (end := self.waiting.find(b"\r\n\r\n")) >= 0:
            head = self.waiting[:end].lower()
            at = head.find(b"\r\ncontent-length:")
            length = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.waiting) < end + 4 + length:
                return
            body = self.waiting[end + 4 : end + 4 + length]
            self.waiting = self.waiting[end + 4 + length :]
            self.requested(head, body)

    def requested(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"post"):
            if b'"content"' not in body:
                self.transport.write(REFUSED)
                return
            self.books.first = self.books.first or time.perf_counter()
            self.later(self.books.delay_s, self.answer)
        elif head.startswith(b"get /count"):
            self.transport.write(reply(200, self.books.count()))
        else:
            self.transport.write(MODELS)

    def answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(self.books.answer())


async def serve(delay_s: float, tokens: int) -> None:
    loop = asyncio.get_running_loop()
    books = Books(delay_s, tokens)
    server = await loop.create_server(
        lambda: Connection(books, loop.call_later), "127.0.0.1", 0, backlog=4096
    )
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay-ms", type=float, default=20)
    parser.add_argument("--tokens", type=int, default=300)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.delay_ms / 1000, arguments.tokens))
