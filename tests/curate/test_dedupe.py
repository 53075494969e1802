"""Equality up to form, and which of equal dialogues stays."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.curate.dedupe import (
    compared_text,
    dialogue_key,
    equals,
    normalised,
    prompt_key,
)
from understudy.dialogue import Dialogue, Turn


def dialogue(*texts: str) -> Dialogue:
    """A dialogue of a user, who begins, and an assistant."""
    roles = ("user", "assistant")
    turns = [
        Turn.model_validate({"role": roles[n % 2], "content": text}) for n, text in enumerate(texts)
    ]
    return Dialogue(id="x", turns=turns, source="test")


def test_equality_up_to_form() -> None:
    assert normalised("  Caf\u0065\u0301\n\tIS ") == normalised("café is")
    same = dialogue("Hello  there", "STRASSE"), dialogue("hello there", "straße")
    assert dialogue_key(same[0]) == dialogue_key(same[1])
    assert prompt_key(same[0]) == prompt_key(same[1])
    assert dialogue_key(dialogue("a", "b")) != dialogue_key(dialogue("b", "a"))
    assert dialogue_key(dialogue("a b", "c")) != dialogue_key(dialogue("a", "b c"))
    assert dialogue_key(dialogue("a.", "b")) != dialogue_key(dialogue("a", "b"))


def test_prompts_or_answers_alone() -> None:
    one, other = dialogue("Why?", "So."), dialogue("why?", "Because.")
    assert dialogue_key(one) != dialogue_key(other)
    assert dialogue_key(one, "prompts") == dialogue_key(other, "prompts")
    assert dialogue_key(one, "answers") != dialogue_key(other, "answers")
    assert compared_text(one, "both") == "Why?\nSo."
    assert compared_text(one, "answers") == "So."


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), max_size=30), st.randoms())
def test_the_lowest_rank_of_equals_stays(values: list[tuple[int, int]], random: Random) -> None:
    keys = np.array(values, dtype=np.uint64).reshape(-1, 2)
    rank = np.array(random.sample(range(len(values)), len(values)), dtype=np.int64)
    found = equals(keys, rank)
    for place, value in enumerate(values):
        best = min((p for p, v in enumerate(values) if v == value), key=lambda p: rank[p])
        assert found[place] == (-1 if best == place else best)


@pytest.mark.parametrize("size", [0, 1])
def test_few(size: int) -> None:
    assert equals(np.zeros((size, 2), dtype=np.uint64), np.arange(size)).tolist() == [-1] * size
