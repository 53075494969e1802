"""Prompts to put to a model, streamed from files and data sets of any length."""

import csv
import hashlib
import importlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from understudy.dialogue import Turn
from understudy.errors import UserError
from understudy.files import open_text, read_jsonl, whole_characters

HUB = "hub:"
BATCH_ROWS = 1000

Row = tuple[int, dict[str, Any]]


class Prompt(BaseModel):
    """What a model is asked: an id of its own and chat messages, the last one the user's.

    `reference` is a right answer, which judges and raters may be shown and models never.
    """

    model_config = ConfigDict(extra="forbid")

    id: str
    messages: list[Turn]
    reference: str | None = None

    def chat(self) -> list[dict[str, str]]:
        """The messages in the form that APIs take."""
        return [{"role": turn.role, "content": turn.content} for turn in self.messages]

    def chat_with_inputs(self) -> list[dict[str, str]]:
        """The same, with `input` where a turn has one, for templates that show it apart."""
        return [turn.model_dump(exclude_none=True) for turn in self.messages]


def read_prompts(source: str | Path) -> list[Prompt]:
    """The prompts of a source as a list, of which there is at least one; see `iter_prompts`."""
    prompts = list(iter_prompts(source))
    if not prompts:
        raise UserError(f"{source}: holds no prompt; write one a line")
    return prompts


def iter_prompts(source: str | Path, column: str | None = None) -> Iterator[Prompt]:
    """Yield the prompts of a source one by one, in memory that hardly grows with their number.

    A source is one of
    - a text file: one prompt a line, blank lines aside;
    - JSONL (known by its first character, "{"), CSV with a header (`.csv`), Parquet (`.parquet`);
    - a folder that `datasets` saved, or `hub:NAME` or `hub:NAME:SPLIT` (split: train), which is
      streamed from the hub.
    Text, JSONL and CSV may be packed (`.gz`). Rows hold a text under `column`, or else under
    `prompt`, or, except in CSV, chat messages under `messages`; and an `id` and a text as
    `reference` or not. A prompt without an id has the number of its line or, in tables, of its
    row, from 1. The sets that the seed systems were judged by are read as published (JSONL):
    Self-Instruct's user-oriented instructions, whose first instance is input and reference, and
    Vicuna's and MT-bench's questions, of which the first turn.

    Raises:
        UserError: the source is missing or unreadable, a row is malformed, an id occurs twice, or
            an optional package is not installed; names file and row.
    """
    ids: set[int] = set()
    for place, prompt in _prompts(source, column):
        # A digest of 8 bytes stands for the id, so that long ids take no more room than short.
        mark = int.from_bytes(hashlib.blake2b(prompt.id.encode(), digest_size=8).digest())
        if mark in ids:
            raise UserError(f"{place}: id {prompt.id!r} occurs twice; ids are unique")
        ids.add(mark)
        yield prompt


def _prompts(source: str | Path, column: str | None) -> Iterator[tuple[str, Prompt]]:
    """Prompts, each with its place for messages to the user."""
    path = Path(source)
    rows: Iterator[tuple[int, Any]]
    if str(source).startswith(HUB):
        rows, unit = _chosen_hub_rows(str(source), column), "row"
    elif path.is_dir():
        rows, unit = _saved_rows(path, column), "row"
    elif path.suffix == ".parquet":
        choose = partial(_wanted, str(path), column=column)
        rows, unit = parquet_rows(path, str(path), choose), "row"
    elif is_csv(path):
        rows, unit = csv_rows(path), "row"
    elif _starts_like_json(path):
        rows, unit = read_jsonl(path), "line"
    elif column:
        raise UserError(f"{path}: a text file has no column {column!r}; name a table, or no column")
    else:
        yield from _plain_lines(path)
        return
    for number, row in rows:
        place = f"{source}, {unit} {number}"
        if not isinstance(row, dict):
            raise UserError(f'{place}: not an object; write {{"prompt": ...}}')
        if not column:
            row = _published(row)
        if (column or "prompt") not in row:
            _wanted(place, row, column)
        yield place, _from_row(place, number, row, column)


def _plain_lines(path: Path) -> Iterator[tuple[str, Prompt]]:
    with open_text(path) as file:
        for number, line in enumerate(_decoded(path, file), start=1):
            if text := line.strip():
                yield f"{path}, line {number}", _of_text(str(number), text)


def _starts_like_json(path: Path) -> bool:
    with open_text(path) as file:
        first = next((line for line in _decoded(path, file) if line.strip()), "")
    return first.lstrip().startswith("{")


def _decoded(path: Path, file: Iterable[str]) -> Iterator[str]:
    try:
        yield from file
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; convert the file") from None


def is_csv(path: Path) -> bool:
    """Whether a file is CSV by its name; no content can tell it from plain lines."""
    return ".csv" in path.suffixes[-2:]


def csv_rows(path: Path) -> Iterator[Row]:
    """Yield (row number from 1, cells by column) of a CSV file with a header, packed or not.

    Raises:
        UserError: the file is missing or broken, or a row has more or fewer cells than the header.
    """
    with open_text(path) as file:
        rows = csv.reader(_decoded(path, file), strict=True)
        try:
            header = [name.strip("\ufeff ") for name in next(rows, [])]
            for number, cells in enumerate(filter(None, rows), start=1):
                if len(cells) != len(header):
                    raise UserError(
                        f"{path}, row {number}: {len(cells)} cells under {len(header)} columns; "
                        "quote cells that hold commas or line breaks"
                    )
                yield number, dict(zip(header, cells, strict=True))
        except csv.Error as error:
            raise UserError(f"{path}, line {rows.line_num}: broken CSV ({error})") from None


