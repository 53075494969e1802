"""A provider that stumbles, refuses, repeats keys and breaks its files."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from teacher.batch_server import KEY, Ours, Provider, at, bodies, result
from understudy.errors import UserError
from understudy.teacher import provider


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider, "FIRST_WAIT_S", 0.001)


async def all_found(there: Provider, ours: Ours) -> None:
    lines = bodies(6)
    found = await ours.ask(lines)
    assert found == {line.key: (200, "yes") for line in lines}
    assert len(there.batches) == 1
    assert ours.live == []
    assert set(there.headers) == {f"Bearer {KEY}"}


@pytest.mark.parametrize(
    "what", ["POST /files", "POST /batches", "GET /batches/*", "GET /files/*/content"]
)
def test_hiccups_are_sat_out(tmp_path: Path, what: str) -> None:
    hiccups = [
        None,
        (429, {"Retry-After": "0"}, "slow down"),
        (500, {}, "oh"),
        (503, {}, ""),
        None if "content" in what else (200, {}, "{}"),
    ]
    there = Provider(stumbles={what: list(hiccups)})
    at(there, tmp_path, all_found)
    assert there.asked.count(what) == 6


def test_an_order_whose_answer_was_lost_is_found(tmp_path: Path) -> None:
    there = Provider(lost=1)
    at(there, tmp_path, all_found)
    assert there.asked.count("POST /batches") == 1


def test_an_order_is_found_on_a_later_page(tmp_path: Path) -> None:
    async def work(there: Provider, ours: Ours) -> None:
        lines = bodies(3)
        there.lost = 1
        there.stumbles["GET /batches"] = [(401, {}, "")]  # ends the first start
        with pytest.raises(UserError):
            await ours.ask(lines)
        for number in range(7):
            there.order(f"of others {number}")
        assert len(await ours.ask(lines)) == 3
        assert there.asked.count("POST /batches") == 1
        assert there.asked.count("GET /batches") == 1 + 4

    at(Provider(), tmp_path, work)


def test_a_list_that_never_ends_orders_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider, "MOST_PAGES", 3)

    async def work(there: Provider, ours: Ours) -> None:
        there.lost = 1
        there.stumbles["GET /batches"] = [
            (200, {}, json.dumps({"data": [{"id": "b"}], "has_more": True})) for _ in range(3)
        ]
        with pytest.raises(UserError, match="lists batches without end"):
            await ours.ask(bodies(1))
        assert there.asked.count("POST /batches") == 1

    at(Provider(), tmp_path, work)


def test_patience_ends(tmp_path: Path) -> None:
    async def work(there: Provider, ours: Ours) -> None:
        there.stumbles["GET /batches/*"] = [(500, {}, f"{KEY} is\nbroken")] * provider.TRIES
        with pytest.raises(UserError, match=r"HTTP 500: \[key\] is broken, 10 times") as caught:
            await ours.ask(bodies(2))
        assert "\n" not in str(caught.value)
        assert len(await ours.ask(bodies(2))) == 2
        assert len(there.batches) == 1

    at(Provider(), tmp_path, work)


def test_nobody_at_the_address(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    ours = Ours(tmp_path, f"http://127.0.0.1:{port}/v1")
    with pytest.raises(UserError, match="the connection broke"):
        asyncio.run(ours.ask(bodies(1)))


@pytest.mark.parametrize(
    ("what", "status", "body", "expected"),
    [
        ("POST /files", 404, "", "refuses POST /files .* ask it without batches"),
        ("POST /batches", 400, "no such window", "no such window.*; ask it without batches"),
        ("POST /files", 302, "", "HTTP 302"),
        ("POST /batches", 403, f"not with {KEY}", r"refuses the key \(HTTP 403: not with \[key\]"),
        ("POST /batches", 429, '{"error": {"code": "insufficient_quota"}}', "no credit left"),
        ("GET /batches/*", 404, "", "has no batches/batch_0 .*batches.json away"),
        ("GET /files/*/content", 404, "", "has no files/out_batch_0/content .*batches.json away"),
    ],
)
def test_refusals_are_explained(
    tmp_path: Path, what: str, status: int, body: str, expected: str
) -> None:
    async def work(there: Provider, ours: Ours) -> None:
        there.stumbles[what] = [(status, {}, body)]
        with pytest.raises(UserError, match=expected) as caught:
            await ours.ask(bodies(1))
        assert KEY not in str(caught.value)
        assert str(caught.value).isprintable()

    at(Provider(), tmp_path, work)


def test_a_download_that_breaks_off_is_begun_again(tmp_path: Path) -> None:
    there = Provider(cut=2)
    at(there, tmp_path, all_found)
    assert there.asked.count("GET /files/*/content") == 3


def test_broken_lines_are_left_out_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider, "MOST_BYTES", 5000)

    def write(lines: list[dict[str, Any]]) -> bytes:
        names = [line["custom_id"] for line in lines]
        good = json.dumps(result(names[0])).encode()
        error = {"custom_id": names[1], "response": None, "error": {"code": "lost"}}
        rows = [
            b"{broken",
            b"[" * 4000,
            b"\xff",
            b"17",
            json.dumps(result(names[2], status=7)).encode(),
            json.dumps(result(names[2], "x" * 6000)).encode(),
            json.dumps(result("of somebody else")).encode(),
            b"",
            good,
            good,
            json.dumps(error).encode(),
            json.dumps(result(names[3], "\ud800")).encode(),
            json.dumps(result(names[4], {"text": KEY})).encode(),
        ]
        return b"\r\n".join(rows)

    async def work(there: Provider, ours: Ours) -> None:
        lines = bodies(5)
        first, second, _, fourth, fifth = (line.key for line in lines)
        assert await ours.ask(lines) == {
            first: (200, "yes"),
            second: (500, {"error": {"code": "lost"}}),
            fourth: (200, "?"),
            fifth: (200, {"text": "[key]"}),
        }
        assert ours.said[-1].endswith("6 lines of its results are broken and left out")
        assert ours.live == []

    at(Provider(write=write), tmp_path, work)


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        (None, "no reason given"),
        ({"data": []}, "no reason given"),
        ({"data": [7]}, "no reason given"),
        ({"data": [{"code": "limit", "message": "too many", "line": None}]}, r"too many \(limit\)"),
        ({"data": [{"message": f"{KEY}\x00\n" * 500, "line": 1}]}, r"line 1: \[key\] \[key\]"),
    ],
)
def test_reasons_are_shown_with_care(tmp_path: Path, errors: Any, expected: str) -> None:
    async def work(there: Provider, ours: Ours) -> None:
        there.changes = {"status": "failed", "errors": errors, "request_counts": "many"}
        with pytest.raises(UserError, match=expected) as caught:
            await ours.ask(bodies(1))
        assert KEY not in str(caught.value)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 500

    at(Provider(), tmp_path, work)


def test_ids_do_not_lead_elsewhere(tmp_path: Path) -> None:
    async def work(there: Provider, ours: Ours) -> None:
        there.stumbles["POST /files"] = [(200, {}, '{"id": "../../elsewhere"}')] * provider.TRIES
        with pytest.raises(UserError, match="not what a Batch API gives"):
            await ours.ask(bodies(1))

    at(Provider(), tmp_path, work)
