"""Rows of tokens as a radix tree, in which what rows begin with in common stands once.

A node holds a run of tokens. `Walk` takes the tree through a model in lines: a line is a stretch of
the nodes in preorder, so that whatever follows on a node in it is one stretch, too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

# A node costs an attention call and a merge over everything below it, about a thirtieth of what
# those tokens cost by themselves. It has to save more than that.
WORTH = 1 / 16
LEAST_SAVED = 16  # tokens

Ids = NDArray[np.int64]


@dataclass(eq=False)
class Node:
    """A run of tokens.

    Attributes:
        ids: the tokens.
        start: the place of the first of them in the rows.
        rows: those that end with it.
        children: how the other rows go on.
        path: the nodes before it, from the first.
        place: in preorder.
        end: the place behind the last node below it.
    """

    ids: Ids
    start: int
    rows: list[int] = field(default_factory=list)
    children: list["Node"] = field(default_factory=list)
    path: tuple["Node", ...] = ()
    place: int = 0
    end: int = 0

    @property
    def stop(self) -> int:
        return self.start + len(self.ids)


@dataclass(frozen=True)
class Line:
    """Nodes that go through the model together.

    Attributes:
        nodes: in preorder.
        starts: where each begins in the line, and the line's length at the end.
        looks: (node, start, stop): the tokens of the line that follow on the node and see it. The
            node is in the line or was in an earlier one.
        needed: those of the nodes that later lines see.
        spent: nodes of earlier lines that no later one sees.
    """

    nodes: list[Node]
    starts: list[int]
    looks: list[tuple[Node, int, int]]
    needed: list[Node]
    spent: list[Node]

    @property
    def ids(self) -> Ids:
        return np.concatenate([node.ids for node in self.nodes])

    @property
    def positions(self) -> Ids:
        return np.concatenate([np.arange(node.start, node.stop) for node in self.nodes])


def grow(rows: Sequence[Sequence[int]]) -> list[Node]:
    """The tree of rows, none of them empty, as its nodes in preorder.

    Beginnings that are not worth a node are repeated in each node below.
    """
    arrays = [np.asarray(row, dtype=np.int64) for row in rows]
    # Big-endian bytes are in the order of the numbers, and compared much faster than lists.
    order = sorted(range(len(rows)), key=lambda row: arrays[row].astype(">u4").tobytes())
    root = Node(np.empty(0, dtype=np.int64), 0)
    branch, before = [root], root.ids
    for row in order:
        ids = arrays[row]
        shared = _common(before, ids)
        while branch[-1] is not root and branch[-1].start >= shared:
            branch.pop()
        last = branch[-1]
        if last.stop > shared:
            kept = shared - last.start
            rest = Node(last.ids[kept:], shared, last.rows, last.children)
            last.ids, last.rows, last.children = last.ids[:kept], [], [rest]
        if len(ids) > shared:
            branch.append(Node(ids[shared:], shared))
            last.children.append(branch[-1])
        branch[-1].rows.append(row)
        before = ids
    _prune(root)
    return _in_preorder(root)


def tokens_in(nodes: Sequence[Node]) -> int:
    """How many tokens the nodes hold."""
    return sum(len(node.ids) for node in nodes)


class Walk:
    """Takes nodes in preorder through a model, a line at a time."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = nodes
        self._next = 0
        self._open: list[Node] = []  # of earlier lines, seen by later ones

    def __bool__(self) -> bool:
        return self._next < len(self._nodes)

    def line(self, most_tokens: int, most: int, costs: Sequence[int]) -> Line:
        """The next nodes: one, and as many more as keep the line to `most_tokens` tokens and the
        sum of their costs (one a node, by its place) to `most`."""
        first = self._next
        tokens = cost = 0
        nodes: list[Node] = []
        for node in self._nodes[first:]:
            tokens, cost = tokens + len(node.ids), cost + costs[node.place]
            if nodes and (tokens > most_tokens or cost > most):
                break
            nodes.append(node)
        self._next = behind = first + len(nodes)
        starts = [0, *np.cumsum([len(node.ids) for node in nodes]).tolist()]
        seen = dict.fromkeys(above for node in nodes for above in node.path)
        looks = []
        for above in seen:
            start = starts[max(above.place + 1 - first, 0)]
            looks.append((above, start, starts[min(above.end, behind) - first]))
        needed = [node for node in nodes if node.end > behind]
        spent = [node for node in self._open if node.end <= behind]
        self._open = [node for node in (*self._open, *nodes) if node.end > behind]
        return Line(nodes, starts, looks, needed, spent)


def _common(one: Ids, other: Ids) -> int:
    """How many tokens two rows begin with in common."""
    length = min(len(one), len(other))
    differ = np.flatnonzero(one[:length] != other[:length])
    return int(differ[0]) if len(differ) else length


def _prune(root: Node) -> None:
    """Dissolve the nodes that save too little, the lowest first."""
    below: dict[Node, int] = {}  # tokens
    for node in reversed(list(_descend(root))):
        kept: list[Node] = []
        for child in node.children:
            ways = len(child.children) + bool(child.rows)
            saved = (ways - 1) * len(child.ids)
            if not child.children or saved >= LEAST_SAVED + WORTH * below[child]:
                kept.append(child)
                continue
            for heir in child.children:
                heir.ids, heir.start = np.concatenate([child.ids, heir.ids]), child.start
            kept += child.children
            if child.rows:
                kept.append(child)
                child.children = []
        node.children = kept
        below[node] = sum(len(child.ids) + below.get(child, 0) for child in kept)


def _descend(root: Node) -> Iterator[Node]:
    """A node and all below it, in preorder."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(node.children)


def _in_preorder(root: Node) -> list[Node]:
    """The nodes below the root, told their places."""
    nodes = list(_descend(root))[1:]
    for place, node in enumerate(nodes):
        node.place = place
        for child in node.children:
            child.path = (*node.path, node)
    for node in reversed(nodes):
        node.end = node.children[-1].end if node.children else node.place + 1
    return nodes
