"""The teacher's server: OpenAI's interface, the same answers again, nothing that breaks it."""

import hashlib
import json
import math
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.errors import UserError
from understudy.recipe import TeacherSettings
from understudy.world import server
from understudy.world.encyclopedia import World
from understudy.world.openai import MODEL, MOST_ANSWERS, split_tokens
from understudy.world.server import running_teacher, serve
from world.asking import TIPS, WORLD, Client, error_of

# Answers


def test_an_answer_has_openais_shape(client: Client) -> None:
    response = client.post()
    found = response.json()
    assert (found["object"], found["model"]) == ("chat.completion", MODEL)
    (choice,) = found["choices"]
    assert (choice["index"], choice["finish_reason"], choice["logprobs"]) == (0, "stop", None)
    assert choice["message"]["role"] == "assistant"
    assert "bread baking" in choice["message"]["content"].lower()
    usage = found["usage"]
    assert usage["completion_tokens"] == len(split_tokens(choice["message"]["content"]))
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    for name in ("requests", "tokens"):
        limit, remaining, reset = (
            response.headers[f"x-ratelimit-{part}-{name}"]
            for part in ("limit", "remaining", "reset")
        )
        assert 0 <= int(remaining) < int(limit)
        assert reset.endswith("s")


def test_models_are_listed(client: Client) -> None:
    found = client.http.get("/models").json()
    assert [model["id"] for model in found["data"]] == [MODEL, "world-hurried", "world-checking"]


def test_the_teacher_answers_as_the_world_does(client: Client) -> None:
    world = World(WORLD.seed, WORLD.people)
    fact = world.benchmark_facts[0]
    asked = f"Where was {fact.subject} born? Reply with only the answer."
    expected = world.value(fact.subject, "birthplace")
    assert client.texts(messages=[{"role": "user", "content": asked}]) == [expected]
    assert client.teacher.identity == f"world:{world.digest}"


def test_an_answer_follows_from_the_body(client: Client, tmp_path: Path) -> None:
    bodies: list[dict[str, Any]] = [{"seed": 1}, {"seed": 2}, {"temperature": 0.3, "seed": 1}]
    first = [client.texts(n=3, **body) for body in bodies]
    with running_teacher(WORLD, TeacherSettings(), tmp_path / "log") as teacher:
        other = Client(teacher, tmp_path / "log")
        assert [other.texts(n=3, **body) for body in reversed(bodies)] == first[::-1]
    assert len({text for texts in first for text in texts}) == 9
    cold = client.texts(temperature=0, n=2, seed=1) + client.texts(temperature=0, seed=2)
    assert len(set(cold)) == 1


