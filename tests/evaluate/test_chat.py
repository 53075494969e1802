"""Talking to a model."""

import io
from pathlib import Path

import pytest

from train.tiny_models import TOKENIZERS, build_model
from understudy.evaluate.chat import chat
from understudy.evaluate.engines.generate import Generation, generate
from understudy.evaluate.engines.local import LocalEngine
from understudy.progress import Task

MOST = 6


def talk(model: Path, lines: str, most: int = MOST) -> str:
    out = io.StringIO()
    chat(str(model), io.StringIO(lines), out, 0.0, most, 0)
    return out.getvalue()


def reply(engine: LocalEngine, *texts: str) -> str:
    """The reply to turns of user and assistant, with nothing of the chat involved."""
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
    how = Generation(MOST, engine.chat_stop)
    ids = engine.encode_chat(messages)
    task = Task("test", 1, None)
    (done,) = generate(engine.model, engine.tokenizer, [ids], [0], how, 64, 4096, task)
    return engine.as_reply(done).text


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    build_model(request.param).save_pretrained(folder)
    TOKENIZERS[request.param]().save_pretrained(folder)
    return folder


def test_a_line_is_a_turn_and_the_history_is_kept(model: Path) -> None:
    engine = LocalEngine(str(model))
    first = reply(engine, "lamp")
    second = reply(engine, "lamp", first, "light")
    assert talk(model, "lamp\nlight\n") == f"{first}\n{second}\n"


def test_an_empty_line_ends(model: Path) -> None:
    assert talk(model, "lamp\n\nlight\n") == talk(model, "lamp")
    assert talk(model, "") == ""


def test_a_full_history_loses_its_oldest_turns(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = ("lamp " * 26, "village " * 26)  # the context has room for one of them
    assert talk(model, f"{first}\n{second}").endswith(talk(model, second))
    assert capsys.readouterr().err.count("oldest turns are forgotten") == 1
    assert talk(model, "lamp " * 99)  # one turn that is too long by itself is cut
