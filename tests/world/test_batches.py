"""Files and batches: OpenAI's objects, states and refusals, and the same answers as one by one."""

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.files import canonical_json
from understudy.recipe import TeacherSettings
from understudy.world import batches
from understudy.world.batches import Batching
from understudy.world.openai import MODEL
from understudy.world.server import Faults, Limits, running_teacher
from world.asking import TIPS, WORLD, Client, error_of

CHAT = "/v1/chat/completions"
FIELDS = {
    "id", "object", "endpoint", "errors", "input_file_id", "completion_window", "status",
    "output_file_id", "error_file_id", "created_at", "in_progress_at", "expires_at",
    "finalizing_at", "completed_at", "failed_at", "expired_at", "cancelling_at", "cancelled_at",
    "request_counts", "metadata",
}  # fmt: skip


@contextmanager
def teacher(folder: Path, *args: Any, **more: Any) -> Iterator[Client]:
    log = folder / "log.jsonl"
    with running_teacher(WORLD, TeacherSettings(), log, *args, **more) as running:
        yield Client(running, log)


def line(name: str, url: str = CHAT, **body: Any) -> dict[str, Any]:
    body = {"model": MODEL, "messages": TIPS, "max_tokens": 5} | body
    return {"custom_id": name, "method": "POST", "url": url, "body": body}


def lines(count: int) -> list[dict[str, Any]]:
    return [line(f"line {number}", seed=number) for number in range(count)]


def upload(client: Client, content: bytes, purpose: str = "batch") -> httpx.Response:
    files = {"file": ("in.jsonl", content)}
    return client.http.post("/files", data={"purpose": purpose}, files=files)


