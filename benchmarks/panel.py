"""The panel under 200 raters at once: how long they wait, and whether any rating is lost.

The panel is a process of its own (`understudy panel serve`) that listens on 127.0.0.1 only. Every
rater joins by invitation and rates its items through the panel's own pages, as a browser without
scripts would; the owner watches. In the end the database is compared with what raters were told: a
rating that was acknowledged has to be there, once, as it was said last.

    python benchmarks/panel.py [--raters 200] [--items 20] [--think 5] [--database ADDRESS]
                               [--kill 3]

--think     seconds that a rater takes over an item, on average; 0: the next page at once
--database  a postgresql:// address of an empty place instead of an SQLite file
--kill      `kill -9` the panel so many times meanwhile, and start it again

Without --think 0 and --kill, the 95th percentile of every page has to be under 200 ms, but for the
check of the owner's password, which is slow on purpose.
"""

import argparse
import asyncio
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from sqlalchemy import select

from understudy.cli.common import STOPPED
from understudy.panel.records import CHOICES, Protocol
from understudy.panel.schema import open_engine, ratings, tasks
from understudy.panel.store import Store

FLOOR_MS = 200.0
SLOW_ON_PURPOSE = "POST /owner/login"
BROKEN_OFF = aiohttp.ClientConnectionError, aiohttp.ClientPayloadError
PASSWORD = "the owner of the benchmark"
POLL_S = 2.0  # the owner's page asks for new figures
START_S = 60.0
TASK = re.compile(r'action="/rate/([^"]+)"')
CSRF = re.compile(r'name="csrf" value="([^"]+)"')


@dataclass
class Watch:
    """What the raters meet with.

    Attributes:
        times: seconds, by page.
        faults: what went wrong, in words.
        acknowledged: what was said last of each task, and the panel has confirmed.
        sent: tasks of which anything was sent.
    """

    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    faults: list[str] = field(default_factory=list)
    acknowledged: dict[str, str] = field(default_factory=dict)
    sent: set[str] = field(default_factory=set)
    begun: float = field(default_factory=time.monotonic)


