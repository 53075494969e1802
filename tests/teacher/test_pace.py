"""The pace: it grows, shrinks, pauses and heeds windows, and nobody waits for ever."""

import asyncio
import itertools
import random
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teacher import virtual_time
from teacher.scripted import Said, completion, scripted
from understudy.teacher import caller
from understudy.teacher import pace as module
from understudy.teacher.client import Answer, Request, ask
from understudy.teacher.pace import UNRECORDED, ClosedError, Pace

Run = Callable[[Coroutine[Any, Any, Any]], Any]
LATENCY_S = 0.1
PARTS, NAMES = ("limit", "remaining", "reset"), ("requests", "tokens")


@pytest.fixture(autouse=True)
def eight_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START", 8.0)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    return lambda main: virtual_time.run(monkeypatch, main, module)


async def round_of(pace: Pace, refused: int = 0, after_s: float | None = None) -> int:
    """Fill the pace, and have all calls end together, some refused; returns how many there were."""
    entered = []
    while pace.in_flight < int(pace.limit):
        entered.append(await pace.enter(0))
    await asyncio.sleep(LATENCY_S)
    for number, when in enumerate(entered):
        pace.leave()
        if number < refused:
            pace.push_back(when, after_s)
        else:
            pace.well(when)
    return len(entered)


async def soon(waiting: Awaitable[Any], within_s: float) -> bool:
    """Whether something that was waited for comes within a time."""
    try:
        await asyncio.wait_for(waiting, within_s)
    except TimeoutError:
        return False
    return True


def window(name: str = "requests", **more: str) -> dict[str, str]:
    return {f"x-ratelimit-{part}-{name}": value for part, value in more.items()}


# Growing and shrinking


def test_it_doubles_a_round_until_the_first_refusal_and_then_adds_one(run: Run) -> None:
    async def main() -> None:
        pace = Pace(1000)
        assert [await round_of(pace) for _ in range(4)] == [8, 16, 32, 64]
        await round_of(pace, refused=1)
        after = pace.limit
        sizes = [await round_of(pace) for _ in range(10)]
        assert all(0 <= later - earlier <= 1 for earlier, later in itertools.pairwise(sizes))
        assert 9 <= pace.limit - after <= 11

    run(main())


def test_it_stays_at_the_cap_and_does_not_grow_while_it_is_not_used(run: Run) -> None:
    async def main() -> None:
        pace = Pace(20)
        for _ in range(5):
            assert await round_of(pace) <= 20
        assert pace.limit == 20
        idle = Pace(20)
        for _ in range(30):
            when = await idle.enter(0)
            idle.leave()
            idle.well(when)
        assert idle.limit == 8
        assert Pace(3).limit == 3

    run(main())


def test_it_shrinks_by_the_share_that_is_refused_and_once_a_round(run: Run) -> None:
    async def main() -> None:
        pace = Pace(64)
        await round_of(pace, refused=8)
        assert pace.limit == 4  # all were refused: one cut to a half
        calm = Pace(64)
        for _ in range(6):
            await round_of(calm)
        await round_of(calm, refused=3)
        assert 56 < calm.limit < 64
        for _ in range(20):
            await round_of(pace, refused=100)
        assert pace.limit == 1  # and no further
        assert await round_of(pace) == 1

    run(main())


def test_a_slow_disk_holds_calls_back(run: Run) -> None:
    async def main() -> None:
        pace = Pace(4)
        for _ in range(UNRECORDED * 4):
            await pace.enter(0)
            pace.hold()
            pace.leave()
        waiting = asyncio.ensure_future(pace.enter(0))
        await asyncio.sleep(1)
        assert not waiting.done()
        pace.recorded()
        assert await soon(waiting, 0.01)

    run(main())


# Retry-After


def test_all_pause_when_most_are_refused_but_not_for_a_few(run: Run) -> None:
    async def main() -> None:
        pace = Pace(64)
        await round_of(pace, refused=8, after_s=30)
        assert pace.paused_s == pytest.approx(30)
        assert not await soon(pace.enter(0), 29.9)
        assert await soon(pace.enter(0), 0.2)
        calm = Pace(64)
        for _ in range(6):
            await round_of(calm)
        await round_of(calm, refused=2, after_s=30)
        assert calm.paused_s == 0
        assert await soon(calm.enter(0), 0.01)

    run(main())


