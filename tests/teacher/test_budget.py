"""Budgets: never exceeded, used up, told apart by what was billed, and remembered by the ledger."""

import asyncio
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teacher.scripted import Said, completion, scripted
from understudy.errors import UserError
from understudy.recipe import BudgetSettings, Prices
from understudy.teacher import caller
from understudy.teacher.budget import Budget, Need, need
from understudy.teacher.client import Answer, Failure, Request, ask
from understudy.teacher.jobs import jobs_of
from understudy.teacher.ledger import Ledger, Spent
from understudy.teacher.pace import ClosedError
from understudy.teacher.wire import Endpoint, Teacher

PRICES = Prices(input=1, output=2)
TEACHER = Teacher("m", "t", (Endpoint("http://127.0.0.1:9/v1"),), prices=PRICES)


def most_of(teacher: Teacher, asked: Request) -> Need:
    """The most that a request can cost."""
    (job,) = jobs_of(teacher, [asked])
    return need(teacher, job)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "MOST_WAIT_S", 0.002)


def request(text: str = "Hello", max_tokens: int = 50) -> Request:
    return Request([{"role": "user", "content": text}], 0.5, max_tokens, 1)


def numbered(count: int) -> list[Request]:
    return [request(f"Number {number}.") for number in range(count)]


def budget_on(ledger: Ledger, recipe: str = "r", **limits: Any) -> Budget:
    return Budget(BudgetSettings(**limits), TEACHER, ledger, recipe)


def spent(path: Path, recipe: str = "test") -> Spent:
    """What a start that came now would count as spent."""
    with Ledger(path) as ledger:
        return ledger.spent(recipe)


def reasons(outcomes: list[Answer | Failure]) -> list[str | None]:
    return [outcome.reason if isinstance(outcome, Failure) else None for outcome in outcomes]


# By itself


@settings(max_examples=25)
@given(st.integers(0, 10**9))
def test_it_is_never_exceeded_and_used_up_to_one_calls_need(seed: int) -> None:
    """256 callers at once; `truth` is what a provider would have billed."""
    draw = random.Random(seed)
    limits = {"max_usd": draw.uniform(0.01, 0.2), "max_tokens": draw.randint(10_000, 400_000)}
    truth, refused, largest = Spent(), 0, Need(0, 0.0)

    async def call(budget: Budget) -> None:
        nonlocal truth, refused, largest
        for _ in range(20):
            most = Need(draw.randint(10, 3000), draw.uniform(0, 0.003))
            if await budget.reserve(most):
                refused += 1
                largest = Need(max(largest.tokens, most.tokens), max(largest.usd, most.usd))
                continue
            await asyncio.sleep(0)
            match draw.choice(["answer", "answer", "answer", "refused", "lost", "unsaid"]):
                case "answer":
                    tokens, usd = int(most.tokens * draw.random()), most.usd * draw.random()
                    truth = Spent(truth.calls + 1, truth.tokens + tokens, truth.usd + usd)
                    budget.settle(most, tokens, usd)
                case "refused":
                    budget.refund(most)
                case outcome:
                    truth = Spent(truth.calls + 1, truth.tokens + most.tokens, truth.usd + most.usd)
                    budget.lose(most) if outcome == "lost" else budget.settle(most, None, None)
            assert truth.usd <= limits["max_usd"] + 1e-9
            assert truth.tokens <= limits["max_tokens"]

    class NoLedger:
        def spent(self, recipe: str) -> Spent:
            return Spent()

        def reserve(self, recipe: str, most: Spent) -> None:
            pass

    async def main() -> None:
        budget = budget_on(NoLedger(), **limits)  # type: ignore[arg-type]
        await asyncio.gather(*(call(budget) for _ in range(256)))

    asyncio.run(main())
    if refused:
        left = (limits["max_tokens"] - truth.tokens, limits["max_usd"] - truth.usd)
        assert left[0] < largest.tokens or left[1] < largest.usd


def test_the_ledger_knows_at_every_moment_what_a_kill_could_lose(tmp_path: Path) -> None:
    async def main() -> None:
        with Ledger(tmp_path / "ledger") as ledger:
            budget = budget_on(ledger, max_usd=1)
            for number in range(1, 60):
                await budget.reserve(Need(10, 0.001))
                noted = spent(tmp_path / "ledger", "r")
                assert noted.calls >= number
                assert noted.tokens >= 10 * number
                assert noted.usd >= 0.001 * number - 1e-12
                assert noted.calls <= 1.25 * number + 1
            for _ in range(59):
                budget.refund(Need(10, 0.001))
            await budget.reserve(Need(10, 0.001))
            assert spent(tmp_path / "ledger", "r").calls <= 2  # the rest is not lost any more
            budget.refund(Need(10, 0.001))
            budget.close()
        assert spent(tmp_path / "ledger", "r") == Spent()

    asyncio.run(main())


