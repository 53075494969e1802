"""understudy: imitate a teacher LLM and judge honestly what the student learnt.

What notebooks need is in `understudy.api` and can be had from here; it is imported when it is first
asked for, so that `import understudy` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from understudy.api import (
        Figure,
        RunResult,
        Student,
        StudyResult,
        load_run,
        load_study,
        run_recipe,
        run_study,
    )
    from understudy.errors import UserError

__version__ = "0.1.0"

# No name here is that of a module: importing `understudy.run` anywhere binds the module to
# `understudy.run`, and what had that name before would be gone.
__all__ = [
    "Figure",
    "RunResult",
    "Student",
    "StudyResult",
    "UserError",
    "load_run",
    "load_study",
    "run_recipe",
    "run_study",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("understudy.api"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
