"""Generation with continuous batching: transformers' texts, within the limits, each by its seed."""

import copy
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from evaluate.engines.families import (
    CONTEXT,
    SHARING,
    alone,
    counted,
    drawn_prompts,
    greedy,
    model_of,
    tokenizer,
)
from understudy.evaluate.engines import generate
from understudy.evaluate.engines.attention import STEP, KeysValues, Slots
from understudy.evaluate.engines.generate import Limits, Ready, Writer, step
from understudy.evaluate.engines.text import Generated, Generation, until
from understudy.evaluate.engines.tree import grow, tokens_in

AMPLE = Limits(pass_tokens=10**6, cache_tokens=10**6, texts=64)
FEW = Limits(pass_tokens=40, cache_tokens=10**6, texts=3)
SCARCE = Limits(pass_tokens=70, cache_tokens=4 * STEP, texts=64)
MOST = 10
END = 0

Ends = Callable[[str, list[int] | None], None]


@pytest.fixture(scope="module")
def prompts() -> list[list[int]]:
    return drawn_prompts(random.Random(0), 12)


@pytest.fixture(scope="module")
def free(prompts: list[list[int]]) -> list[Generated]:
    """What llama writes to its end."""
    return written("llama", prompts, Generation(MOST))


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Ends:
    """Give a family end tokens."""

    def give(family: str, tokens: list[int] | None) -> None:
        monkeypatch.setattr(model_of(family).generation_config, "eos_token_id", tokens)

    return give


def written(
    family: str,
    prompts: Sequence[list[int]],
    how: Generation,
    limits: Limits = AMPLE,
    seeds: Sequence[int] | None = None,
) -> list[Generated]:
    """By prompt; each comes once, with what it took."""
    writer = Writer(model_of(family), tokenizer(), how, limits)
    found: dict[int, Generated] = {}
    for index, done in writer.write(prompts, seeds or [0] * len(prompts), CONTEXT):
        assert index not in found
        assert done.seconds is not None
        assert done.seconds > 0
        found[index] = done
    return [found[index] for index in range(len(prompts))]


def ids(all_done: Sequence[Generated]) -> list[list[int]]:
    return [done.ids for done in all_done]


# The likeliest text


@pytest.mark.parametrize("family", SHARING)
def test_the_likeliest_text_is_transformers(
    family: str, prompts: list[list[int]], ends: Ends
) -> None:
    """Some texts end early, so that slots are filled again, moved and grown."""
    whole = written(family, prompts, Generation(MOST))
    stops = [whole[0].ids[2], whole[1].ids[4], whole[2].ids[6]]
    ends(family, stops)
    expected = [greedy(model_of(family), prompt, MOST, stops) for prompt in prompts]
    assert len({len(text) for text in expected}) > 2
    for limits in (AMPLE, FEW, SCARCE):
        found = written(family, prompts, Generation(MOST), limits)
        assert ids(found) == expected
        for done in found:
            assert done.finish_reason == ("length" if len(done.ids) == MOST else "stop")
            assert done.text == tokenizer().decode(done.ids, skip_special_tokens=True)


def test_an_end_token_in_the_first_place_and_in_the_last(
    prompts: list[list[int]], free: list[Generated], ends: Ends
) -> None:
    for place in (0, max(free[0].ids.index(token) for token in free[0].ids)):
        ends("llama", [free[0].ids[place]])
        (done,) = written("llama", prompts[:1], Generation(place + 1))
        assert done.ids == free[0].ids[:place]
        assert done.finish_reason == "stop"


def test_the_tokenizers_end_token_holds_where_a_model_names_none(
    prompts: list[list[int]], free: list[Generated], ends: Ends
) -> None:
    end, other = free[0].ids[3], copy.deepcopy(tokenizer())
    other.eos_token = other.convert_ids_to_tokens(end)
    found = {}
    for named in ([0], None):
        ends("llama", named)
        writer = Writer(model_of("llama"), other, Generation(MOST), AMPLE)
        ((_, done),) = writer.write(prompts[:1], [0], CONTEXT)
        found[named is None] = done.ids
    assert found[False] == free[0].ids
    assert found[True] == free[0].ids[: free[0].ids.index(end)]


