"""Small tokenizers of the kinds that model families use, with their control tokens."""

from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from families import chats
from train.tiny_models import TEXT, gpt2_like
from train.tiny_tokenizers import sentencepiece

END_OF_TEXT = "<|endoftext|>"
SENTENCES = ["<unk>", "<s>", "</s>"]
IM = ["<|im_start|>", "<|im_end|>"]


def finished(tokenizer: Tokenizer, opens: bool = False, **named: Any) -> PreTrainedTokenizerFast:
    """With the names of its special tokens; `opens`: every text begins with `bos_token`."""
    if opens:
        bos = named["bos_token"]
        tokenizer.post_processor = TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)


def byte_level(
    special: list[str],
    digits: str | None = None,
    normalizer: normalizers.Normalizer | None = None,
    whole_words: bool = False,
) -> Tokenizer:
    """BPE over bytes.

    Args:
        special: control tokens.
        digits: how many stand together, as a quantifier of the split that GPT-4, Llama 3 and Qwen
            share; None: GPT-2's split, with each digit by itself.
        normalizer: of all text.
        whole_words: a word that is a token is not put together from merges (Llama 3).
    """
    tokenizer = Tokenizer(models.BPE(ignore_merges=whole_words))
    if digits is None:
        parts = [pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    else:
        parts = [
            pre_tokenizers.Split(Regex(words_apart(digits)), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=480,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT * 20, trainer)
    return tokenizer


def words_apart(digits: str) -> str:
    """Contractions; words with what is before them; digits; signs; breaks; other white space."""
    return "|".join(
        [
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)",
            r"[^\r\n\p{L}\p{N}]?\p{L}+",
            r"\p{N}" + digits,
            r" ?[^\s\p{L}\p{N}]+[\r\n]*",
            r"\s*[\r\n]+",
            r"\s+(?!\S)",
            r"\s+",
        ]
    )


def llama(
    special: list[str] = SENTENCES, opens: bool = True, **named: Any
) -> PreTrainedTokenizerFast:
    """SentencePiece as LLaMA's: a space is put before every stretch of text."""
    rules = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    tokenizer = sentencepiece(None, normalizers.Sequence(rules), special)
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    named = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"} | named
    return finished(tokenizer, opens, **named)


def llama1() -> PreTrainedTokenizerFast:
    return llama(pad_token="<unk>")


def llama2() -> PreTrainedTokenizerFast:
    return llama(chat_template=chats.LLAMA2)


def mistral() -> PreTrainedTokenizerFast:
    """A space is put before a text's first word, and not after control tokens."""
    pieces = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    return finished(
        sentencepiece(pieces, None, [*SENTENCES, "[INST]", "[/INST]"]),
        opens=True,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        chat_template=chats.MISTRAL,
    )


def llama3() -> PreTrainedTokenizerFast:
    special = ["<|begin_of_text|>", "<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"]
    special += ["<|start_header_id|>", "<|end_header_id|>"]
    return finished(
        byte_level(special, "{1,3}", whole_words=True),
        opens=True,
        bos_token="<|begin_of_text|>",
        eos_token="<|eot_id|>",
        chat_template=chats.LLAMA3,
    )


def qwen(chat: str = chats.CHATML_DEFAULT, *tags: str) -> PreTrainedTokenizerFast:
    tokenizer = byte_level([END_OF_TEXT, *IM], "", normalizers.NFC())
    tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in tags])
    return finished(tokenizer, eos_token=IM[1], pad_token=END_OF_TEXT, chat_template=chat)


def qwen3() -> PreTrainedTokenizerFast:
    return qwen(chats.QWEN3, "<think>", "</think>", "<tool_call>", "</tool_call>")


def smollm2() -> PreTrainedTokenizerFast:
    """Pads with its end token."""
    return finished(
        byte_level([END_OF_TEXT, *IM]),
        bos_token=IM[0],
        eos_token=IM[1],
        unk_token=END_OF_TEXT,
        pad_token=IM[1],
        chat_template=chats.CHATML_DEFAULT,
    )


def smollm3() -> PreTrainedTokenizerFast:
    special = ["<|begin_of_text|>", "<|end_of_text|>", *IM]
    return finished(
        byte_level(special, "{1,3}", whole_words=True),
        eos_token=IM[1],
        pad_token=IM[1],
        chat_template=chats.SMOLLM3,
    )


def gemma(chat: str = chats.GEMMA2) -> PreTrainedTokenizerFast:
    """SentencePiece that puts no space before anything; its end token closes no turn."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    pieces = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer = sentencepiece(pieces, normalizers.Replace(" ", "▁"), special)
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in ("\n\n", "  ")])
    return finished(
        tokenizer,
        opens=True,
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        pad_token="<pad>",
        chat_template=chat,
    )


def gemma3() -> PreTrainedTokenizerFast:
    return gemma(chats.GEMMA3)


def phi3() -> PreTrainedTokenizerFast:
    """LLaMA's, with control tokens that take the white space behind them."""
    tokenizer = llama(
        [*SENTENCES, END_OF_TEXT], False, eos_token=END_OF_TEXT, pad_token=END_OF_TEXT
    )
    roles = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
    tokenizer.add_tokens(
        [AddedToken(text, rstrip=True, normalized=False, special=True) for text in roles],
        special_tokens=True,
    )
    tokenizer.chat_template = chats.PHI3
    return tokenizer


def plain_roles() -> PreTrainedTokenizerFast:
    """GPT-4's kind with one token for everything, pads too; a chat's roles are plain text."""
    tokenizer = byte_level([END_OF_TEXT], "{1,3}", normalizers.NFC())
    one = dict.fromkeys(("bos_token", "eos_token", "pad_token"), END_OF_TEXT)
    return finished(tokenizer, **one, chat_template=chats.PLAIN_ROLES)


def olmo3() -> PreTrainedTokenizerFast:
    return finished(
        byte_level([END_OF_TEXT, *IM, "<|pad|>"], "{1,3}"),
        eos_token=IM[1],
        pad_token="<|pad|>",
        chat_template=chats.CHATML_DEFAULT,
    )


def granite() -> PreTrainedTokenizerFast:
    tokenizer = byte_level(["<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>"])
    kinds = ("bos_token", "eos_token", "unk_token", "pad_token")
    named = dict.fromkeys(kinds, "<|end_of_text|>")
    return finished(tokenizer, **named, chat_template=chats.GRANITE)


def neox() -> PreTrainedTokenizerFast:
    """GPT-NeoX's: runs of spaces are tokens that are not special."""
    tokenizer = byte_level([END_OF_TEXT, "<|padding|>"], normalizer=normalizers.NFC())
    tokenizer.add_tokens([AddedToken(" " * n, special=False) for n in (2, 3, 4)])
    named = dict.fromkeys(("bos_token", "eos_token", "unk_token"), END_OF_TEXT)
    return finished(tokenizer, **named)


def gpt2() -> PreTrainedTokenizerFast:
    return gpt2_like()


def bloom() -> PreTrainedTokenizerFast:
    return finished(
        byte_level([*SENTENCES, "<pad>"]),
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
    )
