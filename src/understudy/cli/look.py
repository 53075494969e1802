"""Commands that look at what is there."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from understudy.cli.common import Json, Quiet, Seed, begin, end

app = typer.Typer()
LOOK = "Look around"


@app.command(rich_help_panel=LOOK)
def chat(
    model: Annotated[str, typer.Argument(help="A model directory or a hub name.")],
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token.")] = 0.0,
    max_tokens: Annotated[int, typer.Option(help="Longest reply.")] = 256,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Talk to a model; one line is one turn, an empty line or Ctrl-D ends.

    Example: understudy chat runs/desk/train/model
    """
    begin(quiet)
    from understudy.evaluate.chat import chat as work

    work(model, sys.stdin, sys.stdout, temperature, max_tokens, seed)


@app.command(rich_help_panel=LOOK)
def inspect(
    path: Annotated[Path, typer.Argument(help="A data set, a model, a run or a ledger.")],
    html: Annotated[
        Path | None, typer.Option(help="Also write a data set's page with pictures there.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say what a data set, a model, a run or a ledger holds.

    Example: understudy inspect runs/desk/curate --html set.html
    """
    begin(quiet)
    from understudy.inspect import inspect as work
    from understudy.inspect import words, write_page

    found = work(path, pictures=html is not None)
    if html is not None:
        write_page(path, found, html)
    end(found, as_json, words(found) + (f"\n\nOpen {html}" if html else ""))


@app.command(rich_help_panel=LOOK)
def doctor(as_json: Json = False, quiet: Quiet = False) -> None:
    """Say what this machine can do, and what is missing.

    Example: understudy doctor
    """
    begin(quiet)
    from understudy.doctor import examine, words

    found = examine()
    end(found, as_json, words(found))