def test_a_single_token(prompts: list[list[int]], free: list[Generated]) -> None:
    for limits in (AMPLE, FEW):
        found = written("llama", prompts, Generation(1), limits)
        assert ids(found) == [done.ids[:1] for done in free]


def test_long_prompts_are_cut_on_the_left() -> None:
    long = [1 + place % 400 for place in range(3 * CONTEXT)]
    half = CONTEXT // 2
    for prompt, most, kept in [(long, 10, CONTEXT - 10), (long, 999, half), (long[:20], 999, 20)]:
        (done,) = written("llama", [prompt], Generation(most))
        assert done.ids == greedy(model_of("llama"), prompt[-kept:], min(most, CONTEXT - kept), [0])


def test_no_prompts() -> None:
    assert written("llama", [], Generation(MOST)) == []


# Stop texts


def stopped(prompts: list[list[int]], *stop: str) -> list[Generated]:
    return written("llama", prompts, Generation(MOST, stop), FEW)


def pieces(done: Generated) -> list[str]:
    return [str(tokenizer().decode([token])) for token in done.ids]


def test_text_goes_up_to_the_first_stop_text(
    prompts: list[list[int]], free: list[Generated]
) -> None:
    stop = (free[0].text[4:6], free[1].text[2:4])
    halted = [any(text in done.text for text in stop) for done in free]
    assert {True, False} <= set(halted)
    for whole, halts, done in zip(free, halted, stopped(prompts, *stop), strict=True):
        assert done.text == until(whole.text, stop)
        assert done.finish_reason == ("stop" if halts else "length")
        assert done.ids == whole.ids[: len(done.ids)]


def test_a_stop_text_may_span_tokens_and_ends_the_work_at_once(
    prompts: list[list[int]], free: list[Generated]
) -> None:
    """Three tokens: the last letter of one, another, and the first letter of a third."""
    tried = 0
    for prompt, whole in zip(prompts, free, strict=True):
        parts = pieces(whole)
        for place in range(1, MOST - 3):
            before = "".join(parts[: place + 2])
            stop = parts[place][-1:] + parts[place + 1] + parts[place + 2][:1]
            if stop.isascii() and len(stop) > 2 and stop not in before:
                (done,) = stopped([prompt], stop)
                assert done.text == "".join(parts[: place + 1])[:-1]
                assert done.ids == whole.ids[: place + 3]
                assert done.finish_reason == "stop"
                tried += 1
                break
    assert tried > 2


def test_a_stop_text_at_the_very_start_leaves_nothing(
    prompts: list[list[int]], free: list[Generated]
) -> None:
    begins = next(place for place, done in enumerate(free) if pieces(done)[0].isascii())
    (done,) = stopped([prompts[begins]], free[begins].text[0])
    assert (done.text, done.finish_reason, len(done.ids)) == ("", "stop", 1)


# Sampled text


def test_a_sample_depends_on_its_seed_alone(prompts: list[list[int]]) -> None:
    how, seeds = Generation(MOST, temperature=1.0), list(range(len(prompts)))
    together = ids(written("llama", prompts, how, seeds=seeds))
    assert ids(written("llama", prompts, how, seeds=seeds)) == together
    assert ids(written("llama", prompts, how, FEW, seeds=seeds)) == together
    by_itself = [
        written("llama", [prompt], how, seeds=[seed])[0].ids
        for prompt, seed in zip(prompts, seeds, strict=True)
    ]
    assert by_itself == together
    backwards = ids(written("llama", prompts[::-1], how, seeds=seeds[::-1]))
    assert backwards == together[::-1]
    others = ids(written("llama", prompts, how, seeds=[seed + 100 for seed in seeds]))
    assert all(one != other for one, other in zip(others, together, strict=True))


