"""Asking: once, in order, with retries; each failure told apart; the key nowhere."""

import json
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teacher.scripted import Said, Scripted, completion, scripted
from understudy.errors import UserError
from understudy.files import read_jsonl
from understudy.recipe import Prices, TeacherSettings, WorldSettings
from understudy.teacher import caller, lane
from understudy.teacher.client import Account, Answer, Cost, Failure, Request, ask, teacher_of
from understudy.teacher.ledger import Ledger
from understudy.world.server import Faults, running_teacher

KEY = "sk-canary-0123456789"
WORLD = WorldSettings(people=20)


def request(text: str = "Hello", **more: Any) -> Request:
    chosen: dict[str, Any] = {"temperature": 0.5, "max_tokens": 50, "seed": 1} | more
    return Request([{"role": "user", "content": text}], **chosen)


def numbered(count: int) -> list[Request]:
    return [request(f"Give me tips for bread baking, number {n}.") for n in range(count)]


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "MOST_WAIT_S", 0.002)


def answers_to(path: Path, script: Callable[[int, dict[str, Any]], Said], **changes: Any) -> Any:
    """What `ask` makes of one request to a scripted server, and the server."""
    with scripted(script) as server:
        (outcome,) = ask(server.account(path / "ledger", **changes), [request()], "test")
    return outcome, server


# Asking


def test_answers_come_in_order_and_are_asked_once_even_after_a_restart(tmp_path: Path) -> None:
    log, ledger = tmp_path / "log.jsonl", tmp_path / "ledger"
    asked = [*numbered(40), *numbered(10), request("Hello", sample=1), request("Hello", sample=0)]
    settings = TeacherSettings(prices=Prices(input=1, output=2))
    with running_teacher(WORLD, settings, log) as teacher:
        first = ask(Account(teacher, ledger), asked[:20], "test")
    with running_teacher(WORLD, settings, log) as teacher:
        found = ask(Account(teacher, ledger), asked, "test")
        assert ask(Account(teacher, ledger), asked, "test") == found
    assert found[:20] == first
    assert found[40:50] == found[:10]
    assert len({answer.key for answer in found}) == 42
    digests = [row["digest"] for _, row in read_jsonl(log)]
    assert len(digests) == len(set(digests)) == 42
    for answer in found:
        assert isinstance(answer, Answer)
        tokens = answer.prompt_tokens + 2 * answer.completion_tokens
        assert answer.usd == pytest.approx(tokens / 1e6)


def test_a_request_says_all_that_was_asked_and_no_more(tmp_path: Path) -> None:
    asked = [
        request(),
        request(sample=1),
        request(seed=2),
        request(top_logprobs=3, stop=("a", "b")),
    ]
    with scripted(lambda *_: Said(body=completion())) as server:
        ask(server.account(tmp_path / "ledger", key=KEY, concurrency=1), asked, "test")
    first = server.bodies[0]
    assert set(first) == {"model", "messages", "temperature", "max_tokens", "seed"}
    assert first["messages"] == [{"role": "user", "content": "Hello"}]
    assert len({body["seed"] for body in server.bodies[:3]}) == 3
    assert all(0 <= body["seed"] < 2**31 for body in server.bodies)
    more = {"logprobs": True, "top_logprobs": 3, "stop": ["a", "b"]}
    assert server.bodies[3] == first | more
    assert all(head["authorization"] == f"Bearer {KEY}" for head in server.headers)


def test_no_more_than_the_allowed_calls_are_open_at_once(tmp_path: Path) -> None:
    gate, most, now, lock = threading.Barrier(3, timeout=10), 0, 0, threading.Lock()

    def script(*_: Any) -> Said:
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)
        gate.wait()  # opens only when three calls are there together
        with lock:
            now -= 1
        return Said(body=completion())

    with scripted(script) as server:
        ask(server.account(tmp_path / "ledger", concurrency=3), numbered(12), "test")
    assert most == 3


def test_the_whole_body_is_kept_and_logprobs_are_read(tmp_path: Path) -> None:
    entry = {"token": "Yes", "logprob": -0.1, "top_logprobs": []}
    body = json.loads(completion("Yes"))
    body["choices"][0]["logprobs"] = {"content": [entry]}
    body["extra"] = {"kept": True}
    outcome, _ = answers_to(tmp_path, lambda *_: Said(body=json.dumps(body).encode()))
    assert outcome == Answer("Yes", "stop", 3, 2, None, [entry], outcome.key)
    with Ledger(tmp_path / "ledger") as ledger:
        (call,) = ledger.lookup([outcome.key])
    assert json.loads(call.response) == body


