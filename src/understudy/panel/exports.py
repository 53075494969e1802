"""Exports as files: JSONL and CSV."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from understudy.errors import UserError
from understudy.panel.exchange import Exported

COLUMNS = list(Exported.model_fields)
RISKY = ("=", "+", "-", "@", "\t", "\r", "'")
"""What a cell may begin with to be taken for a formula (OWASP, "CSV Injection"), and the mark
against it."""


def as_jsonl(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The lines of a JSONL file of an export's rows."""
    for row in rows:
        yield json.dumps(row, ensure_ascii=False) + "\n"


def as_csv(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The lines of a CSV file of an export's rows; claims are JSON.

    A cell that a spreadsheet could take for a formula has an apostrophe before it.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS)
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
        yield out.getvalue()
        out.seek(0)
        out.truncate()
    yield out.getvalue()


def read_rows(content: bytes, name: str) -> list[dict[str, Any]]:
    """The rows of an export, JSONL or CSV as its first character says.

    Args:
        content: of the file.
        name: what messages to the user call it.

    Raises:
        UserError: it is neither, or is broken; names the line.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: not UTF-8 at byte {error.start}; convert the file") from None
    return _read_jsonl(text, name) if text.lstrip().startswith("{") else _read_csv(text, name)


def _read_jsonl(text: str, name: str) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError):
            raise UserError(f"{name}, line {number}: broken JSON; mend or remove it") from None
        if not isinstance(row, dict):
            raise UserError(f"{name}, line {number}: not an object; mend or remove it")
        rows.append(row)
    return rows


def _read_csv(text: str, name: str) -> list[dict[str, Any]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        if reader.fieldnames is None or set(reader.fieldnames) != set(COLUMNS):
            raise UserError(f"{name}: no export of a panel; its columns are {', '.join(COLUMNS)}")
        return [_from_cells(cells, f"{name}, line {reader.line_num}") for cells in reader]
    except csv.Error as error:
        raise UserError(f"{name}, line {reader.line_num}: broken CSV ({error})") from None


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return json.dumps(value)
    if isinstance(value, str) and value.startswith(RISKY):
        return "'" + value
    return value


def _from_cells(cells: dict[str, Any], place: str) -> dict[str, Any]:
    if None in cells or None in cells.values():
        raise UserError(f"{place}: not as many cells as columns; quote cells that hold commas")
    row = {name: _uncovered(cell) for name, cell in cells.items()}
    try:
        return row | {"claims": json.loads(row["claims"]), "better": row["better"] or None}
    except (json.JSONDecodeError, RecursionError):
        raise UserError(f"{place}: claims is broken JSON; mend it") from None


def _uncovered(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(RISKY) else cell
