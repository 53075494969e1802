"""Command lines of servers, which are programs of that name and do nothing."""

import json
import shlex
from pathlib import Path

import pytest

from understudy.chat import server
from understudy.chat.server import PROGRAMS, request_line, serve_line
from understudy.errors import UserError

WHERE = ["--host", "127.0.0.1", "--port", "8000"]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all programs, the only one where they are looked for."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in PROGRAMS.values():
        (folder / name).touch(mode=0o755)
    monkeypatch.setattr("sys.executable", str(folder / "python"))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(server, "is_serve_available", lambda: True)
    return folder


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "desk.gguf").touch()
    return str(tmp_path / "desk.gguf")


def line(model: object, asked: str | None = None) -> list[str]:
    return serve_line(str(model), "desk", asked, "127.0.0.1", 8000)[0]


def test_each_server_is_called_in_its_own_way(installed: Path, student: Path, file: str) -> None:
    transformers = [f"{installed}/transformers", "serve", str(student), *WHERE]
    assert line(student) == line(student, "transformers") == transformers
    vllm = [f"{installed}/vllm", "serve", str(student), "--served-model-name", "desk", *WHERE]
    assert line(student, "vllm") == vllm
    llama = [f"{installed}/llama-server", "--model", file, "--alias", "desk", "--jinja", *WHERE]
    assert line(file) == line(file, "llama.cpp") == llama


def test_requests_call_it_as_the_server_knows_it(installed: Path, student: Path, file: str) -> None:
    called = {
        asked: serve_line(model, "desk", asked, "127.0.0.1", 8000)[1]
        for asked, model in (("vllm", str(student)), ("transformers", str(student)), (None, file))
    }
    assert called == {"vllm": "desk", "transformers": str(student), None: "desk"}


def test_with_a_gpu_vllm_is_taken_where_it_is_installed(
    installed: Path, student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert line(student)[0] == f"{installed}/vllm"
    (installed / "vllm").unlink()
    assert line(student)[0] == f"{installed}/transformers"


def test_what_is_not_installed_is_named_with_its_mend(
    installed: Path, student: Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "is_serve_available", lambda: False)
    with pytest.raises(UserError, match=r"pip install 'transformers\[serving\]'"):
        line(student)
    for program in installed.iterdir():
        program.unlink()
    with pytest.raises(UserError, match=r"pip install 'understudy\[vllm\]'"):
        line(student, "vllm")
    with pytest.raises(UserError, match=r"--with llama\.cpp: it is not installed here"):
        line(file)


def test_what_a_server_cannot_take(
    installed: Path, student: Path, file: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="vllm serves model directories"):
        line(file, "vllm")
    with pytest.raises(UserError, match=r"llama\.cpp serves GGUF files"):
        line(student, "llama.cpp")
    with pytest.raises(UserError, match="no such file"):
        line(tmp_path / "none.gguf")
    with pytest.raises(UserError, match="no such folder"):
        line(tmp_path / "none")
    (tmp_path / "adapter_config.json").touch()
    with pytest.raises(UserError, match="holds LoRA factors alone"):
        line(tmp_path)


def test_the_request_survives_the_shell() -> None:
    parts = shlex.split(request_line("my student", "127.0.0.1", 8000))
    assert parts[:2] == ["curl", "http://127.0.0.1:8000/v1/chat/completions"]
    assert json.loads(parts[-1])["model"] == "my student"
