"""The tree of rows: nothing is lost, and lines say truly who sees whom."""

import random
import sys
from itertools import pairwise

import numpy as np
import pytest

from understudy.evaluate.engines import tree
from understudy.evaluate.engines.tree import LEAST_SAVED, WORTH, Node, Walk, grow, tokens_in

SEEDS = range(40)


def drawn(seed: int) -> list[list[int]]:
    """Rows of few letters, of which many begin alike."""
    rng = random.Random(seed)
    letters = rng.choice([1, 2, 50])

    def some(least: int, most: int) -> list[int]:
        return [rng.randrange(letters) for _ in range(rng.randint(least, most))]

    starts = [some(1, 60) for _ in range(4)]
    return [
        rng.choice(starts)[: rng.randint(0, 60)] + some(1, rng.choice([3, 30]))
        for _ in range(rng.randint(1, 40))
    ]


def spelt(nodes: list[Node]) -> dict[int, list[int]]:
    """Each row's tokens, from the nodes on its path."""
    found: dict[int, list[int]] = {}
    for node in nodes:
        for row in node.rows:
            assert row not in found
            path = [above.ids for above in (*node.path, node)]
            found[row] = np.concatenate(path).tolist()
    return found


def below(nodes: list[Node], node: Node) -> list[Node]:
    return [other for other in nodes if node in other.path]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_row_is_spelt_by_its_path(seed: int) -> None:
    rows = drawn(seed)
    nodes = grow(rows)
    assert spelt(nodes) == dict(enumerate(rows))
    assert tokens_in(nodes) <= sum(len(row) for row in {tuple(row) for row in rows})
    for place, node in enumerate(nodes):
        assert node.place == place
        assert node.start == sum(len(above.ids) for above in node.path)
        assert node.stop == node.start + len(node.ids)
        assert len(node.ids)
        assert [other.place for other in below(nodes, node)] == [*range(place + 1, node.end)]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_node_that_others_follow_is_worth_it(seed: int) -> None:
    rows = drawn(seed)
    nodes = grow(rows)
    for node in nodes:
        if node.children:
            ways = len(node.children) + bool(node.rows)
            tokens = tokens_in(below(nodes, node))
            assert (ways - 1) * len(node.ids) >= LEAST_SAVED + WORTH * tokens


@pytest.mark.parametrize("seed", SEEDS)
def test_where_nodes_cost_nothing_each_beginning_stands_once(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "LEAST_SAVED", 0)
    monkeypatch.setattr(tree, "WORTH", 0)
    rows = drawn(seed)
    nodes = grow(rows)
    assert spelt(nodes) == dict(enumerate(rows))
    beginnings = {tuple(row[:length]) for row in rows for length in range(1, len(row) + 1)}
    assert tokens_in(nodes) == len(beginnings)


@pytest.mark.parametrize("seed", SEEDS)
def test_lines_say_who_follows_on_whom(seed: int) -> None:
    rows, rng = drawn(seed), random.Random(seed)
    most_tokens, most = rng.choice([1, 30, 200]), rng.randint(1, 5)
    nodes = grow(rows)
    costs = [len(node.rows) for node in nodes]
    walk, gone = Walk(nodes), 0
    kept: set[Node] = set()  # of earlier lines
    while walk:
        line = walk.line(most_tokens, most, costs)
        assert line.nodes == nodes[gone : gone + len(line.nodes)]
        gone += len(line.nodes)

        def fits(some: list[Node]) -> bool:
            return tokens_in(some) <= most_tokens and sum(costs[n.place] for n in some) <= most

        assert len(line.nodes) == 1 or fits(line.nodes)
        assert gone == len(nodes) or not fits([*line.nodes, nodes[gone]])

        spans = list(pairwise(line.starts))
        assert [stop - start for start, stop in spans] == [len(node.ids) for node in line.nodes]
        assert line.ids.tolist() == [token for node in line.nodes for token in node.ids]
        places = [place for node in line.nodes for place in range(node.start, node.stop)]
        assert line.positions.tolist() == places

        seen = {above for node in line.nodes for above in node.path}
        assert {node for node, _, _ in line.looks} == seen
        assert seen <= kept | set(line.nodes)
        for above, first, last in line.looks:
            inside = [above in node.path for node in line.nodes]
            assert inside == [first <= start and stop <= last for start, stop in spans]
            assert {first, last} <= set(line.starts)

        later = {above for node in nodes[gone:] for above in node.path}
        assert set(line.needed) == later & set(line.nodes)
        assert set(line.spent) == kept - later
        kept = kept - set(line.spent) | set(line.needed)
    assert gone == len(nodes)
    assert not kept


def test_equal_rows_share_all() -> None:
    (node,) = grow([[1, 2], [1, 2], [1, 2]])
    assert node.ids.tolist() == [1, 2]
    assert sorted(node.rows) == [0, 1, 2]


def test_a_row_may_be_the_beginning_of_another() -> None:
    long = list(range(40))
    first, second = grow([[*long, 7], long])
    assert (first.rows, second.rows) == ([1], [0])
    assert second.path == (first,)
    assert second.ids.tolist() == [7]


def test_a_beginning_too_short_for_a_node_is_repeated() -> None:
    short = list(range(LEAST_SAVED - 1))
    nodes = grow([[*short, 98], [*short, 99]])
    assert [node.path for node in nodes] == [(), ()]
    shared, *ends = grow([[*short, 1, 2, 98], [*short, 1, 2, 99]])
    assert [node.path for node in ends] == [(shared,), (shared,)]
    assert len(shared.ids) == LEAST_SAVED + 1


def test_one_row_and_none() -> None:
    (node,) = grow([[5]])
    assert (node.ids.tolist(), node.rows, node.end) == ([5], [0], 1)
    assert grow([]) == []
    assert not Walk([])


def test_a_long_chain_of_rows_needs_no_recursion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row is the beginning of the next."""
    depth = sys.getrecursionlimit() + 100
    monkeypatch.setattr(tree, "LEAST_SAVED", 0)
    monkeypatch.setattr(tree, "WORTH", 0)
    nodes = grow([[1] * length for length in range(1, depth + 1)])
    assert [len(node.ids) for node in nodes] == [1] * depth
    assert len(nodes[-1].path) == depth - 1
    assert {node.end for node in nodes} == {depth}
