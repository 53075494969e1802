"""Small random models of many families, and their own numbers, a row at a time."""

import copy
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor, nn
from transformers import (
    BloomConfig,
    CohereConfig,
    DeepseekV3Config,
    Gemma2Config,
    Gemma3nTextConfig,
    Gemma3TextConfig,
    GPTBigCodeConfig,
    GPTNeoXConfig,
    GptOssConfig,
    GraniteConfig,
    Lfm2Config,
    Llama4TextConfig,
    MambaConfig,
    MixtralConfig,
    Olmo2Config,
    OlmoeConfig,
    OPTConfig,
    Phi3Config,
    PhimoeConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Qwen3Config,
)

from train.tiny_models import CONFIGS, SHAPE, build, gpt2_like
from understudy.evaluate.engines.text import Row

CONTEXT = 64
GROUPED = SHAPE | {"num_key_value_heads": 2, "head_dim": 8}
WINDOW = 5  # tokens, fewer than the texts have

SHARING: dict[str, PreTrainedConfig] = CONFIGS | {
    "gpt_neox": GPTNeoXConfig(**SHAPE),
    "gpt_bigcode": GPTBigCodeConfig(n_positions=CONTEXT, n_embd=32, n_layer=2, n_head=4),
    "opt": OPTConfig(
        hidden_size=32,
        ffn_dim=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        word_embed_proj_dim=32,
    ),
    "gemma3": Gemma3TextConfig(  # a window in every other layer
        **GROUPED, sliding_window=WINDOW, layer_types=["sliding_attention", "full_attention"]
    ),
    "gemma3n": Gemma3nTextConfig(  # layers of unlike sizes; the last ones take others' keys
        **GROUPED | {"num_hidden_layers": 4, "intermediate_size": [48, 32, 48, 32]},
        vocab_size_per_layer_input=400,
        hidden_size_per_layer_input=8,
        laurel_rank=4,
        num_kv_shared_layers=2,
        sliding_window=WINDOW,
        layer_types=["sliding_attention", "full_attention"] * 2,
        activation_sparsity_pattern=[0.0] * 4,
    ),
    "qwen3": Qwen3Config(**GROUPED),
    "olmo2": Olmo2Config(**SHAPE),
    "granite": GraniteConfig(**SHAPE, logits_scaling=3.0, attention_multiplier=0.2),
    "cohere": CohereConfig(**SHAPE),
    "mixtral": MixtralConfig(**SHAPE, num_key_value_heads=2, num_local_experts=4),
    "olmoe": OlmoeConfig(**SHAPE, num_experts=4, num_experts_per_tok=2, pad_token_id=0),
}
PLAIN: dict[str, PreTrainedConfig] = {
    "gemma2": Gemma2Config(**GROUPED, attn_logit_softcapping=2.0),
    "bloom": BloomConfig(hidden_size=32, n_layer=2, n_head=4),  # biases by distance
    "mamba": MambaConfig(hidden_size=32, num_hidden_layers=2, state_size=4),  # no attention
    "lfm2": Lfm2Config(  # attention in every other layer
        **SHAPE, num_key_value_heads=2, layer_types=["conv", "full_attention"]
    ),
    "gpt_oss": GptOssConfig(  # scores that go to no token
        **GROUPED,
        num_local_experts=4,
        rope_parameters={"rope_type": "default", "rope_theta": 1e4},
    ),
    "deepseek_v3": DeepseekV3Config(  # keys are wider than values
        **SHAPE,
        q_lora_rank=16,
        kv_lora_rank=16,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=8,
        first_k_dense_replace=2,
    ),
    # Windows that only the mask knows of, longer than the trial's texts.
    "phimoe": PhimoeConfig(
        **SHAPE, num_key_value_heads=2, num_local_experts=2, sliding_window=CONTEXT // 2
    ),
    "llama4": Llama4TextConfig(
        **GROUPED,
        num_local_experts=2,
        intermediate_size_mlp=48,
        attention_chunk_size=CONTEXT // 2,
    ),
}

LONGROPE = Phi3Config(  # positions of texts of more than 40 tokens are encoded otherwise
    **SHAPE,
    pad_token_id=0,
    original_max_position_embeddings=40,
    rope_parameters={
        "rope_type": "longrope",
        "rope_theta": 1e4,
        "factor": 1.6,
        "short_factor": [1.0, 1.2, 1.3, 1.4],
        "long_factor": [2.0, 3.0, 4.0, 5.0],
    },
)


@cache
def tokenizer() -> PreTrainedTokenizerBase:
    return gpt2_like()


def sized(config: PreTrainedConfig) -> PreTrainedModel:
    """A model of this kind for the tokenizer's vocabulary."""
    config = copy.deepcopy(config)
    config.update({"bos_token_id": 0, "eos_token_id": 0})
    return build(config, len(tokenizer()))


@cache
def model_of(family: str) -> PreTrainedModel:
    """One of the above, by its name."""
    return sized((SHARING | PLAIN)[family])


@torch.inference_mode()
def alone(model: PreTrainedModel, ids: Sequence[int]) -> Tensor:
    """Log-probabilities after each token of a row, (tokens, vocabulary)."""
    return model(torch.tensor([ids])).logits[0].float().log_softmax(-1)


def read_alone(model: PreTrainedModel, row: Row) -> list[float]:
    found = alone(model, row.ids)
    return [found[place, token].item() for place, token in row.reads]


def greedy(model: PreTrainedModel, ids: Sequence[int], most: int, ends: Sequence[int]) -> list[int]:
    """What transformers' generation adds to a prompt, without the end token."""
    given = torch.tensor([ids])
    out = model.generate(
        given,
        attention_mask=torch.ones_like(given),
        do_sample=False,
        max_new_tokens=most,
        eos_token_id=list(ends) or None,
        pad_token_id=0,
    )[0, len(ids) :].tolist()
    return out[:-1] if out[-1] in ends else out


def drawn_prompts(rng: random.Random, count: int) -> list[list[int]]:
    """Prompts of up to 50 tokens. Many begin alike, and some of these go on alike; one is the
    beginning of another, and one stands twice."""
    vocabulary = len(tokenizer())

    def draw(least: int, most: int) -> list[int]:
        return [rng.randrange(1, vocabulary) for _ in range(rng.randint(least, most))]

    first, other = draw(17, 20), draw(20, 40)
    starts = [first, first + draw(17, 20), other, []]
    rows = [[*starts[place % 4], *draw(1, 10)] for place in range(count - 2)]
    rows += [max(rows, key=len)[:-1], rows[0]]
    rng.shuffle(rows)
    return rows


def drawn_rows(rng: random.Random, count: int) -> list[Row]:
    """Such rows, read at their last tokens and in what they share."""
    rows = []
    for ids in drawn_prompts(rng, count):
        first = max(0, len(ids) - rng.randint(1, 12))
        reads = [(place, rng.randrange(len(tokenizer()))) for place in range(first, len(ids))]
        reads += [(len(ids) - 1, token) for token in range(3)]
        rows.append(Row(ids, reads))
    return rows


@contextmanager
def counted(module: nn.Module, dim: int) -> Iterator[list[int]]:
    """The sizes, along a dimension, of what goes through a part of a model."""
    sizes: list[int] = []
    hook = module.register_forward_hook(lambda _, given, __: sizes.append(given[0].shape[dim]))
    try:
        yield sizes
    finally:
        hook.remove()
