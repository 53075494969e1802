"""Commands for the panel: raters who compare answers in their browsers."""

import ipaddress
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from understudy.cli.common import Json, Quiet, Seed, begin, end
from understudy.errors import UserError

if TYPE_CHECKING:
    from understudy.panel.store import Store

app = typer.Typer(
    help="Have people compare models' answers, blind, in their browsers.", no_args_is_help=True
)
PASSWORD_ENV = "UNDERSTUDY_PANEL_PASSWORD"

Run = Annotated[Path, typer.Argument(help="A run's folder; the panel is kept in RUN/panel.")]
Database = Annotated[
    str | None, typer.Option(help="Another file, or a postgresql:// address without a password.")
]
WithoutFlagged = Annotated[
    bool, typer.Option("--without-flagged", help="Leave flagged raters' ratings out.")
]


@app.command()
def serve(
    run: Run,
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8080,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    database: Database = None,
    pairs: Annotated[
        str, typer.Option(help="Comma-separated: whose answers are compared.")
    ] = "student-teacher,base-teacher",
    answers: Annotated[
        list[str],
        typer.Option(help="NAME=FILE, twice: two models' answers.jsonl instead of the run's."),
    ] = [],  # noqa: B006
    gold: Annotated[
        Path | None, typer.Option(help='JSONL: {"prompt", "better", "worse", "reference"?} a line.')
    ] = None,
    items: Annotated[
        int | None, typer.Option(min=1, help="Pairs for each rater, checks aside; all if not.")
    ] = None,
    title: Annotated[str, typer.Option(help="What raters are told the comparison is.")] = "",
    overlap: Annotated[
        int, typer.Option(min=1, help="Raters of a protocol that a pair gets before the next ones.")
    ] = 3,
    behind_proxy: Annotated[
        bool,
        typer.Option("--behind-proxy", help="A proxy with a host name for this alone speaks TLS."),
    ] = False,
    without_tls: Annotated[
        bool,
        typer.Option("--without-tls", help="Listen beyond this machine, with everything readable."),
    ] = False,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Serve the panel until Ctrl-C; the same command goes on where it stopped.

    The owner's password is read from UNDERSTUDY_PANEL_PASSWORD; without it one is drawn at the
    first start and printed once. Other machines reach the panel through a proxy that speaks TLS
    (`--behind-proxy`, see docs/panel.md).

    Example: understudy panel serve runs/desk --items 20
    """
    begin(quiet)
    _check_host(host, behind_proxy or without_tls)
    from understudy.panel.app import panel_app
    from understudy.panel.items import attention_checks, decoding, gold_pairs, run_pairs
    from understudy.panel.results import Live
    from understudy.panel.serve import serve as work
    from understudy.panel.store import Store, default_place

    found = _of_files(answers) if answers else run_pairs(run, _between(pairs))
    checks = attention_checks(found, items, seed) + (gold_pairs(gold) if gold else [])
    about = {
        "title": title,
        "decoding": {} if answers else decoding(run),
        "items_per_rater": items,
        "overlap": overlap,
    }
    store = Store(database or default_place(run))
    try:
        store.set_up([*found, *checks], about, seed)
        drawn = _owner_password(store, quiet and not as_json)

        def ready(address: str) -> None:
            result = {"address": address, "owner": f"{address}/owner", "password": drawn}
            words = f"The panel is at {address}; its owner's page at {address}/owner"
            if drawn:
                words += f"\nThe owner's password, shown this once: {drawn}"
            end(result, as_json, words)
            sys.stdout.flush()

        served = panel_app(store, Live(store, seed), secure=behind_proxy)
        work(served, host, port, behind_proxy, ready)
    finally:
        store.close()


@app.command()
def invite(
    run: Run,
    names: Annotated[list[str], typer.Argument(help="One rater or more.")],
    protocol: Annotated[
        Literal["hurried", "checking"],
        typer.Option(help="hurried: at a glance; checking: with the reference, claim by claim."),
    ],
    database: Database = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Invite raters; prints each one's link, whose secret is kept nowhere and shown this once.

    Example: understudy panel invite runs/desk ann bob --protocol hurried
    """
    begin(quiet)
    with _opened(run, database) as store:
        links = {}
        for name in names:
            rater, token = store.invite(name, protocol)
            links[rater.name] = f"/join/{token}"
    lines = [f"{name}: {path}" for name, path in links.items()]
    end({"protocol": protocol, "links": links}, as_json, "\n".join(lines))


@app.command()
def export(
    run: Run,
    out: Annotated[
        Path | None, typer.Option("--out", help=".jsonl or .csv; RUN/panel/ratings.jsonl if not.")
    ] = None,
    without_flagged: WithoutFlagged = False,
    database: Database = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write all ratings, and RUN/panel/preferences.jsonl for the report.

    Ratings are written whole; only the preferences are without flagged raters if so told.

    Example: understudy panel export runs/desk --out ratings.csv
    """
    begin(quiet)
    from understudy.files import atomic_write
    from understudy.panel.exports import as_csv, as_jsonl
    from understudy.panel.results import flagged, preferences
    from understudy.preferences import FILE, write_preferences

    with _opened(run, database) as store:
        rows = list(store.rows())
    place = out or run / "panel" / "ratings.jsonl"
    with atomic_write(place) as file:
        file.writelines((as_csv if place.suffix == ".csv" else as_jsonl)(rows))
    without = flagged(rows) if without_flagged else []
    count = write_preferences(run / "panel" / FILE, preferences(rows, without))
    result = {"ratings": len(rows), "out": str(place), "preferences": count, "left_out": without}
    words = f"{place}: {len(rows)} ratings\n{run / 'panel' / FILE}: {count} preferences"
    end(result, as_json, words + (f", without {', '.join(without)}" if without else ""))


@app.command("import")
def import_command(
    run: Run,
    file: Annotated[Path, typer.Argument(help="An export of ratings, JSONL or CSV.")],
    database: Database = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Take in exported ratings of the same pairs; what is there already stays as it is.

    Example: understudy panel import runs/desk ratings.csv
    """
    begin(quiet)
    from understudy.files import open_bytes
    from understudy.panel.exports import read_rows

    with open_bytes(file) as content:
        rows = read_rows(content.read(), str(file))
    with _opened(run, database) as store:
        new = store.put_rows(rows)
    end({"rows": len(rows), "new": new}, as_json, f"{new} of {len(rows)} ratings are new")


@app.command()
def results(
    run: Run,
    without_flagged: WithoutFlagged = False,
    database: Database = None,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say what the ratings come to: win rates, agreement, raters' quality, marks on claims.

    Example: understudy panel results runs/desk
    """
    begin(quiet)
    from understudy.panel.results import results as work
    from understudy.panel.results import words

    with _opened(run, database) as store:
        rows = list(store.rows())
    found = work(rows, seed, without_flagged)
    end(found, as_json, words(found))


@contextmanager
def _opened(run: Path, database: str | None) -> Iterator["Store"]:
    """A panel that was served before."""
    from understudy.panel.store import Store, default_place
    from understudy.teacher.databases import is_address

    place = database or default_place(run)
    nothing = UserError(f"{place}: no panel there; start it with `understudy panel serve {run}`")
    if not is_address(place) and not Path(place).is_file():
        raise nothing
    store = Store(place)
    try:
        if not store.about():
            raise nothing
        yield store
    finally:
        store.close()


def _between(pairs: str) -> list[tuple[str, str]]:
    found = []
    for text in pairs.split(","):
        one, _, other = (part.strip() for part in text.partition("-"))
        if one == other or not {one, other} <= {"student", "base", "teacher"}:
            raise UserError(
                f"--pairs {text}: write two of student, base and teacher, as base-teacher"
            )
        found.append((one, other))
    return found


def _of_files(answers: list[str]) -> list[Any]:
    from understudy.panel.items import file_pairs

    files = {name: Path(path) for name, _, path in (text.partition("=") for text in answers)}
    if len(files) != 2 or not all(files) or len(answers) != 2:
        raise UserError("--answers: name two models and their files, NAME=FILE each")
    one, other = files
    return file_pairs(files, [(one, other)])


def _owner_password(store: "Store", hidden: bool) -> str | None:
    """See to it that the owner has a password; returns it if it was drawn."""
    if given := os.environ.get(PASSWORD_ENV):
        if not store.owner_password_right(given):
            store.set_owner_password(given)
        return None
    if store.has_owner():
        return None
    if hidden:
        raise UserError(f"panel: --quiet hides the owner's password; set {PASSWORD_ENV}")
    drawn = secrets.token_urlsafe(12)
    store.set_owner_password(drawn)
    return drawn


def _check_host(host: str, allowed: bool) -> None:
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not (loopback or allowed):
        raise UserError(
            f"--host {host}: invitations and ratings would cross the network in the clear; put a "
            "proxy that speaks TLS in front (--behind-proxy), or say --without-tls"
        )
