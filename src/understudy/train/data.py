"""Token rows and batches: dialogues packed for fine-tuning, plain text cut for pretraining.

A row holds up to `context` tokens. Dialogues that share a row do not see each other: each counts
its positions from 0, from which transformers builds a block-diagonal causal mask (when no attention
mask is given). Batch k is a pure function of the rows, the seed and k.
"""

import random
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from understudy.dialogue import Dialogue, read_dialogues
from understudy.errors import UserError
from understudy.progress import progress
from understudy.train.template import Encoded, Template

IGNORED = -100


@dataclass(frozen=True)
class Batch:
    """What one forward pass takes.

    Attributes:
        ids: token ids, shape (rows, length).
        positions: place of each token in its dialogue, same shape; None where rows are plain text.
        where: flat indices into (rows * length) of the tokens whose successor is supervised.
        targets: the successors' ids, same shape as `where`.
    """

    ids: Tensor
    positions: Tensor | None
    where: Tensor
    targets: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same batch on `device`."""
        positions = None if self.positions is None else self.positions.to(device)
        return Batch(self.ids.to(device), positions, self.where.to(device), self.targets.to(device))


class Rows(Protocol):
    """Rows of tokens of which any few can be put into a batch."""

    def __len__(self) -> int:
        """How many rows there are."""

    def length(self, index: int) -> int:
        """How many tokens row `index` has."""

    def collate(self, indices: Sequence[int]) -> Batch:
        """The rows at `indices` as one batch."""


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
        starts = np.array(indices)[:, None] * self.context
        window = self.tokens[starts + np.arange(self.context + 1)].astype(np.int64)
        ids, targets = torch.from_numpy(window[:, :-1]), torch.from_numpy(window[:, 1:])
        return Batch(ids, None, torch.arange(ids.numel()), targets.flatten())


@dataclass(frozen=True)
class DialogueRows:
    """Encoded dialogues, several to a row."""

    rows: list[list[Encoded]]

    def __len__(self) -> int:
        return len(self.rows)

    def length(self, index: int) -> int:
        return sum(len(encoded.ids) for encoded in self.rows[index])

    def collate(self, indices: Sequence[int]) -> Batch:
        """The rows, filled up on the right with tokens that nothing supervised can see."""
        shape = len(indices), max(self.length(index) for index in indices)
        ids, positions = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
        targets = torch.full(shape, IGNORED)
        for row, index in enumerate(indices):
            start = 0
            for encoded in self.rows[index]:
                end = start + len(encoded.ids)
                ids[row, start:end] = torch.tensor(encoded.ids)
                positions[row, start:end] = torch.arange(end - start)
                following = torch.where(
                    torch.tensor(encoded.supervised[1:], dtype=torch.bool),
                    ids[row, start + 1 : end],
                    IGNORED,
                )
                targets[row, start : end - 1] = following
                start = end
            positions[row, start:] = torch.arange(shape[1] - start)
        where = (targets.flatten() != IGNORED).nonzero().squeeze(1)
        return Batch(ids, positions, where, targets.flatten()[where])


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
        return [_order(self.rows, self.seed, p // self.rows)[p % self.rows] for p in places]


@lru_cache(maxsize=2)
def _order(rows: int, seed: int, epoch: int) -> list[int]:
    order = list(range(rows))
    random.Random(f"{seed}:{epoch}").shuffle(order)
    return order


def micro_batches(rows: Rows, indices: Sequence[int], tokens: int) -> list[list[int]]:
    """Split `indices` into runs whose batch has at most `tokens` tokens, filling included.

    A single row that is longer makes a batch of its own.
    """
    runs: list[list[int]] = []
    longest = 0
    for index in indices:
        longest = max(longest, rows.length(index))
        if runs and (len(runs[-1]) + 1) * longest <= tokens:
            runs[-1].append(index)
        else:
            runs.append([index])
            longest = rows.length(index)
    return runs


def encode_dialogue(dialogue: Dialogue, template: Template) -> Encoded:
    """Encode a dialogue; an answer that is known to be cut short keeps no end token.

    An end token there would teach the model to stop in mid-sentence (GPT4All, TRAINING_LOG.md).
    """
    encoded = template.encode(dialogue.messages())
    if not (dialogue.cut and any(encoded.supervised)):
        return encoded
    end = max(i for i, supervised in enumerate(encoded.supervised) if supervised)
    return Encoded(encoded.ids[:end], encoded.supervised[:end])


def read_encoded(path: Path, template: Template, context: int) -> tuple[list[Encoded], int]:
    """The dialogues of a file as token ids, and how many had to be cut to `context`.

    A dialogue that is cut loses its end, end token included; one of which no supervised token is
    left is not among them.
    """
    dialogues = list(read_dialogues(path))
    kept, too_long = [], 0
    with progress(f"tokens of {path.name}", len(dialogues)) as task:
        for dialogue in dialogues:
            try:
                whole = encode_dialogue(dialogue, template)
            except UserError as error:
                raise UserError(f"{path}, dialogue {dialogue.id}: {error}") from error
            too_long += len(whole.ids) > context
            encoded = Encoded(whole.ids[:context], whole.supervised[:context])
            if any(encoded.supervised):
                kept.append(encoded)
            task.advance()
    return kept, too_long


def pack(dialogues: Iterable[Encoded], context: int) -> DialogueRows:
    """Put dialogues into rows of at most `context` tokens, each into the row it fills up best.

    Best-fit decreasing: longest first, into the fullest row that still has room (Ding et al. 2024,
    "Fewer Truncations Improve Language Modeling", section 2).
    """
    rows: list[list[Encoded]] = []
    open_rows: list[deque[int]] = [deque() for _ in range(context + 1)]  # by free room
    for encoded in sorted(dialogues, key=lambda encoded: -len(encoded.ids)):
        size = len(encoded.ids)
        free = next((room for room in range(size, context + 1) if open_rows[room]), None)
        if free is None:
            rows.append([])
            index, free = len(rows) - 1, context
        else:
            index = open_rows[free].popleft()
        rows[index].append(encoded)
        open_rows[free - size].append(index)
    return DialogueRows(rows)