def test_a_pause_ends_with_an_answer_to_a_later_call_only(run: Run) -> None:
    async def main() -> None:
        pace = Pace(64)
        earlier = await pace.enter(0)
        await asyncio.sleep(0.1)
        refused = await pace.enter(0)
        await asyncio.sleep(0.1)
        later = await pace.enter(0)
        await asyncio.sleep(0.1)
        pace.leave()
        pace.push_back(refused, 30)
        waiting = asyncio.ensure_future(pace.enter(0))
        pace.leave()
        pace.well(earlier)
        assert not await soon(asyncio.shield(waiting), 1)
        pace.leave()
        pace.well(later)
        assert await soon(waiting, 0.01)
        assert pace.paused_s == 0

    run(main())


@pytest.mark.parametrize("after_s", [3600.0, 1e300])
def test_no_server_can_ask_for_a_very_long_pause(run: Run, after_s: float) -> None:
    async def main() -> None:
        pace = Pace(64)
        await round_of(pace, refused=8, after_s=after_s)
        assert pace.paused_s <= module.MOST_PAUSE_S
        assert await soon(pace.enter(0), module.MOST_PAUSE_S + 1)

    run(main())


# Announced windows


def test_nothing_is_sent_when_nothing_is_left_until_the_window_ends(run: Run) -> None:
    async def main() -> None:
        pace = Pace(64)
        when = await pace.enter(0)
        pace.hear(when, window(limit="5", remaining="0", reset="20s"), 0)
        pace.leave()
        assert not await soon(pace.enter(0), 19.9)
        sent = 0
        while await soon(pace.enter(0), 0.5):
            sent += 1
        assert sent == 5  # a whole window, and not one more

    run(main())


def test_the_last_request_of_a_window_is_used(run: Run) -> None:
    async def main() -> None:
        pace = Pace(64)
        when = await pace.enter(0)
        pace.hear(when, window(limit="5", remaining="1", reset="20s"), 0)
        pace.leave()
        assert await soon(pace.enter(0), 0.01)
        assert not await soon(pace.enter(0), 1)

    run(main())


def test_tokens_are_a_window_too_and_calls_in_flight_count(run: Run) -> None:
    async def main() -> None:
        pace = Pace(64)
        for _ in range(3):
            when = await pace.enter(100)
        pace.hear(when, window("tokens", limit="1000", remaining="500", reset="10s"), 100)
        pace.leave()
        sent = 0  # 500, less 2 x 100 on their way
        while await soon(pace.enter(100), 0.5):
            sent += 1
        assert sent == 3

    run(main())


@pytest.mark.parametrize("whole", ["100", "0"])
def test_a_call_larger_than_the_window_is_sent_in_the_end(run: Run, whole: str) -> None:
    async def main() -> None:
        pace = Pace(64)
        when = await pace.enter(5000)
        pace.hear(when, window("tokens", limit=whole, remaining="0", reset="1s"), 5000)
        pace.leave()
        assert await soon(pace.enter(5000), 1.1)

    run(main())


def test_a_window_without_its_size_is_tried_once_it_has_ended(run: Run) -> None:
    async def main() -> None:
        pace = Pace(64)
        when = await pace.enter(0)
        pace.hear(when, window(remaining="0", reset="3s"), 0)
        pace.leave()
        assert not await soon(pace.enter(0), 2.9)
        assert await soon(pace.enter(0), 0.2)

    run(main())


