"""An event loop whose clock jumps to the next thing that is due, so that waiting takes no time."""

import asyncio
from collections.abc import Coroutine
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


class StuckError(Exception):
    """Everybody waits for somebody else."""


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready:  # type: ignore[attr-defined]
            due = [timer for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
            if not due:
                raise StuckError
            self.now = max(self.now, min(timer.when() for timer in due))
        super()._run_once()  # type: ignore[misc]


def run(
    monkeypatch: pytest.MonkeyPatch, main: Coroutine[Any, Any, Any], *modules: ModuleType
) -> Any:
    """Run `main` on virtual time, which `modules` read as time.monotonic().

    Raises:
        StuckError: nothing can ever go on.
    """
    loop = _Loop()
    clock = SimpleNamespace(monotonic=loop.time)
    for module in modules:
        monkeypatch.setattr(module, "time", clock)
    try:
        return loop.run_until_complete(main)
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        loop.close()
