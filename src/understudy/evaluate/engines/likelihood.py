"""Log-likelihoods of tokens under a causal LM, without computing anything twice.

Rows that begin with the same tokens (the examples of a few-shot prompt) share one forward pass over
them: its keys and values are kept and every row continues from there. Tokens behind a row's last
one cannot be seen by it, so rows of unlike lengths are padded on the right and need no mask. Logits
are computed at the positions that are read, and nowhere else.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel

from understudy.progress import Task

MOST_ROWS = 32  # a forward pass; bounds the logits, rows × positions × vocabulary
LEAST_SHARED = 0.5  # a row joins a group unless that costs the group more of its prefix


@dataclass(frozen=True)
class Row:
    """Token ids, and (position, token) pairs: how likely is the token after that position?"""

    ids: list[int]
    reads: list[tuple[int, int]]


@dataclass
class _Group:
    """Rows, by index, that share their first `prefix` tokens."""

    prefix: int
    rows: list[int] = field(default_factory=list)


@torch.inference_mode()
def log_likelihoods(
    model: PreTrainedModel, rows: Sequence[Row], most_tokens: int, task: Task
) -> list[list[float]]:
    """The log-likelihood (nats) of each token that the rows read.

    Args:
        model: a causal LM.
        rows: what to read; `ids` fit the model's context.
        most_tokens: keys and values held at once, in tokens.
        task: advanced by one a row.
    """
    found: list[list[float]] = [[] for _ in rows]
    for group in _groups(rows):
        first = rows[group.rows[0]].ids[: group.prefix]
        shared = _shared(model, first) if first else None
        for batch in _batches(group, rows, most_tokens):
            values = _read(model, [rows[index] for index in batch], group.prefix, shared)
            for index, value in zip(batch, values, strict=True):
                found[index] = value
            task.advance(len(batch))
    return found


def _groups(rows: Sequence[Row]) -> list[_Group]:
    """Rows that share a prefix worth sharing; those that share none make one group without."""
    groups: list[_Group] = []
    for index in sorted(range(len(rows)), key=lambda index: rows[index].ids):
        row = rows[index]
        longest = min(position for position, _ in row.reads)  # what is read is not in the prefix
        if groups:
            last = groups[-1]
            shared = _common(rows[last.rows[0]].ids[: last.prefix], row.ids[:longest])
            if shared >= LEAST_SHARED * last.prefix and shared > 0:
                last.prefix = shared
                last.rows.append(index)
                continue
        groups.append(_Group(longest, [index]))
    sharing = [group for group in groups if len(group.rows) > 1]
    alone = [group.rows[0] for group in groups if len(group.rows) == 1]
    return [*sharing, *([_Group(0, alone)] if alone else [])]


def _common(first: list[int], second: list[int]) -> int:
    """How many tokens two rows begin with in common."""
    pairs = zip(first, second, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))


def _batches(group: _Group, rows: Sequence[Row], most_tokens: int) -> list[list[int]]:
    """A group's rows, the longest first, in batches that keep to the bounds."""
    batches: list[list[int]] = []
    width = 0
    for index in sorted(group.rows, key=lambda index: -len(rows[index].ids)):
        full = not batches or len(batches[-1]) == MOST_ROWS
        if full or (len(batches[-1]) + 1) * width > most_tokens:
            batches.append([])
            width = len(rows[index].ids)
        batches[-1].append(index)
    return batches


def _shared(model: PreTrainedModel, ids: list[int]) -> DynamicCache:
    """Keys and values of a prefix."""
    cache = DynamicCache(config=model.config)
    given = torch.tensor([ids], device=model.device)
    model(given, past_key_values=cache, use_cache=True, logits_to_keep=1)
    return cache


def _read(
    model: PreTrainedModel, rows: list[Row], prefix: int, shared: DynamicCache | None
) -> list[list[float]]:
    """The log-likelihoods that one batch of rows reads behind a prefix."""
    ids = torch.zeros(
        len(rows), max(len(row.ids) for row in rows) - prefix, dtype=torch.long
    )  # padded with any token
    for place, row in enumerate(rows):
        ids[place, : len(row.ids) - prefix] = torch.tensor(row.ids[prefix:])
    positions = sorted({position - prefix for row in rows for position, _ in row.reads})
    options: dict[str, Any] = {"use_cache": False}
    if shared is not None:
        cache = copy.deepcopy(shared)  # the pass appends to it
        cache.batch_repeat_interleave(len(rows))
        options = {"use_cache": True, "past_key_values": cache}
    kept = torch.tensor(positions, device=model.device)
    logits = model(ids.to(model.device), logits_to_keep=kept, **options).logits
    scores = logits.float().log_softmax(-1).cpu()  # rows × positions × vocabulary
    where = {position: place for place, position in enumerate(positions)}
    return [
        [scores[place, where[position - prefix], token].item() for position, token in row.reads]
        for place, row in enumerate(rows)
    ]
