"""What a training tells while it runs: its log, its trackers, its guards."""

import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from understudy.errors import UserError
from understudy.recipe import TrainSettings
from understudy.train.ranks import CPU, Ranks
from understudy.train.watch import NAMED, RECENT, Guard, Log, read_log, stop_asked

ALONE = Ranks(0, 1, CPU)


def log(out: Path, begun_at: int = 0, ranks: Ranks = ALONE, **changes: Any) -> Log:
    return Log(out, begun_at, TrainSettings.model_validate(changes), ranks)


def scalars(out: Path, name: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_rows_go_to_a_file_and_to_tensorboard(tmp_path: Path) -> None:
    with log(tmp_path) as one:
        one.add({"step": 0, "heldout_loss": 4.0})
        for step in (1, 2, 3):
            one.add({"step": step, "loss": 1.5 / step, "lr": 0.1})
            assert len(read_log(tmp_path / "log.jsonl")) == step + 1, "at once"
        assert one.values("loss") == [1.5, 0.75, 0.5]
    assert scalars(tmp_path, "loss") == [(1, 1.5), (2, 0.75), (3, 0.5)]
    assert scalars(tmp_path, "heldout_loss") == [(0, 4.0)]


def test_a_later_try_takes_back_what_it_repeats(tmp_path: Path) -> None:
    with log(tmp_path) as one:
        for step in (1, 2, 3, 4):
            one.add({"step": step, "loss": float(step)})
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"step": 5, "lo')  # what a kill leaves
    with log(tmp_path, begun_at=2) as one:
        assert [row["step"] for row in one.rows] == [1, 2]
        for step in (3, 4):
            one.add({"step": step, "loss": 10.0 * step})
    wanted = [(1, 1.0), (2, 2.0), (3, 30.0), (4, 40.0)]
    assert [(r["step"], r["loss"]) for r in read_log(tmp_path / "log.jsonl")] == wanted
    assert scalars(tmp_path, "loss") == wanted
    with log(tmp_path) as one:
        assert one.rows == []
    assert read_log(tmp_path / "log.jsonl") == []


def test_other_processes_know_the_rows_and_write_none(tmp_path: Path) -> None:
    class Second(Ranks):
        def wait(self) -> None:
            pass

    with log(tmp_path, ranks=Second(1, 2, CPU), trackers=["wandb"]) as one:
        one.add({"step": 1, "loss": 2.0})
        assert one.values("loss") == [2.0]
    assert not list(tmp_path.iterdir())


@pytest.fixture(params=["wandb", "trackio"])
def tracker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A package of the name that notes how it is called."""
    package: Any = ModuleType(request.param)
    package.calls = []

    class Run:
        def log(self, numbers: dict[str, float], step: int) -> None:
            package.calls.append((step, numbers))

        def finish(self) -> None:
            package.calls.append("finished")

    def init(**options: Any) -> Run:
        package.options = options
        return Run()

    package.init = init
    monkeypatch.setitem(sys.modules, request.param, package)
    return package


def test_a_tracker_hears_of_every_row_and_of_the_end(tracker: Any, tmp_path: Path) -> None:
    def fail() -> None:
        with log(tmp_path, trackers=[tracker.__name__], learning_rate=0.5) as one:
            one.add({"step": 1, "loss": 2.0})
            one.add({"step": 2, "loss": 1.0, "heldout_loss": 3.0})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert tracker.calls == [
        (1, {"loss": 2.0}),
        (2, {"loss": 1.0, "heldout_loss": 3.0}),
        "finished",
    ]
    assert tracker.options["config"]["learning_rate"] == 0.5
    assert tracker.options["name"] == str(tmp_path)
    assert ("dir" in tracker.options) == (tracker.__name__ == "wandb")


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_tracker_that_is_not_installed_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=f"{name} is not installed; pip install {name}") as refusal:
        log(tmp_path, trackers=[name])
    assert "\n" not in str(refusal.value)


def test_a_guard_knows_the_usual_loss_from_the_steps_before() -> None:
    losses = [9.0] * 50 + [2.0] * RECENT
    guard = Guard(1.0, losses)
    guard.see(71, 2.9, 1.0, list)
    with pytest.raises(UserError, match=r"leapt from about 2\.00 to 3\.10"):
        guard.see(72, 3.1, 1.0, lambda: ["a"])
    Guard(None, losses).see(72, 1e9, 1.0, list)
    Guard(1.0, losses[: RECENT - 1]).see(20, 1e9, 1.0, list)
    falling = Guard(1.0, [])
    for step in range(100):
        falling.see(step, 10 - step / 20, 1.0, list)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_guard_names_the_dialogues_but_not_all(value: float) -> None:
    names = [f"d{i}" for i in range(NAMED + 3)]
    with pytest.raises(UserError, match=r"step 5: the loss .*dialogues d0, .*d7 and 3 more$"):
        Guard(None, []).see(5, value, 1.0, lambda: names)
    with pytest.raises(UserError, match=r"step 5: the gradient .*dialogues d0$"):
        Guard(None, []).see(5, 1.0, value, lambda: names[:1])


def test_a_thread_leaves_signals_alone() -> None:
    from concurrent.futures import ThreadPoolExecutor

    def inside() -> bool:
        with stop_asked() as asked:
            return asked()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(inside).result() is False