@pytest.mark.parametrize(
    "headers",
    [
        window(remaining="many", reset="soon", limit="no"),
        window(remaining="-1", reset="1s"),
        window(remaining="nan", reset="1s"),
        window(remaining="1e400", reset="1s"),
        window(remaining="9" * 5000, reset="1s"),
        window(remaining="", reset=""),
        window(remaining="0"),
        window(remaining="0", reset="1.2.3s"),
        window(remaining="0", reset="-7s"),
        window(remaining="0", reset="inf"),
        {},
    ],
)
def test_headers_that_make_no_sense_stop_nothing(run: Run, headers: dict[str, str]) -> None:
    async def main() -> None:
        pace = Pace(64)
        when = await pace.enter(0)
        pace.hear(when, headers, 10.0)
        pace.leave()
        for _ in range(8):
            assert await soon(pace.enter(10), 0.01)

    run(main())


# Ending


def test_closing_lets_all_who_wait_out_and_nobody_in(run: Run) -> None:
    async def main() -> None:
        pace = Pace(2)
        await pace.enter(0)
        await pace.enter(0)
        waiting = [asyncio.ensure_future(pace.enter(0)) for _ in range(5)]
        await asyncio.sleep(0.1)
        pace.close()
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(end, ClosedError) for end in ends)
        pace.leave()
        with pytest.raises(ClosedError):
            await pace.enter(0)

    run(main())


@settings(max_examples=60)
@given(st.integers(0, 10**9))
def test_nobody_waits_for_ever_whatever_the_server_does(seed: int) -> None:
    draw, done = random.Random(seed), 0
    odd = ["0", "1", "3", "50", "x", ""]

    async def call(pace: Pace) -> None:
        nonlocal done
        while True:
            entered = await pace.enter(draw.choice([0, 10, 1000]))
            await asyncio.sleep(draw.random())
            names = [f"x-ratelimit-{part}-{name}" for part in PARTS for name in NAMES]
            if draw.random() < 0.5:
                heard = {name: draw.choice(odd) for name in names if draw.random() < 0.7}
                pace.hear(entered, heard, draw.choice([0.0, 10.0, 1000.0]))
            pace.leave()
            if draw.random() < 0.3:
                pace.push_back(entered, draw.choice([None, 0.0, 2.0, 100.0]))
                await asyncio.sleep(draw.random())
            else:
                pace.well(entered)
                done += 1
                return

    async def main() -> None:
        pace = Pace(draw.choice([1, 2, 40]))
        await asyncio.gather(*(call(pace) for _ in range(60)))

    with pytest.MonkeyPatch.context() as monkeypatch:
        virtual_time.run(monkeypatch, main(), module)
    assert done == 60


# With the client, against a server that means it


class _Limited:
    """So many requests in a window; more get 429 with Retry-After."""

    def __init__(self, most: int, window_s: float, announced: bool) -> None:
        self.most, self.window_s, self.announced = most, window_s, announced
        self.ends, self.used, self.refused = 0.0, 0, 0
        self._lock = threading.Lock()

    def __call__(self, number: int, body: dict[str, Any]) -> Said:
        with self._lock:
            now = time.monotonic()
            if now >= self.ends:
                self.ends, self.used = now + self.window_s, 0
            left_s = self.ends - now
            taken = self.used < self.most
            self.used += taken
            self.refused += not taken
            reset, remaining = f"{left_s * 1000:.0f}ms", str(self.most - self.used)
            heads = window(limit=str(self.most), remaining=remaining, reset=reset)
        heads = heads if self.announced else {}
        if taken:
            return Said(body=completion(), headers=heads)
        return Said(429, b"slow down", {**heads, "Retry-After": f"{left_s:.3f}"})


@pytest.mark.parametrize(("announced", "most_refused"), [(True, 40), (False, 150)])
def test_a_real_limit_is_kept_with_few_refusals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, announced: bool, most_refused: int
) -> None:
    monkeypatch.setattr(caller, "FIRST_WAIT_S", 0.02)
    asked = [
        Request([{"role": "user", "content": str(number)}], 0.5, 50, 1) for number in range(120)
    ]
    limited = _Limited(20, 0.25, announced)
    with scripted(limited) as server:
        found = ask(server.account(tmp_path / "ledger", concurrency=32, retries=8), asked, "test")
    assert all(isinstance(outcome, Answer) for outcome in found)
    assert limited.refused <= most_refused
