"""GGUF files, run by llama.cpp inside gpt4all."""

import os
import sys
from pathlib import Path

import pytest

from chat.students import CONTEXT, messages
from train.bases import make_base
from understudy.chat.gguf import MARGIN, GgufSpeaker, without_cuda
from understudy.chat.speaker import LocalSpeaker, Speaker
from understudy.errors import UserError
from understudy.export.gguf import write_gguf

pytest.importorskip("gpt4all")

MOST = 12
TALK = ("the keeper of", "a lamp", "of a lamp writes", "the keeper", "</s> ### Response: lamp")


@pytest.fixture(scope="module")
def file(student: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "student.gguf"
    write_gguf(student, path, "f16", {"name": "student"})
    return path


def answer(speaker: Speaker, *texts: str, most: int = MOST) -> tuple[str, bool]:
    """The answer to turns of user and assistant, and whether it ended by itself."""
    heard = [""]

    def hear(text: str) -> bool:
        heard.append(text)
        return True

    ended = speaker.write(speaker.encode(messages(*texts)), most, 0.0, 0, hear)
    return heard[-1], ended


def test_it_says_what_the_model_says(file: Path, student: Path) -> None:
    ours, theirs = GgufSpeaker(file), LocalSpeaker(str(student))
    assert ours.context == CONTEXT - MARGIN
    for talk in (TALK[:1], TALK[:3], TALK, TALK[2:], TALK[:1]):
        assert ours.encode(messages(*talk)) == theirs.encode(messages(*talk))
        assert answer(ours, *talk) == answer(theirs, *talk)


def test_a_prompt_may_fill_all_but_the_answers_room(
    file: Path, student: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = GgufSpeaker(file), LocalSpeaker(str(student))
    room = ours.context - 5 - len(ours.encode(messages("")))
    talk = room * "!"
    assert len(ours.encode(messages(talk))) == ours.context - 5
    expected = answer(theirs, talk, most=5)
    capfd.readouterr()
    assert answer(ours, talk, most=5) == expected
    assert capfd.readouterr().err == ""  # llama.cpp says so when it shifts its context


def test_nobody_wants_more(file: Path) -> None:
    speaker = GgufSpeaker(file)
    ids = speaker.encode(messages("lamp"))
    assert not speaker.write(ids, MOST, 0.0, 0, lambda text: False)
    whole = answer(speaker, "lamp")
    assert not speaker.write(ids, MOST, 0.0, 0, lambda text: not text)
    assert answer(speaker, "lamp") == whole  # what was not read is not taken for read


def test_what_goes_wrong_in_hearing_is_not_lost(file: Path) -> None:
    def fail(text: str) -> bool:
        raise BrokenPipeError

    speaker = GgufSpeaker(file)
    with pytest.raises(BrokenPipeError):
        speaker.write(speaker.encode(messages("lamp")), MOST, 0.0, 0, fail)


@pytest.mark.parametrize(("size", "told"), [(0, "not a GGUF file"), (3000, "cut"), (60_000, "")])
def test_a_damaged_file(file: Path, tmp_path: Path, size: int, told: str) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(file.read_bytes()[:size])
    with pytest.raises(UserError, match=rf"cut.gguf: .*{told}"):
        GgufSpeaker(path)


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        GgufSpeaker(tmp_path / "none.gguf")
    write_gguf(Path(make_base(tmp_path, "gpt2")), tmp_path / "base.gguf", "f16", {})
    with pytest.raises(UserError, match="has no chat template"):
        GgufSpeaker(tmp_path / "base.gguf")


def test_without_gpt4all(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gpt4all", None)
    with pytest.raises(UserError, match=r"pip install 'understudy\[gguf\]'"):
        GgufSpeaker(file)


def test_of_stderr_only_missing_cuda_is_withheld(capfd: pytest.CaptureFixture[str]) -> None:
    with without_cuda():
        os.write(2, b"Failed to load libllamamodel-mainline-cuda.so: dlopen: none\nout of luck\n")
    assert capfd.readouterr().err == "out of luck\n"