def parquet_rows(
    file: Path | IO[bytes], name: str, choose: Callable[[list[str]], list[str]] = list
) -> Iterator[Row]:
    """Yield (row number from 1, cells by column) of a Parquet file.

    Args:
        file: its path, or an open file that can be sought in.
        name: what messages to the user call it.
        choose: names the columns to read of those that there are.

    Raises:
        UserError: the file is missing or damaged, or pyarrow is not installed.
    """
    parquet = optional_package("pyarrow.parquet", name)
    try:
        with parquet.ParquetFile(file) as table:
            columns = choose(table.schema_arrow.names)
            batches = (
                batch
                for group in range(table.num_row_groups)
                for batch in table.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns)
            )
            yield from enumerate((row for batch in batches for row in batch.to_pylist()), start=1)
    except FileNotFoundError:
        raise UserError(f"{name}: no such file; check the path") from None
    except (OSError, ValueError, NotImplementedError, OverflowError) as error:  # as pyarrow's are
        raise UserError(f"{name}: not a whole Parquet file ({_short(error)})") from error


def saved_sets(path: Path) -> dict[str, Any]:
    """What `datasets` saved in a folder, by split; a set without splits is under "".

    Raises:
        UserError: it is no such folder, or datasets is not installed.
    """
    datasets = optional_package("datasets", str(path))
    try:
        found = datasets.load_from_disk(str(path))
    except Exception as error:  # whatever its files lead the library to raise
        raise UserError(
            f"{path}: not a data set that datasets saved ({_short(error)}); name a file instead"
        ) from error
    return found if isinstance(found, dict) else {"": found}


def _saved_rows(path: Path, column: str | None) -> Iterator[Row]:
    found = saved_sets(path)
    if "" not in found:
        splits = ", ".join(found)
        raise UserError(f"{path}: holds several splits; name the folder of one of them: {splits}")
    return enumerate(
        found[""].select_columns(_wanted(str(path), found[""].column_names, column)), 1
    )


def hub_rows(source: str) -> Iterator[Row]:
    """Yield (row number from 1, cells by column) of hub:NAME or hub:NAME:SPLIT, streamed.

    Raises:
        UserError: it cannot be had, or datasets is not installed.
    """
    name, _, split = source.removeprefix(HUB).partition(":")
    load = optional_package("datasets", source).load_dataset
    try:
        yield from enumerate(load(name, split=split or "train", streaming=True), start=1)
    except Exception as error:  # whatever the network, the hub or its cache raise
        raise UserError(f"{source}: cannot be had from the hub ({_short(error)})") from error


def _chosen_hub_rows(source: str, column: str | None) -> Iterator[Row]:
    for number, row in hub_rows(source):
        yield number, {key: row[key] for key in _wanted(source, row, column)}


def _wanted(place: str, names: Iterable[str], column: str | None) -> list[str]:
    """The columns to read of those that there are."""
    names = list(names)
    sought = [column] if column else ["prompt", "messages"]
    if not set(sought) & set(names):
        missing = f"no column {column!r}" if column else "neither a column prompt nor messages"
        there = ", ".join(str(name) for name in names[:20]) or "none"
        raise UserError(f"{place}: {missing}; the columns there are {there}")
    return [name for name in ("id", "reference", *sought) if name in names]


def _published(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a published set of questions as rows of prompts are; any other as it is."""
    if "prompt" in row or "messages" in row:
        return row
    id = row.get("question_id", row.get("id"))
    question, turns = row.get("text"), row.get("turns")
    if "question_id" in row and (question or turns):
        first = turns[0] if isinstance(turns, list) and turns else question
        return {"id": id, "prompt": first}
    instances = row.get("instances")
    if "instruction" in row and isinstance(instances, list) and instances:
        first = instances[0] if isinstance(instances[0], dict) else {}
        task = {"role": "user", "content": row["instruction"]}
        if given := first.get("input"):
            task |= {"content": f"{row['instruction']}\n\n{given}", "input": given}
        return {"id": id, "messages": [task], "reference": first.get("output")}
    return row


def _from_row(place: str, number: int, row: dict[str, Any], column: str | None) -> Prompt:
    name = column or "prompt"
    text, messages = row.get(name), None if column else row.get("messages")
    if text is not None and not isinstance(text, str):
        raise UserError(f"{place}: {name} is not a text but {type(text).__name__}; mend it")
    given = row.get("reference")  # published sets may have other things of that name
    reference = whole_characters(given) if isinstance(given, str) and given.strip() else None
    if text and text.strip():
        return _of_text(_id(place, row.get("id", number)), whole_characters(text), reference)
    if messages is None:
        raise UserError(f"{place}: {name} is empty; write a prompt there or remove the row")
    try:
        id = _id(place, row.get("id", number))
        prompt = Prompt(id=id, messages=messages, reference=reference)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise UserError(f"{place}: {where}: {fault['msg']}; mend it") from None
    if not prompt.messages or prompt.messages[-1].role != "user":
        raise UserError(f"{place}: messages must end with the user's; mend it")
    return prompt


def _of_text(id: str, text: str, reference: str | None = None) -> Prompt:
    return Prompt(id=id, messages=[Turn(role="user", content=text)], reference=reference)


def _id(place: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise UserError(f"{place}: id is {value!r:.40}; ids are texts or whole numbers")
    return str(value)


def optional_package(module: str, source: str) -> Any:
    """A module of the extra `data`; a UserError names the package where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise UserError(
            f"{source}: needs the package {package}; pip install 'understudy[data]'"
        ) from None


def _short(error: Exception) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0][:200]
