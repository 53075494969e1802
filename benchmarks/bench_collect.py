"""Speed of asking: calls a second with the durable ledger, against a bare loop without one.

The floor is the bare loop: the same HTTP client, the same concurrency, answers thrown away. The
embedded teacher serves both from a process of its own; the two alternate over fresh prompts.

    python benchmarks/bench_collect.py [--calls 600] [--concurrency 16] [--rounds 3]
"""

import argparse
import asyncio
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from understudy.progress import set_quiet
from understudy.recipe import TeacherSettings
from understudy.teacher.client import Endpoint, Request, ask, endpoint


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_up(base_url: str) -> None:
    for _ in range(200):
        try:
            httpx.get(f"{base_url}/models", trust_env=False).raise_for_status()
            return
        except httpx.TransportError:
            time.sleep(0.1)
    raise SystemExit("the teacher did not start")


def requests(count: int, start: int) -> list[Request]:
    return [
        Request([{"role": "user", "content": f"Tip {start + i} for bread baking?"}], 0.7, 256, 0)
        for i in range(count)
    ]


async def bare(teacher: Endpoint, wanted: list[Request]) -> None:
    """Ask and throw the answers away, one connection a worker, as the client does."""
    queue = iter(wanted)

    async def work() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            for request in queue:
                body = request.body(teacher.model)
                answer = await http.post(f"{teacher.base_url}/chat/completions", json=body)
                answer.raise_for_status().json()

    await asyncio.gather(*(work() for _ in range(teacher.concurrency)))


def rate(calls: int, work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return calls / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=600)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    set_quiet(True)
    port = free_port()
    command = [sys.executable, "-m", "understudy", "world", "teacher", "--port", str(port), "-q"]
    server = subprocess.Popen(command)
    try:
        settings = TeacherSettings(
            base_url=f"http://127.0.0.1:{port}/v1", concurrency=arguments.concurrency
        )
        teacher = endpoint(settings)
        wait_until_up(teacher.base_url)
        measure(teacher, arguments.calls, arguments.rounds)
    finally:
        server.terminate()
        server.wait()


def measure(teacher: Endpoint, calls: int, rounds: int) -> None:
    best = {"ledger": 0.0, "bare": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "ledger.sqlite"
        for number in range(rounds):
            wanted = requests(calls, number * calls)
            asked = rate(calls, lambda w=wanted: ask(teacher, ledger, w, "calls"))
            alone = rate(calls, lambda w=wanted: asyncio.run(bare(teacher, w)))
            best = {"ledger": max(best["ledger"], asked), "bare": max(best["bare"], alone)}
    print(f"{calls} calls, {teacher.concurrency} at once, best of {rounds}")
    print(f"with the durable ledger: {best['ledger']:7.0f} calls/s")
    print(f"bare loop:               {best['bare']:7.0f} calls/s")
    print(f"ratio: {best['ledger'] / best['bare']:.2f}")


if __name__ == "__main__":
    main()
