"""What is typed, pressed and shown."""

import io
import signal

import pytest

from understudy.chat.terminal import Listener, interruptible, show_on, user_lines
from understudy.errors import UserError


def heard(*wholes: str, stops: tuple[str, ...] = ()) -> tuple[list[str], Listener]:
    """What is shown of an answer that has come to this and this."""
    shown: list[str] = []
    listener = Listener(stops, shown.append)
    for whole in wholes:
        listener.hear(whole)
    return shown, listener


def test_an_answer_is_shown_as_it_comes() -> None:
    shown, listener = heard("A", "A lamp", "A lamp ", "A lamp gives")
    assert shown == ["A", " lamp", " gives"]
    assert listener.text == "A lamp gives"


def test_half_a_character_waits_for_the_rest() -> None:
    shown, listener = heard("caf", "caf\ufffd", "café", "café\ufffd")
    assert shown == ["caf", "é"]
    listener.close()
    assert shown == ["caf", "é", "\ufffd"]


def test_what_may_become_a_stop_text_waits() -> None:
    stops = ("\nUser:",)
    shown, listener = heard(" A lamp.\n", " A lamp.\nUse", " A lamp.\nUse it", stops=stops)
    assert shown == ["A lamp.", "\nUse it"]
    listener.hear(" A lamp.\nUse it\nUser: Go on")
    assert listener.stopped
    listener.close()
    assert "".join(shown) == listener.text == "A lamp.\nUse it"


def test_only_a_plain_dialogues_white_space_is_no_part_of_an_answer() -> None:
    assert heard("  lamp\n")[1].text == "  lamp\n"
    assert heard("  lamp\n", stops=("\nUser:",))[1].text == "lamp"


def test_control_characters_never_reach_the_terminal() -> None:
    out = io.StringIO()
    show_on(out)("a\x1b[2Jb\x9b31m\x07\r\x7f\n\tc")
    assert out.getvalue() == "a\ufffd[2Jb\ufffd31m\ufffd\ufffd\ufffd\n\tc"


def test_blank_lines_are_no_turns() -> None:
    assert list(user_lines(io.StringIO("\n one \n\t\n\ntwo"))) == ["one", "two"]


def test_input_that_is_no_text() -> None:
    lines = io.TextIOWrapper(io.BytesIO(b"one\n\xff\n"), encoding="utf-8")
    with pytest.raises(UserError, match="the input is no UTF-8"):
        list(user_lines(lines))
    escaped = io.TextIOWrapper(io.BytesIO(b"\xff\n"), "utf-8", errors="surrogateescape")
    with pytest.raises(UserError, match="line 1 of the input is no UTF-8"):
        list(user_lines(escaped))


def test_ctrl_c_is_noticed_and_the_second_one_ends() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interruptible() as pressed:
        assert not pressed.is_set()
        signal.raise_signal(signal.SIGINT)
        assert pressed.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
