"""What a benchmark has got so far, kept line by line, so that a killed evaluation goes on with the
next item."""

import json
from collections import defaultdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from understudy.files import canonical_json, writing


class Journal:
    """Values by kind and item, each written before it is counted as known.

    A line that was cut by a kill is dropped. A file that was written under another key is started
    afresh.

    Args:
        path: the file; its folder is made.
        key: stands for whatever the values depend on beside the item.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._path, self._values = path, defaultdict[str, dict[str, Any]](dict)
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = self._read(key)
        with writing(path):
            self._file = open(path, "r+b" if whole else "wb")  # noqa: SIM115
            self._file.seek(whole)
            self._file.truncate()
            if not whole:
                self._write({"key": key})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def known(self, kind: str) -> dict[str, Any]:
        """The values of a kind, by item."""
        return self._values[kind]

    def add(self, kind: str, item: str, value: Any) -> None:
        """Keep a value of JSON."""
        self._write({"kind": kind, "item": item, "value": value})
        self._values[kind][item] = value

    def _read(self, key: str) -> int:
        """Take what the file holds; returns the bytes of its whole lines, 0 for a new start."""
        whole = 0
        try:
            with open(self._path, "rb") as file:
                for number, line in enumerate(file):
                    if not line.endswith(b"\n"):
                        break
                    row = json.loads(line)
                    if number == 0 and row != {"key": key}:
                        return 0
                    if number:
                        self._values[row["kind"]][row["item"]] = row["value"]
                    whole += len(line)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            self._values.clear()
            return 0
        return whole

    def _write(self, row: dict[str, Any]) -> None:
        with writing(self._path):
            self._file.write(canonical_json(row).encode(errors="replace") + b"\n")
            self._file.flush()
