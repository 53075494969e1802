"""What one sees of a study that is under way."""

import io
from typing import Any

import pytest
from rich.console import Console

from understudy import progress
from understudy.study import board as board_module
from understudy.study.board import Board, short
from understudy.study.grid import Cell, cells
from understudy.study.settings import StudySettings

LONG = "a-base-with-a-name-" + 10 * "that-goes-on-"


class Clock:
    """Stands still until it is moved."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(board_module, "time", found)
    return found


def seen(monkeypatch: pytest.MonkeyPatch, terminal: bool, width: int = 140) -> io.StringIO:
    """What is written to a console of ours in place of stderr."""
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=width, height=40, color_system=None)
    monkeypatch.setattr(board_module, "console", console)
    monkeypatch.setattr(progress, "console", console)
    return text


def study(**changes: Any) -> StudySettings:
    content: dict[str, Any] = {
        "run": {"teacher": {}, "collect": {}, "evaluate": {"benchmarks": ["mmlu", "nq"]}},
        "bases": [{"base": "world:tiny"}, {"base": "world:small"}],
        "kinds": {"broad": {}, "local": {"task": ["nq"], "amounts": [2_000]}},
        "amounts": [2_000, 1_500_000],
        "seeds": [0, 1],
    }
    return StudySettings.model_validate(content | changes)


def last_frame(text: io.StringIO) -> list[str]:
    """The lines of what was drawn last, from the first kind's heading on."""
    return ("broad " + text.getvalue().rpartition("broad ")[2]).splitlines()


def test_a_table_of_marks_and_means(monkeypatch: pytest.MonkeyPatch) -> None:
    text, settings = seen(monkeypatch, terminal=True), study()
    first, second = (Cell("broad", "small", 1_500_000, seed) for seed in (0, 1))
    other = Cell("local", "tiny", 2_000, 1)
    with Board(settings, cells(settings)) as board:
        board.begun(str(first))
        board.done(str(first), first, {"nq": 0.2, "mmlu": 0.9, "style": 0.9})
        board.begun(str(other))
        assert [line.split() for line in last_frame(text)] == [
            ["broad", "2k", "1.5M"],
            ["tiny", "··", "··"],
            ["small", "··", "✓·", "20/90"],
            ["local", "2k"],
            ["tiny", "·▸"],
            ["small", "··"],
            ["1", "of", "12", "students", "·", "figures:", "nq/style,", "%"],
            ["▸", "local", "2,000", "tokens,", "tiny,", "seed", "1"],
        ]
        board.done(str(second), second, {"nq": 0.3, "mmlu": 0.1, "style": 0.8})
        assert last_frame(text)[2].split() == ["small", "··", "✓✓", "25/85"]


def test_what_is_no_student_is_named_and_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    text, settings = seen(monkeypatch, terminal=True), study()
    with Board(settings, cells(settings)) as board:
        for name in ("base small, seed 0", "pilot 1", "collect"):
            board.begun(name)
        assert "▸ pilot 1" in "\n".join(last_frame(text))
        for name in ("base small, seed 0", "pilot 1", "collect", "never begun"):
            board.done(name)
        frame = "\n".join(last_frame(text))
        assert "0 of 12 students" in frame
        assert "eta" not in frame
        assert "▸" not in frame
        assert "✓" not in frame


def test_elsewhere_a_line_a_finished_task(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    text, settings = seen(monkeypatch, terminal=False), study()
    cell = Cell("local", "small", 2_000, 0)
    with Board(settings, cells(settings)) as board:
        board.begun("base small, seed 0")
        clock.now += 500
        board.done("base small, seed 0")
        board.begun(str(cell))
        clock.now += 60
        board.done(str(cell), cell, {"nq": 0.231, "style": float("nan")})
    assert text.getvalue().splitlines() == [
        "✓ base small, seed 0: 0 of 12 students",
        "✓ local 2,000 tokens, small, seed 0: nq 23 · 1 of 12 students · eta 0:11:00",
    ]


def test_the_time_left_follows_students_of_the_same_size(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    text = seen(monkeypatch, terminal=False)
    settings = study(kinds={"broad": {}}, bases=[{"base": "world:tiny"}], seeds=[0, 1, 2])
    small, large = ([Cell("broad", "tiny", n, s) for s in (0, 1, 2)] for n in (2_000, 1_500_000))
    with Board(settings, [*large, *small]) as board:
        board.begun(str(small[2]))
        board.done(str(small[2]), small[2])  # was there before: says nothing of the pace
        for cell in (large[0], small[0]):  # side by side
            board.begun(str(cell))
        clock.now += 10
        board.done(str(small[0]), small[0])
        clock.now += 990
        board.done(str(large[0]), large[0])
    first, second, third = text.getvalue().splitlines()
    assert first.endswith("1 of 6 students")
    assert second.endswith("eta 0:00:20")  # three large as if small, and one small, two at a time
    assert third.endswith("eta 0:16:45")  # two of 1,000 seconds and one of 10


def test_quiet_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal in (True, False):
        text, settings = seen(monkeypatch, terminal), study()
        progress.set_quiet(True)
        with Board(settings, cells(settings)) as board:
            board.begun("base small, seed 0")
            board.done("base small, seed 0")
        assert text.getvalue() == ""


@pytest.mark.parametrize("width", [40, 80, 200])
def test_long_names_are_bounded(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    settings = study(bases=[{"base": LONG}])
    cell = Cell("broad", LONG, 2_000, 0)
    text = seen(monkeypatch, terminal=True, width=width)
    with Board(settings, cells(settings)) as board:
        for number in range(30):
            board.begun(f"{LONG} {number} [bold]")
        board.done(str(cell), cell, {"nq": 0.5})
        frame = last_frame(text)
    assert "and 26 more" in "\n".join(frame)
    assert len(frame) < 20
    assert max(map(len, frame)) <= width


def test_markup_in_names_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    text, settings = seen(monkeypatch, terminal=True), study(bases=[{"base": "[red]x"}])
    with Board(settings, cells(settings)) as board:
        board.begun("[bold]name[/nothing]")
    assert "[red]x" in text.getvalue()
    assert "[bold]name[/nothing]" in text.getvalue()


def test_an_error_on_the_way_leaves_the_terminal_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    text, settings = seen(monkeypatch, terminal=True), study()
    board = Board(settings, cells(settings))

    def stopped() -> None:
        with board:
            board.begun("base small, seed 0")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert text.getvalue().endswith("\x1b[?25h")  # the cursor is shown again


@pytest.mark.parametrize(
    ("amount", "shown"), [(950, "950"), (300_000, "300k"), (1_500_000, "1.5M"), (12_500, "12.5k")]
)
def test_amounts_are_short(amount: int, shown: str) -> None:
    assert short(amount) == shown