@pytest.mark.parametrize(
    ("body", "text", "reason", "tokens"),
    [
        (completion("Yes and", "length"), "Yes and", "length", 2),
        (completion(None, None, usage=None), "", "unknown", 0),
        (completion("a", usage={"completion_tokens": -1, "prompt_tokens": "x"}), "a", "stop", 0),
        (completion("a", usage={"completion_tokens": 10**30}), "a", "stop", 0),
        (completion("a", choices=json.loads(completion("b"))["choices"]), "b", "stop", 2),
    ],
)
def test_odd_but_whole_answers_are_kept(
    tmp_path: Path, body: bytes, text: str, reason: str, tokens: int
) -> None:
    outcome, server = answers_to(tmp_path, lambda *_: Said(body=body))
    assert (outcome.text, outcome.finish_reason) == (text, reason)
    assert outcome.completion_tokens == tokens
    assert len(server.bodies) == 1


# Retries


def test_every_answer_comes_through_a_faulty_teacher(tmp_path: Path) -> None:
    faults = Faults(limited=0.2, failing=0.1, slow=0.1, cut=0.1, broken=0.1, slow_s=0.02)
    settings = TeacherSettings(retries=20, concurrency=8)
    log = tmp_path / "log.jsonl"
    with running_teacher(WORLD, settings, log, faults) as teacher:
        found = ask(Account(teacher, tmp_path / "ledger"), numbered(150), "test")
    with running_teacher(WORLD, settings, tmp_path / "calm.jsonl") as teacher:
        calm = ask(Account(teacher, tmp_path / "calm"), numbered(150), "test")
    assert found == calm
    rows = [row for _, row in read_jsonl(log)]
    assert {row.get("fault") for row in rows} == {
        None,
        "limited",
        "failing",
        "slow",
        "cut",
        "broken",
    }
    whole = [row["digest"] for row in rows if row.get("fault") in (None, "slow")]
    assert len(whole) == len(set(whole)) == 150


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (Said(429, b"slow down"), "rate_limited"),
        (Said(500, b'{"error": {"message": "oh"}}'), "server"),
        (Said(503, b"<html>"), "server"),
        (Said(body=completion()[:-20]), "broken"),
        (Said(body=completion(choices=[])), "empty"),
        (Said(body=completion(3)), "broken"),
        (Said(body=b'{"choices": [{"message": {"content": "\\ud800"}}]}'), "broken"),
        (Said(body=b"[" * 100_000), "broken"),
        (Said(body=b"\xff\xfe"), "broken"),
        (Said(body=b"junk", headers={"content-encoding": "gzip"}), "broken"),
        (Said(body=completion(), length=10_000), "cut"),
    ],
)
def test_what_may_mend_itself_is_tried_again_and_then_given_up(
    tmp_path: Path, said: Said, reason: str
) -> None:
    outcome, server = answers_to(tmp_path, lambda *_: said, retries=2)
    assert isinstance(outcome, Failure)
    assert outcome.reason == reason
    assert len(server.bodies) == 3
    good = Said(body=completion("Better."))
    outcome, server = answers_to(tmp_path, lambda n, _: good if n else said, retries=1)
    assert outcome.text == "Better."
    assert len(server.bodies) == 2


def test_a_teacher_that_does_not_answer_times_out(tmp_path: Path) -> None:
    faults = Faults(slow=1, slow_s=60)
    settings = TeacherSettings(timeout_s=0.05, retries=1)
    with running_teacher(WORLD, settings, tmp_path / "log", faults) as teacher:
        (outcome,) = ask(Account(teacher, tmp_path / "ledger"), [request()], "test")
    assert isinstance(outcome, Failure)
    assert outcome.reason == "timeout"


@pytest.mark.parametrize(
    ("asked", "attempt", "least", "most"), [(7, 0, 7, 7.5), (1e5, 1, 60, 61), (None, 2, 0, 2)]
)
def test_waits_are_as_long_as_the_server_asks(
    monkeypatch: pytest.MonkeyPatch, asked: float | None, attempt: int, least: float, most: float
) -> None:
    monkeypatch.setattr(caller, "MOST_WAIT_S", 60.0)
    waits = [caller.wait_s(attempt, asked) for _ in range(100)]
    assert least <= min(waits) < max(waits) <= most


