"""The ledger keeps what it acknowledged, whatever happens, in either database."""

import json
import multiprocessing
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from teacher.records import answered, tamper
from understudy.errors import UserError
from understudy.files import canonical_json, digest, read_jsonl, write_jsonl
from understudy.teacher.ledger import AT_ONCE, Call, Ledger, Spent, call_key, exists, opened

CALL = Call("k", "here", "m", 0, "{}", '{"a": 1}', "stop", 3, 2, 0.5, 1.0)


def test_a_record_comes_back_as_it_was(place: str) -> None:
    calls = [CALL._replace(key=str(n), sample=n, usd=None) for n in range(1203)]
    with Ledger(place) as ledger:
        assert ledger.record(calls) == 1203
        assert ledger.record([]) == 0
    with Ledger(place) as ledger:
        found = {call.key: call for call in ledger.lookup([*(c.key for c in calls), "missing"])}
        assert found == {call.key: call for call in calls}
        assert (list(ledger.lookup([])), ledger.known([])) == ([], set())


def test_the_first_record_of_a_key_stays(place: str) -> None:
    with Ledger(place) as ledger:
        assert ledger.record([CALL, CALL._replace(response="{}")]) == 1
        assert ledger.record([CALL._replace(response="{}"), CALL._replace(key="2")]) == 1
        assert list(ledger.lookup(["k"])) == [CALL]
        assert ledger.known(["k", "2", "3"]) == {"k", "2"}


def test_keys_tell_teacher_model_request_and_sample_apart() -> None:
    keys = {
        call_key("here", "m", '{"a":1}', 0),
        call_key("there", "m", '{"a":1}', 0),
        call_key("here", "n", '{"a":1}', 0),
        call_key("here", "m", '{"a":2}', 0),
        call_key("here", "m", '{"a":1}', 1),
    }
    assert len(keys) == 5
    whole = {"identity": 'he"re', "model": "m", "request": {"a": [1, "é"]}, "sample": 3}
    assert call_key('he"re', "m", canonical_json(whole["request"]), 3) == digest(whole)


def test_opened_makes_no_ledger(tmp_path: Path) -> None:
    path = tmp_path / "none.sqlite"
    with pytest.raises(UserError, match="no such ledger"):
        opened(path)
    assert not exists(path)
    Ledger(path).__exit__(None, None, None)
    assert exists(path)
    with opened(path) as ledger:
        assert list(ledger.calls()) == []


@pytest.mark.parametrize(
    "text",
    ["x" * 10_000_000, "Grüße, 世界 \U0001f600 \ufdd0\uffff", 'nul \\u0000 "quoted" % ? %s \\'],
    ids=["long", "unicode", "signs"],
)
def test_any_text_comes_back(place: str, text: str) -> None:
    call = CALL._replace(request=text, response=text, model=text[:50], recipe=text[:50])
    with Ledger(place) as ledger:
        ledger.record([call])
        assert list(ledger.lookup(["k"])) == [call]
        assert list(ledger.sums("recipe")) == [text[:50]]


def test_a_nul_in_a_name_is_no_obstacle(place: str) -> None:
    # A teacher may send one in its finish_reason; PostgreSQL's texts cannot hold it.
    with Ledger(place) as ledger:
        ledger.record([CALL._replace(finish_reason="a\0b", recipe="r\0")])
        ((found, *_),) = [call.finish_reason for call in ledger.calls()]
        assert found[0] == "a"
        ledger.reserve("r\0", Spent(1, 10, 0.5))
        assert ledger.spent("r\0") == Spent(2, 15, 1.0)


# Reading


