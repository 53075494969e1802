"""The study, from its file to its report."""

from pathlib import Path
from typing import Annotated, Any

import typer

from understudy.cli.common import Json, Quiet, Set, Yes, agreed, begin, end

app = typer.Typer()


@app.command("study", rich_help_panel="The whole way")
def study_command(
    file: Annotated[Path, typer.Argument(help="The study, a YAML file.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="The study's folder; runs/<name> if not given.")
    ] = None,
    changes: Set = [],  # noqa: B006
    dry_run: Annotated[bool, typer.Option(help="Print the plan and its cost; do nothing.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes side by side; by GPUs or cores if not.")
    ] = None,
    yes: Yes = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a grid of bases, data and seeds: did imitation close the gap, and what to buy next?

    Started again, it continues.

    Example: understudy study recipes/desk-study.yaml
    """
    begin(quiet)
    from understudy.files import read_json
    from understudy.plan import cost_words
    from understudy.study.plan import plan_study, study_words
    from understudy.study.settings import load_study

    settings = load_study(file, changes)
    folder = out or Path("runs") / settings.name
    if dry_run:
        found = plan_study(settings, folder)
        end(found, as_json, study_words(found))
        return
    if any(asked.base_url != "world" for asked in settings.recipe.asked):
        agreed(cost_words(plan_study(settings, folder)), yes)
    from understudy.study.stage import study  # with what draws figures

    report = read_json(study(settings, folder, workers) / "report.json")
    end(report, as_json, _words(report, folder))


def _words(report: dict[str, Any], folder: Path) -> str:
    """The verdict, every finding with its figures, and where to read on."""
    findings = [f"Seen: {one}" for one in report["supported"]] + report["not_supported"]
    return "\n".join(["", report["verdict"], "", *findings, "", f"Open {folder / 'report.html'}"])
