"""Log-likelihoods in passes over a tree equal those of one row at a time."""

import copy
import random

import pytest
import torch

from evaluate.engines.families import SHARING, counted, drawn_rows, model_of, read_alone
from understudy.evaluate.engines.likelihood import weigh
from understudy.evaluate.engines.text import Row
from understudy.evaluate.engines.tree import grow, tokens_in

ANY = 10**6
BOUNDS = [(1, 1), (70, 9), (ANY, ANY)]  # tokens and reads of a pass


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return drawn_rows(random.Random(0), 16)


def weighed(family: str, rows: list[Row], most_tokens: int, most_reads: int) -> list[list[float]]:
    """By row; each comes once, with what it took."""
    found: dict[int, list[float]] = {}
    for index, values, seconds in weigh(model_of(family), rows, most_tokens, most_reads):
        assert index not in found
        assert seconds is not None
        assert seconds > 0
        found[index] = values
    return [found[index] for index in range(len(rows))]


@pytest.mark.parametrize("family", SHARING)
def test_numbers_are_those_of_one_row_at_a_time(family: str, rows: list[Row]) -> None:
    expected = [read_alone(model_of(family), row) for row in rows]
    for most_tokens, most_reads in BOUNDS:
        found = weighed(family, rows, most_tokens, most_reads)
        assert found == [pytest.approx(values, abs=1e-4) for values in expected]


def test_what_is_shared_may_be_read() -> None:
    """At each place of a beginning, by several rows, at times the same token."""
    start = list(range(20, 40))
    ends = [[5], [6, 7], [8]]
    read = [
        Row(start + end, [(place, token) for place in range(20) for token in (place, 3)])
        for end in ends
    ]
    shared, *_ = grow([row.ids for row in read])
    assert len(shared.ids) == 20
    expected = [read_alone(model_of("mistral"), row) for row in read]
    for bounds in BOUNDS:
        found = weighed("mistral", read, *bounds)
        assert found == [pytest.approx(values, abs=1e-4) for values in expected]


@pytest.mark.parametrize("family", ["gpt2", "mistral", "qwen2", "gemma3"])
def test_bf16_stays_close_to_its_own(family: str, rows: list[Row]) -> None:
    model = copy.deepcopy(model_of(family)).to(torch.bfloat16)
    for bounds in BOUNDS:
        for index, values, _ in weigh(model, rows, *bounds):
            assert values == pytest.approx(read_alone(model, rows[index]), abs=0.1)


@pytest.mark.parametrize("bounds", BOUNDS)
def test_a_shared_token_is_computed_once(rows: list[Row], bounds: tuple[int, int]) -> None:
    nodes = grow([row.ids for row in rows])
    with counted(model_of("llama").get_input_embeddings(), 1) as tokens:
        weighed("llama", rows, *bounds)
    assert sum(tokens) == tokens_in(nodes)
    assert sum(tokens) < 0.6 * sum(len(row.ids) for row in rows)
    longest = max(len(node.ids) for node in nodes)
    assert max(tokens) <= max(bounds[0], longest)
    assert len(tokens) == {1: len(nodes), ANY: 1}.get(bounds[0], len(tokens))


def test_the_head_runs_where_something_is_read() -> None:
    start = list(range(1, 31))
    rows = [Row([*start, end], [(30, 4), (30, 5)]) for end in range(40, 60)]
    rows += [rows[0], Row([*start, 70, 71, 72], [(31, 4)])]
    with counted(model_of("llama").get_output_embeddings(), 1) as places:
        weighed("llama", rows, ANY, ANY)
        assert places == [21]  # equal rows are read together
        weighed("llama", rows, ANY, 8)
    assert max(places[1:]) == 8
    assert sum(places[1:]) == 21
    with counted(model_of("llama").get_output_embeddings(), 1) as places:
        weighed("llama", rows, 1, ANY)
    assert sum(places) == 22, "where nothing is read, the head runs at one place"


def test_rows_come_as_they_are_done() -> None:
    """Before the rest is computed, so that whoever asked can keep them."""
    rows = [Row([first, *range(1, 9)], [(8, 2)]) for first in range(20)]
    with counted(model_of("gpt2").get_input_embeddings(), 1) as tokens:
        index, _, _ = next(weigh(model_of("gpt2"), rows, 9, 9))
        assert tokens == [9]
    assert index == 0


def test_no_rows() -> None:
    assert not list(weigh(model_of("gpt2"), [], 9, 9))