def test_top_p_leaves_nearly_all_samples_to_their_seed(prompts: list[list[int]]) -> None:
    """Not quite all: the last bits of a logit depend on what is computed beside it, and where two
    tokens are as likely but for these bits, they change places before the sums are taken."""
    how, seeds = Generation(MOST, (), 0.9, 0.8), list(range(8 * len(prompts)))
    ample = ids(written("llama", prompts * 8, how, seeds=seeds))
    few = ids(written("llama", prompts * 8, how, FEW, seeds=seeds))
    assert sum(one == other for one, other in zip(ample, few, strict=True)) >= 0.95 * len(seeds)


def shares(logs: torch.Tensor, temperature: float, top_p: float) -> dict[int, float]:
    """What each token's share should be; only the likeliest, up to `top_p` together."""
    weights = (logs / temperature).softmax(-1)
    kept: dict[int, float] = {}
    for token in weights.argsort(descending=True).tolist():
        if sum(kept.values()) < top_p:
            kept[token] = weights[token].item()
    return {token: share / sum(kept.values()) for token, share in kept.items()}


def assert_drawn_from(
    drawn: Sequence[int], logs: torch.Tensor, temperature: float, top_p: float
) -> None:
    """By Pearson's chi-square over tokens that are to come five times or more, and the others."""
    counts, expected = Counter(drawn), shares(logs, temperature, top_p)
    assert counts.keys() <= expected.keys()
    often = {token for token, share in expected.items() if share * len(drawn) >= 5}
    assert len(often) > 3
    cells = [(counts[token], expected[token] * len(drawn)) for token in often]
    rest = len(drawn) - sum(count for count, _ in cells), len(drawn) - sum(e for _, e in cells)
    cells += [rest] if rest[1] >= 5 else []
    statistic = sum((count - mean) ** 2 / mean for count, mean in cells)
    free = len(cells) - 1
    assert statistic < free + 4 * (2 * free) ** 0.5


@pytest.mark.parametrize(("temperature", "top_p"), [(0.4, 1.0), (0.3, 0.7)])
def test_tokens_are_drawn_as_often_as_they_are_likely(temperature: float, top_p: float) -> None:
    """The first, from the prompt's pass, and the second, from a step."""
    model, prompt, many = model_of("gpt2"), [5, 6, 7], 3000
    how = Generation(2, (), temperature, top_p)
    limits = Limits(10**6, 10**6, many)
    all_done = written("gpt2", [prompt] * many, how, limits, seeds=range(many))
    texts = [(*done.ids, END, END)[:2] for done in all_done]
    assert_drawn_from([first for first, _ in texts], alone(model, prompt)[-1], temperature, top_p)
    ((likeliest, count),) = Counter(first for first, _ in texts).most_common(1)
    assert count > 100
    assert likeliest != END
    seconds = [second for first, second in texts if first == likeliest]
    assert_drawn_from(seconds, alone(model, [*prompt, likeliest])[-1], temperature, top_p)


# The work, and what is held


def test_samples_of_one_prompt_compute_it_once() -> None:
    prompt, many = list(range(1, 41)), 20
    how = Generation(4, temperature=1.0)
    for limits in (AMPLE, Limits(pass_tokens=7, cache_tokens=10**6, texts=64)):
        with counted(model_of("mistral").get_input_embeddings(), 1) as tokens:
            all_done = written("mistral", [prompt] * many, how, limits, seeds=range(many))
        assert tokens[0] == len(prompt)
        assert sum(tokens) == len(prompt) + sum(len(done.ids) - 1 for done in all_done)


def test_prompts_compute_what_they_share_once(prompts: list[list[int]]) -> None:
    tree = tokens_in(grow(prompts))
    assert tree < 0.7 * sum(map(len, prompts))
    with counted(model_of("mistral").get_input_embeddings(), 1) as tokens:
        written("mistral", prompts, Generation(2), AMPLE)
    assert tokens == [tree, len(prompts)]


