"""A teacher that fails as it is told, and notes every request before it answers.

Started by the soak with a plan as JSON, and the file of the notes.
"""

import asyncio
import json
import os
import random
import sys
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

MODEL = "world-teacher"
REASONS = {
    "limited": "rate_limited",
    "failing": "server",
    "unavailable": "server",
    "silent": "timeout",
    "cut": "cut",
    "broken": "broken",
}
BILLED = (None, "silent", "cut", "broken")  # faults after which a provider sends a bill


@dataclass(frozen=True)
class Plan:
    """How the server answers. `faults` are shares by the names in REASONS.

    An answer comes after `least_s` to `most_s`. It is billed with 1 to max_tokens tokens, of which
    it has the share `generous` on average. `echo` has it repeat the caller's key wherever it can,
    and refuse some requests; after `refuse_after` requests the key is refused.
    """

    faults: dict[str, float] = field(default_factory=dict)
    least_s: float = 0.01
    most_s: float = 0.06
    generous: float = 0.5
    seed: int = 0
    echo: bool = False
    refuse_after: int | None = None


class Teacher:
    """Draws what becomes of each request, and logs it."""

    def __init__(self, plan: Plan, log: Path) -> None:
        self.plan, self.draw, self.number = plan, random.Random(plan.seed), 0
        self.log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def answer(self, body: bytes, key: str) -> tuple[bytes, bool] | None:
        """Bytes to send and whether to close then; None leaves the request without an answer."""
        self.number += 1
        asked = json.loads(body)
        fault = self._fault()
        text = asked["messages"][-1]["content"]
        share = self.draw.random() ** (1 / self.plan.generous - 1)
        usage = {
            "prompt_tokens": self.draw.randint(len(text) // 6, len(text.encode()) + 20),
            "completion_tokens": max(1, int(asked["max_tokens"] * share)),
        }
        row = {"digest": sha256(body).hexdigest(), "fault": fault, "usage": usage, "text": text}
        os.write(self.log, json.dumps(row).encode() + b"\n")
        said = f"Answer {self.number}." + (f" Your key is {key}." if self.plan.echo else "")
        if fault in ("key", "refused"):
            return _reply(401 if fault == "key" else 400, {"error": {"message": said}}), False
        if fault in ("limited", "failing", "unavailable"):
            status = {"limited": 429, "failing": 500, "unavailable": 503}[fault]
            return _reply(
                status, {"error": {"message": said}}, f"Retry-After: 0.2\r\nX-Key: {key}"
            ), False
        message = {"role": "assistant", "content": said}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        whole = {"id": f"{self.number} {key}", "choices": [choice], "usage": usage}
        if fault == "silent":
            return None
        if fault == "broken":
            return _reply(200, whole, broken=True), False
        sent = _reply(200, whole)
        return (sent[:-20], True) if fault == "cut" else (sent, False)

    def _fault(self) -> str | None:
        if self.plan.refuse_after is not None and self.number > self.plan.refuse_after:
            return "key"
        if self.plan.echo and self.number % 5 == 0:
            return "refused"
        point = self.draw.random()
        for name, share in self.plan.faults.items():
            point -= share
            if point < 0:
                return name
        return None


def _reply(status: int, value: object, more: str = "X-Soak: 1", broken: bool = False) -> bytes:
    # Slashes are escaped, as some servers do.
    body = json.dumps(value).replace("/", "\\/").encode()
    body = body[: len(body) // 2] if broken else body
    head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\n{more}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def serve(plan: Plan, log: Path) -> None:
    teacher = Teacher(plan, log)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                heads = {
                    k.lower(): v for k, _, v in (h.partition(": ") for h in head.split("\r\n"))
                }
                body = await reader.readexactly(int(heads["content-length"]))
                key = heads.get("authorization", "").removeprefix("Bearer ")
                answer = teacher.answer(body, key)
                if answer is None:
                    await reader.read()  # until the caller gives up
                    return
                await asyncio.sleep(teacher.draw.uniform(plan.least_s, plan.most_s))
                writer.write(answer[0])
                await writer.drain()
                if answer[1]:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)  # whoever is still being answered is not waited for


# What all commands share


if __name__ == "__main__":
    asyncio.run(serve(Plan(**json.loads(sys.argv[1])), Path(sys.argv[2])))
