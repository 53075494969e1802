"""Scores with and without the items that an imitation set touches, as curate found them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from understudy.errors import UserError
from understudy.evaluate.score import Record
from understudy.files import read_jsonl

Touched = Mapping[str, Collection[str]]  # items by benchmark


def read_touched(path: Path) -> Touched:
    """The items that a contamination.jsonl of curate names.

    Raises:
        UserError: the file is missing or is none.
    """
    found: dict[str, set[str]] = {}
    for number, row in read_jsonl(path):
        pair = (row.get("benchmark"), row.get("item")) if isinstance(row, dict) else (None, None)
        if not all(isinstance(name, str) for name in pair):
            raise UserError(
                f"{path}, line {number}: no texts under benchmark and item; name a "
                "contamination.jsonl that curate wrote"
            )
        found.setdefault(str(pair[0]), set()).add(str(pair[1]))
    return found


def leave_out(items: dict[str, list[Any]], touched: Touched, path: Path) -> dict[str, int]:
    """Take touched items out of `items`; returns how many, for each benchmark.

    Raises:
        UserError: nothing is left of one.
    """
    counts = {}
    for name, there in items.items():
        items[name] = [item for item in there if item.id not in touched.get(name, ())]
        counts[name] = len(there) - len(items[name])
        if there and not items[name]:
            raise UserError(
                f"{path}: names all {len(there)} items of {name}; leave {name} out of the "
                "benchmarks, or raise the limit"
            )
    return counts


def apart(
    records: Sequence[Record],
    touched: Collection[str],
    score: Callable[[Sequence[Record]], dict[str, Any]],
) -> dict[str, Any]:
    """How many of the items are touched, and the score without them.

    Args:
        records: of all items.
        touched: the ids of some, perhaps of others, too.
        score: scores some of the records.
    """
    rest = [record for record in records if record["id"] not in touched]
    count = len(records) - len(rest)
    note: dict[str, Any] = {"touched": count, "share": round(count / len(records), 6)}
    if count and rest:
        without = score(rest)
        note["without"] = {name: without[name] for name in ("score", "low", "high", "n")}
    return note
