"""Dialogues as tokens on disk: encoded once, then memory-mapped by every start.

A file of dialogues becomes a folder of plain arrays, one after the other without filling, and a
header that says what they were made of. The header is written last and the folder renamed into
place, so it is there whole or not at all. Only some parts of the file are in memory at a time.
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, TextIO, cast

import numpy as np

from understudy.dialogue import Dialogue, read_dialogues
from understudy.errors import UserError
from understudy.files import (
    digest,
    file_digest,
    open_text,
    read_json,
    read_jsonl,
    whole_folder,
    write_json,
)
from understudy.progress import Task, progress
from understudy.train.template import Encoded, Template

HEADER = "header.json"
LAYOUT = 1  # raised when other ids or other files come of the same dialogues
PART = 1000  # dialogues encoded at once
PART_CHARACTERS = 1 << 20  # of text after which a part is closed early
AHEAD = 2  # parts that wait for each worker
LARGE = 1 << 27  # bytes of dialogues for which workers, who take seconds to come up, are worth it
WORKERS = 8  # at most: this process reads for no more
SIZES = ("offsets", "target_offsets", "name_offsets")  # columns of running sums, from 0
Numbered = tuple[Dialogue, int]  # a dialogue and its line


@dataclass(frozen=True)
class Tokens:
    """Encoded dialogues, d of them with n tokens in all.

    A target is a supervised token with a predecessor in its dialogue: one that can be predicted.

    Attributes:
        ids: token ids, one dialogue after the other, shape (n,), uint16 or uint32.
        supervised: whether the loss is taken on each, shape (n,).
        offsets: where each dialogue begins, and n at the end, shape (d + 1,).
        target_offsets: targets before each dialogue, and all at the end, shape (d + 1,).
        lines: line of each dialogue in its file, from 1, shape (d,).
        names: the dialogues' ids in UTF-8, one after the other.
        name_offsets: where each of them begins, and their end, shape (d + 1,).
        cut: dialogues among these that were longer than the context and lost their end.
        empty: dialogues without a target within the context, which are not among these.
    """

    ids: np.ndarray
    supervised: np.ndarray
    offsets: np.ndarray
    target_offsets: np.ndarray
    lines: np.ndarray
    names: np.ndarray
    name_offsets: np.ndarray
    cut: int
    empty: int

    def __len__(self) -> int:
        return len(self.lines)

    def name(self, index: int) -> str:
        """The id of dialogue `index`."""
        start, end = self.name_offsets[index : index + 2]
        return self.names[start:end].tobytes().decode()


def encode_dialogue(dialogue: Dialogue, template: Template) -> Encoded:
    """Encode a dialogue; an answer that is known to be cut short keeps no end token.

    An end token there would teach the model to stop in mid-sentence (GPT4All, TRAINING_LOG.md).
    """
    return _without_end(dialogue, template.encode(dialogue.messages_with_inputs()))


def _without_end(dialogue: Dialogue, encoded: Encoded) -> Encoded:
    if not (dialogue.cut and any(encoded.supervised)):
        return encoded
    end = max(i for i, supervised in enumerate(encoded.supervised) if supervised)
    return Encoded(encoded.ids[:end], encoded.supervised[:end])


def encode_file(path: Path, template: Template, context: int, folder: Path) -> Tokens:
    """The dialogues of a file as tokens in `folder`, encoded now if they are not there yet.

    What is there is used again if it was made of the same data, tokenizer, template and context;
    otherwise it is replaced. A large file is encoded by several processes, a small one by the
    tokenizer's threads; the outcome is the same. One process at a time may write a folder.

    Args:
        path: dialogues, JSONL.
        template: how they are encoded.
        context: tokens after which a dialogue is cut. No end token is put there.
        folder: belongs to these tokens alone.

    Raises:
        UserError: a line is no dialogue, the template refuses one, or the disk is full.
    """
    key = digest([LAYOUT, file_digest(path), _identity(template), context])
    if not _is_whole(folder, key):
        with whole_folder(folder) as part:
            _encode(path, template, context, part, key)
    return _open(folder)


def _identity(template: Template) -> list[Any]:
    """All that a dialogue's ids depend on, beside the dialogue."""
    tokenizer = template.tokenizer
    return [
        tokenizer.backend_tokenizer.to_str(),
        tokenizer.chat_template,
        tokenizer.special_tokens_map,
        template.end,
        repr(template.format),
    ]


# Files


def _is_whole(folder: Path, key: str) -> bool:
    if not (folder / HEADER).exists():
        return False
    header = read_json(folder / HEADER)
    return header["key"] == key and all(
        (folder / name).exists() and (folder / name).stat().st_size == size
        for name, size in header["bytes"].items()
    )


def _open(folder: Path) -> Tokens:
    header = read_json(folder / HEADER)
    columns = {name: _mapped(folder / name, kind) for name, kind in header["columns"].items()}
    return Tokens(**columns, cut=header["cut"], empty=header["empty"])


def _mapped(file: Path, kind: str) -> np.ndarray:
    if not file.stat().st_size:  # of which there is no map
        return np.empty(0, kind)
    return np.memmap(file, kind, "r").view(np.ndarray)  # slicing the subclass is slow


def _encode(path: Path, template: Template, context: int, folder: Path, key: str) -> None:
    """Encode all dialogues of `path` into `folder`."""
    count, size = _measure(path)
    workers = min(os.cpu_count() or 1, WORKERS) if size > LARGE else 1
    encoder = Encoder(path, template, context)
    with (
        progress(f"tokens of {path.name}", count) as task,
        closing(_parts(encoder, workers)) as parts,
    ):
        _write(folder, key, encoder.kinds, parts, task)


