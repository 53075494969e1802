"""A llama-server of today reads and writes the same tokens as transformers, chats included."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from evaluate.engines.families import greedy
from export.conftest import write_student
from export.gguf_models import CONFIGS, TEXTS, halved, make
from export.test_gguf_runtime import MOST, TIE, preference
from understudy.export.gguf import write_gguf
from understudy.models import load_model, load_tokenizer

SERVER = os.environ.get("UNDERSTUDY_LLAMA_SERVER") or shutil.which("llama-server")
START_S = 60
KINDS = {"llama": "smaug-bpe", "llama 3": "llama-bpe", "llama, longer": "metaspace",
         "mistral": "pieces", "qwen2": "qwen2", "qwen3": "qwen2", "gpt2": "starcoder"}  # fmt: skip

pytestmark = pytest.mark.skipif(
    SERVER is None, reason="no llama-server: install it, or name one in UNDERSTUDY_LLAMA_SERVER"
)


@contextmanager
def served(file: Path) -> Iterator[str]:
    """The address of a server of a file, which it reads on one thread."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [SERVER, "--model", file, "--host", "127.0.0.1", "--port", port, "--threads", 1,
               "--ctx-size", 512, "--parallel", 1, "--jinja"]  # fmt: skip
    with open(file.with_suffix(".log"), "w") as log:
        process = subprocess.Popen([*map(str, command)], stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + START_S
        while not _is_up(address):
            words = file.with_suffix(".log").read_text()
            assert process.poll() is None, words
            assert time.monotonic() < deadline, words
            time.sleep(0.05)
        yield address
    finally:
        process.kill()
        process.wait()


def _is_up(address: str) -> bool:
    try:
        with urlopen(f"{address}/health") as answer:
            return bool(answer.status == 200)
    except URLError:
        return False


def ask(address: str, path: str, **body: Any) -> dict[str, Any]:
    head = {"Content-Type": "application/json"}
    request = Request(f"{address}/{path}", json.dumps(body).encode(), head)
    with urlopen(request) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


@pytest.mark.parametrize("family", CONFIGS)
def test_greedy_tokens_are_the_same(family: str, tmp_path: Path) -> None:
    kind = KINDS.get(family, "gpt-2")
    model = halved(make(tmp_path, family, kind))
    tokenizer = load_tokenizer(str(tmp_path))
    write_gguf(tmp_path, tmp_path / "m.gguf", "f16", {})
    with served(tmp_path / "m.gguf") as address:
        for text in TEXTS:
            prompt = text.strip() if kind == "metaspace" else text
            ids = tokenizer(prompt)["input_ids"]
            assert ask(address, "tokenize", content=prompt, add_special=True)["tokens"] == ids
            told = ask(
                address, "completion", prompt=ids, n_predict=MOST, temperature=0, top_k=1,
                cache_prompt=False, return_tokens=True,
            )["tokens"]  # fmt: skip
            own = greedy(model, ids, MOST, [tokenizer.eos_token_id])
            assert preference(model, ids, own, told) < TIE, (own, told)


@pytest.mark.parametrize("template", ["markers", "alpaca", "vicuna"])
def test_a_chat_is_put_into_the_template_as_in_training(template: str, tmp_path: Path) -> None:
    write_student(tmp_path, template)
    model, tokenizer = halved(load_model(str(tmp_path))), load_tokenizer(str(tmp_path))
    write_gguf(tmp_path, tmp_path / "m.gguf", "f16", {})
    said = [{"role": "user", "content": "What does a lamp do?"}]
    said += [{"role": "assistant", "content": "It gives light."}]
    said += [{"role": "user", "content": "And  at\nnight?"}]
    with served(tmp_path / "m.gguf") as address:
        for messages in (said[:1], said):
            ids = tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, return_dict=False
            )
            shown = ask(address, "apply-template", messages=messages)["prompt"]
            read = ask(address, "tokenize", content=shown, add_special=True, parse_special=True)
            assert read["tokens"] == ids
            answer = ask(
                address, "v1/chat/completions", messages=messages, max_tokens=MOST, temperature=0
            )
            assert answer["usage"]["prompt_tokens"] == len(ids)
            own = greedy(model, ids, MOST, [tokenizer.eos_token_id])
            assert answer["usage"]["completion_tokens"] == len(own)