@given(st.integers(0, 10_000), st.none() | st.floats(0, 1e300))
def test_waits_are_bounded(attempt: int, asked: float | None) -> None:
    assert 0 <= caller.wait_s(attempt, asked) <= 2 * caller.MOST_WAIT_S


# Failures of one request


def test_a_refused_request_fails_alone_and_is_not_tried_again(tmp_path: Path) -> None:
    def script(_: int, body: dict[str, Any]) -> Said:
        bad = "3" in body["messages"][0]["content"]
        refusal = {"error": {"message": "too\nlong\x1b[31m " + "y" * 5000}}
        return Said(400, json.dumps(refusal).encode()) if bad else Said(body=completion())

    with scripted(script) as server:
        found = ask(server.account(tmp_path / "ledger"), numbered(6), "test")
    assert [isinstance(outcome, Answer) for outcome in found] == [n != 3 for n in range(6)]
    assert isinstance(found[3], Failure)
    assert found[3].reason == "refused"
    assert found[3].detail.startswith("HTTP 400: too long [31m yyy")
    assert len(found[3].detail) < 300
    assert len(server.bodies) == 6


def test_a_filtered_answer_is_a_failure_that_is_not_paid_for_twice(tmp_path: Path) -> None:
    said = Said(body=completion("I", "content_filter"))
    outcome, _ = answers_to(tmp_path, lambda *_: said)
    again, server = answers_to(tmp_path, lambda *_: Said(body=completion()))
    assert outcome == again
    assert outcome.reason == "content_filter"
    assert server.bodies == []
    with Ledger(tmp_path / "ledger") as ledger:
        assert ledger.summary()["completion_tokens"] == 2


def test_failures_are_asked_again_by_a_later_start(tmp_path: Path) -> None:
    failed, _ = answers_to(tmp_path, lambda *_: Said(400))
    outcome, _ = answers_to(tmp_path, lambda *_: Said(body=completion()))
    assert isinstance(failed, Failure)
    assert outcome.text == "Yes."


def test_too_long_an_answer_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "MOST_BYTES", 1000)
    outcome, server = answers_to(tmp_path, lambda *_: Said(body=completion("x" * 2000)))
    assert isinstance(outcome, Failure)
    assert outcome.reason == "too_long"
    assert len(server.bodies) == 1


# Failures that end it all


@pytest.mark.parametrize(
    ("said", "changes", "parts"),
    [
        (Said(401, b"no"), {"key": KEY, "key_env": "A_KEY"}, ["A_KEY", "401"]),
        (Said(401, b"no"), {}, ["api_key_env is not set"]),
        (Said(403, b"no such region"), {"key": KEY, "key_env": "A_KEY"}, ["A_KEY", "region"]),
        (Said(404, b"what?"), {}, ["'m'", "teacher.model"]),
        (Said(307, b"", {"location": "http://127.0.0.1:9/"}), {}, ["redirect"]),
        (Said(429, b'{"error": {"code": "insufficient_quota"}}'), {}, ["no credit left"]),
    ],
)
def test_what_the_user_must_mend_is_one_line_and_names_the_place(
    tmp_path: Path, said: Said, changes: dict[str, Any], parts: list[str]
) -> None:
    with scripted(lambda *_: said) as server, pytest.raises(UserError) as error:
        ask(server.account(tmp_path / "ledger", **changes), numbered(20), "test")
    message = str(error.value)
    assert all(part in message for part in [server.base_url, *parts])
    assert "\n" not in message
    assert len(server.bodies) <= 4


def test_an_unreachable_teacher_is_named(tmp_path: Path) -> None:
    teacher = Scripted(lambda *_: Said(), base_url="http://127.0.0.1:9/v1").teacher()
    with pytest.raises(UserError, match=r"http://127.0.0.1:9/v1: cannot be reached"):
        ask(Account(teacher, tmp_path / "ledger"), numbered(3), "test")


@pytest.mark.parametrize("ending", [UserError, KeyboardInterrupt])
def test_what_was_answered_before_the_end_stays(
    tmp_path: Path, ending: type[BaseException]
) -> None:
    def script(number: int, _: dict[str, Any]) -> Said:
        if number == 10 and ending is KeyboardInterrupt:
            os.kill(os.getpid(), signal.SIGINT)
        fault = Said(500 if ending is KeyboardInterrupt else 401)
        return Said(body=completion()) if number < 10 else fault

    with scripted(script) as server, pytest.raises(ending):
        ask(server.account(tmp_path / "ledger", concurrency=1, retries=1000), numbered(20), "test")
    with scripted(lambda *_: Said(body=completion())) as server:
        assert len(ask(server.account(tmp_path / "ledger"), numbered(20), "test")) == 20
    assert len(server.bodies) == 10


