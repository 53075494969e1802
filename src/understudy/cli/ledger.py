"""Commands for ledgers: what they hold, what it cost, and whether it is whole."""

from pathlib import Path
from typing import Annotated

import typer

from understudy.cli.common import Json, Quiet, begin, end

app = typer.Typer(
    help="What a ledger holds, what it cost, and whether it is whole.", no_args_is_help=True
)

Place = Annotated[str, typer.Argument(help="A ledger's file, or a postgresql:// address.")]


@app.command("list")
def list_command(
    place: Place,
    n: Annotated[int, typer.Option("-n", min=1, help="How many, the newest first.")] = 20,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List the newest calls.

    Example: understudy ledger list runs/desk/ledger.sqlite -n 5
    """
    begin(quiet)
    from understudy.teacher.ledger import opened

    with opened(place) as ledger:
        rows = [call.shown() for call in ledger.calls(newest=n)]
    lines = [
        f"{row['key'][:12]}  {row['when']}  {row['model']}  {row['finish_reason']}  "
        f"{row['prompt_tokens']}+{row['completion_tokens']} tokens  {_dollars(row['usd'])}  "
        f"{row['asked'][:60]}"
        for row in rows
    ]
    end({"calls": rows}, as_json, _printable(lines) or "no calls")


@app.command("sum")
def sum_command(
    place: Place,
    by: Annotated[str, typer.Option(help="model, day or recipe.")] = "model",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Add up calls, tokens and dollars by model, day (UTC) or recipe.

    Example: understudy ledger sum runs/desk/ledger.sqlite --by day
    """
    begin(quiet)
    from understudy.teacher.ledger import opened

    with opened(place) as ledger:
        found = ledger.sums(by)
    lines = [
        f"{name or '(none)'}: {of['calls']} calls, {of['prompt_tokens']} tokens in, "
        f"{of['completion_tokens']} out, {_dollars(of['usd'])}"
        for name, of in found.items()
    ]
    end({by: found}, as_json, _printable(lines) or "no calls")


@app.command()
def export(
    place: Place,
    out: Annotated[Path, typer.Option("--out", help="The JSONL file to write.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write all calls, requests and answers whole, as JSONL.

    Example: understudy ledger export runs/desk/ledger.sqlite --out calls.jsonl
    """
    begin(quiet)
    from understudy.files import write_jsonl
    from understudy.teacher.ledger import opened

    with opened(place) as ledger:
        count = write_jsonl(out, (call.record() for call in ledger.walk("export")))
    end({"calls": count, "out": str(out)}, as_json, f"{out}: {count} calls")


@app.command()
def verify(place: Place, as_json: Json = False, quiet: Quiet = False) -> None:
    """Check every record against its digests; exit code 1 if any is wrong.

    Example: understudy ledger verify runs/desk/ledger.sqlite
    """
    begin(quiet)
    from understudy.teacher.ledger import opened

    with opened(place) as ledger:
        calls, faults = ledger.summary()["calls"], list(ledger.verify())
    words = _printable(faults) or f"{calls} calls, all as they were recorded"
    end({"calls": calls, "faults": faults}, as_json, words)
    if faults:
        raise typer.Exit(1)


@app.command()
def merge(
    place: Place,
    other: Annotated[str, typer.Argument(help="The ledger whose calls are taken over.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Take over another ledger's calls; where both have a key, the first ledger's call stays.

    Example: understudy ledger merge shared.sqlite runs/desk/ledger.sqlite
    """
    begin(quiet)
    from understudy.teacher.ledger import Ledger, opened

    with opened(other) as source, Ledger(place) as target:
        found = target.merge(source)
    words = (
        f"{place}: {found['added']} added, {found['same']} known already, {found['different']} "
        "answered otherwise there and left out"
    )
    end(found, as_json, words)


def _dollars(usd: float | None) -> str:
    return "price unknown" if usd is None else f"${usd:.4f}"


def _printable(lines: list[str]) -> str:
    """The lines without what could steer a terminal; names and texts in a ledger may hold it."""
    return "\n".join("".join(c if c.isprintable() else " " for c in line) for line in lines)
