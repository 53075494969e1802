"""Batches hold their dialogues and nothing else, however these are packed; steps follow a seed."""

import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.train.data import (
    Batch,
    DialogueRows,
    Schedule,
    TextRows,
    micro_batches,
    pack,
    unpacked,
)
from understudy.train.template import Encoded
from understudy.train.tokens import Tokens


def tokens_of(dialogues: list[Encoded]) -> Tokens:
    """Tokens as a file of these dialogues would give, named 0, 1 and so on."""
    names = [str(i).encode() for i in range(len(dialogues))]

    def sums(sizes: list[int]) -> np.ndarray:
        return np.cumsum([0, *sizes])

    return Tokens(
        ids=np.array([id for one in dialogues for id in one.ids], np.uint16),
        supervised=np.array([flag for one in dialogues for flag in one.supervised], bool),
        offsets=sums([len(one.ids) for one in dialogues]),
        target_offsets=sums([sum(one.supervised[1:]) for one in dialogues]),
        lines=np.arange(1, len(dialogues) + 1),
        names=np.frombuffer(b"".join(names), np.uint8),
        name_offsets=sums([len(name) for name in names]),
        cut=0,
        empty=0,
    )


def of_sizes(sizes: list[int]) -> Tokens:
    """Dialogues of these lengths, each with an id of its own."""
    return tokens_of([Encoded([i] * size, [True] * size) for i, size in enumerate(sizes)])


def random_dialogues(count: int, longest: int, seed: int = 0) -> list[Encoded]:
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        size = rng.randint(2, longest)
        ids = [rng.randrange(500) for _ in range(size)]
        found.append(Encoded(ids, [rng.random() < 0.6 for _ in range(size)]))
    return found


def members(rows: DialogueRows) -> list[list[int]]:
    return [rows.members[start:end].tolist() for start, end in pairwise(rows.row_offsets)]


def contents(batch: Batch) -> list[tuple[list[int], list[int], list[int | None]]]:
    """Each dialogue's ids, positions, and at each place the target after it."""
    after: list[int | None] = [None] * len(batch.ids)
    for place, target in zip(batch.where.tolist(), batch.targets.tolist(), strict=True):
        after[place] = target
    ids, positions = batch.ids.tolist(), batch.positions.tolist()
    return [(ids[s:e], positions[s:e], after[s:e]) for s, e in pairwise(batch.starts)]


def test_targets_are_the_supervised_ids() -> None:
    tokens = tokens_of(
        [
            Encoded([5, 6, 7], [False, True, True]),
            Encoded([8, 9], [True, True]),
            Encoded([1, 2, 3, 4], [False, False, True, False]),
        ]
    )
    rows = DialogueRows(tokens, np.array([2, 0, 1]), np.array([0, 1, 3]))
    batch = rows.collate([1, 0])
    assert batch.ids.tolist() == [5, 6, 7, 8, 9, 1, 2, 3, 4]
    assert batch.positions.tolist() == [0, 1, 2, 0, 1, 0, 1, 2, 3]
    assert batch.starts == (0, 3, 5, 9)
    assert batch.where.tolist() == [0, 1, 3, 6]
    assert batch.targets.tolist() == [6, 7, 9, 3]
    assert batch.teacher is None
    kinds = {t.dtype for t in (batch.ids, batch.positions, batch.where, batch.targets)}
    assert kinds == {torch.int64}
    assert rows.names([1, 0]) == ["0", "1", "2"]
    assert [rows.length(0), rows.length(1)] == [4, 5]


def test_packed_rows_hold_what_single_ones_hold() -> None:
    tokens = tokens_of(random_dialogues(40, 30))
    alone, packed = unpacked(tokens), pack(tokens, 64)
    assert len(packed) < len(alone) == 40
    one_by_one = [contents(alone.collate([i]))[0] for i in range(40)]
    everything = packed.collate(range(len(packed)))
    names = [int(name) for name in packed.names(range(len(packed)))]
    assert contents(everything) == [one_by_one[i] for i in names]
    assert sorted(names) == list(range(40))
    assert everything.where.diff().min() > 0
    assert len(everything.where) == tokens.target_offsets[-1]


