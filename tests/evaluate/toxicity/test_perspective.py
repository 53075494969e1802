"""Perspective: every answer in the ledger first, nothing asked twice, the key nowhere."""

import json
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from teacher import virtual_time
from teacher.scripted import Said, Scripted, scripted
from understudy.errors import UserError
from understudy.evaluate.toxicity import perspective
from understudy.evaluate.toxicity.perspective import Perspective
from understudy.teacher import caller
from understudy.teacher.ledger import Ledger
from understudy.teacher.wire import Again, Failure

KEY = "AIza-not/a-real-key"
Script = Callable[[int, dict[str, Any]], Said]


def analysis(value: Any) -> bytes:
    """An answer as the API's reference has it."""
    scores = {"TOXICITY": {"summaryScore": {"value": value, "type": "PROBABILITY"}}}
    return json.dumps({"attributeScores": scores, "languages": ["en"]}).encode()


def fault(message: str, **detail: Any) -> bytes:
    """An error as Google's APIs put it."""
    error = {"code": 400, "message": message, "status": "INVALID_ARGUMENT", "details": [detail]}
    return json.dumps({"error": error}).encode()


def by_length(_: int, body: dict[str, Any]) -> Said:
    return Said(body=analysis(len(body["comment"]["text"]) / 100))


@pytest.fixture(autouse=True)
def key_and_short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERSPECTIVE_API_KEY", f" {KEY}\n")
    monkeypatch.setattr(caller, "MOST_WAIT_S", 0.002)
    monkeypatch.setattr(perspective, "TRIES", 4)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Script], Scripted]]:
    """Put a scripted server in Perspective's place."""
    open_servers = []

    def begin(script: Script) -> Scripted:
        manager = scripted(script)
        server = manager.__enter__()
        open_servers.append(manager)
        monkeypatch.setattr(perspective, "ADDRESS", f"{server.base_url}/comments:analyze")
        return server

    yield begin
    for manager in open_servers:
        manager.__exit__(None, None, None)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def scorer(ledger: Path) -> Perspective:
    return Perspective(ledger, queries_per_second=1000)


def test_a_text_is_scored_once_for_all_runs(
    serve: Callable[[Script], Scripted], ledger: Path
) -> None:
    server = serve(by_length)
    texts = ["four", "seven77", "four", "", " \n", None, "naïve “ça”\ud800\0"]
    found = scorer(ledger).scores(texts)
    assert found == [0.04, 0.07, 0.04, None, None, None, 0.12]
    assert len(server.bodies) == 3
    assert server.bodies[0] == {
        "comment": {"text": "four"},
        "requestedAttributes": {"TOXICITY": {}},
        "languages": ["en"],
        "doNotStore": True,
    }
    assert all(headers["x-goog-api-key"] == KEY for headers in server.headers)

    assert scorer(ledger).scores(texts) == found
    assert len(server.bodies) == 3
    assert scorer(ledger).scores(["seven77", "a new one"]) == [0.07, 0.09]
    assert len(server.bodies) == 4


def test_the_ledger_holds_answers_that_cost_nothing(
    serve: Callable[[Script], Scripted], ledger: Path
) -> None:
    serve(by_length)
    scorer(ledger).scores(["a text"])
    with Ledger(ledger) as opened:
        (call,) = opened.calls()
        summary = opened.summary()
    assert json.loads(call.response) == json.loads(analysis(0.06))
    assert json.loads(call.request)["comment"] == {"text": "a text"}
    assert summary["models"]["perspective"] == {
        "calls": 1,
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "usd": 0.0,
    }


@pytest.mark.parametrize(
    "refusal",
    ["COMMENT_TOO_LONG", "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE", "LANGUAGE_DETECTION_FAILED"],
)
def test_a_refused_text_has_no_score_and_is_not_sent_again(
    serve: Callable[[Script], Scripted], ledger: Path, refusal: str
) -> None:
    server = serve(
        lambda _, body: (
            Said(400, fault("Not this one.", errorType=refusal))
            if body["comment"]["text"] == "bad"
            else Said(body=analysis(1))
        )
    )
    for _ in range(2):
        assert scorer(ledger).scores(["bad", "good"]) == [None, 1.0]
    assert len(server.bodies) == 2


@pytest.mark.parametrize(
    "hiccup",
    [
        Said(429, fault("Quota exceeded.", reason="RATE_LIMIT_EXCEEDED"), {"Retry-After": "9"}),
        Said(503, b"<html>Sorry</html>"),
        Said(200, b"<html>Welcome to this network</html>"),
        Said(200, b'{"attributeScores": {"INSULT": {"summaryScore": {"value": 0.5}}}}'),
        Said(200, analysis(1.5)),
        Said(200, analysis(float("nan"))),
        Said(200, analysis("high")),
        Said(200, b'{"attributeScores": ', length=4000),
        Said(200, b" " * (perspective.MOST_BYTES + 1)),
    ],
    ids=["quota", "server", "page", "other", "range", "nan", "text", "cut", "long"],
)
def test_what_may_pass_is_tried_again(
    serve: Callable[[Script], Scripted], ledger: Path, hiccup: Said
) -> None:
    server = serve(lambda number, body: hiccup if number < 2 else by_length(number, body))
    assert scorer(ledger).scores(["four"]) == [0.04]
    assert len(server.bodies) == 3


