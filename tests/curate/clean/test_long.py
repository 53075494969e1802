"""Long dialogues are split between pairs and lose nothing that fits."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from curate.clean.talk import dialogue
from understudy.curate.clean.long import PER_TURN, Splitter


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tokenizer that makes a token of every word."""
    tokenizer = Tokenizer(models.WordLevel({"w": 0, "?": 1}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    folder = tmp_path_factory.mktemp("words")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?").save_pretrained(folder)
    return str(folder)


def of(*sizes: int) -> list[str]:
    """Turns of these tokens, the template's among them."""
    return [" ".join(["w"] * (size - PER_TURN)) for size in sizes]


def test_what_fits_is_itself(words: str) -> None:
    whole = dialogue("suaua", *of(10, 20, 20, 20, 30))
    split = Splitter(words, 100).split(whole)
    assert split.parts == [whole]
    assert split.parts[0] is whole
    assert split.tokens == [100]
    assert Splitter(words, None).split(whole).tokens == [100]


def test_parts_fit_and_repeat_the_system_turn(words: str) -> None:
    whole = dialogue("suauaua", *of(10, 20, 20, 20, 20, 20, 21))
    split = Splitter(words, 90).split(whole)
    assert [part.id for part in split.parts] == ["x#1", "x#2"]
    assert [[turn.role for turn in part.turns] for part in split.parts] == [
        ["system", "user", "assistant", "user", "assistant"],
        ["system", "user", "assistant"],
    ]
    assert split.tokens == [90, 51]  # the last pair, which begins a part, is there


def test_a_pair_longer_than_the_context_is_put_aside(words: str) -> None:
    whole = dialogue("uauaua", *of(10, 10, 60, 60, 10, 10))
    split = Splitter(words, 100).split(whole)
    assert [part.id for part in split.parts] == ["x#1", "x#3"]
    assert [part.id for part in split.left_out] == ["x#2"]
    assert split.left_out[0].turns == whole.turns[2:4]
    assert Splitter(words, 10).split(whole).parts == []


@settings(max_examples=50)
@given(st.lists(st.integers(PER_TURN, 60), min_size=2, max_size=20), st.integers(20, 120))
def test_no_turn_is_lost_and_no_part_is_too_long(
    words: str, sizes: list[int], context: int
) -> None:
    sizes = sizes[: len(sizes) // 2 * 2]
    whole = dialogue("ua" * (len(sizes) // 2), *of(*sizes))
    split = Splitter(words, context).split(whole)
    kept = [turn for part in [*split.parts, *split.left_out] for turn in part.turns]
    assert len(kept) == len(whole.turns)
    assert sum(split.tokens) == sum(sizes) - sum(
        a + b for a, b in zip(sizes[::2], sizes[1::2], strict=True) if a + b > context
    )
    assert all(count <= context for count in split.tokens)
    assert all(part.turns for part in split.parts)


def test_an_unknown_tokenizer_is_a_users_mistake(tmp_path: Path) -> None:
    from understudy.errors import UserError

    with pytest.raises(UserError, match="no such folder"):
        Splitter(str(tmp_path / "none"), 100)