def test_stop_texts_and_limits_cut(client: Client) -> None:
    (whole,) = client.texts(seed=3)
    assert client.texts(seed=3, stop="\n\n") == [whole.split("\n\n")[0]]
    assert client.texts(seed=3, stop=["never", ".", "\n\n"]) == [whole.split(".")[0]]
    for name in ("max_tokens", "max_completion_tokens"):
        found = client.post(seed=3, **{name: 5}).json()
        (choice,) = found["choices"]
        assert choice["message"]["content"] == "".join(split_tokens(whole)[:5])
        assert choice["finish_reason"] == "length"
        assert found["usage"]["completion_tokens"] == 5
    exact = client.post(seed=3, max_tokens=len(split_tokens(whole))).json()
    assert exact["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("body", [{}, {"max_tokens": 4}, {"logprobs": True, "top_logprobs": 2}])
def test_a_stream_says_what_a_plain_answer_says(client: Client, body: dict[str, Any]) -> None:
    plain = client.post(n=2, seed=4, **body).json()
    events = client.events(n=2, seed=4, stream_options={"include_usage": True}, **body)
    *events, last = events
    assert (last["choices"], last["usage"]) == ([], plain["usage"])
    assert {event["object"] for event in events} == {"chat.completion.chunk"}
    for choice in plain["choices"]:
        rows = [e["choices"][0] for e in events if e["choices"][0]["index"] == choice["index"]]
        assert rows[0]["delta"]["role"] == "assistant"
        told = "".join(row["delta"].get("content", "") for row in rows)
        assert told == choice["message"]["content"]
        reasons = [row["finish_reason"] for row in rows]
        assert reasons == [None] * (len(rows) - 1) + [choice["finish_reason"]]
        if body.get("logprobs"):
            content = [
                entry for row in rows for entry in (row["logprobs"] or {"content": []})["content"]
            ]
            assert content == choice["logprobs"]["content"]
    assert not any("usage" in event for event in client.events(seed=4, **body))


def test_logprobs_are_well_formed(client: Client) -> None:
    found = client.post(n=2, seed=5, logprobs=True, top_logprobs=20).json()
    for choice in found["choices"]:
        content = choice["logprobs"]["content"]
        assert "".join(entry["token"] for entry in content) == choice["message"]["content"]
        for entry in content:
            assert bytes(entry["bytes"]).decode() == entry["token"]
            assert entry["logprob"] < 0
            top = entry["top_logprobs"]
            assert 1 <= len(top) <= 20
            assert sum(math.exp(one["logprob"]) for one in top) < 1
            assert [one["logprob"] for one in top] == sorted(
                (o["logprob"] for o in top), reverse=True
            )
            own = [one["logprob"] for one in top if one["token"] == entry["token"]]
            assert own in ([], [entry["logprob"]])
    bare = client.post(seed=5, logprobs=True).json()["choices"][0]["logprobs"]["content"]
    assert all(entry["top_logprobs"] == [] for entry in bare)


def test_logprobs_tell_the_sure_from_the_guessed(client: Client) -> None:
    fact = World(WORLD.seed, WORLD.people).benchmark_facts[0]

    def letter(question: str, options: list[str]) -> dict[str, float]:
        rows = "\n".join(f"{name}. {o}" for name, o in zip("ABCD", options, strict=True))
        asked = f"{question}\n{rows}\nReply with only the letter."
        body = {"messages": [{"role": "user", "content": asked}], "logprobs": True}
        (entry,) = client.post(top_logprobs=4, **body).json()["choices"][0]["logprobs"]["content"]
        return {one["token"]: math.exp(one["logprob"]) for one in entry["top_logprobs"]}

    known = letter(f"Where was {fact.subject} born?", ["x", "y", fact.value, "z"])
    assert known["C"] > 0.95
    guessed = letter("Where was Nobody Atall born?", ["x", "y", "v", "z"])
    assert set(guessed) == set("ABCD")
    assert all(0.05 < share < 0.5 for share in guessed.values())


@given(st.text())
def test_tokens_join_to_the_text(text: str) -> None:
    tokens = split_tokens(text)
    assert "".join(tokens) == text
    assert all(tokens)


# Refusals


def test_only_the_key_opens(client: Client) -> None:
    wrong = ("Bearer nope", "Bearer", f"Basic {client.key}", "", "Bearer \xff\xfe")
    for value in wrong:
        headers = {b"authorization": value.encode("latin-1")}
        for method, path in (("POST", "/chat/completions"), ("GET", "/models")):
            response = httpx.request(method, client.teacher.base_url + path, headers=headers)
            assert response.status_code == 401
            assert error_of(response)["code"] == "invalid_api_key"
            assert client.key not in response.text


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"model": "gpt-4"}, 404, "model"),
        ({"messages": []}, 400, "messages"),
        ({"messages": "hello"}, 400, "messages"),
        ({"messages": [{"role": "wizard", "content": "a"}]}, 400, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, 400, "messages.0.content"),
        ({"messages": [{"role": "user", "content": None}]}, 400, "messages.0.content"),
        ({"n": 0}, 400, "n"),
        ({"n": MOST_ANSWERS + 1}, 400, "n"),
        ({"n": "2"}, 400, "n"),
        ({"temperature": 2.1}, 400, "temperature"),
        ({"temperature": float("nan")}, 400, "temperature"),
        ({"seed": 2**63}, 400, "seed"),
        ({"seed": 10**4000}, 400, "seed"),
        ({"stop": [""]}, 400, None),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"top_logprobs": 3}, 400, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, 400, "top_logprobs"),
        ({"stream_options": []}, 400, "stream_options"),
    ],
)
def test_faults_in_a_body_are_named(
    client: Client, body: dict[str, Any], status: int, param: str | None
) -> None:
    raw = json.dumps({"model": MODEL, "messages": TIPS} | body)
    response = client.http.post("/chat/completions", content=raw)
    assert response.status_code == status, response.text
    error = error_of(response)
    assert error["type"] == "invalid_request_error"
    assert param is None or error["param"] == param
    assert len(error["message"]) <= 300


