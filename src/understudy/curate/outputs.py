"""The imitation set in other forms: Parquet, OpenAI messages, ShareGPT and a `datasets` folder.

Every form keeps all that a Dialogue holds, so that our own readers give the same dialogues back.
Each is written as a stream: however large the set, one block of dialogues is in memory.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from understudy.dialogue import Dialogue, read_dialogues
from understudy.files import (
    atomic_write,
    file_digest,
    read_json,
    whole_folder,
    write_json,
    write_jsonl,
)
from understudy.prompts import optional_package

BLOCK_ROWS, BLOCK_CHARACTERS = 5_000, 16_000_000  # a block of rows ends at the first to be reached
SPEAKERS = {"user": "human", "assistant": "gpt", "system": "system"}


def write_outputs(train: Path, heldout: Path, out: Path, kinds: Sequence[str]) -> list[str]:
    """Write the two JSONL sets in other forms into `out`.

    Args:
        train, heldout: dialogues as JSONL.
        out: the folder, which may hold earlier ones.
        kinds: of "parquet" (data/train.parquet), "messages" (train.messages.jsonl), "sharegpt"
            (train.sharegpt.json) and "datasets" (dataset/, for `datasets.load_from_disk`), each
            with the held-out set beside it.

    Returns:
        What was written, relative to `out`.

    Raises:
        UserError: a line is no dialogue, the disk is full, or Parquet or `datasets` is asked for
            without the extra `data`.
    """
    sets = {"train": train, "heldout": heldout}
    return [name for kind in kinds for name in WRITERS[kind](sets, out)]


def _messages(sets: dict[str, Path], out: Path) -> list[str]:
    written = []
    for split, path in sets.items():
        written.append(f"{split}.messages.jsonl")
        rows = ({"messages": d.messages(), **_provenance(d)} for d in read_dialogues(path))
        write_jsonl(out / written[-1], rows)
    return written


def _sharegpt(sets: dict[str, Path], out: Path) -> list[str]:
    written = []
    for split, path in sets.items():
        written.append(f"{split}.sharegpt.json")
        with atomic_write(out / written[-1]) as file:
            file.write("[")
            for number, dialogue in enumerate(read_dialogues(path)):
                turns = [
                    {"from": SPEAKERS[turn.role], "value": turn.content} for turn in dialogue.turns
                ]
                row = {"conversations": turns, **_provenance(dialogue)}
                file.write(",\n" if number else "\n")
                file.write(json.dumps(row, ensure_ascii=False))
            file.write("\n]\n")
    return written


def _provenance(dialogue: Dialogue) -> dict[str, Any]:
    """All of a dialogue but its turns, without what is at its default.

    Save the origin: a reader would take the record's own digest for one that is left out.
    """
    told = dialogue.model_dump(exclude={"turns"}, exclude_defaults=True)
    return told | {"origin": dialogue.origin}


def _parquet(sets: dict[str, Path], out: Path) -> list[str]:
    schema = _schema(out / "data")
    from pyarrow.parquet import ParquetWriter

    written = []
    for split, path in sets.items():
        written.append(f"data/{split}.parquet")
        with (
            atomic_write(out / written[-1], "wb") as file,
            ParquetWriter(file, schema, compression="zstd") as writer,
        ):
            for block in _blocks(path, schema):
                writer.write_batch(block)
    return written


def _datasets(sets: dict[str, Path], out: Path) -> list[str]:
    """The layout of `DatasetDict.save_to_disk`.

    The library writes it for a set without rows; the rows then take the place of that one's, and
    the digest of theirs that of its fingerprint, by which the library names what it caches.
    """
    schema = _schema(out / "dataset")
    datasets = optional_package("datasets", str(out / "dataset"))
    import pyarrow

    empty = datasets.Dataset(pyarrow.Table.from_batches([], schema))
    frame = datasets.DatasetDict(dict.fromkeys(sets, empty))
    with whole_folder(out / "dataset") as part:
        datasets.disable_progress_bars()  # of the rows that there are not
        frame.save_to_disk(part, num_shards=dict.fromkeys(sets, 1))
        datasets.enable_progress_bars()
        for split, path in sets.items():
            state = read_json(part / split / "state.json")
            rows = part / split / state["_data_files"][0]["filename"]
            with (
                pyarrow.OSFile(str(rows), "wb") as file,
                pyarrow.ipc.new_stream(file, schema) as to,
            ):
                for block in _blocks(path, schema):
                    to.write_batch(block)
            fingerprint = file_digest(rows)[:16]
            write_json(part / split / "state.json", state | {"_fingerprint": fingerprint})
    return ["dataset"]


def _schema(wanted: Path) -> Any:
    """The columns of a Dialogue, for pyarrow; fails where the extra is not installed."""
    optional_package("datasets", str(wanted))  # which pyarrow comes with
    import pyarrow as pa

    text = pa.string()
    columns = {
        "id": text,
        "turns": pa.list_(pa.struct([("role", text), ("content", text)])),
        **dict.fromkeys(("source", "teacher", "licence", "origin"), text),
        "cut": pa.bool_(),
    }
    return pa.schema(list(columns.items()))


def _blocks(path: Path, schema: Any) -> Iterator[Any]:
    """The dialogues of a JSONL file as record batches of a bounded size."""
    import pyarrow as pa

    rows: list[dict[str, Any]] = []
    characters = 0
    for dialogue in read_dialogues(path):
        rows.append(dialogue.model_dump(exclude={"turns": {"__all__": {"input"}}}))
        characters += sum(len(turn.content) for turn in dialogue.turns)
        if len(rows) == BLOCK_ROWS or characters >= BLOCK_CHARACTERS:
            yield pa.RecordBatch.from_pylist(rows, schema)
            rows, characters = [], 0
    if rows:
        yield pa.RecordBatch.from_pylist(rows, schema)


WRITERS: dict[str, Callable[[dict[str, Path], Path], list[str]]] = {
    "parquet": _parquet,
    "messages": _messages,
    "sharegpt": _sharegpt,
    "datasets": _datasets,
}
