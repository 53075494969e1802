"""The practical floor: an asyncio loop that asks, reads the JSON and throws the answer away.

No ledger, no retries, no output file: what is left is an HTTP client's own work.

    python benchmarks/peers/run_bare.py PROMPTS BASE_URL OUT --concurrency 64
"""

import argparse
import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp


async def ask(prompts: list[str], base_url: str, concurrency: int) -> int:
    waiting: Iterator[str] = iter(prompts)
    answers = 0

    async def work(http: aiohttp.ClientSession) -> None:
        nonlocal answers
        for prompt in waiting:
            body = {"model": "bench", "messages": [{"role": "user", "content": prompt}]}
            async with http.post(f"{base_url}/chat/completions", json=body) as response:
                completion = await response.json()
            answers += bool(completion["choices"][0]["message"]["content"])

    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(connector=connector) as http:
        await asyncio.gather(*(work(http) for _ in range(concurrency)))
    return answers


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("prompts", type=Path)
    parser.add_argument("base_url")
    parser.add_argument("out", type=Path)
    parser.add_argument("--concurrency", type=int, default=64)
    arguments = parser.parse_args()
    with arguments.prompts.open() as lines:
        prompts = [json.loads(line)["prompt"] for line in lines]
    begun = time.process_time()
    answers = asyncio.run(ask(prompts, arguments.base_url, arguments.concurrency))
    print(json.dumps({"answers": answers, "cpu": time.process_time() - begun}))
