"""Tokenizers of every kind that treats text in a way of its own, built small; and their texts."""

import json
from collections.abc import Callable

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer, UnigramTrainer
from transformers import PreTrainedTokenizerFast

from train.tiny_models import CHATML, TEXT, TOKENIZERS
from understudy.train.template import Encoded, Template

SPECIAL = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def wrapped(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    tokenizer.add_tokens([AddedToken("<tool>", special=False)])
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        chat_template=CHATML,
    )


def sentencepiece(
    pre_tokenizer: pre_tokenizers.PreTokenizer | None,
    normalizer: normalizers.Normalizer | None,
    special: list[str] = SPECIAL,
) -> Tokenizer:
    """BPE with byte fallback and the word border mark of SentencePiece."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer:
        tokenizer.normalizer = normalizer
    trainer = BpeTrainer(vocab_size=520, special_tokens=special + BYTES, show_progress=False)
    tokenizer.train_from_iterator(TEXT * 20, trainer)
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = state["added_tokens"][: len(special)]  # bytes are text
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return tokenizer


def metaspace_like() -> PreTrainedTokenizerFast:
    """A space is put before the first word of a text, and not after control tokens."""
    pieces = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    return wrapped(sentencepiece(pieces, None))


def legacy_like() -> PreTrainedTokenizerFast:
    """A space is put before every stretch of text, after control tokens too."""
    rules = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    return wrapped(sentencepiece(None, normalizers.Sequence(rules)))


def unigram_like() -> PreTrainedTokenizerFast:
    """Unigram, which finds even control tokens in its vocabulary, over NFKC in lower case."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    trainer = UnigramTrainer(
        vocab_size=300, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(TEXT * 20, trainer)
    return wrapped(tokenizer)


ALL: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    **TOKENIZERS,
    "metaspace": metaspace_like,
    "legacy": legacy_like,
    "unigram": unigram_like,
}


def supervised_ids(encoded: Encoded) -> list[int]:
    return [i for i, s in zip(encoded.ids, encoded.supervised, strict=True) if s]


def supervised_text(template: Template, messages: list[dict[str, str]]) -> str:
    ids = supervised_ids(template.encode(messages))
    return decode(template.tokenizer, [template.end_id, *ids])[len(template.end) :]


def decode(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> str:
    return tokenizer.decode(ids, clean_up_tokenization_spaces=False)