def test_a_start_after_a_kill_counts_what_was_on_its_way(tmp_path: Path) -> None:
    async def main() -> None:
        killed = Ledger(tmp_path / "ledger")
        before = budget_on(killed, max_calls=10)
        for _ in range(4):
            assert await before.reserve(Need(10, 0.0)) is None
        # Killed here: neither settled nor closed.
        with Ledger(tmp_path / "ledger") as ledger:
            after = budget_on(ledger, max_calls=10)
            given = [after.take(Need(10, 0.0)) for _ in range(10)]
        assert 4 <= [refused is None for refused in given].count(True) <= 6
        assert spent(tmp_path / "ledger", "another recipe") == Spent()

    asyncio.run(main())


def test_stopping_lets_all_who_wait_out_and_nobody_in(tmp_path: Path) -> None:
    async def main() -> None:
        with Ledger(tmp_path / "ledger") as ledger:
            budget = budget_on(ledger, max_calls=1)
            assert await budget.reserve(Need(1, 0)) is None
            waiting = [asyncio.ensure_future(budget.reserve(Need(1, 0))) for _ in range(5)]
            await asyncio.sleep(0)
            budget.stop()
            ends = await asyncio.gather(*waiting, return_exceptions=True)
            assert all(isinstance(end, ClosedError) for end in ends)
            with pytest.raises(ClosedError):
                await budget.reserve(Need(1, 0))

    asyncio.run(main())


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200), st.integers(1, 500))
def test_a_calls_need_covers_the_tokens_of_any_tokenizer(text: str, max_tokens: int) -> None:
    asked = request(text, max_tokens)
    most = most_of(TEACHER, asked)
    frame = 40  # tokens that a chat template may put around one message
    assert most.tokens >= len(text.encode()) + frame + max_tokens
    assert most.usd >= (len(text.encode()) + frame + 2 * max_tokens) / 1e6


# With the client


@pytest.mark.parametrize(
    ("limits", "answered", "word"),
    [
        ({"max_calls": 7}, 7, "max_calls of 7"),
        ({"max_tokens": 500}, None, "max_tokens of 500"),
        ({"max_usd": 0.001}, None, "max_usd of $0.001"),
        ({"max_calls": 5, "max_usd": 9.0}, 5, "max_calls of 5"),
        ({"max_calls": 0}, 0, "max_calls of 0"),
    ],
)
def test_each_limit_holds_over_all_starts_and_names_itself(
    tmp_path: Path, limits: dict[str, Any], answered: int | None, word: str
) -> None:
    ledger = tmp_path / "ledger"
    with scripted(lambda *_: Said(body=completion())) as server:
        account = server.account(ledger, BudgetSettings(**limits), prices=PRICES, concurrency=8)
        first = ask(account, numbered(200), "test")
        again = ask(account, numbered(200), "test")
    kept = [outcome for outcome in first if isinstance(outcome, Answer)]
    assert len(server.bodies) == len(kept)
    assert reasons(again) == reasons(first)
    assert len(kept) == answered if answered is not None else 0 < len(kept) < 200
    most = most_of(account.teacher, numbered(1)[0])
    used = spent(ledger)
    assert used.tokens == 5 * len(kept)
    if "max_tokens" in limits:  # down to one call's need
        assert 500 - most.tokens - 5 <= used.tokens <= 500
    if limits.get("max_usd") == 0.001:
        assert 0.001 - most.usd - 7e-6 <= used.usd <= 0.001
    failed = next(outcome for outcome in first if isinstance(outcome, Failure))
    assert failed.reason == "budget"
    assert word in failed.detail


