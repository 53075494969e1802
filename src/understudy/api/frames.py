"""What runs and studies have in common: their report read, rows as frames, and a small table."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from understudy.errors import UserError
from understudy.files import read_json

if TYPE_CHECKING:
    import polars as pl

Row = dict[str, Any]

INTERVAL = ("value", "low", "high")


def read_report(folder: Path, parts: Sequence[str], what: str) -> Row:
    """The content of a folder's report.json.

    Args:
        folder: of a run or a study.
        parts: what such a report holds.
        what: which of the two it is.

    Raises:
        UserError: there is none, or it lacks a part.
    """
    path = folder / "report.json"
    if not path.exists():
        raise UserError(f"{path}: no such file; check the folder, or take the {what} to its end")
    content = read_json(path)
    missing = [part for part in parts if not isinstance(content, dict) or part not in content]
    if missing:
        raise UserError(
            f"{path}: not the report of a {what} of this version ({missing[0]} is missing); "
            "check the folder, or have the report made again"
        )
    report: Row = content
    return report


def frame(rows: Iterable[Row], columns: Sequence[str] | None = None) -> "pl.DataFrame":
    """Rows as a frame of the named columns, or of all; what a row lacks is null.

    Raises:
        UserError: polars is not installed.
    """
    try:
        import polars as pl
    except ImportError:
        raise UserError("frames need polars; pip install 'understudy[frames]'") from None
    numbers = {name: pl.Float64 for name in INTERVAL if name in (columns or ())}
    return pl.DataFrame(list(rows), columns, schema_overrides=numbers, infer_schema_length=None)


def card(verdict: str, heads: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    """A verdict over a table of two columns, in HTML; everything is escaped."""
    cells = Markup("").join(Markup("<tr><td>{}</td><td>{}</td></tr>").format(*row) for row in rows)
    return Markup("<p><b>{}</b></p><table><tr><th>{}</th><th>{}</th></tr>{}</table>").format(
        verdict, *heads, cells
    )
