"""One teacher by several ways: side by side, each with its own key, and going on without one."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from teacher.scripted import Said, Scripted, completion, scripted
from understudy.errors import UserError
from understudy.recipe import BudgetSettings, TeacherSettings, WaySettings
from understudy.teacher import caller
from understudy.teacher.client import Account, Answer, Request, ask, teacher_of
from understudy.teacher.ledger import Ledger
from understudy.teacher.wire import Endpoint

NOWHERE = Endpoint("http://127.0.0.1:9/v1")


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "MOST_WAIT_S", 0.002)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words for the person at the terminal."""
    words: list[str] = []
    monkeypatch.setattr(caller, "say", words.append)
    return words


def numbered(count: int) -> list[Request]:
    return [
        Request([{"role": "user", "content": f"Number {n}."}], 0.5, 50, 1) for n in range(count)
    ]


def echo(_: int, body: dict[str, Any]) -> Said:
    return Said(body=completion(body["messages"][0]["content"]))


def through(
    server: Scripted, path: Path, *endpoints: Endpoint, limit: int | None = None, **changes: Any
) -> Account:
    """A server's teacher by several ways."""
    account = server.account(path / "ledger", BudgetSettings(max_calls=limit), **changes)
    return replace(account, teacher=replace(account.teacher, endpoints=endpoints))


def texts(found: list[Any]) -> list[str]:
    assert all(isinstance(outcome, Answer) for outcome in found)
    return [outcome.text for outcome in found]


def test_all_are_used_and_each_gets_its_own_key(tmp_path: Path) -> None:
    with scripted(echo) as one, scripted(echo) as other:
        ways = (
            Endpoint(one.base_url, "sk-first-key", "A"),
            Endpoint(other.base_url, "sk-second-key", "B"),
        )
        found = ask(through(one, tmp_path, *ways), numbered(60), "test")
    assert texts(found) == [f"Number {n}." for n in range(60)]
    assert len(one.bodies) + len(other.bodies) == 60
    assert min(len(one.bodies), len(other.bodies)) > 5
    assert {head["authorization"] for head in one.headers} == {"Bearer sk-first-key"}
    assert {head["authorization"] for head in other.headers} == {"Bearer sk-second-key"}


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("retries", [0, 2])
def test_one_that_cannot_be_reached_is_given_up_with_a_word(
    tmp_path: Path, said: list[str], place: int, retries: int
) -> None:
    with scripted(echo) as server:
        ways = [Endpoint(server.base_url)]
        ways.insert(place, NOWHERE)
        account = through(server, tmp_path, *ways, retries=retries)
        found = ask(account, numbered(40), "test")
    assert len(texts(found)) == len(server.bodies) == 40
    assert said == [f"{NOWHERE.base_url}: cannot be reached; going on with the other endpoints"]


def test_a_limit_is_one_for_all_ways_together(tmp_path: Path, said: list[str]) -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(scripted(echo)) for _ in range(3)]
        ways = [NOWHERE, *(Endpoint(server.base_url) for server in servers)]
        found = ask(through(servers[0], tmp_path, *ways, limit=13), numbered(60), "test")
    assert sum(len(server.bodies) for server in servers) == 13
    assert sum(isinstance(outcome, Answer) for outcome in found) == 13


def test_none_that_can_be_reached_is_a_mistake_to_mend(tmp_path: Path, said: list[str]) -> None:
    server, other = Scripted(echo, base_url=NOWHERE.base_url), Endpoint("http://127.0.0.1:8/v1")
    with pytest.raises(UserError) as error:
        ask(through(server, tmp_path, NOWHERE, other), numbered(40), "test")
    message = str(error.value)
    place, _, why = message.partition(": cannot be reached (")
    assert place in (NOWHERE.base_url, other.base_url)
    assert place.removeprefix("http://").removesuffix("/v1") in why  # it tells of itself
    assert len(said) == 1
    assert place not in said[0]


def test_the_second_key_being_wrong_names_its_variable(tmp_path: Path) -> None:
    with scripted(echo) as one, scripted(lambda *_: Said(401, b"no")) as other:
        ways = (Endpoint(one.base_url, "k" * 9, "A"), Endpoint(other.base_url, "l" * 9, "B"))
        with pytest.raises(UserError, match=r"refuses the key in B") as error:
            ask(through(one, tmp_path, *ways), numbered(40), "test")
    assert str(error.value).startswith(other.base_url)


def test_the_ledger_does_not_say_which_way_an_answer_came(tmp_path: Path) -> None:
    with scripted(echo) as one, scripted(echo) as other:
        both = (Endpoint(one.base_url), Endpoint(other.base_url))
        ask(through(one, tmp_path, *both), numbered(20), "test")
        served = len(one.bodies) + len(other.bodies)
        found = ask(through(one, tmp_path, *both[1:]), numbered(20), "test")
        assert len(texts(found)) == 20
        assert len(one.bodies) + len(other.bodies) == served
        alone = ask(through(one, tmp_path / "alone", both[0]), numbered(20), "test")
    assert alone == found
    with Ledger(tmp_path / "ledger") as ledger:
        rows = "".join(str(call.record()) for call in ledger.calls())
    assert one.base_url not in rows
    assert other.base_url not in rows


def test_ways_are_read_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A", "sk-first-key")
    monkeypatch.setenv("B", "sk-second-key")
    ways = [WaySettings(base_url="https://Two.example/v1/", api_key_env="B")]
    settings = TeacherSettings(base_url="https://one.example/v1", api_key_env="A", ways=ways)
    teacher = teacher_of(settings)
    assert [(way.base_url, way.key, way.key_env) for way in teacher.endpoints] == [
        ("https://one.example/v1", "sk-first-key", "A"),
        ("https://two.example/v1", "sk-second-key", "B"),
    ]
    assert teacher.identity == "https://one.example/v1"
    assert "sk-" not in repr(teacher)
