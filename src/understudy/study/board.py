"""How far a study is, live: on a terminal a table of students, elsewhere a line a finished task.

Both go to stderr. Tasks that are no students (bases, pilots) are named and not counted.
"""

import math
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from types import MappingProxyType, TracebackType

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from understudy.progress import console, say
from understudy.study.grid import Cell
from understudy.study.settings import StudySettings
from understudy.study.table import STYLE

WAITING, RUNNING, DONE = "·▸✓"
LONGEST = 60  # characters of a name
NAMED = 4  # tasks that are named while they run
RESUMED_S = 1.0  # a student that took less was there before
NOTHING: Mapping[str, float] = MappingProxyType({})


class Board:
    """Shows a study's students as they are made; a context manager.

    Args:
        settings: the study's.
        cells: all its students.
    """

    def __init__(self, settings: StudySettings, cells: Sequence[Cell]) -> None:
        self._settings, self._cells = settings, list(cells)
        self._began: dict[str, float] = {}  # what runs now
        self._facts: dict[Cell, Mapping[str, float]] = {}  # of the students that are done
        self._took: dict[tuple[str, int], list[float]] = defaultdict(list)  # by base and amount
        self._side_by_side = 1
        self._live: Live | None = None

    def __enter__(self) -> "Board":
        if console.is_terminal and not console.quiet:
            self._live = Live(self._shown(), console=console, auto_refresh=False)
            self._live.start(refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def begun(self, name: str) -> None:
        """A task begins; a student's has the name of its cell."""
        self._began[name] = time.monotonic()
        self._side_by_side = max(self._side_by_side, len(self._began))
        self._refresh()

    def done(
        self, name: str, cell: Cell | None = None, facts: Mapping[str, float] = NOTHING
    ) -> None:
        """A task is done.

        Args:
            name: as it was begun.
            cell: the student that it made, if it made one.
            facts: the student's scores by benchmark, and "style", the gap of style it closed;
                shares.
        """
        seconds = time.monotonic() - self._began.pop(name, time.monotonic())
        if cell is not None:
            self._facts[cell] = facts
            if seconds >= RESUMED_S:
                self._took[cell.base, cell.amount].append(seconds)
        if self._live:
            self._refresh()
        else:
            means = [f"{name} {mean}" for name, mean in self._means([facts]).items()]
            told = " · ".join([*means, self._progress()])
            say(f"{DONE} {_bounded(name)}: {told}")

    def _refresh(self) -> None:
        if self._live:
            self._live.update(self._shown(), refresh=True)

    def _shown(self) -> Group:
        running = list(self._began)
        below = [
            f"{self._progress()} · figures: {'/'.join(self._headline)}, %",
            *(f"{RUNNING} {_bounded(name)}" for name in running[:NAMED]),
            *([f"{RUNNING} and {len(running) - NAMED} more"] if running[NAMED:] else []),
        ]
        tables = (self._table(kind) for kind in self._settings.kinds)
        return Group(*tables, Text("\n".join(below), no_wrap=True, overflow="ellipsis"))

    def _table(self, kind: str) -> Table:
        """A kind's students: a row a base, a column an amount."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column(Text(kind), no_wrap=True, overflow="ellipsis", max_width=24)
        amounts = self._settings.amounts_of(kind)
        for amount in amounts:
            table.add_column(short(amount), no_wrap=True)
        for base in self._settings.base_names:
            table.add_row(Text(base), *(self._entry(kind, base, amount) for amount in amounts))
        return table

    def _entry(self, kind: str, base: str, amount: int) -> Text:
        """A mark a seed, and in percent the means over those that are done."""
        own = [Cell(kind, base, amount, seed) for seed in self._settings.seeds]
        means = self._means([self._facts[cell] for cell in own if cell in self._facts])
        marks = "".join(self._mark(cell) for cell in own)
        return Text(f"{marks} {'/'.join(means.values())}".rstrip())

    def _mark(self, cell: Cell) -> str:
        if cell in self._facts:
            return DONE
        return RUNNING if str(cell) in self._began else WAITING

    def _means(self, facts: Sequence[Mapping[str, float]]) -> dict[str, str]:
        """Headline figures in percent, by name."""
        found = {}
        for name in self._headline:
            values = [one[name] for one in facts if math.isfinite(one.get(name, math.nan))]
            if values:
                found[name] = f"{100 * fmean(values):.0f}"
        return found

    @property
    def _headline(self) -> list[str]:
        """What is shown of students: a local kind's task, or else a benchmark; and style."""
        tasks = [task for kind in self._settings.kinds.values() for task in kind.task]
        named = [*tasks, *self._settings.recipe.evaluate.benchmarks][:1]
        return [*map(_bounded, named), STYLE]

    def _progress(self) -> str:
        """How many students are done, and the time that the others will take."""
        done = f"{len(self._facts)} of {len(self._cells)} students"
        seconds = self._left_s()
        if seconds is None:
            return done
        minutes, second = divmod(round(seconds), 60)
        return f"{done} · eta {minutes // 60}:{minutes % 60:02d}:{second:02d}"

    def _left_s(self) -> float | None:
        """Seconds, if each takes as long as those of its base and amount, or else as any."""
        if not self._took:
            return None
        usual = fmean(second for took in self._took.values() for second in took)
        left = [cell for cell in self._cells if cell not in self._facts]
        known = {key: fmean(took) for key, took in self._took.items()}
        whole = sum(known.get((cell.base, cell.amount), usual) for cell in left)
        return whole / self._side_by_side


def short(amount: int) -> str:
    """A number of tokens in a few characters: 300k, 1.5M."""
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if amount >= size:
            return f"{amount / size:g}{unit}"
    return str(amount)


def _bounded(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
