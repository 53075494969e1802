"""What all commands share: options, how they begin and how they end."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from understudy.progress import console, say, set_quiet

STOPPED = 130  # the exit code of Ctrl-C
FIRST = os.environ.get("RANK", "0") == "0"  # of torchrun's processes, it speaks for all

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no words on stderr.")]
Out = Annotated[Path, typer.Option("--out", help="Folder for what the command produces.")]
Set = Annotated[list[str], typer.Option("--set", help="Change a setting: key=value. Repeatable.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Spend without asking first.")]
ApiKeyEnv = Annotated[str | None, typer.Option(help="Variable that holds the key.")]
Ledger = Annotated[
    str | None, typer.Option(help="File or postgresql:// address; OUT/ledger.sqlite if not.")
]
MaxUsd = Annotated[float | None, typer.Option(help="Spend no more than this in all.")]
Seed = Annotated[int, typer.Option(help="Seed of everything that is drawn.")]


def begin(quiet: bool) -> None:
    """Set up words and progress for a command."""
    set_quiet(quiet)
    # Progress bars of libraries would mix with ours.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")


def end(result: dict[str, Any], as_json: bool, words: str = "") -> None:
    """Print a command's result: the JSON object, or words for a person."""
    if not FIRST:
        return
    if as_json:
        sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")
    elif words and not console.quiet:
        sys.stdout.write(words + "\n")


def agreed(words: str, yes: bool) -> None:
    """Say what is about to be spent; at a terminal, ask first.

    Raises:
        typer.Exit: the user said no.
    """
    say(words)
    if yes or not (sys.stdin.isatty() and console.is_terminal) or console.quiet:
        return
    if not typer.confirm("Go on?", err=True):
        say("nothing was asked")
        raise typer.Exit(STOPPED)


def end_run(folder: Path, as_json: bool) -> None:
    """Print where a run got to: its verdict and where to read on."""
    from understudy.files import read_json

    found = folder / "report.json"
    if not found.exists():
        end({"run": str(folder)}, as_json, f"{folder} is done up to the stage asked for.")
        return
    result = read_json(found)
    words = f"\n{result['verdict']}\n\nOpen {folder / 'report.html'}"
    end({"run": str(folder), "report": str(found), **result}, as_json, words)
