"""Rows and batches of tokens: dialogues packed for fine-tuning, plain text cut for pretraining.

A batch is one line of tokens: the dialogues of its rows one after the other, without filling, each
with positions from 0. Rows say which dialogues go together: several where they are packed, so that
steps have about the same size, or one. Step k is a pure function of the rows, the seed and k.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from heapq import heapify, heappop, heappush
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from understudy.train.tokens import Tokens


@dataclass(frozen=True)
class TopK:
    """The teacher's likeliest tokens at m targets.

    A target about which it said nothing has only fillers.

    Attributes:
        ids: shape (m, k), int64; -1 fills up.
        logprobs: shape (m, k), float32; -inf fills up.
    """

    ids: Tensor
    logprobs: Tensor


@dataclass(frozen=True)
class Batch:
    """What one forward pass takes: n tokens, m of which have a target after them.

    Attributes:
        ids: token ids of all dialogues, one after the other, shape (n,), int64.
        positions: place of each token in its dialogue, shape (n,).
        starts: where each dialogue begins, and n at the end.
        where: places of the tokens whose successor is a target, in order, shape (m,).
        targets: the successors' ids, shape (m,).
        teacher: what the teacher would have said in their place, or None.
    """

    ids: Tensor
    positions: Tensor
    starts: tuple[int, ...]
    where: Tensor
    targets: Tensor
    teacher: TopK | None = None

    def silent(self) -> "Batch":
        """The same batch without targets."""
        teacher = self.teacher and TopK(self.teacher.ids[:0], self.teacher.logprobs[:0])
        return replace(self, where=self.where[:0], targets=self.targets[:0], teacher=teacher)

    def to(self, device: torch.device) -> "Batch":
        """The same batch on `device`; copies to a GPU are not waited for."""

        def moved(tensor: Tensor) -> Tensor:
            if device.type != "cuda" or tensor.is_cuda:
                return tensor.to(device)
            return tensor.pin_memory().to(device, non_blocking=True)

        teacher = self.teacher and TopK(moved(self.teacher.ids), moved(self.teacher.logprobs))
        return Batch(
            moved(self.ids),
            moved(self.positions),
            self.starts,
            moved(self.where),
            moved(self.targets),
            teacher,
        )


class Rows(Protocol):
    """Rows of tokens of which any few can be put into a batch."""

    def __len__(self) -> int:
        """How many rows there are."""

    def length(self, index: int) -> int:
        """How many tokens row `index` has."""

    def collate(self, indices: Sequence[int]) -> Batch:
        """The rows at `indices` as one batch."""

    def names(self, indices: Sequence[int]) -> list[str]:
        """Which dialogues, or stretches of text, are in the rows at `indices`."""


@dataclass(frozen=True)
class TextRows:
    """Plain text cut into rows of `context` tokens, all of which are supervised.

    Attributes:
        tokens: ids of all documents, joined, shape (n,).
        context: tokens a row.
    """

    tokens: np.ndarray
    context: int

    def __len__(self) -> int:
        return (len(self.tokens) - 1) // self.context

    def length(self, index: int) -> int:
        return self.context

    def collate(self, indices: Sequence[int]) -> Batch:
        begins = np.array(indices)[:, None] * self.context
        window = self.tokens[begins + np.arange(self.context + 1)].astype(np.int64)
        ids, targets = (torch.from_numpy(part.ravel()) for part in (window[:, :-1], window[:, 1:]))
        positions = torch.arange(self.context).repeat(len(indices))
        starts = tuple(range(0, len(ids) + 1, self.context))
        return Batch(ids, positions, starts, torch.arange(len(ids)), targets)

    def names(self, indices: Sequence[int]) -> list[str]:
        begins = [index * self.context for index in indices]
        return [f"tokens {begin} to {begin + self.context - 1}" for begin in begins]


@dataclass(frozen=True)
class DialogueRows:
    """Dialogues, one or several to each of r rows.

    Attributes:
        tokens: d dialogues.
        members: which of them are in the first row, the second and so on, shape (d,).
        row_offsets: where in `members` each row begins, and d at the end, shape (r + 1,).
        teacher: its likeliest tokens at each target of `tokens`, in their order: ids of int32 (-1
            fills up) and log-probabilities (-inf fills up), shape (targets, k); or None.
    """

    tokens: Tokens
    members: np.ndarray
    row_offsets: np.ndarray
    teacher: tuple[np.ndarray, np.ndarray] | None = None

    @cached_property
    def _starts(self) -> np.ndarray:
        """Where each row would begin if all were joined, shape (r + 1,)."""
        return _sums(np.diff(self.tokens.offsets)[self.members])[self.row_offsets]

    def __len__(self) -> int:
        return len(self.row_offsets) - 1

    def length(self, index: int) -> int:
        return int(self._starts[index + 1] - self._starts[index])

    def collate(self, indices: Sequence[int]) -> Batch:
        tokens, dialogues = self.tokens, self._dialogues(indices)
        places, starts = _ranges(tokens.offsets, dialogues)
        ids = torch.from_numpy(tokens.ids[places].astype(np.int64))
        positions = np.arange(len(places)) - np.repeat(starts[:-1], np.diff(starts))
        supervised = tokens.supervised[places]
        supervised[starts[:-1]] = False  # what nothing comes before cannot be predicted
        where = torch.from_numpy(np.flatnonzero(supervised) - 1)
        teacher = None
        if self.teacher is not None:
            at, _ = _ranges(tokens.target_offsets, dialogues)
            likely, logprobs = self.teacher
            teacher = TopK(
                torch.from_numpy(likely[at].astype(np.int64)),
                torch.from_numpy(logprobs[at].astype(np.float32)),
            )
        return Batch(
            ids, torch.from_numpy(positions), tuple(starts.tolist()), where, ids[where + 1], teacher
        )

    def names(self, indices: Sequence[int]) -> list[str]:
        return [self.tokens.name(dialogue) for dialogue in self._dialogues(indices)]

    def _dialogues(self, indices: Sequence[int]) -> np.ndarray:
        places, _ = _ranges(self.row_offsets, np.asarray(indices, np.int64))
        return self.members[places]


def _sums(sizes: np.ndarray) -> np.ndarray:
    """Running sums of (n,) numbers, from 0, shape (n + 1,)."""
    return np.concatenate([[0], np.cumsum(sizes)])


def _ranges(offsets: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All places from offsets[i] to offsets[i + 1], for each i of `which` in turn.

    Also returns where in them each i's begin, and their end.
    """
    begins = offsets[which]
    sizes = offsets[which + 1] - begins
    starts = _sums(sizes)
    return np.repeat(begins - starts[:-1], sizes) + np.arange(starts[-1]), starts


