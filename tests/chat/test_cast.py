"""Which models names mean."""

from pathlib import Path

import pytest

from chat.students import make_run, messages
from train.bases import make_base
from understudy.chat.cast import cast
from understudy.chat.speaker import LocalSpeaker
from understudy.errors import UserError


def test_a_run_and_its_base(student: Path, tmp_path: Path) -> None:
    base = make_base(tmp_path, "gpt2")
    run = make_run(tmp_path / "run", student, base)
    voices = cast(str(run), "base", "")
    assert [voice.label for voice in voices] == [str(run), "base"]
    own, theirs = (voice._speaker for voice in voices)
    assert own.encode(messages("lamp")) == LocalSpeaker(str(student)).encode(messages("lamp"))
    assert theirs.encode(messages("lamp")) == LocalSpeaker(base).encode(messages("lamp"))


def test_the_base_of_no_run(student: Path) -> None:
    with pytest.raises(UserError, match="is no run's folder; name the base itself"):
        cast(str(student), "base", "")