def _measure(path: Path) -> tuple[int, int]:
    """How many lines of a file are not blank, and their bytes."""
    count = size = 0
    with open_text(path) as file:
        for line in cast(TextIO, file).buffer:
            count += not line.isspace()
            size += len(line)
    return count, size


def _write(
    folder: Path, key: str, kinds: dict[str, str], parts: Iterator["_Part"], task: Task
) -> None:
    cut = empty = 0
    sums = dict.fromkeys(SIZES, 0)
    with ExitStack() as stack:
        files = {name: stack.enter_context(open(folder / name, "wb")) for name in kinds}
        for name in SIZES:
            files[name].write(np.zeros(1, kinds[name]).tobytes())
        for part in parts:
            for name, column in part.columns.items():
                if name in sums:
                    column = sums[name] + np.cumsum(column)
                    sums[name] = column[-1] if len(column) else sums[name]
                files[name].write(column.tobytes())
            cut, empty = cut + part.cut, empty + part.empty
            task.advance(part.dialogues)
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
        sizes = {name: file.tell() for name, file in files.items()}
    header = {"key": key, "columns": kinds, "bytes": sizes, "cut": cut, "empty": empty}
    write_json(folder / HEADER, header)


# Encoding, here or in workers


@dataclass(frozen=True)
class _Part:
    """Some dialogues' columns, sizes in place of sums, and how many there were."""

    columns: dict[str, np.ndarray]
    dialogues: int
    cut: int
    empty: int


class Encoder:
    """Turns dialogues of one file into columns.

    Args:
        path: the file's, for messages.
        template: how they are encoded.
        context: tokens after which a dialogue is cut.
    """

    def __init__(self, path: Path, template: Template, context: int) -> None:
        self.path, self.template, self.context = path, template, context
        largest = max(template.tokenizer.get_vocab().values())
        self.kinds = {
            "ids": "uint16" if largest < 1 << 16 else "uint32",
            "supervised": "bool",
            "lines": "int64",
            "names": "uint8",
        } | dict.fromkeys(SIZES, "int64")

    def encode(self, numbered: Sequence[Numbered]) -> _Part:
        """The columns of some dialogues."""
        ids: list[int] = []
        supervised: list[bool] = []
        numbers: list[tuple[int, int, int, int]] = []  # line, tokens, targets, bytes of the name
        names = b""
        cut = 0
        for (dialogue, line), whole in zip(numbered, self._encoded(numbered), strict=True):
            flags = whole.supervised[: self.context]
            targets = sum(flags[1:])
            if not targets:
                continue
            cut += len(whole.ids) > self.context
            ids += whole.ids[: self.context]
            supervised += flags
            name = dialogue.id.encode()
            numbers.append((line, len(flags), targets, len(name)))
            names += name
        lines, *sizes = np.array(numbers, "int64").reshape(-1, 4).T
        columns = {
            "ids": np.array(ids, self.kinds["ids"]),
            "supervised": np.array(supervised, "bool"),
            "lines": lines,
            "names": np.frombuffer(names, "uint8"),
        } | dict(zip(SIZES, sizes, strict=True))
        return _Part(columns, len(numbered), cut, len(numbered) - len(numbers))

    def _encoded(self, numbered: Sequence[Numbered]) -> list[Encoded]:
        """Every dialogue encoded; where the template refuses one, the error names it."""
        dialogues = [dialogue for dialogue, _ in numbered]
        try:
            encoded = self.template.encode_many(
                [dialogue.messages_with_inputs() for dialogue in dialogues]
            )
        except UserError:
            for dialogue in dialogues:
                try:
                    self.template.encode(dialogue.messages_with_inputs())
                except UserError as error:
                    raise UserError(f"{self.path}, dialogue {dialogue.id}: {error}") from error
            raise
        return list(map(_without_end, dialogues, encoded))


def _batches(path: Path) -> Iterator[list[Numbered]]:
    """The dialogues of a file, some at a time."""
    batch: list[Numbered] = []
    size = 0
    numbers = (number for number, _ in read_jsonl(path))
    for numbered in zip(read_dialogues(path), numbers, strict=True):
        batch.append(numbered)
        size += sum(len(turn.content) for turn in numbered[0].turns)
        if len(batch) == PART or size > PART_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _parts(encoder: Encoder, workers: int) -> Generator[_Part, None, None]:
    """All parts in the file's order, which is read no further ahead than workers can soon take."""
    if workers < 2:
        yield from map(encoder.encode, _batches(encoder.path))
        return
    with _pool(encoder, workers) as pool:
        waiting: deque[Future[_Part]] = deque()
        for batch in _batches(encoder.path):
            waiting.append(pool.submit(_work, batch))
            if len(waiting) > AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextmanager
def _pool(encoder: Encoder, workers: int) -> Iterator[ProcessPoolExecutor]:
    """Workers that hold the encoder; what they have not begun is dropped on errors.

    They are spawned: a fork of a process in which torch has threads may hang.
    """
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin, (encoder,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


_here: Encoder | None = None


def _begin(encoder: Encoder) -> None:
    """Set a worker up: it leaves Ctrl-C to its parent, and ends when its parent is no more."""
    global _here
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the other cores have workers of their own
    _here = encoder


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(batch: list[Numbered]) -> _Part:
    assert _here is not None
    return _here.encode(batch)