def test_a_dialogue_is_the_same_beside_any_neighbour() -> None:
    first, second, other = random_dialogues(3, 20)
    found = []
    for neighbour in (first, other):
        batch = pack(tokens_of([neighbour, second]), 64).collate([0])
        found.append(next(c for c in contents(batch) if c[0] == second.ids))
    assert found[0] == found[1]


def test_the_first_token_is_nobodys_target() -> None:
    tokens = tokens_of([Encoded([1, 2], [True, True]), Encoded([3, 4], [True, False])])
    assert unpacked(tokens).collate([0, 1]).targets.tolist() == [2]
    assert unpacked(tokens).collate([1, 0]).where.tolist() == [2]


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_the_teachers_words_go_with_their_targets(kind: type) -> None:
    tokens = tokens_of(random_dialogues(30, 20, seed=3))
    targets = int(tokens.target_offsets[-1])
    plain = pack(tokens, 50)
    likely = np.arange(targets, dtype=np.int32)[:, None] + np.array([[0, 1000]], np.int32)
    logprobs = -np.log1p(likely).astype(kind)
    likely[::5], logprobs[::5] = -1, -np.inf
    rows = replace(plain, teacher=(likely, logprobs))
    batch = rows.collate([2, 0, 1])
    assert batch.teacher is not None
    of_file = unpacked(tokens).collate(range(30)).targets
    spoken = batch.teacher.ids[:, 0] >= 0
    torch.testing.assert_close(batch.targets[spoken], of_file[batch.teacher.ids[spoken, 0]])
    assert (batch.teacher.ids.dtype, batch.teacher.logprobs.dtype) == (torch.int64, torch.float32)
    expected = -torch.log1p(batch.teacher.ids.float())
    torch.testing.assert_close(
        batch.teacher.logprobs[spoken], expected[spoken], rtol=1e-3, atol=1e-3
    )
    assert batch.teacher.logprobs[~spoken].isneginf().all()
    assert 0 < spoken.sum() < len(batch.targets)


def test_a_batch_moves_whole() -> None:
    tokens = tokens_of(random_dialogues(4, 9))
    targets = int(tokens.target_offsets[-1])
    teacher = (np.zeros((targets, 2), np.int32), np.zeros((targets, 2), np.float16))
    for given_teacher in (None, teacher):
        batch = replace(unpacked(tokens), teacher=given_teacher).collate([0, 2])
        moved = batch.to(torch.device("meta"))
        parts = [moved.ids, moved.positions, moved.where, moved.targets]
        if given_teacher:
            assert moved.teacher is not None
            parts += [moved.teacher.ids, moved.teacher.logprobs]
        assert {part.device.type for part in parts} == {"meta"}
        assert moved.starts == batch.starts
        assert (moved.teacher is None) == (given_teacher is None)


def test_text_rows_follow_each_other() -> None:
    rows = TextRows(np.arange(10, dtype=np.uint16), 3)
    batch = rows.collate([0, 2])
    assert len(rows) == 3
    assert batch.ids.tolist() == [0, 1, 2, 6, 7, 8]
    assert batch.positions.tolist() == [0, 1, 2, 0, 1, 2]
    assert batch.starts == (0, 3, 6)
    assert batch.where.tolist() == [0, 1, 2, 3, 4, 5]
    assert batch.targets.tolist() == [1, 2, 3, 7, 8, 9]
    assert rows.names([0, 2]) == ["tokens 0 to 2", "tokens 6 to 8"]


# Packing


def textbook(sizes: list[int], context: int, best: bool) -> list[int]:
    """Loads of rows after each size went into the fullest row with room, or the first."""
    loads: list[int] = []
    for size in sizes:
        fitting = [row for row, load in enumerate(loads) if load + size <= context]
        if not fitting:
            loads.append(size)
        else:
            loads[max(fitting, key=lambda r: loads[r]) if best else fitting[0]] += size
    return loads


def loads(rows: DialogueRows) -> list[int]:
    return [rows.length(row) for row in range(len(rows))]