def packed(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def order(client: Client, content: bytes, **more: Any) -> dict[str, Any]:
    file_id = upload(client, content).json()["id"]
    body = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h"} | more
    response = client.http.post("/batches", json=body)
    assert response.status_code == 200, response.text
    return dict(response.json())


def look(client: Client, batch: dict[str, Any]) -> dict[str, Any]:
    return dict(client.http.get(f"/batches/{batch['id']}").json())


def until(client: Client, batch: dict[str, Any], *statuses: str) -> dict[str, Any]:
    for _ in range(3000):
        batch = look(client, batch)
        if batch["status"] in statuses:
            return batch
        time.sleep(0.005)
    raise AssertionError(f"still {batch['status']}")


def ended(client: Client, batch: dict[str, Any]) -> dict[str, Any]:
    return until(client, batch, *batches.ENDED)


def rows(client: Client, file_id: str | None) -> dict[str, dict[str, Any]]:
    """The lines of a file by custom_id."""
    if file_id is None:
        return {}
    found = [json.loads(r) for r in client.http.get(f"/files/{file_id}/content").text.splitlines()]
    assert len({row["id"] for row in found}) == len(found)
    return {row["custom_id"]: row for row in found}


def test_a_batch_gives_the_answers_that_single_calls_give(client: Client) -> None:
    asked = [*lines(40), line("text", seed=41)]
    batch = order(client, packed(asked), metadata={"who": "me"})
    assert set(batch) == FIELDS
    assert (batch["object"], batch["endpoint"]) == ("batch", CHAT)
    assert (batch["completion_window"], batch["metadata"]) == ("24h", {"who": "me"})
    done = ended(client, batch)
    assert set(done) == FIELDS
    assert done["status"] == "completed"
    assert done["request_counts"] == {"total": 41, "completed": 41, "failed": 0}
    assert (done["errors"], done["error_file_id"]) == (None, None)
    times = [done[f"{name}_at"] for name in ("created", "in_progress", "finalizing", "completed")]
    assert times == sorted(times)
    assert done["expires_at"] - done["created_at"] == 24 * 3600
    found = rows(client, done["output_file_id"])
    assert list(found) == [row["custom_id"] for row in asked]
    for row in asked[:3]:
        answer = found[row["custom_id"]]
        assert set(answer) == {"id", "custom_id", "response", "error"}
        assert answer["error"] is None
        assert answer["response"]["status_code"] == 200
        alone = client.http.post("/chat/completions", json=row["body"]).json()
        for name in ("choices", "usage", "object", "model"):
            assert answer["response"]["body"][name] == alone[name]


def test_files_are_kept_and_described(client: Client) -> None:
    content = packed(lines(2))
    file = upload(client, content).json()
    assert file["created_at"] <= time.time()
    assert (file["object"], file["purpose"], file["filename"]) == ("file", "batch", "in.jsonl")
    assert (file["bytes"], file["status"]) == (len(content), "processed")
    assert client.http.get(f"/files/{file['id']}").json() == file
    assert client.http.get(f"/files/{file['id']}/content").content == content
    done = ended(client, order(client, content))
    assert client.http.get(f"/files/{done['output_file_id']}").json()["purpose"] == "batch_output"


def test_the_older_interface_has_batches_too(client: Client) -> None:
    url = "/v1/completions"
    body = {"model": MODEL, "prompt": "Where was I born?"}
    row = {"custom_id": "a", "method": "POST", "url": url, "body": body}
    done = ended(client, order(client, packed([row]), endpoint=url))
    (answer,) = rows(client, done["output_file_id"]).values()
    assert answer["response"]["body"]["object"] == "text_completion"


def test_every_answered_line_is_in_the_log(client: Client) -> None:
    asked = lines(3)
    before = len(client.rows())
    batch = ended(client, order(client, packed(asked)))
    logged = client.rows()[before:]
    texts = [canonical_json(row["body"]).encode() for row in asked]
    assert [row["digest"] for row in logged] == [hashlib.sha256(t).hexdigest() for t in texts]
    assert {row["batch"] for row in logged} == {batch["id"]}
    assert all(row["status"] == 200 and row["usage"]["completion_tokens"] == 5 for row in logged)


def test_states_can_be_watched(tmp_path: Path) -> None:
    slowly = Batching(delay_s=0.2, lines_a_tick=1, tick_s=0.02)
    with teacher(tmp_path, batching=slowly) as client:
        batch = order(client, packed(lines(10)))
        assert batch["status"] == "validating"
        going = until(client, batch, "in_progress")
        assert going["request_counts"]["total"] == 10
        assert going["request_counts"]["completed"] < 10
        assert going["output_file_id"] is None
        assert ended(client, batch)["status"] == "completed"


def test_faulty_lines_go_to_the_error_file(tmp_path: Path) -> None:
    asked = [*lines(30), line("bad", n=0), line("streamed", stream=True)]
    with teacher(tmp_path, Faults(failing=0.3)) as client:
        done = ended(client, order(client, packed(asked)))
        good, bad = (rows(client, done[f"{name}_file_id"]) for name in ("output", "error"))
        assert done["status"] == "completed"
        assert done["request_counts"] == {"total": 32, "completed": len(good), "failed": len(bad)}
        assert set(good) | set(bad) == {row["custom_id"] for row in asked}
        assert not set(good) & set(bad)
        assert len(bad) > 4
        statuses = {name: row["response"]["status_code"] for name, row in bad.items()}
        assert set(statuses.values()) == {400, 500}
        assert statuses["bad"] in (400, 500)
        assert all("error" in row["response"]["body"] for row in bad.values())
        assert [row["status"] for row in client.rows()].count(200) == len(good)


def test_a_batch_can_expire_with_part_of_its_lines_done(tmp_path: Path) -> None:
    with teacher(tmp_path, batching=Batching(expire=0.5)) as client:
        done = ended(client, order(client, packed(lines(7))))
        assert done["status"] == "expired"
        assert done["expired_at"] is not None
        assert done["request_counts"] == {"total": 7, "completed": 4, "failed": 0}
        assert list(rows(client, done["output_file_id"])) == [f"line {n}" for n in range(4)]
        undone = rows(client, done["error_file_id"])
        assert list(undone) == [f"line {n}" for n in range(4, 7)]
        for row in undone.values():
            assert (row["response"], row["error"]["code"]) == (None, "batch_expired")


@pytest.mark.parametrize("at", ["validating", "in_progress"])
def test_a_batch_can_be_cancelled(tmp_path: Path, at: str) -> None:
    delay_s = 60.0 if at == "validating" else 0.0
    with teacher(tmp_path, batching=Batching(delay_s, lines_a_tick=1, tick_s=0.05)) as client:
        batch = until(client, order(client, packed(lines(100))), at)
        path = f"/batches/{batch['id']}/cancel"
        assert client.http.post(path).json()["status"] == "cancelling"
        done = ended(client, batch)
        assert done["status"] == "cancelled"
        assert done["cancelling_at"] <= done["cancelled_at"]
        found = rows(client, done["output_file_id"])
        assert len(found) == done["request_counts"]["completed"] < 100
        assert error_of(client.http.post(path))["message"].endswith("cannot be cancelled.")


GOOD = json.dumps(line("good"))


@pytest.mark.parametrize(
    ("content", "code", "number"),
    [
        (f"{GOOD}\n{{broken\n", "invalid_json_line", 2),
        (GOOD + "\n" + "[" * 100_000, "invalid_json_line", 2),
        (f"{GOOD}\n[1]\n", "invalid_line", 2),
        (f"\n{GOOD}\n\n{GOOD}\n", "duplicate_custom_id", 4),
        (json.dumps(line("a", url="/v1/completions")), "mismatched_url", 1),
        (json.dumps(line("a", url="/v1/embeddings")), "mismatched_url", 1),
        (json.dumps(line("a", model="gpt-4")), "model_not_found", 1),
        (json.dumps(line("a") | {"method": "GET"}), "invalid_line", 1),
        (json.dumps(line("a") | {"body": "text"}), "invalid_line", 1),
        (json.dumps(line("")), "invalid_line", 1),
        ("\n\n", "empty_file", None),
        ("", "empty_file", None),
    ],
)
def test_a_faulty_file_fails_the_batch(
    client: Client, content: str, code: str, number: int | None
) -> None:
    before = len(client.rows())
    batch = ended(client, order(client, content.encode()))
    assert batch["status"] == "failed"
    assert batch["failed_at"] is not None
    assert batch["errors"]["object"] == "list"
    first = batch["errors"]["data"][0]
    assert (first["code"], first["line"]) == (code, number)
    assert len(first["message"]) <= 300
    assert len(client.rows()) == before


def test_the_faults_that_are_named_are_bounded(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = ended(client, order(client, b"no\n" * 1000))
    assert len(batch["errors"]["data"]) == batches.MOST_FAULTS
    monkeypatch.setattr(batches, "MOST_LINES", 2)
    batch = ended(client, order(client, packed(lines(3))))
    assert [fault["code"] for fault in batch["errors"]["data"]] == ["too_many_requests"]


def test_batches_are_listed_newest_first_in_pages(tmp_path: Path) -> None:
    with teacher(tmp_path) as client:
        assert client.http.get("/batches").json()["data"] == []
        made = [order(client, packed(lines(1)))["id"] for _ in range(5)][::-1]
        page = client.http.get("/batches", params={"limit": 2}).json()
        assert (page["object"], page["has_more"]) == ("list", True)
        assert [row["id"] for row in page["data"]] == made[:2]
        assert (page["first_id"], page["last_id"]) == (made[0], made[1])
        rest = client.http.get("/batches", params={"after": made[1]}).json()
        assert ([row["id"] for row in rest["data"]], rest["has_more"]) == (made[2:], False)
        for wrong in ({"limit": 0}, {"limit": 101}, {"limit": "x"}):
            response = client.http.get("/batches", params=wrong)
            assert (response.status_code, error_of(response)["type"][:7]) == (400, "invalid")
        assert client.http.get("/batches", params={"after": "nothing"}).status_code == 404


def test_requests_that_are_refused(client: Client) -> None:
    file_id = upload(client, packed(lines(1))).json()["id"]
    good = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h"}
    for change, status in (
        ({"input_file_id": "file-nothing"}, 404),
        ({"endpoint": "/v1/embeddings"}, 400),
        ({"completion_window": "1h"}, 400),
        ({"metadata": {"a": 1}}, 400),
        ({"metadata": {str(n): "" for n in range(17)}}, 400),
        ({"metadata": {"a": "x" * 513}}, 400),
        ({"metadata": {"a": "x" * 70_000}}, 413),
    ):
        response = client.http.post("/batches", json=good | change)
        assert response.status_code == status, change
        error_of(response)
    for method, path in (
        ("GET", "/files/nothing"),
        ("GET", "/files/nothing/content"),
        ("GET", "/batches/nothing"),
        ("POST", "/batches/nothing/cancel"),
    ):
        response = client.http.request(method, path)
        assert response.status_code == 404
        error_of(response)


def test_uploads_that_are_refused(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert error_of(upload(client, b"x", "fine-tune"))["param"] == "purpose"
    for response in (
        client.http.post("/files", json={"purpose": "batch"}),
        client.http.post("/files", data={"purpose": "batch", "file": "text"}),
        client.http.post("/files", content=b"x", headers={"content-type": "multipart/form-data"}),
    ):
        assert response.status_code == 400
        error_of(response)
    monkeypatch.setattr(batches, "MOST_FILE_BYTES", 1000)
    assert upload(client, b"x" * 1000).status_code == 200
    assert upload(client, b"x" * 1001).status_code == 413
    monkeypatch.setattr(batches, "MOST_FORM_BYTES", 2000)
    assert upload(client, b"x" * 10_000).status_code == 413


def test_only_the_key_opens(client: Client) -> None:
    for method, path in (
        ("POST", "/files"),
        ("GET", "/files/x"),
        ("GET", "/files/x/content"),
        ("POST", "/batches"),
        ("GET", "/batches"),
        ("GET", "/batches/x"),
        ("POST", "/batches/x/cancel"),
    ):
        response = httpx.request(method, client.teacher.base_url + path)
        assert response.status_code == 401, path
        assert error_of(response)["code"] == "invalid_api_key"


def test_batches_are_outside_the_limits(tmp_path: Path) -> None:
    with teacher(tmp_path, limits=Limits(requests_per_minute=1)) as client:
        assert ended(client, order(client, packed(lines(5))))["request_counts"]["completed"] == 5
        assert client.post().status_code == 200


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=4,
)
BODIES = st.dictionaries(st.sampled_from(["n", "seed", "messages", "stop"]), VALUES, max_size=2)
CONTENTS = st.one_of(
    st.binary(max_size=60),
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.sampled_from(["custom_id", "method", "url", "body"]), VALUES).map(
        lambda changes: json.dumps(line("a") | changes).encode()
    ),
    BODIES.map(lambda changes: json.dumps(line("a", **changes)).encode()),
)


@settings(max_examples=30)
@given(CONTENTS)
def test_no_file_breaks_it(client: Client, content: bytes) -> None:
    batch = ended(client, order(client, content))
    assert batch["status"] in ("failed", "completed")
    assert (batch["errors"] is None) == (batch["status"] == "completed")
