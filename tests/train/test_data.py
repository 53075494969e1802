"""Packing changes nothing but speed; batches follow from the seed alone."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from train.tiny_models import build_model, llama_like
from understudy.dialogue import Dialogue, Turn, write_dialogues
from understudy.train.data import (
    DialogueRows,
    Schedule,
    TextRows,
    encode_dialogue,
    micro_batches,
    pack,
    read_encoded,
)
from understudy.train.loss import add_gradients, check_architecture
from understudy.train.template import Encoded, bind


def random_dialogues(count: int, longest: int, seed: int = 0) -> list[Encoded]:
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        size = rng.randint(2, longest)
        ids = [rng.randrange(500) for _ in range(size)]
        found.append(Encoded(ids, [rng.random() < 0.6 for _ in range(size)]))
    return found


def gradients(architecture: str, rows: DialogueRows, runs: list[list[int]]) -> tuple[float, dict]:
    model = build_model(architecture)
    loss = sum(add_gradients(model, rows.collate(run), 1.0) for run in runs)
    return loss, {name: p.grad for name, p in model.named_parameters()}


def test_packed_dialogues_give_the_loss_and_gradients_of_single_ones(architecture: str) -> None:
    dialogues = random_dialogues(12, 30)
    alone = DialogueRows([[encoded] for encoded in dialogues])
    packed = pack(dialogues, 64)
    assert len(packed) < len(alone)
    loss, grads = gradients(architecture, alone, [[i] for i in range(len(alone))])
    packed_loss, packed_grads = gradients(architecture, packed, [list(range(len(packed)))])
    assert packed_loss == pytest.approx(loss, rel=1e-5)
    for name, gradient in grads.items():
        torch.testing.assert_close(packed_grads[name], gradient, rtol=1e-3, atol=1e-4)


def test_a_dialogue_does_not_see_its_neighbour(architecture: str) -> None:
    first, second, other = random_dialogues(3, 20)
    losses = []
    for neighbour in (first, other):
        silent = Encoded(neighbour.ids, [False] * len(neighbour.ids))
        rows = DialogueRows([[silent, second]])
        losses.append(add_gradients(build_model(architecture), rows.collate([0]), 1.0))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_the_loop_sees_that_the_architectures_suit_it(architecture: str) -> None:
    check_architecture(build_model(architecture))


def test_targets_are_the_supervised_ids() -> None:
    rows = DialogueRows(
        [
            [Encoded([5, 6, 7], [False, True, True]), Encoded([8, 9], [True, True])],
            [Encoded([1, 2, 3, 4], [False, False, True, False])],
        ]
    )
    batch = rows.collate([0, 1])
    assert batch.ids.tolist() == [[5, 6, 7, 8, 9], [1, 2, 3, 4, 0]]
    assert batch.positions.tolist() == [[0, 1, 2, 0, 1], [0, 1, 2, 3, 0]]
    assert batch.where.tolist() == [0, 1, 3, 6]
    assert batch.targets.tolist() == [6, 7, 9, 3]


def test_packing_keeps_every_dialogue_and_the_limit() -> None:
    dialogues = random_dialogues(300, 64)
    rows = pack(dialogues, 64)
    kept = sorted(tuple(encoded.ids) for row in rows.rows for encoded in row)
    assert kept == sorted(tuple(encoded.ids) for encoded in dialogues)
    lengths = [rows.length(i) for i in range(len(rows))]
    assert max(lengths) <= 64
    assert sum(lengths) / (64 * len(lengths)) > 0.95


def test_text_rows_follow_each_other() -> None:
    rows = TextRows(np.arange(10, dtype=np.uint16), 3)
    batch = rows.collate([0, 2])
    assert len(rows) == 3
    assert batch.ids.tolist() == [[0, 1, 2], [6, 7, 8]]
    assert batch.targets.tolist() == [1, 2, 3, 7, 8, 9]


def test_every_epoch_takes_every_row_once_in_its_own_order() -> None:
    schedule = Schedule(rows=7, step_rows=3, epochs=2, seed=5)
    steps = [schedule.indices(step) for step in range(schedule.steps)]
    order = [index for step in steps for index in step]
    assert [len(step) for step in steps] == [3, 3, 3, 3, 2]
    assert sorted(order[:7]) == sorted(order[7:]) == list(range(7))
    assert order[:7] != order[7:]
    assert steps[3] == Schedule(rows=7, step_rows=3, epochs=2, seed=5).indices(3)
    assert order != [i for s in range(5) for i in Schedule(7, 3, 2, seed=6).indices(s)]


def test_part_of_an_epoch() -> None:
    schedule = Schedule(rows=10, step_rows=4, epochs=0.5, seed=0)
    assert [len(schedule.indices(step)) for step in range(schedule.steps)] == [4, 1]


def test_micro_batches_stay_within_their_tokens() -> None:
    rows = DialogueRows([[encoded] for encoded in random_dialogues(40, 50)])
    indices = list(range(40))
    runs = micro_batches(rows, indices, 100)
    assert [index for run in runs for index in run] == indices
    for run in runs:
        assert len(run) == 1 or len(run) * max(map(rows.length, run)) <= 100


def dialogue(answer: str, cut: bool = False) -> Dialogue:
    turns = [Turn(role="user", content="Go"), Turn(role="assistant", content=answer)]
    return Dialogue(id="d", turns=turns, source="test", cut=cut)


def test_what_is_cut_keeps_no_end_token(tmp_path: Path) -> None:
    template = bind("markers", llama_like())
    whole = encode_dialogue(dialogue("light"), template)
    assert whole.ids[-1] == template.end_id
    known_cut = encode_dialogue(dialogue("light", cut=True), template)
    assert known_cut.ids == whole.ids[:-1]
    path = tmp_path / "data.jsonl"
    write_dialogues(path, [dialogue("light " * 50), dialogue("light")])
    encoded, too_long = read_encoded(path, template, 20)
    assert too_long == 1
    assert len(encoded[0].ids) == 20
    assert template.end_id not in encoded[0].ids
    assert encoded[1] == whole


def test_a_dialogue_without_an_answer_in_reach_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    write_dialogues(path, [dialogue("light")])
    assert read_encoded(path, bind("markers", llama_like()), 3)[0] == []
