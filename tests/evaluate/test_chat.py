"""Talking to a model."""

import io
from pathlib import Path

import pytest

from understudy.evaluate.chat import chat
from understudy.evaluate.engines.local import LocalEngine
from understudy.evaluate.engines.text import Generation

MOST = 6


def talk(model: Path, lines: str, temperature: float = 0.0, seed: int = 0) -> str:
    out = io.StringIO()
    chat(str(model), io.StringIO(lines), out, temperature, MOST, seed)
    return out.getvalue()


def reply(engine: LocalEngine, *texts: str, temperature: float = 0.0, seed: int = 0) -> str:
    """The reply to turns of user and assistant, with nothing of the chat involved."""
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
    how = Generation(MOST, engine.chat_stop, temperature)
    ((_, done),) = engine.write([engine.encode_chat(messages)], [seed], how, "reply")
    return engine.as_reply(done).text


def test_a_line_is_a_turn_and_the_history_is_kept(model_dir: Path) -> None:
    engine = LocalEngine(str(model_dir))
    first = reply(engine, "lamp")
    second = reply(engine, "lamp", first, "light")
    assert talk(model_dir, "lamp\nlight\n") == f"{first}\n{second}\n"


def test_what_is_drawn_depends_on_the_seed_and_the_turn(model_dir: Path) -> None:
    engine = LocalEngine(str(model_dir))
    first = reply(engine, "lamp", temperature=1.0, seed=5)
    second = reply(engine, "lamp", first, "light", temperature=1.0, seed=6)
    assert talk(model_dir, "lamp\nlight\n", 1.0, 5) == f"{first}\n{second}\n"
    assert talk(model_dir, "lamp\nlight\n", 1.0, 7) != f"{first}\n{second}\n"


def test_an_empty_line_ends(model_dir: Path) -> None:
    assert talk(model_dir, "lamp\n\nlight\n") == talk(model_dir, "lamp")
    assert talk(model_dir, "") == ""


def test_a_full_history_loses_its_oldest_turns(
    model_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = ("lamp " * 26, "village " * 26)  # the context has room for one of them
    assert talk(model_dir, f"{first}\n{second}").endswith(talk(model_dir, second))
    assert capsys.readouterr().err.count("oldest turns are forgotten") == 1
    assert talk(model_dir, "lamp " * 99)  # one turn that is too long by itself is cut


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_is_prompted_and_kept_from_control_characters(
    model_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy.evaluate.chat._reply", lambda *_: "a\x1b[2Jb\n\tc")
    out = Terminal()
    chat(str(model_dir), Terminal("lamp\n"), out, 0.0, MOST, 0)
    assert out.getvalue() == "a�[2Jb\n\tc\n"
    assert capsys.readouterr().err.count("> ") == 2
    assert talk(model_dir, "lamp\n") == "a\x1b[2Jb\n\tc\n"
