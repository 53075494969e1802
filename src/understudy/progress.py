"""Progress on stderr for everything that may take longer than two seconds.

On a terminal it is a live bar; elsewhere (a log file, CI) a line every ten seconds. `quiet`
silences both. Standard output is left to results.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

console = Console(stderr=True, highlight=False)
LINE_EVERY_S = 10.0


def set_quiet(quiet: bool) -> None:
    """Silence progress and words (errors excepted) for the rest of the process."""
    console.quiet = quiet


def say(text: str) -> None:
    """One line of words for the person at the terminal; text is shown as it is, without markup."""
    console.print(text, markup=False, soft_wrap=True)


class Task:
    """A running count; `advance` it as work gets done, `note` is shown at its end."""

    def __init__(self, label: str, total: int, bar: Progress | None) -> None:
        self.label, self.total, self.done, self.note = label, total, 0, ""
        self._bar = bar
        self._id = bar.add_task(label, total=total, note="") if bar else None
        self._begun = self._spoke = time.monotonic()

    def advance(self, count: int = 1, note: str | None = None) -> None:
        """Count `count` more as done; `note` (cost, loss, ...) replaces the text at the end."""
        self.done += count
        self.note = self.note if note is None else note
        if self._bar and self._id is not None:
            self._bar.update(self._id, completed=self.done, note=self.note)
        elif time.monotonic() - self._spoke > LINE_EVERY_S:
            self._spoke = time.monotonic()
            say(f"  {self.label}: {self.done}/{self.total} {self.note}{self._left()}".rstrip())

    def _left(self) -> str:
        """The time left, if the rest goes as fast as what is done."""
        if not self.done:
            return ""
        left = (time.monotonic() - self._begun) * (self.total - self.done) / self.done
        return f" · eta {int(left) // 60}:{int(left) % 60:02d}"


class _Bar(Progress):
    """A bar with its note in the line below, which is too long for the rest of the first."""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        for task in self.tasks:
            if task.fields["note"]:
                yield Text("    " + task.fields["note"], no_wrap=True, overflow="ellipsis")


@contextmanager
def progress(label: str, total: int) -> Iterator[Task]:
    """Show the progress of `total` units of work named `label`."""
    if not console.is_terminal or console.quiet:
        yield Task(label, total, None)
        return
    columns = (
        TextColumn("  {task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("eta"),
        TimeRemainingColumn(),
    )
    with _Bar(*columns, console=console) as bar:
        yield Task(label, total, bar)