@settings(max_examples=200)
@given(st.integers(2, 40).flatmap(lambda c: st.tuples(st.just(c), st.lists(st.integers(2, c)))))
def test_packing_is_best_fit_decreasing(case: tuple[int, list[int]]) -> None:
    context, sizes = case
    rows = pack(of_sizes(sizes), context)
    assert sorted(i for row in members(rows) for i in row) == list(range(len(sizes)))
    assert loads(rows) == [sum(sizes[i] for i in row) for row in members(rows)]
    assert sorted(loads(rows)) == sorted(textbook(sorted(sizes)[::-1], context, best=True))
    fullness = sorted(loads(rows))
    assert fullness[-1:] <= [context]
    assert len(fullness) < 2 or fullness[0] + fullness[1] > context


def test_packing_wastes_less_than_first_fit_on_a_long_tail() -> None:
    rng = np.random.default_rng(0)
    sizes = np.clip(rng.lognormal(4, 1, 2000), 4, 256).astype(int).tolist()
    rows = pack(of_sizes(sizes), 256)
    assert len(rows) < len(textbook(sizes, 256, best=False))
    assert sum(loads(rows)) / (256 * len(rows)) > 0.99


def test_a_dialogue_over_the_context_has_its_row_to_itself() -> None:
    assert sorted(loads(pack(of_sizes([9, 3, 12, 5]), 8))) == [8, 9, 12]


def test_no_dialogues_are_no_rows() -> None:
    assert len(pack(of_sizes([]), 8)) == len(unpacked(of_sizes([]))) == 0


# Steps


def test_every_epoch_takes_every_row_once_in_its_own_order() -> None:
    schedule = Schedule(rows=7, step_rows=3, epochs=2, seed=5)
    steps = [schedule.indices(step) for step in range(schedule.steps)]
    order = [index for step in steps for index in step]
    assert [len(step) for step in steps] == [3, 3, 3, 3, 2]
    assert sorted(order[:7]) == sorted(order[7:]) == list(range(7))
    assert order[:7] != order[7:]
    assert steps[3] == Schedule(rows=7, step_rows=3, epochs=2, seed=5).indices(3)
    assert order != [i for s in range(5) for i in Schedule(7, 3, 2, seed=6).indices(s)]
    assert sorted(Schedule(7, 7, 1, seed=-1).indices(0)) == list(range(7))


def test_part_of_an_epoch() -> None:
    schedule = Schedule(rows=10, step_rows=4, epochs=0.5, seed=0)
    assert [len(schedule.indices(step)) for step in range(schedule.steps)] == [4, 1]


@settings(max_examples=200)
@given(
    st.lists(st.integers(2, 40), max_size=60).flatmap(
        lambda sizes: st.tuples(
            st.just(sizes), st.lists(st.sampled_from(range(len(sizes)))) if sizes else st.just([])
        )
    ),
    st.integers(1, 120),
)
def test_micro_batches_are_few_and_even(case: tuple[list[int], list[int]], tokens: int) -> None:
    sizes, indices = case
    rows = unpacked(of_sizes(sizes))
    runs = micro_batches(rows, indices, tokens)
    assert sorted(index for run in runs for index in run) == sorted(indices)
    shared = [run for run in runs if sizes[run[0]] <= tokens]
    assert all(len(run) == 1 for run in runs if run not in shared)
    loads = [sum(sizes[index] for index in run) for run in shared]
    assert all(0 < load <= tokens for load in loads)
    if loads:
        longest = max(sizes[index] for run in shared for index in run)
        assert max(loads) - min(loads) <= longest
        assert len(loads) < 2 * sum(loads) / tokens + 1  # one run fewer would be half full or more


def test_micro_batches_are_fewer_than_in_the_order_of_the_step() -> None:
    rng = np.random.default_rng(0)
    sizes = np.clip(rng.lognormal(4, 1, 400), 4, 512).astype(int).tolist()
    rows = unpacked(of_sizes(sizes))
    in_order = [0]
    for size in sizes:
        in_order = (
            [*in_order, size]
            if in_order[-1] + size > 1024
            else [
                *in_order[:-1],
                in_order[-1] + size,
            ]
        )
    runs = micro_batches(rows, range(400), 1024)
    assert len(runs) < len(in_order)
    assert len(runs) <= -(-sum(sizes) // 1024) + 1
