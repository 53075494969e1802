"""A tokenizer is written only where llama.cpp splits text as it does."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from export.gguf_models import TEXTS, TOKENIZERS, make, pieces
from train.tiny_models import gpt2_like
from understudy.errors import UserError
from understudy.export.gguf import write_gguf
from understudy.export.gguf_read import load_gguf
from understudy.export.gguf_tokens import tokenizer_fields
from understudy.models import load_tokenizer


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_tokenizer_comes_back(kind: str, tmp_path: Path) -> None:
    make(tmp_path, "llama", kind, spare=5)
    write_gguf(tmp_path, tmp_path / "m.gguf", "q4_0", {})
    own, (_, read) = load_tokenizer(str(tmp_path)), load_gguf(tmp_path / "m.gguf")
    end = own.eos_token
    texts = TEXTS if kind != "metaspace" else [text.strip() for text in TEXTS]
    for text in [*texts, f"The keeper{end}", *(["<tool> a"] if kind == "starcoder" else [])]:
        assert read(text)["input_ids"] == own(text)["input_ids"], text
        assert read.decode(read(text)["input_ids"]) == own.decode(own(text)["input_ids"])
    for role in ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id"):
        assert getattr(read, role) == getattr(own, role)
    assert read.chat_template == own.chat_template
    assert len(read) == len(own)
    assert set(read.all_special_ids) >= set(own.all_special_ids)


def test_splitting_goes_by_llama_cpps_name(tmp_path: Path) -> None:
    for kind in ("gpt-2", "starcoder", "llama-bpe", "smaug-bpe"):
        fields, notes = tokenizer_fields(TOKENIZERS[kind](), 600, None)
        assert fields["tokenizer.ggml.pre"] == kind
        assert not notes
    fields, notes = tokenizer_fields(TOKENIZERS["qwen2"](), 600, None)
    assert fields["tokenizer.ggml.pre"] == "qwen2"
    assert "NFC" in notes[0]
    fields, notes = tokenizer_fields(TOKENIZERS["metaspace"](), 600, None)
    assert fields["tokenizer.ggml.model"] == "llama"
    assert len(notes) == 2


def test_every_end_token_is_named() -> None:
    tokenizer = TOKENIZERS["starcoder"]()  # 2 is its end, 4 ends a turn
    fields, _ = tokenizer_fields(tokenizer, 600, [4, 2])
    assert fields["tokenizer.ggml.eos_token_id"] == 2
    assert fields["tokenizer.ggml.eot_token_id"] == 4
    assert "tokenizer.ggml.eom_token_id" not in fields


def test_tokens_that_take_spaces_are_told_of() -> None:
    tokenizer = gpt2_like()
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state["added_tokens"][0]["rstrip"] = True
    changed = Tokenizer.from_str(json.dumps(state))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=changed, eos_token="<|endoftext|>")
    _, notes = tokenizer_fields(tokenizer, 600, None)
    assert notes == ["'<|endoftext|>' takes the spaces beside it in transformers, not in llama.cpp"]


def spaced(tokenizer: Tokenizer) -> None:
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)


def by_threes(tokenizer: Tokenizer) -> None:
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )


def lowered(tokenizer: Tokenizer) -> None:
    tokenizer.normalizer = normalizers.Lowercase()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (spaced, "it splits text in a way of its own"),
        (by_threes, "it splits text in a way of its own"),
        (lowered, "it changes text first"),
    ],
)
def test_other_ways_of_splitting_are_refused(
    change: Callable[[Tokenizer], None], told: str
) -> None:
    tokenizer = gpt2_like()
    change(tokenizer.backend_tokenizer)
    with pytest.raises(UserError, match=told):
        tokenizer_fields(tokenizer, 600, None)


def test_other_kinds_are_refused() -> None:
    plain = Tokenizer(models.Unigram([("a", -1.0), ("b", -2.0)]))
    with pytest.raises(UserError, match="its kind is Unigram"):
        tokenizer_fields(PreTrainedTokenizerFast(tokenizer_object=plain), 600, None)
    few = Tokenizer(models.BPE({"a": 0}, []))
    with pytest.raises(UserError, match="it has no token for 255 bytes"):
        tokenizer_fields(PreTrainedTokenizerFast(tokenizer_object=few), 600, None)
    with pytest.raises(UserError, match=r"it has \d+ tokens, the model 100 embeddings"):
        tokenizer_fields(gpt2_like(), 100, None)


def test_a_tokenizer_without_an_end_is_refused() -> None:
    endless = PreTrainedTokenizerFast(tokenizer_object=gpt2_like().backend_tokenizer)
    with pytest.raises(UserError, match="it has no end token"):
        tokenizer_fields(endless, 600, None)


def first_split_last(merges: list[Any]) -> list[Any]:
    """Of a token with several merges, the first moved behind all others."""
    joined = ["".join(pair) for pair in merges]
    place = next(place for place, token in enumerate(joined) if joined.count(token) > 1)
    return [*merges[:place], *merges[place + 1 :], merges[place]]


@pytest.mark.parametrize("change", [lambda merges: merges[:-1], first_split_last])
def test_merges_that_scores_cannot_say_are_refused(
    change: Callable[[list[Any]], list[Any]],
) -> None:
    state = json.loads(pieces().backend_tokenizer.to_str())
    state["model"]["merges"] = change(state["model"]["merges"])
    changed = Tokenizer.from_str(json.dumps(state))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=changed, eos_token="</s>")
    with pytest.raises(UserError, match="its merges are not SentencePiece's"):
        tokenizer_fields(tokenizer, 600, None)
