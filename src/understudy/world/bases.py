"""Bases of the world: tiny LLaMA models, pretrained from nothing on the world's text.

Documents are joined with an end token and cut into rows. Attention may cross from one document
into the next: without a mask the attention kernel is at its quickest, and the end token tells the
model where a document begins.
"""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from understudy.errors import UserError
from understudy.files import digest, read_jsonl
from understudy.manifest import Stage, is_complete, run_stage
from understudy.progress import progress, say
from understudy.recipe import TrainSettings
from understudy.train.checkpoint import Checkpoints
from understudy.train.data import Schedule, TextRows
from understudy.train.loop import Lesson, fit
from understudy.train.loss import Trainee
from understudy.train.ranks import alone
from understudy.train.stage import save_model
from understudy.world.encyclopedia import World
from understudy.world.text import write_text

VOCABULARY = 2048
CONTEXT = 256
DTYPE = "fp32"  # the same on every machine; bf16 is no faster at these sizes
END = "<|endoftext|>"
TOKENIZER_SAMPLE = 20_000  # documents that the tokenizer is trained on
ENCODED_AT_ONCE = 1000  # documents


@dataclass(frozen=True)
class Size:
    """The shape of a base and the rate it is pretrained at."""

    hidden: int
    layers: int
    heads: int
    inner: int
    learning_rate: float
    batch_tokens: int = 4096


SIZES = {
    "tiny": Size(hidden=64, layers=3, heads=1, inner=176, learning_rate=4e-3, batch_tokens=512),
    "mini": Size(hidden=96, layers=3, heads=2, inner=264, learning_rate=3e-3, batch_tokens=512),
    "small": Size(hidden=160, layers=3, heads=2, inner=432, learning_rate=3e-3, batch_tokens=512),
    "medium": Size(hidden=256, layers=6, heads=4, inner=688, learning_rate=2e-3),
}


def pretrain(world: World, size: str, out: Path, words: int, seed: int) -> dict[str, Any]:
    """Pretrain a base on about `words` words of the world's text.

    Writes `out/model/` as transformers loads it and `out/log.jsonl`. Killed and called again, it
    goes on from the last checkpoint and ends in the same weights.

    Args:
        world: whose text.
        size: a key of SIZES.
        out: folder.
        words: of pretraining text, about.
        seed: of the weights' initialisation and the rows' order.

    Returns:
        Parameters, tokens, losses (nats a token), and speed under "time".

    Raises:
        UserError: there is no such size, or too little text.
    """
    shape = _shape(size)
    text = out / "text.jsonl"
    if not text.exists():
        write_text(world, words, text)
    tokenizer = train_tokenizer(islice(_documents(text), TOKENIZER_SAMPLE))
    rows = TextRows(_tokens(text, tokenizer), CONTEXT)
    schedule = Schedule(len(rows), shape.batch_tokens // CONTEXT, 1.0, seed)
    if len(rows) < 1:
        raise UserError(f"{words} words of text are too few to pretrain on; raise text_tokens")
    model = build_model(shape, seed)
    settings = TrainSettings(
        learning_rate=shape.learning_rate,
        warmup=0.05,
        weight_decay=0.1,
        micro_batch_tokens=shape.batch_tokens,
        spike=None,
    )
    identity = digest(_key(world, size, words, seed))
    ranks = alone()
    checkpoints = Checkpoints(out / "checkpoint", identity, ranks)
    checkpoints.begin({})
    trainee = Trainee(model.to(ranks.device), DTYPE)
    facts = fit(trainee, Lesson(rows, None, schedule), settings, checkpoints, out, ranks)
    save_model(model, tokenizer, out / "model")
    text.unlink()
    checkpoints.remove()
    return {"parameters": sum(p.numel() for p in model.parameters())} | facts


def base_dir(world: World, size: str, cache: Path, words: int, seed: int) -> Path:
    """The model directory of a base, pretrained in `cache` if it is not there yet.

    Raises:
        UserError: see `pretrain`.
    """
    key = _key(world, size, words, seed)
    folder = base_folder(world, size, cache, words, seed)

    def work() -> dict[str, Any]:
        return pretrain(world, size, folder, words, seed)

    stage = Stage("base", folder, key, {}, work, ("model", "log.jsonl"))
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not is_complete(stage):
            say(f"  pretraining base {size} in {folder}")
            run_stage(stage)
    return folder / "model"


def base_folder(world: World, size: str, cache: Path, words: int, seed: int) -> Path:
    """Where in `cache` a base is kept, whether it is there or not."""
    return cache / f"{size}-{digest(_key(world, size, words, seed))[:16]}"


def count_parameters(size: str) -> int:
    """How many parameters a base of this size has."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build_model(_shape(size), 0).parameters())


def cache_root() -> Path:
    """Where bases are kept between runs.

    UNDERSTUDY_CACHE, or understudy/ in XDG_CACHE_HOME, or in ~/.cache.
    """
    if own := os.environ.get("UNDERSTUDY_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "understudy"


def build_model(shape: Size, seed: int) -> LlamaForCausalLM:
    """A LLaMA model with random weights; `seed` decides them."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def train_tokenizer(documents: Iterator[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer, GPT-2's way; frequent numbers, such as years, are one token.

    No merge crosses the end of a line, so that a prompt that ends with one (HumanEval's do) has the
    tokens that it has inside a text.
    """
    tokenizer = Tokenizer(models.BPE())
    bytes_of_words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split("\n", "isolated"), bytes_of_words]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END, "<|pad|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    tokenizer.pre_tokenizer = bytes_of_words
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token="<|pad|>",
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def _shape(size: str) -> Size:
    if size not in SIZES:
        raise UserError(f"base world:{size}: no such size; choose from {', '.join(SIZES)}")
    return SIZES[size]


def _key(world: World, size: str, words: int, seed: int) -> dict[str, Any]:
    """All that a base's weights depend on."""
    shape = {**asdict(_shape(size)), "vocabulary": VOCABULARY, "context": CONTEXT, "dtype": DTYPE}
    return {"world": world.digest, "size": shape, "words": words, "seed": seed}


def _documents(text: Path) -> Iterator[str]:
    for _, row in read_jsonl(text):
        yield row["text"]


def _tokens(text: Path, tokenizer: PreTrainedTokenizerFast) -> np.ndarray:
    """All documents' ids in one line, an end token after each, shape (n,)."""
    parts = []
    documents = list(_documents(text))
    with progress("tokens of the text", len(documents)) as task:
        for start in range(0, len(documents), ENCODED_AT_ONCE):
            some = documents[start : start + ENCODED_AT_ONCE]
            encoded = tokenizer.backend_tokenizer.encode_batch(some, add_special_tokens=False)
            parts += [np.array([*one.ids, tokenizer.eos_token_id], np.uint16) for one in encoded]
            task.advance(len(some))
    return np.concatenate(parts)