def test_calls_come_in_the_order_of_their_time(place: str) -> None:
    # Many at one moment, as an import makes them, and more than are read at once.
    calls = [
        CALL._replace(key=f"{n:04}", created=float(n // 300)) for n in range(2 * AT_ONCE + 201)
    ]
    shuffled = random.Random(0).sample(calls, len(calls))
    with Ledger(place) as ledger:
        ledger.record(shuffled)
        assert list(ledger.calls()) == calls
        assert list(ledger.walk("all")) == calls
        assert list(ledger.calls(newest=250)) == calls[: -250 - 1 : -1]
        assert list(ledger.calls(newest=9999)) == calls[::-1]


def test_a_reader_that_stops_half_way_holds_nobody_up(place: str) -> None:
    with Ledger(place) as ledger:
        ledger.record([CALL._replace(key=str(n)) for n in range(2 * AT_ONCE)])
        half, other = ledger.calls(), ledger.calls()
        next(half), next(other)
        looking = ledger.lookup([str(n) for n in range(2 * AT_ONCE)])
        next(looking)
        ledger.record([CALL._replace(key="new", created=2.0)])
        assert ledger.known(["new"]) == {"new"}
        assert ledger.summary()["calls"] == 2 * AT_ONCE + 1
        assert [call.key for call in half][-1] == "new"


def test_threads_share_a_ledger(place: str) -> None:
    """One records, as the client's committing thread does, while others look up."""
    missed: list[str] = []
    acknowledged: list[str] = []
    done = threading.Event()

    def look(ledger: Ledger) -> None:
        while not done.is_set():
            keys = list(acknowledged)
            missed.extend(set(keys) - ledger.known(keys))
            missed.extend(set(keys) - {call.key for call in ledger.lookup(keys)})
            missed.extend(set(keys) - {call.key for call in ledger.calls()})

    with Ledger(place) as ledger:
        threads = [threading.Thread(target=look, args=[ledger]) for _ in range(3)]
        for thread in threads:
            thread.start()
        for start in range(0, 400, 8):
            keys = [str(n) for n in range(start, start + 8)]
            ledger.record([CALL._replace(key=key) for key in keys])
            ledger.reserve("r", Spent(start, 0, 0.0))
            acknowledged.extend(keys)
        done.set()
        for thread in threads:
            thread.join()
        assert (missed, ledger.spent("r").calls) == ([], 392)


def test_shown_and_exported_records_survive_any_body(place: str, tmp_path: Path) -> None:
    odd = ["no JSON", "[" * 100_000, '{"messages": []}', '{"messages": [{"content": [1]}]}', "7"]
    calls = [CALL._replace(key=str(n), request=body) for n, body in enumerate(odd)]
    calls.append(CALL._replace(key="x", response='"\\ud800"', created=1e300))
    calls.append(CALL._replace(key="y", request='{"prompt": " Once\\n upon "}'))
    with Ledger(place) as ledger:
        ledger.record(calls)
        shown = {call.key: call.shown() for call in ledger.calls()}
        rows = [call.record() for call in ledger.calls()]
    assert shown["y"]["asked"] == "Once upon"
    assert shown["0"]["asked"] == "no JSON"
    assert all(len(row["asked"]) <= 200 for row in shown.values())
    assert {row["request"] for row in rows if row["key"] == "0"} == {"no JSON"}
    write_jsonl(tmp_path / "rows.jsonl", rows)
    assert [row for _, row in read_jsonl(tmp_path / "rows.jsonl")] == rows


def test_exported_records_are_what_was_recorded(place: str) -> None:
    calls = [answered(n, "Grüße\n\u2028") for n in range(3)]
    with Ledger(place) as ledger:
        ledger.record(calls)
        rows = [call.record() for call in ledger.calls()]
    for row, call in zip(rows, calls, strict=True):
        assert canonical_json(row["request"]) == call.request
        assert row["response"] == json.loads(call.response)
        assert row | {"request": 0, "response": 0} == call._asdict() | {"request": 0, "response": 0}


# Sums and budgets


def test_summary_adds_up_and_does_not_invent_prices(place: str) -> None:
    with Ledger(place) as ledger:
        empty = {"calls": 0, "prompt_tokens": 0, "completion_tokens": 0, "usd": 0.0}
        assert ledger.summary() == {**empty, "models": {}}
        ledger.record([CALL, CALL._replace(key="2", usd=0.25)])
        m = {"calls": 2, "prompt_tokens": 6, "completion_tokens": 4, "usd": 0.75}
        assert ledger.summary() == {**m, "models": {"m": m}}
        ledger.record([CALL._replace(key="3", model="n", usd=None)])
        found = ledger.summary()
        assert (found["calls"], found["usd"]) == (3, None)
        assert found["models"]["m"] == m
        assert found["models"]["n"]["usd"] is None


def test_sums_by_model_day_and_recipe(place: str) -> None:
    midnight = 1_700_006_400.0  # 2023-11-15 00:00 UTC
    with Ledger(place) as ledger:
        ledger.record(
            [
                CALL._replace(key="1", created=midnight - 1e-3, recipe="a", prompt_tokens=2**52),
                CALL._replace(key="2", created=midnight, recipe="a", prompt_tokens=2**52),
                CALL._replace(key="3", created=midnight + 86399.9, recipe="b", model="n", usd=None),
            ]
        )
        one = {"calls": 1, "prompt_tokens": 2**52, "completion_tokens": 2, "usd": 0.5}
        two = {"calls": 2, "prompt_tokens": 2**53, "completion_tokens": 4, "usd": 1.0}
        unpriced = {"calls": 1, "prompt_tokens": 3, "completion_tokens": 2, "usd": None}
        assert ledger.sums("model") == {"m": two, "n": unpriced}
        assert ledger.sums("recipe") == {"a": two, "b": unpriced}
        both = {"calls": 2, "prompt_tokens": 2**52 + 3, "completion_tokens": 4, "usd": None}
        assert ledger.sums("day") == {"2023-11-14": one, "2023-11-15": both}
        json.dumps(ledger.summary())  # no number of the database's own kind
        with pytest.raises(UserError, match="model, day, recipe"):
            ledger.sums("key")


def test_spent_counts_a_recipes_calls_and_what_any_session_reserved(place: str) -> None:
    with Ledger(place) as first, Ledger(place) as second:
        assert first.spent("r") == Spent()
        first.record([CALL._replace(recipe="r"), CALL._replace(key="2", recipe="s")])
        first.reserve("r", Spent(3, 30, 0.3))
        first.reserve("r", Spent(4, 40, 0.25))  # instead of the one before
        second.reserve("r", Spent(1, 10, 0.125))
        second.record([CALL._replace(key="3", recipe="r", usd=None)])
        assert second.spent("r") == Spent(2 + 5, 10 + 50, 0.5 + 0.375)
        assert second.spent("s") == Spent(1, 5, 0.5)
    with Ledger(place) as third:  # as after a kill
        assert third.spent("r") == Spent(7, 60, 0.875)
        third.reserve("r", Spent(1, 1, 0.0))
        third.reserve("r", Spent())
        assert third.spent("r") == Spent(7, 60, 0.875)


# Care


WRONG = {
    "UPDATE calls SET response = replace(response, 'Answer', 'Lie')": "not the one",
    "UPDATE calls SET request = replace(request, 'Question', 'Order')": "not the digest",
    "UPDATE calls SET model = 'other'": "not the digest",
    "UPDATE calls SET identity = 'there'": "not the digest",
    "UPDATE calls SET sample = 8": "not the digest",
    "UPDATE calls SET key = 'f' || substr(key, 2)": "not the digest",
    "UPDATE calls SET checksum = 'abc'": "not the one",
    "UPDATE calls SET finish_reason = 'length'": "tokens or finish_reason",
    "UPDATE calls SET completion_tokens = 1": "tokens or finish_reason",
}
WRONG_IN_VERSION_1 = {
    "UPDATE calls SET response = '{'": "broken",
    "UPDATE calls SET response = '{\"choices\": []}'": "broken",
    "UPDATE calls SET response = replace(response, 's\": 2', 's\": 3')": "tokens or finish_reason",
    "UPDATE calls SET key = 'f' || substr(key, 2)": "not the digest",
}


@pytest.mark.parametrize(
    ("statement", "fault", "version"),
    [(*item, 2) for item in WRONG.items()] + [(*item, 1) for item in WRONG_IN_VERSION_1.items()],
)
def test_verify_finds_what_was_tampered_with(
    place: str, statement: str, fault: str, version: int
) -> None:
    old = {"checksum": "", "recipe": ""} if version == 1 else {}
    calls = [answered(n, **old) for n in range(AT_ONCE + 5)]
    with Ledger(place) as ledger:
        ledger.record(calls)
        assert list(ledger.verify()) == []
        tamper(place, f"{statement} WHERE sample = 7")
        (line,) = ledger.verify()
        tampered = list(ledger.calls())[7]
        assert line.startswith(f"call {tampered.key[:16]}: ")
        assert fault in line


@pytest.mark.parametrize(
    ("here", "there"), [("sqlite", "sqlite"), ("sqlite", "postgres"), ("postgres", "sqlite")]
)
def test_merge_takes_over_what_is_new_and_counts(
    tmp_path: Path, request: pytest.FixtureRequest, here: str, there: str
) -> None:
    def place(kind: str, name: str) -> str:
        return str(tmp_path / name) if kind == "sqlite" else request.getfixturevalue("postgres")

    calls = [answered(n) for n in range(AT_ONCE + 50)]
    with Ledger(place(here, "here")) as target, Ledger(place(there, "there")) as source:
        target.record([*calls[:10], answered(10, "Otherwise."), answered(10_000)])
        source.record(calls)
        found = {"added": len(calls) - 11, "same": 10, "different": 1}
        assert target.merge(source) == found
        again = {"added": 0, "same": len(calls) - 1, "different": 1}
        assert target.merge(source) == again
        merged = {call.key: call for call in target.calls()}
        assert merged == {call.key: call for call in [*calls, answered(10_000)]} | {
            calls[10].key: answered(10, "Otherwise.")
        }
        assert list(target.verify()) == []
        assert list(source.calls()) == calls
        everything = {"added": 0, "same": len(calls) + 1, "different": 0}
        assert target.merge(target) == everything


def test_a_later_version_is_refused_and_left_alone(place: str) -> None:
    with Ledger(place) as ledger:
        ledger.record([CALL])
    later = "INSERT INTO ledger_version VALUES (99)" if "://" in place else "PRAGMA user_version=99"
    tamper(place, later)
    with pytest.raises(UserError, match="version 99, not 2") as error:
        Ledger(place)
    assert "\n" not in str(error.value)


# Several processes, and kills


WRITER = """
import sys
from understudy.teacher.ledger import Call, Ledger
call = Call("k", "here", "m", 0, "{}", "x" * 2000, "stop", 3, 2, 0.5, 1.0)
with Ledger(sys.argv[1]) as ledger:
    for start in range(0, 10**9, 7):
        keys = [str(n) for n in range(start, start + 7)]
        ledger.record([call._replace(key=key) for key in keys])
        print("\\n".join(keys), flush=True)
"""


@pytest.mark.parametrize("lines", [1, 50, 400])
def test_kill_9_loses_nothing_that_was_acknowledged(place: str, lines: int) -> None:
    line = [sys.executable, "-c", WRITER, place]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = [process.stdout.readline().strip() for _ in range(lines)]
    process.send_signal(signal.SIGKILL)
    acknowledged += process.stdout.read().split("\n")[:-1]  # a last line may be cut
    process.wait()
    with Ledger(place) as ledger:
        assert len(acknowledged) >= lines
        assert {call.key for call in ledger.lookup(acknowledged)} == set(acknowledged)
        assert ledger.record([CALL]) == 1


def _record_twenty(place: str, who: int) -> int:
    """Record the same twenty keys as others, in another order, in commits of five."""
    with Ledger(place) as ledger:
        calls = [CALL._replace(key=str(n), response=str(who)) for n in range(20)]
        random.Random(who).shuffle(calls)
        return sum(ledger.record(calls[start : start + 5]) for start in range(0, 20, 5))


def test_processes_share_a_ledger_from_its_making_on(place: str) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        for attempt in range(5):
            there = place if "://" in place else f"{place}-{attempt}"
            new = pool.starmap(_record_twenty, [(there, who) for who in range(4)], chunksize=1)
            assert sum(new) == 20  # each key has one record
            if "://" in place:
                tamper(place, "DROP TABLE calls, reserved, ledger_version")
