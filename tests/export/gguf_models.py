"""Small random models and tokenizers of every kind that is written as GGUF."""

import copy
import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    LlamaTokenizer,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2Tokenizer,
    Qwen3Config,
)

from train.tiny_models import CHATML, TEXT, gpt2_like, llama_like
from understudy.models import load_tokenizer

SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 5e5,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
LINEAR = {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}
GPT2 = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 1024}
CONFIGS: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**SHAPE, tie_word_embeddings=False),
    "llama, tied": LlamaConfig(**SHAPE, tie_word_embeddings=True),
    "llama, wide heads": LlamaConfig(**SHAPE, head_dim=32),
    "llama, biases": LlamaConfig(**SHAPE, attention_bias=True, mlp_bias=True, rms_norm_eps=1e-3),
    "llama 3": LlamaConfig(**SHAPE, rope_parameters=LLAMA3),
    "llama, longer": LlamaConfig(**SHAPE, rope_parameters=LINEAR),
    "mistral": MistralConfig(**SHAPE, sliding_window=100),
    "qwen2": Qwen2Config(**SHAPE, tie_word_embeddings=True),
    "qwen3": Qwen3Config(**SHAPE, head_dim=128),
    "gpt2": GPT2Config(**GPT2),
    "gpt2, untied": GPT2Config(**GPT2, tie_word_embeddings=False, n_inner=96),
}
LLAMA3_REGEX = (  # of the tokenizer.json of Llama 3
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEXTS = [
    "The keeper of the lighthouse",
    "What does a lamp do?\n",
    "café 1984 lines;\n\n two  spaces, 31.5 they're",
    " 日本 naïve\t🙂 ",
    "USER: it's\r\n\r\n  WE'LL\n",
]


def pieces() -> PreTrainedTokenizerFast:
    """BPE as SentencePiece has it, in the way of LLaMA's first tokenizer."""
    vocabulary, merges = found_pieces()
    model = models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    spaces = decoders.Replace("▁", " ")
    tokenizer.decoder = decoders.Sequence(
        [spaces, decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def metaspace() -> PreTrainedTokenizerBase:
    """The same as transformers' own class has it, which opens every text."""
    vocabulary, merges = found_pieces()
    return LlamaTokenizer(vocab=vocabulary, merges=merges, add_bos_token=True)


@cache
def found_pieces() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Tokens that BPE finds in texts, and every merge of two of them into a third."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    learner.train_from_iterator(TEXT * 20, trainers.BpeTrainer(vocab_size=300, show_progress=False))
    found = sorted(learner.get_vocab(), key=learner.token_to_id)
    merges = [
        (token[:cut], token[cut:])
        for token in found
        for cut in range(1, len(token))
        if {token[:cut], token[cut:]} <= set(found)
    ]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *found]
    return {token: number for number, token in enumerate(tokens)}, merges


def qwen2_like() -> PreTrainedTokenizerBase:
    """Byte-level BPE as Qwen2's class splits it."""
    plain = gpt2_like()
    merges = json.loads(plain.backend_tokenizer.to_str())["model"]["merges"]
    return Qwen2Tokenizer(
        vocab=plain.get_vocab(), merges=[tuple(pair) for pair in merges], chat_template=CHATML
    )


def llama3_like(ignore_merges: bool = True) -> PreTrainedTokenizerFast:
    """Byte-level BPE that splits as Llama 3's does, and takes whole words first as that does."""
    state = json.loads(gpt2_like().backend_tokenizer.to_str())
    state["model"]["ignore_merges"] = ignore_merges
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")


TOKENIZERS: dict[str, Callable[[], PreTrainedTokenizerBase]] = {  # by llama.cpp's name
    "gpt-2": gpt2_like,
    "starcoder": llama_like,
    "qwen2": qwen2_like,
    "llama-bpe": llama3_like,
    "smaug-bpe": partial(llama3_like, ignore_merges=False),
    "pieces": pieces,
    "metaspace": metaspace,
}


def make(folder: Path, family: str, kind: str = "gpt-2", spare: int = 0) -> PreTrainedModel:
    """Write a model directory; the embeddings have `spare` rows more than there are tokens."""
    TOKENIZERS[kind]().save_pretrained(folder)
    config, tokenizer = copy.deepcopy(CONFIGS[family]), load_tokenizer(str(folder))
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id")}
    config.update(ids | {"vocab_size": len(tokenizer) + spare})
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(5)  # so that outputs differ
            else:
                weight.add_(0.1 * torch.randn_like(weight))
    model.save_pretrained(folder)
    return model.eval()


def halved(model: PreTrainedModel) -> PreTrainedModel:
    """The model with its matrices rounded to half precision, positions excepted."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and "wpe" not in name:
                weight.copy_(weight.half())
    return model
