"""Tokenizers and models, built small in the tests."""

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PhiConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from understudy.train.data import Batch, unpacked
from understudy.train.template import Encoded
from understudy.train.tokens import Tokens

TEXT = [
    "USER: What does a lamp do? ASSISTANT: A lamp gives light.\n\n### Instruction:\nGo on.",
    "### Response:\n  Two  spaces,\ttabs and\n\n\nlines; user assistant 1984 café naïve.",
    "The keeper of the lighthouse writes letters to the baker of the village.",
]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

IGNORED = -100  # a label on which torch's cross-entropy takes no loss


def _train(tokenizer: Tokenizer, special: list[str], alphabet: list[str]) -> Tokenizer:
    trainer = trainers.BpeTrainer(
        vocab_size=480, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT * 20, trainer)
    return tokenizer


def gpt2_like() -> PreTrainedTokenizerFast:
    """Byte-level BPE with one special token for everything and no padding."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    _train(tokenizer, ["<|endoftext|>"], pre_tokenizers.ByteLevel.alphabet())
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>"
    )


def llama_like() -> PreTrainedTokenizerFast:
    """Byte-level BPE with sentence tokens, an opening one added to every text, and ChatML."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    _train(tokenizer, special, pre_tokenizers.ByteLevel.alphabet())
    tokenizer.add_tokens([AddedToken("<tool>", special=False, normalized=False)])
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="</s>",
        chat_template=CHATML,
    )


TOKENIZERS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "gpt2": gpt2_like,
    "llama": llama_like,
}


SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
CONFIGS: dict[str, PreTrainedConfig] = {
    "gpt2": GPT2Config(
        n_positions=64, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    ),
    "llama": LlamaConfig(**SHAPE, tie_word_embeddings=False),
    "mistral": MistralConfig(**SHAPE, num_key_value_heads=4, sliding_window=5),
    "qwen2": Qwen2Config(**SHAPE, num_key_value_heads=2, tie_word_embeddings=True),
    "phi": PhiConfig(**SHAPE),  # a head with a bias
}


def build_model(architecture: str, vocabulary: int = 600) -> PreTrainedModel:
    """One of the above, by its name."""
    return build(CONFIGS[architecture], vocabulary)


def build(config: PreTrainedConfig, vocabulary: int) -> PreTrainedModel:
    """A model with random weights, large enough for its outputs to differ."""
    config = copy.deepcopy(config)
    config.get_text_config().vocab_size = vocabulary
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(5)
    return model.eval()


def draw_dialogues(lengths: Sequence[int], vocabulary: int = 600, seed: int = 0) -> list[Encoded]:
    """Dialogues of random tokens, small ids being the likelier; in the second, all is masked."""
    draw = np.random.default_rng(seed)
    dialogues = []
    for number, length in enumerate(lengths):
        ids = (vocabulary * draw.random(length) ** 4).astype(int).tolist()
        supervised = draw.random(length) < (0.0 if number == 1 else 0.6)
        dialogues.append(Encoded(ids, supervised.tolist()))
    return dialogues


def tokens_of(dialogues: Sequence[Encoded]) -> Tokens:
    """Dialogues, named d0, d1 and so on, as an encoded file holds them."""

    def sums(sizes: list[int]) -> np.ndarray:
        return np.cumsum([0, *sizes])

    names = [f"d{number}".encode() for number in range(len(dialogues))]
    return Tokens(
        ids=np.array([i for d in dialogues for i in d.ids], np.uint16),
        supervised=np.array([s for d in dialogues for s in d.supervised], bool),
        offsets=sums([len(d.ids) for d in dialogues]),
        target_offsets=sums([sum(d.supervised[1:]) for d in dialogues]),
        lines=np.arange(len(dialogues)),
        names=np.frombuffer(b"".join(names), np.uint8),
        name_offsets=sums([len(name) for name in names]),
        cut=0,
        empty=0,
    )


def one_batch(dialogues: Sequence[Encoded]) -> Batch:
    """All of some dialogues in one line."""
    return unpacked(tokens_of(dialogues)).collate(range(len(dialogues)))


def plain_loss(model: PreTrainedModel, dialogues: Sequence[Encoded]) -> tuple[Tensor, int]:
    """The summed loss of dialogues, each run alone, and the number of supervised tokens."""
    total, count = torch.zeros((), dtype=model.dtype), 0
    for dialogue in dialogues:
        ids, supervised = torch.tensor(dialogue.ids), torch.tensor(dialogue.supervised)
        labels = ids.where(supervised, -100)[1:]
        logits = model(input_ids=ids[None], use_cache=False).logits[0, :-1]
        total = total + cross_entropy(logits, labels, reduction="sum")
        count += int((labels >= 0).sum())
    return total, count