class Panel:
    """The panel's process, which may be killed and started again at the same port."""

    def __init__(self, run: Path, database: str, items: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self._line = [sys.executable, "-m", "understudy", "panel", "serve", str(run)]
        self._line += ["--port", str(self.port), "--database", database, "--items", str(items)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        env = os.environ | {"UNDERSTUDY_PANEL_PASSWORD": PASSWORD}
        self._process = subprocess.Popen(self._line, env=env, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """Ctrl-C; returns the exit code."""
        assert self._process
        self._process.send_signal(signal.SIGINT)
        return self._process.wait()


class Browser:
    """One person's browser."""

    def __init__(self, session: aiohttp.ClientSession, address: str, watch: Watch) -> None:
        self._session, self._address, self._watch = session, address, watch

    async def get(self, path: str, page: str) -> tuple[int, str]:
        return await self._ask("GET", path, page, None)

    async def post(self, path: str, page: str, form: dict[str, str]) -> tuple[int, str]:
        return await self._ask("POST", path, page, form)

    async def _ask(
        self, method: str, path: str, page: str, form: dict[str, str] | None
    ) -> tuple[int, str]:
        begun = time.perf_counter()
        async with self._session.request(
            method, self._address + path, data=form, allow_redirects=False
        ) as response:
            text = await response.text()
        self._watch.times[f"{method} {page}"].append(time.perf_counter() - begun)
        if response.status >= 400:
            self._watch.faults.append(f"{method} {page}: {response.status}")
        return response.status, text


@asynccontextmanager
async def browser(address: str, watch: Watch) -> AsyncIterator[Browser]:
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of an address without a name, too
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        yield Browser(session, address, watch)


async def rate(token: str, address: str, watch: Watch, think_s: float, rng: random.Random) -> None:
    """A rater, from the invitation to the end; who meets a closed door knocks again."""
    await asyncio.sleep(rng.uniform(0, 2 * think_s))  # nobody opens the invitation at the same time
    async with browser(address, watch) as one:
        joined = False
        while True:
            try:
                if not joined:
                    _, page = await one.get(f"/join/{token}", "/join")
                    form = {"csrf": CSRF.search(page)[1]}
                    joined = (await one.post(f"/join/{token}", "/join", form))[0] == 303
                elif not await rate_next(one, watch, think_s, rng):
                    return
            except BROKEN_OFF:
                await asyncio.sleep(0.2)


async def rate_next(one: Browser, watch: Watch, think_s: float, rng: random.Random) -> bool:
    """Rate the pair that waits; False where none does."""
    status, page = await one.get("/rate", "/rate")
    if status != 200:
        return False
    task = TASK.search(page)[1]
    choice = rng.choice(list(CHOICES))
    form = {"csrf": CSRF.search(page)[1], "choice": choice, "active_ms": "1000"}
    if 'name="left.0"' in page:
        form |= {"left.0": "wrong", "right.0": "right", "comment": "looked up"}
    await asyncio.sleep(rng.uniform(0.5, 1.5) * think_s)
    watch.sent.add(task)
    if (await one.post(f"/rate/{task}", "/rate", form))[0] == 303:
        watch.acknowledged[task] = choice
    return True


async def own(address: str, watch: Watch) -> None:
    """The owner, who watches until told to stop."""
    async with browser(address, watch) as one:
        while True:
            with suppress(*BROKEN_OFF):
                _, page = await one.get("/owner/login", "/owner/login")
                form = {"csrf": CSRF.search(page)[1], "password": PASSWORD}
                await one.post("/owner/login", "/owner/login", form)
                while True:
                    await asyncio.sleep(POLL_S)
                    await one.get("/owner/live", "/owner/live")
            await asyncio.sleep(0.2)


async def kill_now_and_then(panel: Panel, watch: Watch, kills: int, total: int) -> None:
    """Kill the panel when equal parts of the ratings are in."""
    for number in range(1, kills + 1):
        while len(watch.acknowledged) < total * number / (kills + 1):
            await asyncio.sleep(0.005)
        await asyncio.to_thread(panel.kill)
        await asyncio.to_thread(panel.start)


async def everybody(
    panel: Panel, tokens: list[str], think_s: float, kills: int, total: int
) -> Watch:
    watch = Watch()
    rng = random.Random(0)
    owner = asyncio.create_task(own(panel.address, watch))
    killer = asyncio.create_task(kill_now_and_then(panel, watch, kills, total))
    raters = (
        rate(token, panel.address, watch, think_s, random.Random(rng.random())) for token in tokens
    )
    await asyncio.gather(killer, *raters)
    owner.cancel()
    return watch


def faults_in_database(database: str, watch: Watch, total: int) -> list[str]:
    """What the database holds otherwise than the raters were told."""
    engine = open_engine(database)
    with engine.connect() as connection:
        query = select(tasks.c.name, ratings.c.choice).join(ratings)
        kept = [tuple(row) for row in connection.execute(query)]
    engine.dispose()
    there = dict(kept)
    lost = [task for task, choice in watch.acknowledged.items() if there.get(task) != choice]
    faults = [f"{len(lost)} acknowledged ratings are missing or other"] if lost else []
    if len(kept) != len(there):
        faults.append(f"{len(kept) - len(there)} ratings are there twice")
    if unsent := set(there) - watch.sent:
        faults.append(f"{len(unsent)} ratings were never sent")
    if len(there) != total:
        faults.append(f"{len(there)} ratings, not {total}")
    return faults


def make_run(folder: Path, prompts: int) -> Path:
    """A run's folder with answers of the usual length."""
    rng = random.Random(0)
    words = ["the", "a", "of", "lamp", "river", "because", "first", "careful", "tools", "water"]
    for who in ("teacher", "base", "student"):
        path = folder / "answers" / who / "answers.jsonl"
        path.parent.mkdir(parents=True)
        with open(path, "w", encoding="utf-8") as file:
            for number in range(prompts):
                parts = [" ".join(rng.choices(words, k=15)) + "." for _ in range(12)]
                text = "Sure!\n\n- " + "\n- ".join(parts[:4]) + "\n\n" + " ".join(parts[4:])
                row = {
                    "id": str(number),
                    "messages": [{"role": "user", "content": f"Tell me about {number}."}],
                    "answers": [{"text": text}],
                    "reference": " ".join(parts),
                }
                file.write(json.dumps(row) + "\n")
    (folder / "recipe.yaml").write_text(
        "base: world:tiny\nteacher: {base_url: world}\ncollect: {n: 10}\n", encoding="utf-8"
    )
    return folder


def invite(database: str, raters: int) -> list[str]:
    """Invitations for so many, half of them to check."""
    store = Store(database)
    protocols: tuple[Protocol, ...] = ("hurried", "checking")
    tokens = [store.invite(f"rater {n}", protocols[n % 2])[1] for n in range(raters)]
    store.close()
    return tokens


@contextmanager
def served(run: Path, database: str, items: int) -> Iterator[Panel]:
    panel = Panel(run, database, items)
    panel.start()
    try:
        yield panel
    except BaseException:
        panel.kill()
        raise
    if (code := panel.stop()) != STOPPED:
        raise SystemExit(f"the panel ended with {code}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--raters", type=int, default=200)
    parser.add_argument("--items", type=int, default=20)
    parser.add_argument("--think", type=float, default=5.0)
    parser.add_argument("--database", default=None)
    parser.add_argument("--kill", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        run = make_run(Path(name) / "run", max(30, given.items))
        database = given.database or str(run / "panel" / "panel.sqlite")
        checks = max(1, round(given.items / 15))
        total = given.raters * (given.items + checks)
        with served(run, database, given.items) as panel:
            tokens = invite(database, given.raters)
            watch = asyncio.run(everybody(panel, tokens, given.think, given.kill, total))
        faults = watch.faults + faults_in_database(database, watch, total)
    seconds = time.monotonic() - watch.begun
    print(
        f"{given.raters} raters, {given.items} items and {checks} checks each, {given.think:g} s "
        f"an item: {len(watch.acknowledged)} ratings acknowledged in {seconds:.0f} s"
    )
    slow = []
    for page, times in sorted(watch.times.items()):
        times.sort()
        at = {share: 1000 * times[int(share * (len(times) - 1))] for share in (0.5, 0.95, 0.99)}
        shown = ", ".join(f"p{100 * share:g} {ms:.0f} ms" for share, ms in at.items())
        print(f"  {page:17} {len(times):6} times  {shown}")
        held = given.think and not given.kill and page != SLOW_ON_PURPOSE
        if held and at[0.95] > FLOOR_MS:
            slow.append(f"{page}: p95 above {FLOOR_MS:g} ms")
    for fault in [*faults, *slow]:
        print(f"FAULT: {fault}")
    sys.exit(bool(faults or slow))


if __name__ == "__main__":
    main()
