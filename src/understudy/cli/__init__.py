"""One command per stage: parses, calls, prints. No logic lives here.

Heavy modules are imported inside the commands, so that `--help` answers at once.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from understudy import __version__
from understudy.cli import chat, evaluate, export, judge, ledger, look, panel, stages, study, world
from understudy.cli.common import (
    FIRST,
    STOPPED,
    Json,
    Out,
    Quiet,
    Set,
    Yes,
    agreed,
    begin,
    end,
    end_run,
)
from understudy.errors import UserError
from understudy.progress import console, say

app = typer.Typer(
    name="understudy",
    help="Imitate a teacher LLM, and find out whether the student learnt the part or only the "
    "accent.\n\nStart with `understudy demo`; then copy recipes/desk.yaml and make it yours.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
WHOLE = "The whole way"


@app.command(rich_help_panel=WHOLE)
def demo(out: Out = Path("runs/desk"), as_json: Json = False, quiet: Quiet = False) -> None:
    """The whole job on the embedded world, without a key or a download.

    Example: understudy demo
    """
    begin(quiet)
    from importlib.resources import files

    from understudy.recipe_file import parse_recipe
    from understudy.run import run

    desk = (files("understudy") / "desk.yaml").read_text(encoding="utf-8")
    end_run(run(parse_recipe(desk, "desk.yaml"), out), as_json)


@app.command("run", rich_help_panel=WHOLE)
def run_command(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a YAML file.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="The run's folder; runs/<name> if not given.")
    ] = None,
    changes: Set = [],  # noqa: B006
    desk: Annotated[
        bool,
        typer.Option("--desk", help="At desk size: the world's teacher, a tiny base, minutes."),
    ] = False,
    until: Annotated[str | None, typer.Option(help="The last stage to run.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Print the plan and its cost; do nothing.")] = False,
    yes: Yes = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Take a recipe from its teacher to a verdict; started again, it continues.

    Example: understudy run recipes/vicuna.yaml --desk
    """
    begin(quiet)
    from understudy.plan import cost_words, plan, plan_words
    from understudy.recipe_file import load_recipe
    from understudy.run import run

    wanted = load_recipe(recipe, changes, desk)
    folder = out or Path("runs") / wanted.name
    if dry_run:
        found = plan(wanted, folder)
        end(found, as_json, plan_words(found))
        return
    if any(asked.base_url != "world" for asked in wanted.asked):
        agreed(cost_words(plan(wanted, folder)), yes)
    end_run(run(wanted, folder, until), as_json)


app.add_typer(study.app)
app.add_typer(stages.app)
app.add_typer(evaluate.app)
app.add_typer(judge.app)
app.add_typer(export.app)
app.add_typer(chat.app)
app.add_typer(panel.app, name="panel", rich_help_panel=stages.STAGE)
app.add_typer(look.app)
app.add_typer(ledger.app, name="ledger", rich_help_panel=look.LOOK)
app.add_typer(world.app, name="world", rich_help_panel="The embedded world")


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        sys.stdout.write(f"understudy {__version__}\n")
        raise typer.Exit


def main() -> None:
    """Entry point: 0 done, 2 the user's mistake, 1 ours, 130 stopped with Ctrl-C."""
    try:
        app()
    except SystemExit as done:
        if done.code == STOPPED and FIRST:
            console.quiet = False
            say("stopped; the same command continues")
        raise
    except UserError as error:
        console.quiet = False
        say(f"error: {error}")
        sys.exit(2)
    except Exception as error:
        if os.environ.get("UNDERSTUDY_TRACEBACK"):
            raise
        console.quiet = False
        say(f"internal error: {type(error).__name__}: {str(error)[:500]}")
        say("this is our fault; set UNDERSTUDY_TRACEBACK=1 to see where, and please report it")
        sys.exit(1)
