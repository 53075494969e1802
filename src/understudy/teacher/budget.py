"""Budgets that hold with hundreds of calls in flight: reserve before sending, settle after.

A call reserves the most it can cost and is sent only if all that was spent and reserved stays
within the limits. What it did cost takes the reservation's place. A try that may have been billed
without an answer (a time-out, a cut connection) counts with all that it reserved. And since a kill
leaves calls that nobody hears of, the ledger is told first what may be lost, in steps, so that a
later start counts it as spent.
"""

import asyncio
import math
from dataclasses import dataclass

from understudy.errors import UserError
from understudy.recipe import BudgetSettings
from understudy.teacher.jobs import Job
from understudy.teacher.ledger import Ledger, Spent
from understudy.teacher.pace import ClosedError
from understudy.teacher.wire import Failure, Teacher

STEP = 1.25  # of what is reserved is noted, so that few commits are needed
ROUNDING = 1e-12  # share of the dollars that sums in another order may differ by
SLACK = 2.0  # of what is reserved may be noted, before it is corrected


@dataclass(frozen=True)
class Need:
    """The most that a call can cost."""

    tokens: int
    usd: float


NOTHING = Need(0, 0.0)


def need(teacher: Teacher, job: Job, batch: bool = False) -> Need:
    """The most that a call can cost.

    No tokenizer makes more tokens of a text than it has bytes, and the JSON around the messages is
    longer than what chat templates put there.
    """
    asked = len(job.body.encode())
    usd = teacher.usd(asked, job.max_tokens, batch)
    return Need(asked + job.max_tokens, usd or 0.0)


class Budget:
    """What one recipe may spend, for the tasks of one event loop.

    Raises:
        UserError: dollars are limited and the teacher's prices are not known.
    """

    def __init__(
        self, limits: BudgetSettings, teacher: Teacher, ledger: Ledger, recipe: str
    ) -> None:
        if limits.max_usd is not None and teacher.prices is None:
            raise UserError(
                f"budget.max_usd: no price of {teacher.model} is known; add teacher.prices "
                "(US dollars per million tokens)"
            )
        self._limits, self._ledger, self._recipe = limits, ledger, recipe
        self._teacher = teacher
        self._limited = any(limit is not None for limit in limits.model_dump().values())
        self._spent = ledger.spent(recipe) if self._limited else Spent()
        self._calls, self._tokens, self._usd = 0, 0, 0.0  # reserved
        self._lost = Spent()  # part of spent: what may have been billed without an answer
        self._noted = Spent()  # in the ledger
        self._changed, self._stopped = asyncio.Event(), False

    def need(self, job: Job) -> Need:
        """The most that a call can cost; nothing where nothing is limited."""
        return need(self._teacher, job) if self._limited else NOTHING

    async def reserve(self, need: Need) -> Failure | None:
        """Reserve for a call, once others leave enough; a failure if nothing will be left.

        Raises:
            ClosedError: stopped, before or meanwhile.
        """
        while not self._stopped:
            refused = self.take(need)
            if not (refused and self._calls):
                return refused
            self._changed.clear()
            await self._changed.wait()
        raise ClosedError

    def take(self, need: Need, ordered: bool = False) -> Failure | None:
        """Reserve for a call if there is enough for it now; else a failure that names the limit.

        One that was `ordered` by an earlier start has to be paid for in any case.
        """
        if not self._limited:
            return None
        if not ordered and (over := self._over(need)):
            return Failure("budget", over)
        self._calls, self._tokens = self._calls + 1, self._tokens + need.tokens
        self._usd += need.usd
        self._note()
        return None

    def settle(self, need: Need, tokens: int | None, usd: float | None) -> None:
        """An answered call has cost so much; what is not known counts as reserved."""
        if not self._limited:
            return
        self._release(need)
        unsaid = tokens is None
        tokens, cost = need.tokens if tokens is None else tokens, need.usd if usd is None else usd
        self._spent = _plus(self._spent, Spent(1, tokens, cost))
        # What the ledger's record does not say, and a later start cannot add up.
        self._lose(Spent(0, need.tokens if unsaid else 0, cost if usd is None else 0.0))

    def refund(self, need: Need) -> None:
        """A call was refused, and nothing was billed."""
        self._release(need)

    def lose(self, need: Need) -> None:
        """A call may have been billed, and there is no answer."""
        self._release(need)
        lost = Spent(1, need.tokens, need.usd)
        self._spent = _plus(self._spent, lost)
        self._lose(lost)

    def stop(self) -> None:
        """Let nobody reserve any more."""
        self._stopped = True
        self._changed.set()

    def close(self) -> None:
        """Note what was lost, and with it what is reserved still: nobody will hear of it."""
        self._lose(Spent(self._calls, self._tokens, self._usd))
        self._calls, self._tokens, self._usd = 0, 0, 0.0
        if self._limited and self._noted != self._lost:
            self._ledger.reserve(self._recipe, self._lost)

    def _release(self, need: Need) -> None:
        if self._limited:
            self._calls, self._tokens = self._calls - 1, self._tokens - need.tokens
            self._usd = self._usd - need.usd if self._calls else 0.0  # no rounding adds up
            self._changed.set()

    def _lose(self, lost: Spent) -> None:
        self._lost = _plus(self._lost, lost)

    def _over(self, need: Need) -> str | None:
        """The limit that a call would exceed, in words."""
        limits, spent = self._limits, self._spent
        if limits.max_calls is not None and spent.calls + self._calls + 1 > limits.max_calls:
            return f"max_calls of {limits.max_calls} is reached"
        tokens = spent.tokens + self._tokens + need.tokens
        if limits.max_tokens is not None and tokens > limits.max_tokens:
            return f"max_tokens of {limits.max_tokens} leaves none for this call"
        usd = spent.usd + self._usd + need.usd
        if limits.max_usd is not None and usd > limits.max_usd * (1 - ROUNDING):
            return f"max_usd of ${limits.max_usd:g} leaves too little for this call"
        return None

    def _note(self) -> None:
        """See that the ledger has at least what is reserved and lost, and not much more."""
        wanted = _plus(self._lost, Spent(self._calls, self._tokens, self._usd))
        pairs = zip(wanted, self._noted, strict=True)
        if all(mine <= noted <= SLACK * mine for mine, noted in pairs):
            return
        calls, tokens, usd = (STEP * amount for amount in wanted)
        self._noted = Spent(math.ceil(calls), math.ceil(tokens), usd)
        self._ledger.reserve(self._recipe, self._noted)


def _plus(one: Spent, other: Spent) -> Spent:
    return Spent(one.calls + other.calls, one.tokens + other.tokens, one.usd + other.usd)