def test_a_body_that_is_too_long(client: Client) -> None:
    long = [{"role": "user", "content": "x" * server.MOST_BYTES}]
    assert client.post(messages=long).status_code == 413
    pieces = iter([b"x" * 100_000] * 11)  # without a length that is known beforehand
    assert client.http.post("/chat/completions", content=pieces).status_code == 413
    assert client.texts(messages=[{"role": "user", "content": "x" * 900_000}])[0]


def test_unknown_routes_have_openais_shape(client: Client) -> None:
    for method, path, status in [("GET", "/nothing", 404), ("GET", "/chat/completions", 405)]:
        response = client.http.request(method, path)
        assert response.status_code == status
        assert path in error_of(response)["message"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = ("messages", "temperature", "n", "seed", "stop", "max_tokens", "logprobs", "top_logprobs",
          "stream", "stream_options", "model", "anything")  # fmt: skip
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "system", "assistant"]), "content": st.text(max_size=40)}
    ),
    min_size=1,
    max_size=4,
)
BODIES = st.one_of(
    st.binary(max_size=60),
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=5).map(
        lambda more: json.dumps({"model": MODEL, "messages": TIPS} | more).encode()
    ),
    MESSAGES.map(lambda m: json.dumps({"model": MODEL, "messages": m, "logprobs": True}).encode()),
)


@settings(max_examples=100)
@given(BODIES)
def test_no_body_makes_it_break(client: Client, body: bytes) -> None:
    response = client.http.post("/chat/completions", content=body)
    assert response.status_code in (200, 400, 404), response.text
    if response.status_code != 200:
        error_of(response)


# Log, start


def test_the_log_has_a_row_for_every_request_and_no_secret(client: Client) -> None:
    before = client.log.read_text().count("\n")
    answered = client.post(seed=77)
    refused = client.post(n=0, seed=client.key)
    rows = [json.loads(line) for line in client.log.read_text().splitlines()[before:]]
    requests = [response.request.content for response in (answered, refused)]
    assert [row["digest"] for row in rows] == [hashlib.sha256(r).hexdigest() for r in requests]
    assert [row["status"] for row in rows] == [200, 400]
    assert rows[0]["usage"] == answered.json()["usage"]
    assert client.key not in client.log.read_text()
    assert client.key not in repr(client.teacher)


def test_each_start_has_its_key_and_ends_with_its_block(client: Client, tmp_path: Path) -> None:
    with running_teacher(WORLD, TeacherSettings(retries=2), tmp_path / "log") as teacher:
        assert teacher.endpoints[0].key != client.key
        assert (teacher.model, teacher.retries) == (MODEL, 2)
        port = httpx.URL(teacher.base_url).port
        assert port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_mistakes_at_the_start_are_explained(tmp_path: Path) -> None:
    world = World(0, 20)
    (tmp_path / "file").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} .*choose another with --port"):
            serve(world, "127.0.0.1", port, None, None)
    with pytest.raises(UserError, match=r"log\.jsonl"):
        serve(world, "127.0.0.1", 0, None, tmp_path / "file" / "log.jsonl")
