"""How likely tokens are, in passes over a tree of the rows.

What rows begin with in common is computed once; the head runs where something is read, and nothing
is padded.
"""

import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from understudy.evaluate.engines.attention import KeysValues, TreeLayout, logits
from understudy.evaluate.engines.text import Row
from understudy.evaluate.engines.tree import Line, Node, Walk, grow

NORMALISED = 1 << 22  # logits whose normalisers are computed at once


def weigh(
    model: PreTrainedModel, rows: Sequence[Row], most_tokens: int, most_reads: int
) -> Iterator[tuple[int, list[float], float | None]]:
    """The log-likelihoods (nats) that the rows read, row by row as they are done.

    Args:
        model: a causal LM that takes lines (`local.takes_lines`).
        rows: what to read; `ids` fit the model's context.
        most_tokens: of one pass.
        most_reads: places of one pass where the head runs.
    """
    nodes = grow([row.ids for row in rows])
    reads = _by_node(nodes, rows)
    costs = [len(reads[node]) for node in nodes]
    values = [[0.0] * len(row.reads) for row in rows]
    earlier: dict[Node, list[KeysValues]] = {}
    walk, begun = Walk(nodes), time.perf_counter()
    while walk:
        line = walk.line(most_tokens, most_reads, costs)
        layout = TreeLayout(line, earlier, line.needed, model.device)
        for row, read, value in _read(model, line, layout, reads):
            values[row][read] = value
        for node in line.spent:
            del earlier[node]
        done = [row for node in line.nodes for row in node.rows]
        now = time.perf_counter()
        for row in done:
            yield row, values[row], (now - begun) / len(done)
        if done:
            begun = now


# Of each node, by the place in it: (row, which of its reads, token).
Reads = dict[Node, dict[int, list[tuple[int, int, int]]]]


def _by_node(nodes: Sequence[Node], rows: Sequence[Row]) -> Reads:
    """Where in the tree the rows are read."""
    reads: Reads = {node: {} for node in nodes}
    for last in nodes:
        for row in last.rows:
            path = [*last.path, last]
            for read, (position, token) in enumerate(rows[row].reads):
                node = next(node for node in path if position < node.stop)
                there = reads[node].setdefault(position - node.start, [])
                there.append((row, read, token))
    return reads


@torch.inference_mode()
def _read(
    model: PreTrainedModel, line: Line, layout: TreeLayout, reads: Reads
) -> list[tuple[int, int, float]]:
    """(row, which of its reads, log-likelihood) of all that is read in a line."""
    found = []
    where: list[int] = []
    for node, start in zip(line.nodes, line.starts, strict=False):
        for offset, wanted in reads[node].items():
            found += [(row, read, len(where), token) for row, read, token in wanted]
            where.append(start + offset)
    scores = run(model, line, layout, where or [0])
    if not found:
        return []
    places, tokens = torch.tensor([(place, token) for _, _, place, token in found]).unbind(1)
    rows = max(1, NORMALISED // scores.shape[1])
    norms = torch.cat([part.float().logsumexp(-1) for part in scores.split(rows)])
    places, tokens = places.to(scores.device), tokens.to(scores.device)
    values = (scores[places, tokens].float() - norms[places]).tolist()
    return [(row, read, value) for (row, read, *_), value in zip(found, values, strict=True)]


def run(model: PreTrainedModel, line: Line, layout: TreeLayout, where: Sequence[int]) -> Tensor:
    """The logits, (places, vocabulary), at places of a line."""
    ids, positions, kept = (
        torch.as_tensor(values, device=model.device) for values in (line.ids, line.positions, where)
    )
    return logits(model, layout, ids, positions, logits_to_keep=kept)
