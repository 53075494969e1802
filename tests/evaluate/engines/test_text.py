"""From items to tokens and back; no model is run."""

from collections.abc import Iterator, Sequence

import pytest
from transformers import PreTrainedTokenizerBase

from train.tiny_tokenizers import ALL
from understudy.errors import UserError
from understudy.evaluate.benchmarks.kinds import Benchmark, ChoiceItem
from understudy.evaluate.engines import Sampling, encoding
from understudy.evaluate.engines.text import (
    Generated,
    Generation,
    Row,
    TextEngine,
    cut,
    rows_of,
    until,
)

CONTEXT = 64
OWN = Benchmark("own", "choice", ("accuracy",), 0, None, lambda *_: [])


class Recorded(TextEngine):
    """Answers out of order with numbers that tell what was asked; keeps what that was."""

    name, prompting, spent, context = "recorded", "text", None, CONTEXT
    identity = "recorded"

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self.rows: list[Row] = []
        self.asked: list[tuple[list[int], int]] = []
        self.how = Generation(0)

    def weigh(
        self, rows: Sequence[Row], label: str
    ) -> Iterator[tuple[int, list[float], float | None]]:
        self.rows = list(rows)
        for index in reversed(range(len(rows))):
            row = rows[index]
            yield index, [-float(sum(row.ids) + place + token) for place, token in row.reads], 0.5

    def write(
        self, prompts: Sequence[list[int]], seeds: Sequence[int], how: Generation, label: str
    ) -> Iterator[tuple[int, Generated]]:
        self.asked, self.how = list(zip(prompts, seeds, strict=True)), how
        for index in reversed(range(len(prompts))):
            yield index, Generated([], f"text {seeds[index]}", "stop", float(index))


@pytest.fixture(params=ALL)
def engine(request: pytest.FixtureRequest) -> Recorded:
    return Recorded(ALL[request.param]())


def choice(number: int, prompt: str, *continuations: str) -> ChoiceItem:
    options = tuple(one.strip() for one in continuations)
    return ChoiceItem(str(number), None, "q", options, (0,), prompt, continuations)


# Tokens


def test_pairs_are_cut_from_the_encoding_of_both(engine: Recorded) -> None:
    for context, continuation in [("A lamp gives", " light"), ("A lamp", "s"), ("letters:\n", "a")]:
        start, tail = engine.encode_pairs([(context, continuation)])[0]
        assert start == engine.tokenizer.encode(context.rstrip())
        assert tail == engine.tokenizer.encode(context + continuation)[len(start) :]


def test_spaces_at_the_end_of_a_context_count_to_the_continuation(engine: Recorded) -> None:
    one, other = engine.encode_pairs([("A lamp:  ", "light"), ("A lamp:", "  light")])
    assert one == other


def test_an_opening_token_is_not_doubled(engine: Recorded) -> None:
    opening, id = engine.tokenizer.bos_token, engine.tokenizer.bos_token_id
    assert engine.encode(f"{opening}A lamp").count(id) == 1
    start, tail = engine.encode_pairs([(f"{opening}A lamp", " gives")])[0]
    assert (start + tail).count(id) == 1
    assert engine.encode("A lamp") == engine.tokenizer.encode("A lamp")


