"""Turns, histories and what ends a talk, with models that say what they are asked."""

import io
import signal
from collections.abc import Callable
from typing import Any

import pytest

from understudy.chat.speaker import Hear, Messages
from understudy.chat.talk import How, Voice, talk
from understudy.chat.terminal import show_on
from understudy.errors import UserError

HOW = How(temperature=0.0, max_tokens=4, seed=7)


class Parrot:
    """Sees words for tokens, and answers with what it was asked, a letter a token."""

    context = 16

    def __init__(self, stops: tuple[str, ...] = (), while_writing: Callable[[], Any] = int) -> None:
        self.stops, self._while_writing = stops, while_writing
        self.asked: list[Messages] = []
        self.seeds: list[int] = []

    def encode(self, messages: Messages) -> list[int]:
        self._messages = list(messages)
        return [0] * sum(len(message["content"].split()) for message in messages)

    def write(self, ids: list[int], most: int, temperature: float, seed: int, hear: Hear) -> bool:
        self.asked.append(self._messages)
        self.seeds.append(seed)
        text = self._messages[-1]["content"]
        for count in range(1, min(most, len(text)) + 1):
            if count == 3:
                self._while_writing()
            if not hear(text[:count]):
                return False
        return len(text) < most


def talked(lines: str, *voices: Voice) -> tuple[str, list[dict[str, Any]]]:
    """What was shown, and the turns."""
    out = io.StringIO()
    turns = talk(voices, io.StringIO(lines), show_on(out), HOW)
    return out.getvalue(), turns


def contents(messages: Messages) -> list[str]:
    return [message["content"] for message in messages]


def test_each_turn_sees_those_before_it() -> None:
    parrot = Parrot()
    shown, turns = talked("ab\ncd\n", Voice("parrot", parrot))
    assert shown == "ab\ncd\n"
    assert [contents(asked) for asked in parrot.asked] == [["ab"], ["ab", "ab", "cd"]]
    assert parrot.seeds == [7, 8]
    answer = {"model": "parrot", "text": "cd", "finish_reason": "stop", "forgotten": 0}
    assert turns[1] == {"conversation": 1, "user": "cd", "answers": [answer]}


def test_commands_are_no_turns(capsys: pytest.CaptureFixture[str]) -> None:
    parrot = Parrot()
    shown, turns = talked("ab\n/help\n/new\n/newer\n/exit\ncd\n", Voice("parrot", parrot, "be"))
    assert [contents(asked) for asked in parrot.asked] == [["be", "ab"], ["be", "/newer"]]
    assert shown == "ab\n/new\n"  # four letters of it
    assert [turn["conversation"] for turn in turns] == [1, 2]
    assert "/exit or Ctrl-D ends" in capsys.readouterr().err


def test_two_models_remember_what_they_said_themselves() -> None:
    one, other = Parrot(), Parrot(stops=("b",))
    shown, turns = talked("abc\nd\n", Voice("student", one), Voice("base", other))
    assert shown == "[student]\nabc\n[base]\na\n[student]\nd\n[base]\nd\n"
    assert contents(one.asked[1]) == ["abc", "abc", "d"]
    assert contents(other.asked[1]) == ["abc", "a", "d"]
    assert [answer["finish_reason"] for answer in turns[0]["answers"]] == ["stop", "stop"]


def test_a_full_context_loses_its_oldest_turns_whole(capsys: pytest.CaptureFixture[str]) -> None:
    parrot = Parrot()  # 16 tokens, of which an answer has 4; the system message stays
    _, turns = talked("a b c\nd e f\ng h i\n", Voice("parrot", parrot, "be brief"))
    assert contents(parrot.asked[1]) == ["be brief", "a b c", "a b ", "d e f"]
    assert contents(parrot.asked[2]) == ["be brief", "d e f", "d e ", "g h i"]
    assert [turn["answers"][0]["forgotten"] for turn in turns] == [0, 0, 1]
    told = capsys.readouterr().err
    assert told == "  parrot: its context is full; the oldest turns are forgotten: 1\n"


def test_a_message_that_is_too_long_is_refused() -> None:
    long = " ".join(12 * "a")
    assert talked(long, Voice("parrot", Parrot()))[1]
    with pytest.raises(UserError, match="the message comes to 13 tokens, and 12 have room"):
        talked(long + " a", Voice("parrot", Parrot()))


def test_an_answer_that_is_cut_says_so() -> None:
    (turn,) = talked("abcdefg", Voice("parrot", Parrot()))[1]
    assert (turn["answers"][0]["text"], turn["answers"][0]["finish_reason"]) == ("abcd", "length")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_ctrl_c_stops_an_answer_and_a_terminal_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = iter(["abcd", "fg"])
    monkeypatch.setattr("builtins.input", lambda: next(typed, "/exit"))
    press = iter([lambda: signal.raise_signal(signal.SIGINT)])
    parrot = Parrot(while_writing=lambda: next(press, int)())
    out = io.StringIO()
    turns = talk([Voice("parrot", parrot)], Terminal(), show_on(out), HOW)
    assert out.getvalue() == "abc\nfg\n"
    assert contents(parrot.asked[1]) == ["abcd", "abc", "fg"]
    reasons = [turn["answers"][0]["finish_reason"] for turn in turns]
    assert reasons == ["interrupted", "stop"]
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("> ")) == ("", 3)  # standard output is for answers


def test_ctrl_c_ends_what_reads_from_a_pipe() -> None:
    parrot = Parrot(while_writing=lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        talked("abcd\nefgh\n", Voice("parrot", parrot))
    assert len(parrot.asked) == 1


def test_at_a_terminal_a_turn_that_fails_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = iter([" ".join(13 * "a"), "b"])
    monkeypatch.setattr("builtins.input", lambda: next(typed, "/exit"))
    out = io.StringIO()
    turns = talk([Voice("parrot", Parrot())], Terminal(), show_on(out), HOW)
    assert out.getvalue() == "b\n"
    assert [len(turn["answers"]) for turn in turns] == [0, 1]
    assert "shorten it" in capsys.readouterr().err