def unpacked(tokens: Tokens) -> DialogueRows:
    """One dialogue a row."""
    return DialogueRows(tokens, np.arange(len(tokens)), np.arange(len(tokens) + 1))


def pack(tokens: Tokens, context: int) -> DialogueRows:
    """Put dialogues into rows of at most `context` tokens, each into the row it fills up best.

    Best-fit decreasing: longest first, into the fullest row that still has room (Ding et al. 2024,
    "Fewer Truncations Improve Language Modeling", section 2). A dialogue that is longer than
    `context` gets a row of its own.
    """
    sizes = np.diff(tokens.offsets)
    by_size = np.argsort(-sizes, kind="stable")
    row_of = np.empty(len(sizes), np.int64)  # in the order of by_size
    # Rows with as much free room are a stack: `newest` by room, `beneath` by row; -1 is none. Bit r
    # of `rooms` says that a row has room r, so the least that suffices is one shift away.
    newest, beneath, rooms = [-1] * context, list[int](), 0
    place = 0
    for size, count in reversed(list(enumerate(np.bincount(sizes).tolist()))):
        for _ in range(count):
            fitting = rooms >> size
            if fitting:
                room = size + (fitting & -fitting).bit_length() - 1
                row = newest[room]
                newest[room] = beneath[row]
                if newest[room] < 0:
                    rooms ^= 1 << room
            else:
                room, row = context, len(beneath)
                beneath.append(-1)
            left = room - size
            if left > 0:
                beneath[row] = newest[left]
                newest[left] = row
                rooms |= 1 << left
            row_of[place] = row
            place += 1
    members = by_size[np.argsort(row_of, kind="stable")]
    return DialogueRows(tokens, members, _sums(np.bincount(row_of, minlength=len(beneath))))


@dataclass(frozen=True)
class Schedule:
    """Which rows go into which optimizer step.

    Every epoch goes through all rows once, in an order of its own.

    Attributes:
        rows: how many rows there are.
        step_rows: rows an optimizer step.
        epochs: passes over the rows; may be a fraction.
        seed: orders the rows.
    """

    rows: int
    step_rows: int
    epochs: float
    seed: int

    @property
    def total(self) -> int:
        """Rows in all steps together, repeats counted."""
        return max(1, round(self.rows * self.epochs))

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return -(-self.total // self.step_rows)

    def indices(self, step: int) -> list[int]:
        """The rows of step `step`, counted from 0."""
        places = range(step * self.step_rows, min((step + 1) * self.step_rows, self.total))
        return [int(_order(self.rows, self.seed, p // self.rows)[p % self.rows]) for p in places]


@lru_cache(maxsize=2)
def _order(rows: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng(list(f"{seed}:{epoch}".encode())).permutation(rows)


def micro_batches(rows: Rows, indices: Sequence[int], tokens: int) -> list[list[int]]:
    """Split `indices` into few runs of about as many tokens each, and at most `tokens`.

    Longest first, each row goes to the run that has least so far (Graham 1969, "Bounds on
    Multiprocessing Timing Anomalies", section 5), with another run where one grows too long. A row
    that is longer than `tokens` makes a run of its own.
    """
    sized = sorted(((rows.length(index), index) for index in indices), reverse=True)
    runs = [[index] for length, index in sized if length > tokens]
    sized = [(length, index) for length, index in sized if length <= tokens]
    count = -(-sum(length for length, _ in sized) // tokens)
    while (shared := _shared(sized, count, tokens)) is None:
        count += 1
    return runs + shared


def _shared(sized: list[tuple[int, int]], count: int, tokens: int) -> list[list[int]] | None:
    """Rows (length, index) shared out among `count` runs; None if one would have over `tokens`."""
    runs: list[list[int]] = [[] for _ in range(count)]
    loads = [(0, run) for run in range(count)]
    heapify(loads)
    for length, index in sized:
        load, run = heappop(loads)
        if load + length > tokens:
            return None
        runs[run].append(index)
        heappush(loads, (load + length, run))
    return runs