class Watched(Slots):
    """Slots that tell their shapes, and which were taken."""

    shapes: list[tuple[int, int]]
    taken: list[int]

    def make_room(self, *given: Any, **named: Any) -> None:
        super().make_room(*given, **named)
        slots, _, tokens, _ = self.states(0)[0].shape
        self.shapes.append((slots, tokens))

    def put(self, slot: int, path: Sequence[Sequence[KeysValues]]) -> None:
        super().put(slot, path)
        self.taken.append(slot)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> type[Watched]:
    monkeypatch.setattr(generate, "Slots", Watched)
    monkeypatch.setattr(Watched, "shapes", [], raising=False)
    monkeypatch.setattr(Watched, "taken", [], raising=False)
    return Watched


@pytest.mark.parametrize("room", [1, STEP, 3 * STEP, 7 * STEP + 5])
def test_slots_keep_to_what_may_be_held(
    room: int, prompts: list[list[int]], free: list[Generated], watched: type[Watched]
) -> None:
    """Slots times their length, but for a single text, which must be held whole."""
    limits = Limits(pass_tokens=100, cache_tokens=room, texts=64)
    assert ids(written("llama", prompts, Generation(MOST), limits)) == ids(free)
    for slots, tokens in watched.shapes:
        assert slots == 1 or slots * tokens <= room
    assert max(slots for slots, _ in watched.shapes) == max(1, room // STEP)


def test_texts_keep_to_how_many_may_grow_together(
    prompts: list[list[int]], watched: type[Watched]
) -> None:
    written("llama", prompts, Generation(MOST), FEW)
    assert max(slots for slots, _ in watched.shapes) == FEW.texts


@pytest.mark.parametrize(("limits", "slots"), [(FEW, 3), (SCARCE, 4)])
def test_a_free_slot_is_filled_while_others_are_at_work(
    limits: Limits, slots: int, ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps are nearly as few as full slots need, and fewer than those of batches in turn."""
    prompts = [[first, 7] for first in range(30, 70)]
    whole = written("llama", prompts, Generation(MOST))
    ends("llama", [done.ids[3] for done in whole[:12]])
    steps: list[int] = []

    def spy(model: Any, held: Slots, ids: Sequence[int], *given: Any) -> torch.Tensor:
        steps.append(len(ids))
        return step(model, held, ids, *given)

    monkeypatch.setattr(generate, "step", spy)
    lengths = [len(done.ids) for done in written("llama", prompts, Generation(MOST), limits)]
    assert {2, MOST} <= set(lengths)
    batches = [max(lengths[start : start + slots]) for start in range(0, len(lengths), slots)]
    assert len(steps) < 0.9 * sum(longest - 1 for longest in batches)
    assert sum(steps) > 0.9 * slots * len(steps)


def test_prompts_are_not_read_long_before_they_have_a_slot(
    monkeypatch: pytest.MonkeyPatch, watched: type[Watched]
) -> None:
    """Keys and values of prompts that wait would be held beside the slots'."""
    prompts = [[first, *range(1, 20)] for first in range(50, 90)]
    waiting: list[int] = []
    read = Writer._read

    def spy(self: Writer, *given: Any) -> list[Ready]:
        found = read(self, *given)
        waiting.append(waiting_before() + len(found))
        begun.extend(text.index for text, _ in found)
        return found

    def waiting_before() -> int:
        return len(begun) - len(watched.taken)

    begun: list[int] = []
    monkeypatch.setattr(Writer, "_read", spy)
    written("llama", prompts, Generation(MOST), Limits(45, 3 * STEP, 64))
    assert len(begun) == len(watched.taken) == len(prompts)
    assert max(waiting) <= 3 + 2, "as many as there are slots for, and those of one pass"
    assert max(slots for slots, _ in watched.shapes) == 3


def test_keys_and_values_are_forgotten_when_no_prompt_needs_them(
    prompts: list[list[int]],
) -> None:
    for limits in (AMPLE, FEW):
        writer = Writer(model_of("llama"), tokenizer(), Generation(2), limits)
        assert len(list(writer.write(prompts, [0] * len(prompts), CONTEXT))) == len(prompts)
        assert not writer._earlier