def test_many_texts_are_encoded_as_each_by_itself(
    engine: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In chunks; some stand twice, or bring their opening token."""
    texts = ["A lamp", f"{engine.tokenizer.bos_token}A lamp", "", "A lamp", "USER: Go on.", "A"]
    pairs = [(context, ending) for context in texts for ending in (" 1984", " no")]
    alone = [engine.encode(one) for one in texts]
    pairs_alone = [engine.encode_pairs([pair])[0] for pair in pairs]
    monkeypatch.setattr(encoding, "ENCODED", 4)
    assert engine.encode_all(texts) == alone
    assert engine.encode_pairs(pairs) == pairs_alone
    assert engine.encode_all([]) == []


def test_a_text_without_a_token_begins_with_the_opening_one(engine: Recorded) -> None:
    opening = [engine.tokenizer.bos_token_id]
    assert engine.encode("") == opening
    start, tail = engine.encode_pairs([("", "A lamp")])[0]
    assert start == opening
    assert tail == engine.tokenizer.encode("A lamp", add_special_tokens=False)


def test_where_nothing_opens_a_text_what_ends_one_does() -> None:
    engine = Recorded(ALL["gpt2"]())
    engine.tokenizer.bos_token = None
    assert engine.encode("") == [engine.tokenizer.eos_token_id]


def test_options_of_one_token_are_read_from_one_row() -> None:
    (row,) = rows_of([([1, 2, 3], [7]), ([1, 2, 3], [8])], CONTEXT)
    assert row == Row([1, 2, 3], [(2, 7), (2, 8)])
    (row,) = rows_of([([1, 2, 3], [7]), ([1, 2, 3], [8])], 2)
    assert row == Row([2, 3], [(1, 7), (1, 8)])


def test_other_options_have_a_row_each() -> None:
    rows = rows_of([([1, 2], [7, 8]), ([1, 2], [9])], CONTEXT)
    assert rows == [Row([1, 2, 7], [(1, 7), (2, 8)]), Row([1, 2], [(1, 9)])]
    rows = rows_of([([1, 2], [7]), ([1, 3], [7])], CONTEXT)
    assert rows == [Row([1, 2], [(1, 7)]), Row([1, 3], [(1, 7)])]


def test_rows_are_cut_on_the_left() -> None:
    rows = rows_of([([1, 2, 3, 4], [7, 8]), ([1, 2, 3, 4], [9])], 3)
    assert rows == [Row([3, 4, 7], [(1, 7), (2, 8)]), Row([2, 3, 4], [(2, 9)])]
    (row,) = rows_of([([1, 2], [7, 8, 9])], 3)
    assert row == Row([2, 7, 8], [(0, 7), (1, 8), (2, 9)])


@pytest.mark.parametrize("length", [1, 31, 32, 54, 55, 64, 200])
@pytest.mark.parametrize("most", [1, 10, 32, 33, 64, 1000])
def test_a_prompt_and_its_answer_fit_the_context(length: int, most: int) -> None:
    prompt = list(range(length))
    kept, room = cut(prompt, most, CONTEXT)
    assert kept == prompt[-len(kept) :]
    assert len(kept) + room <= CONTEXT
    assert room == most or len(kept) + room == CONTEXT
    assert room >= min(most, CONTEXT // 2)
    assert len(kept) == length or room == min(most, CONTEXT // 2), "cut no more than it must be"


def test_a_text_goes_up_to_the_first_stop_text() -> None:
    assert until("a b c", ("c", "b")) == "a "
    assert until("a b c", ("d",)) == "a b c"
    assert until("a b c", ()) == "a b c"
    assert until("a b c", ("a",)) == ""


# Items


def test_each_item_is_weighed_once_its_last_row_is(engine: Recorded) -> None:
    items = [
        choice(0, "A lamp gives", " no light", " quinces"),
        choice(1, "USER:", " 1984", " a lamp to the baker"),
    ]
    found = list(engine.choose(OWN, items))
    assert [index for index, _ in found] == [1, 0]
    for index, pick in found:
        sums = []
        for continuation in items[index].continuations:
            start, tail = engine.encode_pairs([(items[index].prompt, continuation)])[0]
            ids = (start + tail)[:-1]
            sums.append(
                -float(sum(sum(ids) + len(start) - 1 + n + token for n, token in enumerate(tail)))
            )
        assert pick.log_likelihoods == tuple(sums)
        assert pick.seconds == 1.0
        assert pick.option is pick.reply is None


def test_log_likelihoods_are_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Recorded(ALL["gpt2"]())
    monkeypatch.setattr(engine, "weigh", lambda *_: iter([(0, [-1 / 3, -2.00000049], None)]))
    ((_, pick),) = engine.choose(OWN, [choice(0, "Pick:", "A", "B")])
    assert pick.log_likelihoods == (-0.333333, -2.0)
    assert pick.seconds == 0.0


@pytest.mark.parametrize(("count", "option"), [(0, ""), (CONTEXT + 1, "\t" * (CONTEXT + 1))])
def test_an_option_that_cannot_be_weighed_is_named(count: int, option: str) -> None:
    engine = Recorded(ALL["gpt2"]())
    items = [choice(7, "A lamp gives", " light", "\t" * CONTEXT)]
    assert len(list(engine.choose(OWN, items))) == 1
    items += [choice(8, "A lamp gives", " light", option)]
    named = f"own, item 8: an option has {count} tokens, and recorded can weigh 1 to 64; choose"
    with pytest.raises(UserError, match=named):
        list(engine.choose(OWN, items))


def test_samples_of_an_item_come_together_and_have_seeds_of_their_own() -> None:
    engine = Recorded(ALL["gpt2"]())
    how = Sampling(samples=3, temperature=0.5, top_p=0.9, max_tokens=7, seed=1)
    found = dict(engine.go_on(["A lamp", "USER:"], how))
    assert engine.how == Generation(7, (), 0.5, 0.9)
    assert [ids for ids, _ in engine.asked] == [engine.encode("A lamp")] * 3 + [
        engine.encode("USER:")
    ] * 3
    seeds = [seed for _, seed in engine.asked]
    assert len(set(seeds)) == 6
    assert found[0].texts == tuple(f"text {seed}" for seed in seeds[:3])
    assert found[1].texts == tuple(f"text {seed}" for seed in seeds[3:])
    assert (found[0].seconds, found[1].seconds) == (2.0, 5.0)
    list(engine.go_on(["USER:"], how))
    assert [seed for _, seed in engine.asked] == seeds[3:], "whatever is asked beside it"
    list(engine.go_on(["USER:"], Sampling(samples=3, seed=2)))
    assert set(seeds).isdisjoint(seed for _, seed in engine.asked)