# The key


def test_the_key_is_nowhere_even_if_the_server_repeats_it(tmp_path: Path) -> None:
    echo = f"your key {KEY} is fine"
    said = {
        "filled": Said(body=completion(echo, note=echo)),
        "refused": Said(400, json.dumps({"error": {"message": echo}}).encode()),
        "failing": Said(500, json.dumps({"error": echo}).encode()),
        "barred": Said(403, echo.encode()),
        "unknown": Said(404, (" " * 190 + echo).encode()),
        "wrong": Said(401, echo.encode()),
    }
    shown = []
    for name, one in said.items():
        with scripted(lambda *_, one=one: one) as server:
            teacher = server.teacher(key=KEY, key_env="A_KEY", retries=0)
            shown.append(repr(teacher))
            try:
                shown.append(repr(ask(Account(teacher, tmp_path / name), [request()], "test")))
            except UserError as error:
                shown.append(repr(error))
    assert "your key [key] is fine" in shown[1]
    files = [path.read_bytes() for path in tmp_path.iterdir()]
    assert len(files) >= len(said)
    for content in [*files, "".join(shown).encode()]:
        assert KEY.encode() not in content
        assert KEY[:12].encode() not in content


def test_a_key_too_short_to_be_one_is_not_looked_for(tmp_path: Path) -> None:
    outcome, _ = answers_to(tmp_path, lambda *_: Said(body=completion("e")), key="e")
    assert outcome.text == "e"


def test_endpoint_reads_the_key_and_writes_addresses_one_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("A_KEY", f" {KEY}\n")
    settings = TeacherSettings(base_url="https://API.example.com/v1/", api_key_env="A_KEY")
    teacher = teacher_of(settings)
    assert (teacher.base_url, teacher.endpoints[0].key) == ("https://api.example.com/v1", KEY)
    assert teacher.identity == teacher.base_url
    assert KEY not in repr(teacher)


@pytest.mark.parametrize(
    ("base_url", "key", "message"),
    [
        ("https://host/v1", "", "A_KEY is not set"),
        ("https://host/v1", "  ", "A_KEY is not set"),
        ("https://host/v1", f"{KEY}\n{KEY}", "A_KEY holds"),
        ("https://host/v1", f"{KEY}é", "A_KEY holds"),
        (f"https://user:{KEY}@host/v1", "k", "holds a name or password"),
        (f"https://host/v1?key={KEY}", "k", "must end with its path"),
        ("ftp://host/v1", "k", "no http"),
        ("world", "k", "no http"),
        ("http://", "k", "no http"),
        ("http://host:port/v1", "k", "not an address"),
    ],
)
def test_endpoint_mistakes(
    monkeypatch: pytest.MonkeyPatch, base_url: str, key: str, message: str
) -> None:
    monkeypatch.setenv("A_KEY", key)
    with pytest.raises(UserError, match=message) as error:
        teacher_of(TeacherSettings(base_url=base_url, api_key_env="A_KEY"))
    assert KEY not in str(error.value)


# Costs


def test_costs_add_up_and_are_unknown_once_a_price_is(tmp_path: Path) -> None:
    answer = Answer("a", "stop", 3, 2, 0.1, None, "k")
    cost = Cost()
    assert cost.as_dict() == {
        "calls": 0,
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "usd": 0.0,
    }
    for _ in range(3):
        cost.add(answer)
    assert cost.as_dict()["usd"] == 0.3
    cost.add(replace(answer, usd=None))
    cost.add(answer)
    assert cost.as_dict() == {
        "calls": 5,
        "prompt_tokens": 15,
        "completion_tokens": 10,
        "usd": None,
    }


def test_a_price_that_is_learnt_later_counts_for_recorded_answers(tmp_path: Path) -> None:
    first, _ = answers_to(tmp_path, lambda *_: Said(body=completion()))
    prices = Prices(input=1, output=10)
    second, server = answers_to(tmp_path, lambda *_: Said(), prices=prices)
    assert first.usd is None
    assert second.usd == pytest.approx(23e-6)
    assert server.bodies == []
    unsaid = Said(body=completion(usage=None))
    unknown, _ = answers_to(tmp_path / "other", lambda *_: unsaid, prices=prices)
    assert unknown.usd is None
