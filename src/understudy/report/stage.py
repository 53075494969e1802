"""The report stage: a run's files in, report.json and report.html out."""

from pathlib import Path
from typing import Any

from understudy.files import write_json, write_text
from understudy.recipe import Recipe
from understudy.report.facts import gather
from understudy.report.page import page


def report(run: Path, recipe: Recipe, out: Path, seed: int) -> dict[str, Any]:
    """Judge a run; writes `out/report.json` and `out/report.html`.

    What report.json holds is said in `facts.py`. The page is made of it alone, is one file, and
    loads and runs nothing.

    Args:
        run: the run's folder, every stage before this one finished.
        recipe: the run's.
        out: folder.
        seed: of the intervals' draws and of the samples shown.

    Returns:
        The verdict.

    Raises:
        UserError: see `facts.gather`.
    """
    facts = gather(run, recipe, seed)
    write_json(out / "report.json", facts)
    write_text(out / "report.html", page(facts))
    return {"verdict": facts["verdict"]}
