"""A student behind the OpenAI interface: the command line of an existing server."""

import json
import os
import shutil
import sys
from pathlib import Path

import torch
from transformers.utils.import_utils import is_serve_available

from understudy.errors import UserError
from understudy.files import open_bytes
from understudy.models import ADAPTER, load_config

PROGRAMS = {"vllm": "vllm", "transformers": "transformers", "llama.cpp": "llama-server"}
INSTALL = {
    "vllm": "pip install 'understudy[vllm]'",
    "transformers": "pip install 'transformers[serving]'",
    "llama.cpp": "https://github.com/ggml-org/llama.cpp says how to install llama-server",
}


def serve_line(
    model: str, name: str, asked: str | None, host: str, port: int
) -> tuple[list[str], str]:
    """The command line that serves a model, and what requests must call the model.

    Args:
        model: a model directory, a hub name or a GGUF file.
        name: what requests are to call it; transformers goes by the model's own path or name.
        asked: a key of PROGRAMS; None: llama.cpp for a GGUF file, else vLLM where there are it and
            a GPU, else transformers.
        host: an address of this machine.
        port: where the server listens.

    Raises:
        UserError: there is no such model, the server is not installed, or it serves no model of
            this kind.
    """
    gguf = Path(model).suffix == ".gguf"
    server = asked or ("llama.cpp" if gguf else _default())
    _check(model, gguf, server)
    program = _program(server)
    if program is None or (server == "transformers" and not is_serve_available()):
        raise UserError(f"--with {server}: it is not installed here; {INSTALL[server]}")
    where = ["--host", host, "--port", str(port)]
    if server == "vllm":
        return [program, "serve", model, "--served-model-name", name, *where], name
    if server == "transformers":
        return [program, "serve", model, *where], model
    return [program, "--model", model, "--alias", name, "--jinja", *where], name


def request_line(name: str, host: str, port: int) -> str:
    """A request to the server, for a shell."""
    asked = {"model": name, "messages": [{"role": "user", "content": "Hello"}]}
    return (
        f"curl http://{host}:{port}/v1/chat/completions "
        f"-H 'Content-Type: application/json' -d '{json.dumps(asked)}'"
    )


def become(line: list[str]) -> None:
    """Replace this process by a command, so that its signals and its exit code are its own.

    What it writes goes to stderr.
    """
    sys.stdout.flush()
    os.dup2(2, 1)
    os.execv(line[0], line)


def _default() -> str:
    fast = torch.cuda.is_available() and _program("vllm")
    return "vllm" if fast else "transformers"


def _program(server: str) -> str | None:
    """The path of a server's program: beside this Python, or where the shell looks."""
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    return shutil.which(PROGRAMS[server], path=os.pathsep.join(places))


def _check(model: str, gguf: bool, server: str) -> None:
    """See that a model is there, and of a kind that the server takes."""
    if gguf and server != "llama.cpp":
        raise UserError(f"{model}: {server} serves model directories; take --with llama.cpp")
    if gguf:
        with open_bytes(Path(model)):
            return
    if server == "llama.cpp":
        raise UserError(
            f"{model}: llama.cpp serves GGUF files; make one with understudy export --to gguf"
        )
    if (Path(model) / ADAPTER).exists():
        raise UserError(
            f"{model}: holds LoRA factors alone; merge them first: understudy export {model} "
            "--out MODEL"
        )
    load_config(model)
