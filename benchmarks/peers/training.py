"""What both sides of benchmarks/train.py are given: models at random init and dialogues."""

import gzip
import json
import math
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
)

from understudy.dialogue import Dialogue, Turn
from understudy.train.template import bind

SEED = 0

# Every heading and end is one special token, so that no merge crosses it and both sides encode a
# message alike; the marks are TRL's way to know what the assistant said.
SPECIAL = ["<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"]
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|end|>' }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
VOCABULARY = 16_000


@dataclass(frozen=True)
class Shape:
    """A model's shape, and how much of it a machine can take at once."""

    config: Callable[[int], PretrainedConfig]  # of a context
    micro_batch_tokens: int
    checkpointing: bool = False


@dataclass(frozen=True)
class Lengths:
    """Turns of a dialogue, and tokens of prompts and answers: means and standard deviations."""

    turns: float
    prompt: tuple[float, float]
    answer: tuple[float, float]


# The models


def gpt2(vocabulary: int, hidden: int, layers: int, heads: int) -> Callable[[int], GPT2Config]:
    """Without dropout, which understudy never applies and TRL would."""
    return lambda context: GPT2Config(
        vocab_size=vocabulary,
        n_positions=context,
        n_embd=hidden,
        n_layer=layers,
        n_head=heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
    )


def llama(
    hidden: int, inner: int, layers: int, heads: int, shared: int = 1
) -> Callable[[int], LlamaConfig]:
    """`shared`: heads that share keys and values."""
    return lambda context: LlamaConfig(
        vocab_size=32_000,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // shared,
        max_position_embeddings=context,
        tie_word_embeddings=False,
    )


SHAPES = {
    "tiny": Shape(gpt2(17_000, 64, 2, 2), 256),
    "gpt2": Shape(gpt2(50_257, 768, 12, 12), 1024),  # 124M
    "llama": Shape(llama(512, 1408, 8, 8), 1024),  # 58M
    "llama-1.1b": Shape(llama(2048, 5632, 22, 32, 8), 8192),  # TinyLlama's
    "llama-7b": Shape(llama(4096, 11_008, 32, 32), 2048, checkpointing=True),
}


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    pad, *_, end = SPECIAL
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        eos_token=end,
        extra_special_tokens=SPECIAL[1:-1],
        chat_template=CHAT_TEMPLATE,
    )


def save_model(
    shape: Shape, context: int, tokenizer: PreTrainedTokenizerFast, device: str, folder: Path
) -> tuple[int, int]:
    """Save a model at random init; returns weights of its body and of its head.

    What is trained has fp32 weights on both sides; on a GPU's machine the file has half of that.
    """
    config = shape.config(context)
    config.bos_token_id = config.eos_token_id = tokenizer.eos_token_id
    config.pad_token_id = tokenizer.pad_token_id
    torch.manual_seed(SEED)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config)
    body = getattr(model, model.base_model_prefix)
    looked_up = {id(m.weight) for m in body.modules() if isinstance(m, nn.Embedding)}
    weights = sum(p.numel() for p in body.parameters() if id(p) not in looked_up)
    head = model.get_output_embeddings().weight.numel()
    (model if device == "cpu" else model.to(torch.bfloat16)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return weights, head


# The dialogues

# ShareGPT's and Alpaca's as Zhao et al. 2024, "WildChat", table 1 have them (unconfirmed: the paper
# was not at hand); the spread of Alpaca's is taken to be as large as its mean.
LENGTHS = {
    "alpaca": Lengths(1.0, (20, 20), (65, 65)),
    "sharegpt": Lengths(3.51, (94, 626), (348, 270)),
}


def read_real(data: Path) -> tuple[list[list[Turn]], list[str]]:
    """The Alpaca-format dialogues, and answers of other models whose words fill drawn lengths."""
    records = json.loads((data / "alpaca_en_demo.json").read_text())
    dialogues = []
    for record in records:
        prompt = "\n\n".join(filter(None, (record["instruction"], record["input"])))
        dialogues.append(
            [Turn(role="user", content=prompt), Turn(role="assistant", content=record["output"])]
        )
    answers = [record["output"] for record in records]
    for path in sorted((data / "gpteacher").glob("*-instruct.json.gz")):
        answers += [record["response"] for record in json.loads(gzip.decompress(path.read_bytes()))]
    return dialogues, answers


def invented(rng: random.Random) -> list[str]:
    """Texts of invented words, some much more frequent than others."""
    letters = "etaoinshrdlucmfwygpbvk"
    vocabulary = ["".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(20_000)]
    weights = [1 / (rank + 10) for rank in range(len(vocabulary))]
    return [" ".join(rng.choices(vocabulary, weights, k=100)) for _ in range(3000)]


def drawn(
    lengths: Lengths, texts: list[str], tokenizer: PreTrainedTokenizerFast, context: int
) -> Iterator[list[Turn]]:
    """Dialogues without end, of drawn lengths and the words of `texts`.

    Turns are drawn from a geometric distribution, lengths from log-normal ones, a prompt's of at
    most a quarter and an answer's of at most half the context. A dialogue that does not fit the
    context becomes several, cut before a user's turn.
    """
    rng = random.Random(SEED)
    words = cycle(word for text in texts for word in text.split())

    @lru_cache(maxsize=1 << 16)
    def size_of(word: str) -> int:
        return len(tokenizer.encode(f" {word}", add_special_tokens=False))

    def turn(role: str, mean: float, deviation: float, most: int) -> tuple[Turn, int]:
        spread = math.log1p((deviation / mean) ** 2)
        wanted = min(rng.lognormvariate(math.log(mean) - spread / 2, math.sqrt(spread)), most)
        said = [next(words)]
        size = size_of(said[0])
        while size < wanted:
            said.append(next(words))
            size += size_of(said[-1])
        return Turn(role=role, content=" ".join(said)), size + 2  # heading and end

    while True:
        turns: list[Turn] = []
        taken = 0
        more = True
        while more:
            prompt, asked = turn("user", *lengths.prompt, context // 4)
            answer, answered = turn("assistant", *lengths.answer, context // 2)
            if turns and taken + asked + answered > context:
                yield turns
                turns, taken = [], 0
            turns += [prompt, answer]
            taken += asked + answered
            more = rng.random() < 1 - 1 / lengths.turns
        yield turns


def choose(
    source: Iterable[list[Turn]], tokenizer: PreTrainedTokenizerFast, rows: int, context: int
) -> tuple[list[Dialogue], list[tuple[int, int]]]:
    """As many dialogues as best-fit decreasing gets into `rows` rows; their counts of tokens.

    Longer ones than the context are left out, so that nobody cuts any.
    """
    template = bind("own", tokenizer)
    chosen: list[Dialogue] = []
    counts: list[tuple[int, int]] = []
    for number, turns in enumerate(source):
        dialogue = Dialogue(id=str(number), turns=turns, source="benchmark")
        encoded = template.encode(dialogue.messages())
        if len(encoded.ids) > context:
            continue
        counts.append((len(encoded.ids), sum(encoded.supervised)))
        if rows_needed([size for size, _ in counts], context) > rows:
            return chosen, counts[:-1]
        chosen.append(dialogue)
    return chosen, counts


def rows_needed(sizes: list[int], context: int) -> int:
    rooms: list[int] = []
    for size in sorted(sizes, reverse=True):
        fitting = [room for room in rooms if room >= size]
        if fitting:
            rooms.remove(min(fitting))
        rooms.append((min(fitting) if fitting else context) - size)
    return len(rooms)
