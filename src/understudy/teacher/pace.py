"""How fast an endpoint may be asked: found by trying, and by heeding what it says.

The number of calls in flight grows by one a round while answers come, after a slow start that
doubles it (V. Jacobson, "Congestion Avoidance and Control", 1988). When the endpoint pushes back
(429, 503, a time-out) it shrinks by half the share of recent calls that were pushed back: to a half
if all are, by little if it is a few of them at any pace (M. Alizadeh et al., "Data Center TCP",
2010).

A call that is told Retry-After waits that long. If most calls are pushed back, all wait, until then
or until a call that was sent after the refused one is answered. The x-ratelimit headers stop all
calls once nothing is left in their window.
"""

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from understudy.teacher.wire import reset_s

START = 32.0  # calls in flight at first
GAIN = 1 / 8  # of the newest call in the share of those pushed back
MAJORITY = 0.5  # share of calls from which a refusal is meant for all
UNRECORDED = 4  # answers that a kill may lose beside the calls in flight, as a multiple of `most`
MOST_PAUSE_S = 60.0  # whatever the endpoint asks for


@dataclass
class _Window:
    """One announced limit: what is left of it, and when it is whole again."""

    name: str
    left: float | None = None
    whole: float | None = None
    ends: float = 0.0
    lasts: float = 0.0  # s

    def __post_init__(self) -> None:
        self.remaining = f"x-ratelimit-remaining-{self.name}"  # the header of every answer

    def hear(self, headers: Mapping[str, str], in_flight: float, now: float) -> None:
        left = _number(headers.get(self.remaining))
        if left is None:
            return
        # The endpoint may not have counted the calls that are on their way.
        self.left = left - in_flight
        self.whole = _number(headers.get(f"x-ratelimit-limit-{self.name}"))
        reset = reset_s(headers.get(f"x-ratelimit-reset-{self.name}"))
        self.lasts = min(reset or 0.0, MOST_PAUSE_S)
        self.ends = now + self.lasts

    def free_at(self, amount: float, now: float) -> float:
        """When `amount` of it may be used."""
        if self.whole is not None:
            amount = min(amount, self.whole)  # a larger call would wait for ever
        if self.left is not None and now >= self.ends and self.left < amount:
            # A new window, of which nothing is known until an answer comes; None asks and sees.
            self.left, self.ends = self.whole, now + self.lasts
        return now if self.left is None or self.left >= amount else self.ends

    def use(self, amount: float) -> None:
        if self.left is not None:
            self.left -= amount


class ClosedError(Exception):
    """No call may be sent any more."""


class Pace:
    """The pace of one endpoint, for the tasks of one event loop."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = min(START, float(most))
        self.in_flight = 0
        self._unrecorded = 0  # answers on their way to the disk
        self._starting, self._closed = True, False
        self._share = 1.0  # of recent calls that were pushed back; the worst, before any
        self._full = 0.0  # when all places were taken last
        self._heard = 0.0  # when the newest call had entered whose headers were taken in
        self._cut = 0.0  # when the limit was cut last
        self._paused = 0.0  # until when Retry-After stops all calls
        self._refused = 0.0  # when the call had entered that was told so
        self._alarm: asyncio.TimerHandle | None = None
        self._requests, self._tokens = _Window("requests"), _Window("tokens")
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self, tokens: float) -> float:
        """Wait for a place for a call that may take so many tokens; returns the time (s).

        Raises:
            ClosedError: the pace was closed, before or meanwhile.
        """
        while True:
            if self._closed:
                raise ClosedError
            now = time.monotonic()
            if self._places() > 0:
                free = max(
                    self._paused,
                    self._requests.free_at(1, now),
                    self._tokens.free_at(tokens, now),
                )
                if free <= now:
                    break
                self._wake_at(free)
            place = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            await place
        self.in_flight += 1
        if self._places() <= 0:
            self._full = now
        self._requests.use(1)
        self._tokens.use(tokens)
        return now

    def leave(self) -> None:
        """Give a place back."""
        self.in_flight -= 1
        self._wake()

    def hold(self) -> None:
        """An answer came that has to be put on disk."""
        self._unrecorded += 1

    def recorded(self) -> None:
        """An answer is on disk."""
        self._unrecorded -= 1
        self._wake()

    def close(self) -> None:
        """Let nobody in any more."""
        self._closed = True
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)

    def well(self, entered: float) -> None:
        """A call that entered then was answered."""
        self._share -= GAIN * self._share
        if entered > self._refused and self._paused:
            self._paused = 0.0
            self._wake()
        # A limit that was not reached meanwhile says nothing of what the endpoint can bear.
        if self._full >= entered:
            step = 1.0 if self._starting else 1.0 / self.limit
            self.limit = min(self.limit + step, float(self.most))

    def push_back(self, entered: float, after_s: float | None = None) -> None:
        """A call that entered then was told, or has shown, that this is too fast."""
        now = time.monotonic()
        self._starting = False
        self._share += GAIN * (1 - self._share)
        if entered >= self._cut:  # one cut for all that were in flight together
            self.limit, self._cut = max(1.0, self.limit * (1 - self._share / 2)), now
        if after_s is not None and self._share >= MAJORITY:
            self._paused = max(self._paused, now + min(after_s, MOST_PAUSE_S))
            self._refused = max(self._refused, entered)

    def hear(self, entered: float, headers: Mapping[str, str], tokens: float) -> None:
        """Take in what the answer to a call that entered then says in its headers.

        `tokens` are those of a usual call. What an earlier call was told is out of date.
        """
        if entered < self._heard:
            return
        self._heard = entered
        now, others = time.monotonic(), self.in_flight - 1  # the call that was answered is counted
        self._requests.hear(headers, others, now)
        self._tokens.hear(headers, others * tokens, now)

    @property
    def paused_s(self) -> float:
        """For how much longer all calls are stopped."""
        return max(0.0, self._paused - time.monotonic())

    def _wake_at(self, when: float) -> None:
        if self._alarm and self._alarm.when() > when:
            self._alarm.cancel()
            self._alarm = None
        if self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_at(when, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._wake()

    def _places(self) -> int:
        """How many calls may be sent; none while a slow disk has too many answers to write."""
        full = self._unrecorded >= UNRECORDED * self.most
        return 0 if full else int(self.limit) - self.in_flight

    def _wake(self) -> None:
        free = self._places()
        while free > 0 and self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                free -= 1


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text and len(text) <= 40 else None
    except ValueError:
        return None
    return value if value is not None and 0 <= value < 2**53 else None