def test_what_does_not_pass_ends_it_and_keeps_what_was_scored(
    serve: Callable[[Script], Scripted], ledger: Path
) -> None:
    server = serve(
        lambda number, body: (
            Said(500, b"broken") if body["comment"]["text"] == "bad" else by_length(number, body)
        )
    )
    with pytest.raises(UserError, match=r"4 tries failed, the last one with HTTP 500: broken"):
        scorer(ledger).scores(["four", "bad"])
    assert [body["comment"]["text"] for body in server.bodies].count("bad") == 4
    server.script = by_length
    assert scorer(ledger).scores(["four", "bad"]) == [0.04, 0.03]
    assert len(server.bodies) == 6


def test_ctrl_c_loses_no_recorded_answer(
    serve: Callable[[Script], Scripted], ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(by_length)
    record = Ledger.record

    def record_and_interrupt(self: Ledger, calls: list[Any]) -> int:
        count = record(self, calls)
        os.kill(os.getpid(), signal.SIGINT)
        return count

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "record", record_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            Perspective(ledger, queries_per_second=20).scores(["first", "second", "third"])
    asked = len(server.bodies)
    assert asked < 3
    assert scorer(ledger).scores(["first", "second", "third"]) == [0.05, 0.06, 0.05]
    assert [body["comment"]["text"] for body in server.bodies[asked:]].count("first") == 0


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            Said(400, fault(f"API key {KEY} not valid.", reason="API_KEY_INVALID")),
            r"refuses the key in PERSPECTIVE_API_KEY \(HTTP 400: API key \[key\] not valid\.\)",
        ),
        (Said(403, fault("The API is disabled.")), r"refuses the key .*API enabled"),
        (Said(410, b"gone"), r"refuses to score \(HTTP 410: gone\); if the service was closed"),
        (Said(400, b'{"error": [' + KEY.encode()), r"refuses to score \(HTTP 400: .*\[key\]"),
        (Said(400, fault("Odd.", errorType=["x"])), r"refuses to score \(HTTP 400: Odd"),
        (Said(302, b"", {"Location": "/v1/other"}), r"refuses to score \(HTTP 302"),
        (Said(500, KEY.encode()), r"HTTP 500: \[key\]"),
    ],
)
def test_errors_are_one_line_without_the_key(
    serve: Callable[[Script], Scripted],
    ledger: Path,
    capsys: pytest.CaptureFixture[str],
    said: Said,
    message: str,
) -> None:
    serve(lambda *_: said)
    with pytest.raises(UserError, match=message) as caught:
        scorer(ledger).scores(["a text"])
    assert "\n" not in str(caught.value)
    shown = "".join(traceback.format_exception(caught.value)) + "".join(capsys.readouterr())
    assert KEY not in shown


def test_an_unreachable_service_is_named_without_the_key(
    ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perspective, "ADDRESS", "http://127.0.0.1:9/comments:analyze")
    with pytest.raises(UserError, match=r"a broken connection \(ClientConnector") as caught:
        scorer(ledger).scores(["a text"])
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_the_key_is_not_in_the_ledger_even_if_the_service_repeats_it(
    serve: Callable[[Script], Scripted], ledger: Path
) -> None:
    echo = analysis(0.5)[:-1] + f', "clientToken": {json.dumps(KEY)}}}'.encode()
    serve(lambda *_: Said(body=echo))
    with Ledger(ledger):  # or its write-ahead log would be folded in and gone
        assert scorer(ledger).scores(["a text"]) == [0.5]
        files = list(ledger.parent.glob("ledger.sqlite*"))
        content = b"".join(file.read_bytes() for file in files)
    assert b"a text" in content
    assert KEY.encode() not in content
    assert KEY not in repr(vars(scorer(ledger)))


@pytest.mark.parametrize(
    ("key", "message"), [("", "PERSPECTIVE_API_KEY is not set"), ("a\nb", "holds spaces")]
)
def test_a_key_is_wanted_before_anything_is_asked(
    ledger: Path, monkeypatch: pytest.MonkeyPatch, key: str, message: str
) -> None:
    monkeypatch.setenv("PERSPECTIVE_API_KEY", key)
    with pytest.raises(UserError, match=message):
        scorer(ledger)


def test_queries_keep_their_distance_and_wait_where_the_quota_is_used_up(
    ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caller, "MOST_WAIT_S", 60.0)
    monkeypatch.setattr(perspective, "_call", lambda key, body, response: body)
    asked = Perspective(ledger, queries_per_second=0.5)
    begun, recorded = [], []

    async def post(_: Any, body: str) -> str | Again:
        begun.append((body, perspective.time.monotonic()))
        full = body == "b" and [one for one, _ in begun].count("b") == 1
        return Again(Failure("server", "full"), 30.0, slower=True) if full else "an answer"

    class Kept:
        def record(self, calls: list[str]) -> None:
            recorded.extend(calls)

    monkeypatch.setattr(asked, "_post", post)
    work = asked._ask_all(Kept(), {name: name for name in "abcd"})  # type: ignore[arg-type]
    virtual_time.run(monkeypatch, work, perspective)
    times = [when for _, when in begun]
    # c had its turn already when b was told to wait; d and the second try at b heed it.
    assert [name for name, _ in begun][:3] == ["a", "b", "c"]
    assert [when - times[0] for when in times[:3]] == [0, 2, 4]
    assert all(when - times[1] >= 30 for when in times[3:])
    assert times[4] - times[3] >= 2
    assert sorted(recorded) == ["a", "b", "c", "d"]
