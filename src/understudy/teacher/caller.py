"""Many calls at once: one event loop, an HTTP connection pool and a pace for each endpoint.

Nothing is held for longer than its call takes: jobs are drawn from an iterator as places get free,
answers go to the ledger, and only failures are kept. Calls that finish together share one commit.
"""

import asyncio
import contextlib
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from understudy.errors import UserError
from understudy.progress import Task, say
from understudy.teacher.budget import Budget, Need
from understudy.teacher.jobs import Job, answered
from understudy.teacher.lane import UNREACHABLE, Lane, Outcome
from understudy.teacher.ledger import Call, Ledger
from understudy.teacher.pace import ClosedError, Pace
from understudy.teacher.wire import Again, Completion, Failure, Teacher, failure_of

FIRST_WAIT_S, MOST_WAIT_S = 0.5, 60.0  # before another try
SLEEPERS = 3  # calls that wait for another try, as a multiple of those that may be in flight
TICK_S = 0.25  # between two looks at the progress


class _Handed(NamedTuple):
    """An answer on its way to the ledger, and what it settles."""

    pace: Pace
    call: Call
    most: Need
    tokens: int | None


class Caller:
    """One run of calls; `run` may be used once."""

    def __init__(
        self, teacher: Teacher, ledger: Ledger, recipe: str, budget: Budget, task: Task
    ) -> None:
        self._teacher, self._ledger, self._recipe = teacher, ledger, recipe
        self._budget, self._task = budget, task
        self._failures: dict[str, Failure] = {}
        self._tally = _Tally()
        self._handed: list[_Handed] = []
        self._fatal: Exception | None = None
        self._interrupts = 0

    async def run(self, jobs: Iterator[Job]) -> dict[str, Failure]:
        """Ask for every job, but for those that the budget leaves out; returns the failures.

        Ctrl-C ends it early, when the calls in flight are answered (`interrupted`).

        Raises:
            UserError: no further call can succeed until the user mends something.
        """
        self._jobs, self._main = jobs, asyncio.current_task()
        self._stopped, self._to_commit = asyncio.Event(), asyncio.Event()
        self._committing = asyncio.Lock()
        self._lanes = [Lane(self._teacher, endpoint) for endpoint in self._teacher.endpoints]
        helpers = [asyncio.create_task(self._commit()), asyncio.create_task(self._tick())]
        try:
            with self._interruptible():
                async with asyncio.TaskGroup() as calls:
                    self._calls = calls
                    for lane in self._lanes:
                        for _ in range(self._teacher.concurrency):
                            self._hire(lane)
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        except asyncio.CancelledError:
            if not self._interrupts:
                raise
        finally:
            try:
                await self._flush()  # after the commit in progress, if there is one
                self._budget.close()
            finally:
                for helper in helpers:
                    helper.cancel()
                self._show()
                await asyncio.gather(*(lane.close() for lane in self._lanes))
        if self._fatal:
            raise self._fatal
        return self._failures

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the run before its last job."""
        return self._interrupts > 0

    # Stopping

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Let Ctrl-C drain instead of break off."""
        loop = asyncio.get_running_loop()
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        try:
            loop.add_signal_handler(signal.SIGINT, self._interrupt)
        except NotImplementedError:  # Windows
            yield
            return
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)

    def _interrupt(self) -> None:
        self._interrupts += 1
        if self._interrupts == 1:
            flying = sum(lane.pace.in_flight for lane in self._lanes)
            say(f"stopping: waiting for {flying} calls in flight; Ctrl-C again leaves them")
            self._stop()
        elif self._main:
            self._main.cancel()

    def _stop(self) -> None:
        """Send no more calls."""
        self._stopped.set()
        self._budget.stop()
        for lane in self._lanes:
            lane.pace.close()

    # Calls

    def _hire(self, lane: Lane) -> None:
        """Start another worker, up to a bound."""
        if lane.workers < (1 + SLEEPERS) * self._teacher.concurrency:
            lane.workers += 1
            self._calls.create_task(self._work(lane))

    async def _work(self, lane: Lane) -> None:
        """One of a lane's workers: do jobs as its pace and the budget let them go."""
        try:
            while True:
                entered = await lane.pace.enter(self._tally.usual)
                job = next(self._jobs, None) if lane.alive else None
                if job is None:
                    lane.pace.leave()
                    return
                most = self._budget.need(job)
                await self._call(lane, job, most, entered)
        except ClosedError:
            return
        except UserError as error:
            self._fatal = self._fatal or error
            self._stop()

    async def _call(self, lane: Lane, job: Job, most: Need, entered: float) -> None:
        """One job, with its tries; an answer is handed over to be recorded."""
        outcome = await self._try(lane, job, most, entered)
        attempt = 0
        while isinstance(outcome, Again):
            if attempt < self._teacher.retries:
                self._hire(lane)  # in the place of this one while it sleeps
                await self._rest(wait_s(attempt, outcome.after_s))
                attempt += 1
            elif outcome.failure.reason == UNREACHABLE and not self._stopped.is_set():
                lane, attempt = self._other(lane, outcome.failure.detail), 0
            else:
                break
            if self._stopped.is_set():
                break
            outcome = await self._try(lane, job, most, await lane.pace.enter(self._tally.usual))
        if isinstance(outcome, tuple):
            self._hand_over(lane, job, most, *outcome)
        else:
            self._fail(job, failure_of(outcome))

    def _other(self, lane: Lane, why: str) -> Lane:
        """Give a lane up for another one; UserError where there is none."""
        place = lane.endpoint.base_url
        others = [other for other in self._lanes if other.alive and other is not lane]
        if not others:
            raise UserError(
                f"{place}: cannot be reached ({why}); "
                "check teacher.base_url and the network, and run the command again"
            )
        if lane.alive:
            lane.alive = False
            say(f"{place}: cannot be reached; going on with the other endpoints")
        return others[0]

    def _hand_over(
        self, lane: Lane, job: Job, most: Need, completion: Completion, response: str
    ) -> None:
        """Have an answer put on disk; it counts once it is there."""
        call, tokens = answered(self._teacher, self._recipe, job, completion, response)
        self._handed.append(_Handed(lane.pace, call, most, tokens))
        self._to_commit.set()

    def _fail(self, job: Job, failure: Failure) -> None:
        self._failures[job.key] = failure
        self._tally.dropped += 1

    async def _try(self, lane: Lane, job: Job, most: Need, entered: float) -> Outcome:
        """One attempt in the place that was entered, if the budget lets it go.

        It is entered before the budget is asked: whoever holds a part of the budget is then on its
        way, and those that wait for it cannot wait for each other.
        """
        try:
            if refused := await self._budget.reserve(most):
                await asyncio.sleep(0)  # many in a row would let nobody else run
                return refused
            try:
                outcome = await lane.reach(job.body, entered, self._tally.usual)
                if isinstance(outcome, tuple):
                    lane.pace.hold()
            except UserError:
                self._budget.refund(most)
                raise
            except BaseException:  # broken off; the provider may go on, and charge for it
                self._budget.lose(most)
                raise
        finally:
            lane.pace.leave()
        if isinstance(outcome, Again):
            self._tally.faults[outcome.failure.reason] += 1
            billed = outcome.billed
            if outcome.slower:
                lane.pace.push_back(entered, outcome.after_s)
        else:
            billed = isinstance(outcome, Failure) and outcome.reason == "too_long"
            lane.pace.well(entered)
        if billed:
            self._budget.lose(most)
        elif not isinstance(outcome, tuple):  # an answer is settled once it is recorded
            self._budget.refund(most)
        return outcome

    async def _rest(self, seconds: float) -> None:
        """Sleep, unless everything stops."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopped.wait()

    # Beside the calls

    async def _commit(self) -> None:
        """Commit all that waits, again and again."""
        while True:
            await self._to_commit.wait()
            self._to_commit.clear()
            try:
                await self._flush()
            except Exception as error:  # no call may be paid for that cannot be recorded
                self._fatal = self._fatal or error
                self._stop()
                return

    async def _flush(self) -> None:
        """Put on disk what was handed over; only then it counts."""
        async with self._committing:
            handed, self._handed = self._handed, []
            if handed:
                await asyncio.to_thread(self._ledger.record, [one.call for one in handed])
        tally = self._tally
        for pace, call, most, tokens in handed:
            pace.recorded()
            self._budget.settle(most, tokens, call.usd)
            tally.kept += 1
            tally.tokens += tokens or 0
            tally.usd = None if call.usd is None or tally.usd is None else tally.usd + call.usd

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._show()

    def _show(self) -> None:
        tally = self._tally
        done = tally.kept + tally.dropped
        limit = sum(int(lane.pace.limit) for lane in self._lanes if lane.alive)
        paused = max(lane.pace.paused_s for lane in self._lanes)
        self._task.advance(done - tally.shown, tally.words(limit, paused))
        tally.shown = done


class _Tally:
    """Counts for the person who waits."""

    def __init__(self) -> None:
        self.kept = self.dropped = self.tokens = self.shown = 0
        self.usd: float | None = 0.0
        self.faults: Counter[str] = Counter()
        self._begun = time.monotonic()

    @property
    def usual(self) -> float:
        """Tokens of a usual call; 0 before the first."""
        return self.tokens / self.kept if self.kept else 0.0

    def words(self, limit: int, paused_s: float) -> str:
        rate = self.kept / max(time.monotonic() - self._begun, 1e-3)
        parts = [f"kept {self.kept}, dropped {self.dropped}", f"{rate:.1f}/s", _short(self.tokens)]
        parts += [] if self.usd is None else [f"${self.usd:.3f}"]
        parts += [f"{self.faults.total()} tried again"] if self.faults else []
        parts.append(f"{limit} at once" if paused_s <= 0 else f"told to wait {paused_s:.0f} s")
        return " · ".join(parts)


def _short(tokens: int) -> str:
    return f"{tokens} tokens" if tokens < 10_000 else f"{tokens / 1000:.0f}k tokens"


def wait_s(attempt: int, asked_s: float | None) -> float:
    """Seconds before another try: what the server asks for, and a random time that doubles.

    Exponential back-off with full jitter (M. Brooker, "Exponential Backoff and Jitter", 2015).
    """
    jitter = random.uniform(0, min(MOST_WAIT_S, FIRST_WAIT_S * 2 ** min(attempt, 16)))
    return min(MOST_WAIT_S, asked_s or 0.0) + jitter
