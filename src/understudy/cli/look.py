"""Commands that look at what is there."""

from pathlib import Path
from typing import Annotated

import typer

from understudy.cli.common import Json, Quiet, begin, end

app = typer.Typer()
LOOK = "Look around"


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
