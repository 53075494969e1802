"""Estimates: how they count, what they leave out, and that "at most" is never too little."""

from pathlib import Path
from typing import Any

import pytest

from teacher.scripted import Said, completion, scripted
from train.tiny_models import llama_like
from understudy.prompts import read_prompts
from understudy.recipe import Prices, TeacherSettings, WorldSettings
from understudy.teacher.client import Account, Answer, Request, ask
from understudy.teacher.estimate import FRAME_TOKENS, Estimate, estimate
from understudy.teacher.ledger import Ledger
from understudy.teacher.wire import Endpoint, Teacher
from understudy.world.encyclopedia import World
from understudy.world.prompts import write_prompts
from understudy.world.server import Faults, running_teacher

PRICES = Prices(input=1, output=10)
WORLD = WorldSettings(people=20)


def request(text: str, max_tokens: int = 100, system: str | None = None) -> Request:
    messages = [{"role": "system", "content": system}] if system else []
    return Request([*messages, {"role": "user", "content": text}], 0.5, max_tokens, 1)


def account(ledger: Path, **changes: Any) -> Account:
    given: dict[str, Any] = {"prices": PRICES} | changes
    return Account(Teacher("m", "t", (Endpoint("http://127.0.0.1:9/v1"),), **given), ledger, "test")


def of(ledger: Path, requests: list[Request], tokenizer: str | None = None) -> Estimate:
    return estimate(account(ledger), requests, tokenizer, "the recipe's prices")


def test_without_any_knowledge_it_is_a_rule_of_thumb_and_says_so(tmp_path: Path) -> None:
    found = of(tmp_path / "ledger", [request("x" * 400), request("é" * 100)])
    assert (found.calls, found.prompt_tokens) == (2, 150)
    assert (found.completion_tokens, found.completion_at_most) == (100, 200)
    assert found.usd == pytest.approx((150 + 10 * 100) / 1e6)
    assert found.basis == "by a rule of thumb; the recipe's prices"
    assert "2 calls, about 150 tokens in and 100 out (at most 200)" in found.words()
    assert not (tmp_path / "ledger").exists()


def test_a_tokenizer_makes_the_count_of_what_is_asked_exact(tmp_path: Path) -> None:
    tokenizer = llama_like()
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    texts = ["What does a lamp do?", "naïve café\n\n  1984", "", "<s> USER: </s>"]
    asked = [request(text, system="The keeper writes letters.") for text in texts]
    found = of(tmp_path / "ledger", asked, str(tmp_path / "tokenizer"))
    both = [message["content"] for one in asked for message in one.messages]
    tokens = sum(len(tokenizer.encode(text, add_special_tokens=False)) for text in both)
    assert found.prompt_tokens == tokens + FRAME_TOKENS * len(both)
    assert f"counted with {tmp_path / 'tokenizer'}" in found.basis


def test_rates_come_from_the_ledger_and_what_it_has_is_not_counted(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 50, "completion_tokens": 20}
    with scripted(lambda *_: Said(body=completion(usage=usage))) as server:
        mine = server.account(tmp_path / "ledger", prices=PRICES)
        other = server.teacher(prices=PRICES)
        asked = [request("x" * 100 + str(number)) for number in range(10)]
        ask(mine, asked, "test")
        again = estimate(mine, [*asked, *asked], None, "prices")
        new = [request("y" * 202), request("y" * 202), request("z" * 202)]
        more = estimate(mine, [*asked, *new], None, "prices")
        fresh = estimate(Account(other, tmp_path / "none"), new, None, "prices")
    assert (again.calls, again.usd, again.usd_at_most) == (0, 0, 0)
    assert more.calls == 2  # equal requests are asked once
    assert more.prompt_tokens == pytest.approx(2 * 100)  # two bytes a token
    assert more.completion_tokens == pytest.approx(2 * 0.2 * 100)
    assert "the ledger's earlier calls" in more.basis
    assert fresh.prompt_tokens == pytest.approx(2 * 202 / 4)


def test_unknown_prices_are_said_and_not_guessed(tmp_path: Path) -> None:
    unpriced = account(tmp_path / "ledger", prices=None)
    found = estimate(unpriced, [request("Hello")], None, "no price of m is known; add prices")
    assert (found.usd, found.usd_at_most) == (None, None)
    assert found.words().endswith("no price of m is known; add prices")
    assert "$" not in found.words()


def test_batches_cost_their_share(tmp_path: Path) -> None:
    plain = of(tmp_path / "ledger", [request("Hello")])
    batched = estimate(account(tmp_path / "ledger"), [request("Hello")], None, "prices", batch=True)
    assert plain.usd is not None
    assert plain.usd_at_most is not None
    assert plain.usd > 0
    assert batched.usd == pytest.approx(plain.usd / 2)
    assert batched.usd_at_most == pytest.approx(plain.usd_at_most / 2)


@pytest.mark.parametrize("max_tokens", [5, 60, 500])
def test_at_most_is_never_below_what_it_comes_to(tmp_path: Path, max_tokens: int) -> None:
    settings = TeacherSettings(prices=PRICES, retries=20)
    file = tmp_path / "prompts.jsonl"
    write_prompts(World(WORLD.seed, WORLD.people), "broad", 60, file)
    asked = [Request(prompt.chat(), 0.7, max_tokens, 1) for prompt in read_prompts(file)]
    odd = ["!?" * 40, "\n\n\n", "1 2 3 4 5 6 7 8 9", "ü" * 30]
    asked += [Request([{"role": "user", "content": text}], 0.7, max_tokens, 1) for text in odd]
    with running_teacher(WORLD, settings, tmp_path / "log", Faults(failing=0.2)) as teacher:
        mine = Account(teacher, tmp_path / "ledger")
        first = estimate(mine, asked, None, "prices")
        found = ask(mine, asked, "test")
    assert all(isinstance(outcome, Answer) for outcome in found)
    with Ledger(tmp_path / "ledger") as ledger:
        cost = ledger.summary()
    assert cost["usd"] > 0
    assert first.usd_at_most is not None
    assert cost["usd"] <= first.usd_at_most
    assert cost["completion_tokens"] <= first.completion_at_most
