"""Tasks wait for what they need, and a worker's end is the study's."""

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from study import worker_tasks
from understudy.errors import UserError
from understudy.study import workers
from understudy.study.settings import StudySettings
from understudy.study.workers import Facts, Shared, Task, Workers, count_workers


def settings(**changes: Any) -> StudySettings:
    content = {"run": {}, "bases": [{"base": "world:tiny"}], "kinds": {"broad": {}}, "amounts": [9]}
    return StudySettings.model_validate(content | changes)


def needing(name: str, *needs: str) -> Task:
    return Task(name, frozenset(needs))


class ByHand:
    """Workers whose tasks end when, and in the order in which, a test says so."""

    def __init__(self) -> None:
        self.futures: dict[str, Future[Facts]] = {}
        self.events: list[str] = []

    def submit(self, do: Callable[[Task], Facts], task: Task) -> Future[Facts]:
        self.futures[task.name] = Future()
        return self.futures[task.name]

    def shutdown(self, **_: object) -> None:
        self.events.append("shut down")

    def wait(self, running: Any, return_when: str) -> Any:
        """End the last task that was begun."""
        name = next(name for name in reversed(self.futures) if self.futures[name] in running)
        self.futures[name].set_result({"train": {"of": name}})
        return type("Waited", (), {"done": {self.futures[name]}})


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> ByHand:
    pool = ByHand()
    monkeypatch.setattr(workers, "ProcessPoolExecutor", lambda *_: pool)
    monkeypatch.setattr(workers, "wait", pool.wait)
    return pool


def work(pool: ByHand, count: int, tasks: list[Task]) -> list[str]:
    """What happens, in its order: tasks that begin (+) and that end (-)."""
    with Workers(Shared(settings(), Path(), None), count) as some:
        some.do(
            tasks,
            lambda task: pool.events.append(f"+{task.name}"),
            lambda task, facts: pool.events.append(f"-{facts['train']['of']}"),
        )
    return pool.events


def test_tasks_begin_in_order_as_workers_are_free(by_hand: ByHand) -> None:
    tasks = [needing(name) for name in "abcd"]
    assert work(by_hand, 2, tasks) == ["+a", "+b", "-b", "+c", "-c", "+d", "-d", "-a", "shut down"]


def test_a_task_waits_for_all_that_it_needs_and_others_go_before_it(by_hand: ByHand) -> None:
    tasks = [needing("c", "a", "b"), needing("a"), needing("b"), needing("d")]
    assert work(by_hand, 2, tasks) == ["+a", "+b", "-b", "+d", "-d", "-a", "+c", "-c", "shut down"]


# In processes


@pytest.fixture
def one(monkeypatch: pytest.MonkeyPatch) -> Workers:
    """A single worker, since each takes seconds to start; it does what tasks' names say."""
    monkeypatch.setattr(workers, "_do", worker_tasks.do)
    return Workers(Shared(settings(), Path(), None), 1)


def test_facts_come_back_mistakes_are_the_users_and_deaths_are_told(one: Workers) -> None:
    told: dict[str, Facts] = {}

    def do(*tasks: Task) -> None:
        one.do(tasks, lambda task: None, lambda task, facts: told.update({task.name: facts}))

    with one:
        do(needing("b", "a"), needing("a"))
        assert list(told) == ["a", "b"]
        found = told["a"]["worker"]
        assert found["process"] != os.getpid()
        assert any("_end_with" in name for name in found["threads"])
        assert found["torch threads"] == 1
        with pytest.raises(UserError, match=r"^nowhere\.jsonl: no such file; check the path$"):
            do(needing("refuse nowhere.jsonl"), needing("c"))
        with pytest.raises(UserError, match=r"a worker died.* --workers 1"):
            do(needing("die"))
    assert list(told) == ["a", "b"]
    assert not one._running()


def test_ctrl_c_is_passed_on_to_a_worker_which_saves_and_ends(one: Workers, tmp_path: Path) -> None:
    saved = tmp_path / "saved"

    def press() -> None:
        try:
            until(saved.exists)
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    def study() -> None:
        with one:
            one.do([needing(f"wait {saved}")], lambda task: None, lambda task, facts: None)

    threading.Thread(target=press).start()
    with pytest.raises(KeyboardInterrupt):
        study()
    assert saved.read_text() == "saved"
    assert not one._running()


def test_a_worker_ends_with_a_study_that_was_killed() -> None:
    """Without a word to it; else two processes would soon work on one folder."""
    told, tell = os.pipe()
    study = os.fork()
    if study == 0:
        try:
            parent = os.getpid()
            if (worker := os.fork()) == 0:
                workers._end_with(parent)
            os.write(tell, str(worker).encode())
            signal.pause()
        finally:
            os._exit(1)
    worker = int(os.read(told, 20))
    assert is_running(worker)
    os.kill(study, signal.SIGKILL)
    os.waitpid(study, 0)
    assert until(lambda: not is_running(worker))


def until(found: Callable[[], Any]) -> Any:
    """What a look finds in the end; five minutes are far more than it takes."""
    for _ in range(3000):
        if result := found():
            return result
        time.sleep(0.1)
    raise AssertionError("it did not come")


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


# How many


def test_a_core_for_each_of_the_worlds_bases_and_one_process_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)))
    assert count_workers(settings()) == 6
    assert count_workers(settings(bases=[{"base": "world:tiny"}, {"base": "gpt2"}])) == 1
    assert count_workers(settings(workers=3)) == 3


def test_a_process_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    assert count_workers(settings()) == 4
    assert count_workers(settings(bases=[{"base": "gpt2"}])) == 4