def test_dollars_need_a_price(tmp_path: Path) -> None:
    with scripted(lambda *_: Said(body=completion())) as server:
        account = server.account(tmp_path / "ledger", BudgetSettings(max_usd=1))
        with pytest.raises(UserError, match=r"budget.max_usd: no price of m is known"):
            ask(account, [request()], "test")
    assert server.bodies == []


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        (Said(400, b"no"), 0),
        (Said(429, b"slow down"), 0),
        (Said(500, b"oh"), 0),
        (Said(503, b"oh"), 0),
        (Said(401, b"no"), 0),
        (Said(body=completion()[:-20]), 3),
        (Said(body=completion(choices=[])), 3),
        (Said(body=completion(), length=10_000), 3),
    ],
)
def test_what_may_have_been_billed_counts_and_refusals_do_not(
    tmp_path: Path, said: Said, counted: int
) -> None:
    with scripted(lambda *_: said) as server:
        limits = BudgetSettings(max_calls=100, max_tokens=10_000)
        account = server.account(tmp_path / "ledger", limits, prices=PRICES, retries=2)
        if said.status == 401:
            with pytest.raises(UserError):
                ask(account, numbered(20), "test")
        else:
            assert reasons(ask(account, [request()], "test")) != [None]
    used = spent(tmp_path / "ledger")
    assert used.calls == counted
    assert used.tokens == counted * most_of(account.teacher, request()).tokens


def test_lost_tries_count_against_max_calls(tmp_path: Path) -> None:
    broken = Said(body=b"{")
    script = lambda number, _: broken if number % 2 == 0 else Said(body=completion())  # noqa: E731
    with scripted(script) as server:
        account = server.account(tmp_path / "ledger", BudgetSettings(max_calls=20), retries=9)
        found = ask(account, numbered(100), "test")
    assert len(server.bodies) == 20
    assert 9 <= reasons(found).count(None) <= 10


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 3}, {"completion_tokens": -1}])
def test_an_answer_without_its_usage_counts_as_the_most_it_can_be_also_later(
    tmp_path: Path, usage: Any
) -> None:
    with scripted(lambda *_: Said(body=completion(usage=usage))) as server:
        limits = BudgetSettings(max_usd=1, max_tokens=100_000)
        account = server.account(tmp_path / "ledger", limits, prices=PRICES)
        ask(account, [request()], "test")
    most = most_of(account.teacher, request())
    used = spent(tmp_path / "ledger")
    assert used.calls == 1
    assert most.tokens <= used.tokens <= most.tokens + 3
    assert used.usd == pytest.approx(most.usd)


def test_refused_calls_that_hold_the_rest_of_the_budget_block_nobody(tmp_path: Path) -> None:
    def script(number: int, _: dict[str, Any]) -> Said:
        return Said(429, b"slow down") if number < 12 else Said(body=completion())

    with scripted(script) as server:
        limits = BudgetSettings(max_calls=10)
        account = server.account(tmp_path / "ledger", limits, concurrency=8, retries=50)
        found = ask(account, numbered(60), "test")
    assert reasons(found).count(None) == 10
    assert len(server.bodies) == 22


def test_a_ledger_that_fails_ends_it_all_though_many_wait_for_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OddError(Exception):
        pass

    def record(*_: object) -> int:
        raise OddError

    monkeypatch.setattr(Ledger, "record", record)
    with scripted(lambda *_: Said(body=completion())) as server:
        account = server.account(tmp_path / "ledger", BudgetSettings(max_calls=6), concurrency=8)
        with pytest.raises(OddError):
            ask(account, numbered(60), "test")
    assert len(server.bodies) <= 6
    assert spent(tmp_path / "ledger").calls >= len(server.bodies)


def test_the_budget_holds_while_prices_lengths_and_faults_vary(tmp_path: Path) -> None:
    draw, billed, lock = random.Random(5), 0.0, threading.Lock()

    def script(number: int, body: dict[str, Any]) -> Said:
        nonlocal billed
        with lock:
            fault = draw.choice(["", "", "", "limited", "broken", "cut"])
            given = draw.randint(1, body["max_tokens"])
            asked = draw.randint(1, len(body["messages"][0]["content"].encode()) + 30)
            if fault != "limited":
                billed += (asked + 2 * given) / 1e6
        time.sleep(0.002)
        if fault == "limited":
            return Said(429, b"slow down")
        whole = completion(usage={"prompt_tokens": asked, "completion_tokens": given})
        return Said(
            body=whole[:-9] if fault == "broken" else whole, length=9999 if fault == "cut" else None
        )

    asked = [request("x" * draw.randint(1, 200) + str(n), draw.randint(1, 300)) for n in range(400)]
    with scripted(script) as server:
        budget = BudgetSettings(max_usd=0.03)
        account = server.account(tmp_path / "ledger", budget, prices=PRICES, concurrency=64)
        outcomes = ask(account, asked, "test")
    assert "budget" in reasons(outcomes)
    assert 0.015 < billed <= 0.03
    assert billed <= spent(tmp_path / "ledger").usd <= 0.03
