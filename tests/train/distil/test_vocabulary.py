"""A token's bytes are what a text's tokens join to, whatever the tokenizer's kind."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.tiny_tokenizers import ALL
from understudy.errors import UserError
from understudy.train.distil.vocabulary import Vocabulary
from understudy.train.plain import PlainTokenizer

KINDS = ["gpt2", "llama", "metaspace", "legacy"]
TOKENIZERS = {kind: ALL[kind]() for kind in KINDS}
VOCABULARIES = {kind: Vocabulary(tokenizer) for kind, tokenizer in TOKENIZERS.items()}
PLAIN = {kind: PlainTokenizer(tokenizer) for kind, tokenizer in TOKENIZERS.items()}


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), st.sampled_from(KINDS))
@settings(max_examples=150)
def test_the_bytes_of_a_texts_tokens_are_the_text(text: str, kind: str) -> None:
    (ids,) = PLAIN[kind].encode([text], [False])
    joined = b"".join(VOCABULARIES[kind].bytes_of[id] for id in ids).decode()
    # A tokenizer of the legacy kind puts a space before every stretch of text.
    assert joined == text or (kind == "legacy" and joined.strip() == text.strip())


@pytest.mark.parametrize("kind", KINDS)
def test_control_tokens_have_no_bytes(kind: str) -> None:
    added = TOKENIZERS[kind].added_tokens_decoder
    assert not added.keys() & VOCABULARIES[kind].bytes_of.keys()
    assert len(VOCABULARIES[kind].bytes_of) == len(TOKENIZERS[kind].get_vocab()) - len(added)


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_token_of_bytes(kind: str) -> None:
    vocabulary, tokenizer = VOCABULARIES[kind], TOKENIZERS[kind]
    for id, text in vocabulary.bytes_of.items():
        first = vocabulary.first(text)
        assert first is not None
        assert vocabulary.bytes_of[first] == text
        if not tokenizer.convert_ids_to_tokens(id).startswith("<0x"):
            assert first == id
    if kind != "legacy":
        first = vocabulary.first(b" keeperly")
        assert first is not None
        assert b" keeperly".startswith(vocabulary.bytes_of[first])
    control = next(token.content for token in tokenizer.added_tokens_decoder.values())
    assert vocabulary.first(control.encode()) not in tokenizer.added_tokens_decoder
    assert vocabulary.first(b"") is None
    assert vocabulary.first(b"\xe2\x9f\xff") is None


def test_white_space_among_added_tokens_is_text() -> None:
    tokenizer = ALL["gpt2"]()
    tokenizer.add_tokens(["      "])
    vocabulary = Vocabulary(tokenizer)
    id = tokenizer.convert_tokens_to_ids("      ")
    assert vocabulary.bytes_of[id] == b"      "
    assert vocabulary.first(b"      ") == id


def test_a_tokenizer_that_loses_bytes_is_refused() -> None:
    with pytest.raises(UserError, match="no exact bytes"):
        Vocabulary(ALL["unigram"]())
