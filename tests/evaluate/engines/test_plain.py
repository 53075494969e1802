"""The plain way, for models that share nothing: transformers' numbers and texts."""

import random

import pytest

from evaluate.engines.families import (
    CONTEXT,
    PLAIN,
    counted,
    drawn_prompts,
    drawn_rows,
    greedy,
    model_of,
    read_alone,
    tokenizer,
)
from understudy.evaluate.engines.plain import MOST_ROWS, weigh, write
from understudy.evaluate.engines.text import Generated, Generation, until

MOST = 8


def written(
    family: str, prompts: list[list[int]], how: Generation, seeds: list[int] | None = None
) -> list[Generated]:
    seeds = seeds or [0] * len(prompts)
    found = dict(write(model_of(family), tokenizer(), prompts, seeds, how, CONTEXT))
    assert all(done.seconds and done.seconds > 0 for done in found.values())
    return [found[index] for index in range(len(prompts))]


@pytest.mark.parametrize("family", PLAIN)
def test_numbers_are_those_of_one_row_at_a_time(family: str) -> None:
    rows = drawn_rows(random.Random(1), 10)
    expected = [read_alone(model_of(family), row) for row in rows]
    for most_tokens in (1, 100, 10**6):
        found = {}
        for index, values, seconds in weigh(model_of(family), rows, most_tokens):
            found[index] = values
            assert seconds is not None
            assert seconds > 0
        assert len(found) == len(rows)
        for index, values in found.items():
            assert values == pytest.approx(expected[index], abs=1e-4)


def test_passes_keep_to_their_tokens_and_rows() -> None:
    rows = drawn_rows(random.Random(1), 2 * MOST_ROWS)
    for most_tokens in (1, 100, 10**6):
        with counted(model_of("bloom").get_input_embeddings(), 0) as sizes:
            list(weigh(model_of("bloom"), rows, most_tokens))
        assert sum(sizes) == len(rows)
        assert max(sizes) == {1: 1, 10**6: MOST_ROWS}.get(most_tokens, max(sizes))
    longest = max(len(row.ids) for row in rows)
    with counted(model_of("bloom").get_input_embeddings(), 0) as sizes:
        list(weigh(model_of("bloom"), rows, 3 * longest))
    assert sizes[0] == 3


@pytest.mark.parametrize("family", PLAIN)
def test_the_likeliest_text_is_transformers(family: str) -> None:
    prompts = drawn_prompts(random.Random(2), 5)
    expected = [greedy(model_of(family), prompt, MOST, [0]) for prompt in prompts]
    found = written(family, prompts, Generation(MOST))
    assert [done.ids for done in found] == expected
    for done in found:
        assert done.text == tokenizer().decode(done.ids)
        assert done.finish_reason == ("length" if len(done.ids) == MOST else "stop")


def test_an_end_token_is_no_part_of_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = drawn_prompts(random.Random(2), 6)
    free = written("bloom", prompts, Generation(MOST))
    model, ends = model_of("bloom"), sorted({free[0].ids[2], free[1].ids[-1]})
    monkeypatch.setattr(model.generation_config, "eos_token_id", ends)
    for whole, done in zip(free, written("bloom", prompts, Generation(MOST)), strict=True):
        places = [place for place, token in enumerate(whole.ids) if token in ends]
        assert done.ids == whole.ids[: places[0] if places else MOST]
        assert done.finish_reason == ("stop" if places else "length")


def test_a_models_own_penalties_are_left_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the other way of generating; its end tokens hold."""
    prompts = drawn_prompts(random.Random(2), 4)
    free = written("bloom", prompts, Generation(MOST))
    monkeypatch.setattr(model_of("bloom").generation_config, "repetition_penalty", 9.0)
    monkeypatch.setattr(model_of("bloom").generation_config, "no_repeat_ngram_size", 1)
    found = written("bloom", prompts, Generation(MOST))
    assert [done.ids for done in found] == [done.ids for done in free]


def test_stop_texts() -> None:
    prompts = drawn_prompts(random.Random(2), 6)
    free = written("bloom", prompts, Generation(MOST))
    longest = max(free, key=lambda done: len(done.text)).text
    for stop in ((longest[:2],), (longest[3:5], longest[-1])):
        found = written("bloom", prompts, Generation(MOST, stop))
        for whole, done in zip(free, found, strict=True):
            assert done.text == until(whole.text, stop)
            stops = done.text != whole.text or len(whole.ids) < MOST
            assert done.finish_reason == ("stop" if stops else "length")
            assert done.ids == whole.ids[: len(done.ids)]
        assert min(len(done.ids) for done in found) < MOST


def test_samples_depend_on_their_seed_alone() -> None:
    prompts = drawn_prompts(random.Random(2), 4)
    how = Generation(MOST, (), 1.0, 0.9)
    together = written("bloom", prompts, how, [5, 6, 7, 8])
    alone = [written("bloom", [p], how, [s])[0] for p, s in zip(prompts, [5, 6, 7, 8], strict=True)]
    assert [done.ids for done in alone] == [done.ids for done in together]
    same = written("bloom", [prompts[0]] * 6, how, list(range(6)))
    assert len({done.text for done in same}) > 1


def test_long_prompts_are_cut_on_the_left() -> None:
    long = [1 + place % 400 for place in range(3 * CONTEXT)]
    (done,) = written("bloom", [long], Generation(10))
    assert done.ids == greedy(model_of("bloom"), long[-(CONTEXT - 10) :], 10, [0])
