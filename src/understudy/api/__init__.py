"""For notebooks: finished runs and studies as frames, and doors to run them from Python.

Nothing is computed here. Figures are read from report.json; items, answers and losses from the
files of the stages. Frames are polars's. What has an interval (95 %) is in three columns: `value`,
`low`, `high`, null where nothing can be said. Scores, gaps, style measures and preferences are
shares, losses nats a supervised token.

Users have all of this from `understudy` itself, where it is said why nothing is called `run`.
"""

from collections.abc import Sequence
from pathlib import Path

from understudy.api.run_result import RunResult, Student
from understudy.api.study_result import Figure, StudyResult
from understudy.errors import UserError

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


def load_run(folder: str | Path) -> RunResult:
    """A finished run.

    Raises:
        UserError: the folder holds no report of a run, or one of another version.
    """
    return RunResult.of(Path(folder))


def load_study(folder: str | Path) -> StudyResult:
    """A study with its report, be all of its cells done or some.

    Raises:
        UserError: the folder holds no report of a study, or one of another version.
    """
    return StudyResult.of(Path(folder))


def run_recipe(
    recipe: str | Path, out: str | Path, changes: Sequence[str] = (), desk: bool = False
) -> RunResult:
    """What `understudy run RECIPE --out OUT --set CHANGE ...` does; it spends without asking.

    Started again, it continues; when all is done it only loads.

    Args:
        recipe: the file.
        out: the run's folder.
        changes: "key.subkey=value", over the recipe.
        desk: at desk size, as with `--desk`.

    Raises:
        UserError: a mistake in the recipe or its files, or another process works in `out`.
    """
    from understudy.recipe_file import load_recipe
    from understudy.run import run

    return load_run(run(load_recipe(Path(recipe), changes, desk), Path(out)))


def run_study(study: str | Path, out: str | Path, changes: Sequence[str] = ()) -> StudyResult:
    """What `understudy study STUDY --out OUT --set CHANGE ...` does; see `run_recipe`."""
    from understudy.study.settings import load_study as load_settings
    from understudy.study.stage import study as work

    return load_study(work(load_settings(Path(study), changes), Path(out)))
