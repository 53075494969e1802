"""The older interface: a text in, the answer to it as a chat's one message out."""

from typing import Any

import httpx
import pytest

from understudy.world.openai import MODEL, split_tokens
from world.asking import TIPS, Client, error_of

PROMPT = TIPS[0]["content"]


def post(client: Client, **body: Any) -> httpx.Response:
    return client.http.post("/completions", json={"model": MODEL, "prompt": PROMPT} | body)


@pytest.mark.parametrize("prompt", [PROMPT, [PROMPT]])
def test_it_answers_as_the_chat_does(client: Client, prompt: Any) -> None:
    body: dict[str, Any] = {"seed": 3, "n": 2, "temperature": 0.5, "max_tokens": 9, "stop": ["!"]}
    found, chat = post(client, prompt=prompt, **body).json(), client.post(**body).json()
    assert (found["object"], found["model"], found["id"][:5]) == ("text_completion", MODEL, "cmpl-")
    assert found["usage"] == chat["usage"]
    for choice, said in zip(found["choices"], chat["choices"], strict=True):
        assert choice == {
            "index": said["index"],
            "text": said["message"]["content"],
            "finish_reason": said["finish_reason"],
            "logprobs": None,
        }


def test_its_logprobs_are_the_chats_in_columns(client: Client) -> None:
    (choice,) = post(client, seed=5, logprobs=3).json()["choices"]
    (said,) = client.post(seed=5, logprobs=True, top_logprobs=3).json()["choices"]
    found, content = choice["logprobs"], said["logprobs"]["content"]
    assert set(found) == {"tokens", "token_logprobs", "top_logprobs", "text_offset"}
    assert found["tokens"] == split_tokens(choice["text"])
    assert found["token_logprobs"] == [entry["logprob"] for entry in content]
    for top, entry in zip(found["top_logprobs"], content, strict=True):
        likely = {one["token"]: one["logprob"] for one in entry["top_logprobs"]}
        assert top == likely | {entry["token"]: entry["logprob"]}
    whole = PROMPT + choice["text"]
    for token, offset in zip(found["tokens"], found["text_offset"], strict=True):
        assert whole[offset : offset + len(token)] == token
    (choice,) = post(client, seed=5, logprobs=0).json()["choices"]
    assert all(len(top) == 1 for top in choice["logprobs"]["top_logprobs"])


def test_an_answer_without_tokens(client: Client) -> None:
    (whole,) = post(client, seed=1).json()["choices"]
    (choice,) = post(client, seed=1, logprobs=2, stop=whole["text"][:1]).json()["choices"]
    assert choice["text"] == ""
    columns = ("tokens", "token_logprobs", "top_logprobs", "text_offset")
    assert choice["logprobs"] == {name: [] for name in columns}


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"stream": True}, 400, "stream"),
        ({"prompt": []}, 400, None),
        ({"prompt": ["a", "b"]}, 400, None),
        ({"prompt": [1, 2]}, 400, None),
        ({"prompt": None}, 400, None),
        ({"logprobs": 6}, 400, "logprobs"),
        ({"logprobs": True}, 400, "logprobs"),
        ({"n": 0}, 400, "n"),
        ({"model": "gpt-3.5-turbo-instruct"}, 404, "model"),
    ],
)
def test_faults_are_named(
    client: Client, body: dict[str, Any], status: int, param: str | None
) -> None:
    response = post(client, **body)
    assert response.status_code == status
    error = error_of(response)
    assert param is None or error["param"] == param


def test_only_the_key_opens(client: Client) -> None:
    response = httpx.post(client.teacher.base_url + "/completions", json={})
    assert response.status_code == 401
