"""What a person at a terminal types, presses and is shown."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event
from typing import Any, TextIO

from understudy.errors import UserError
from understudy.evaluate.engines.text import until
from understudy.progress import console

PROMPT = "> "
# Control characters could steer the terminal.
_HARMLESS = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def show_on(out: TextIO | None) -> Callable[[str], None]:
    """Writes text to `out` at once, if there is one, and no control characters."""

    def show(text: str) -> None:
        if out:
            out.write(text.translate(_HARMLESS))
            out.flush()

    return show


def user_lines(lines: TextIO) -> Iterator[str]:
    """The lines that a user gives, blank ones left out, to the end of `lines`.

    At a terminal they are prompted for and can be edited; Ctrl-C and Ctrl-D end them.

    Raises:
        UserError: a line is no UTF-8.
    """
    at_terminal = lines.isatty()
    if at_terminal:
        with suppress(ImportError):  # with it, `input` knows the arrow keys
            import readline  # noqa: F401
    number = 0
    while True:
        number += 1
        try:
            line = _typed() + "\n" if at_terminal else lines.readline()
            line.encode()
        except UnicodeError:
            raise UserError(f"line {number} of the input is no UTF-8; convert it") from None
        except EOFError:
            line = ""
        except KeyboardInterrupt:
            if not at_terminal:
                raise
            line = ""
        if not line:
            if at_terminal:
                console.print()  # the shell's prompt goes to a line of its own
            return
        if text := line.strip():
            yield text


def _typed() -> str:
    """A line from the terminal; where answers go elsewhere, the prompt does not go with them."""
    if sys.stdout.isatty():
        return input(PROMPT)
    sys.stderr.write(PROMPT)
    sys.stderr.flush()
    return input()


@contextmanager
def interruptible() -> Iterator[Event]:
    """Ctrl-C sets the event and raises nothing; pressed once more, it does what it always does."""
    pressed = Event()

    def press(*_: Any) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


class Listener:
    """Shows an answer as it comes, without what may yet turn out to be no part of it.

    Args:
        stops: texts that end it; one that has any is a plain dialogue's, whose white space at both
            ends belongs to the dialogue.
        show: is given what is new.

    Attributes:
        text: the answer.
        stopped: by one of the texts.
    """

    def __init__(self, stops: tuple[str, ...], show: Callable[[str], None]) -> None:
        self._stops, self._show = stops, show
        self.text, self.stopped = "", False
        self._shown = 0  # characters

    def hear(self, whole: str) -> None:
        """Take in the answer so far."""
        text = until(whole, self._stops)
        self.stopped = text != whole
        self.text = text.strip() if self._stops else text
        self._show_to(len(self._certain()))

    def close(self) -> None:
        """Show what was held back: there is no more to come."""
        self._show_to(len(self.text.rstrip()))

    def _certain(self) -> str:
        """The text without what may be the beginning of a character or of a stop text."""
        text = self.text.rstrip("\ufffd")
        begun = (s[:n] for s in self._stops for n in range(len(s), 0, -1) if text.endswith(s[:n]))
        return text.removesuffix(max(begun, key=len, default="")).rstrip()

    def _show_to(self, end: int) -> None:
        if end > self._shown:
            self._show(self.text[self._shown : end])
            self._shown = end
