"""Model families, each by a published model's shape made small, its tokenizer and its chat form.

What tells the families apart stays: tied heads, heads that share keys, widths of heads, rotary
positions and their scaling, windows and the layers that have them, norms, caps, scales, biases,
experts. Weights are random.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from families import tokenizers_of as kinds
from families.published import PUBLISHED
from train.tiny_models import build
from understudy.models import end_with

CONTEXT = 256
WINDOW = 5  # tokens, fewer than any dialogue has
EYES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 224,
    "patch_size": 14,
}
SPARE = 12  # rows of the embeddings that belong to no token


@dataclass(frozen=True)
class Family:
    """A base as it comes.

    Attributes:
        shape: of the published model, by its name.
        tokenizer: makes a small one of its kind.
        answer: how its chat template writes an answer; None: it has no template.
        last: how it writes the last answer, where that differs.
        system: whether its template takes a system message.
        ends: the tokens that its generation settings name, if not the tokenizer's one.
        as_it_is: run without lines and shared prefixes, in training and in evaluation.
    """

    shape: str
    tokenizer: Callable[[], PreTrainedTokenizerFast]
    answer: str | None = None
    last: str | None = None
    system: bool = True
    ends: tuple[str, ...] = ()
    as_it_is: bool = False


IM_ENDS = ("<|im_end|>", "<|endoftext|>")
FAMILIES = {
    "gpt2": Family("gpt2", kinds.gpt2),
    "llama-1": Family("llama-7b", kinds.llama1),
    "llama-2": Family("llama-2-7b", kinds.llama2, " {} "),
    "llama-3.2": Family(
        "llama-3.2-1b", kinds.llama3, "{}", ends=("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>")
    ),
    "mistral-0.1": Family("mistral-7b-v0.1", kinds.llama1),
    "mistral-0.3": Family("mistral-7b-v0.3", kinds.mistral, " {}"),
    "mixtral": Family("mixtral-8x7b", kinds.mistral, " {}"),
    "qwen2.5": Family("qwen2.5-0.5b", kinds.qwen, "{}", ends=IM_ENDS),
    "qwen3": Family(
        "qwen3-0.6b", kinds.qwen3, "{}", last="<think>\n\n</think>\n\n{}", ends=IM_ENDS
    ),
    "qwen3-moe": Family(
        "qwen3-30b-a3b", kinds.qwen3, "{}", last="<think>\n\n</think>\n\n{}", ends=IM_ENDS
    ),
    "smollm2": Family("smollm2-135m", kinds.smollm2, "{}"),
    "smollm3": Family("smollm3-3b", kinds.smollm3, "{}"),
    "gemma-2": Family(
        "gemma-2-2b",
        kinds.gemma,
        "{}",
        system=False,
        ends=("<eos>", "<end_of_turn>"),
        as_it_is=True,
    ),
    "gemma-3": Family("gemma-3-1b", kinds.gemma3, "{}", ends=("<eos>", "<end_of_turn>")),
    "gemma-3-vision": Family("gemma-3-4b", kinds.gemma3, "{}", ends=("<eos>", "<end_of_turn>")),
    "phi-2": Family("phi-2", kinds.gpt2),
    "phi-3": Family(
        "phi-3-mini-4k", kinds.phi3, "{}", ends=("<|end|>", "<|assistant|>", "<|endoftext|>")
    ),
    "olmo-2": Family("olmo-2-1b", kinds.plain_roles, "{}"),
    "olmo-3": Family("olmo-3-7b", kinds.olmo3, "{}", ends=IM_ENDS),
    "falcon-3": Family("falcon3-1b", kinds.plain_roles, "{}"),
    "pythia": Family("pythia-70m", kinds.neox),
    "granite": Family("granite-3.3-2b", kinds.granite, "{}"),
    "stablelm-2": Family("stablelm-2-1.6b", kinds.plain_roles, "{}", as_it_is=True),
    "bloom": Family("bloom-560m", kinds.bloom, as_it_is=True),
}
CHATTING = [name for name, family in FAMILIES.items() if family.answer]
TEMPLATES = ("markers", "alpaca", "vicuna")
BINDINGS = [(name, template) for name in FAMILIES for template in TEMPLATES]
BINDINGS += [(name, "own") for name in CHATTING]


def shrunk(config: PreTrainedConfig) -> PreTrainedConfig:
    """A shape of the same kind with two layers and some thousand weights."""
    small = copy.deepcopy(config)
    if hasattr(config, "vision_config"):
        small.text_config = shrunk(config.text_config)
        small.vision_config.update(EYES)
        return small
    heads = config.num_attention_heads
    wide = getattr(config, "head_dim", None) not in (None, config.hidden_size // heads)
    changes: dict[str, Any] = {
        "hidden_size": 64,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": CONTEXT,
        "layer_types": ["sliding_attention", "full_attention"],
        "no_rope_layers": [1, 0],
        "sliding_window": WINDOW,
        "moe_intermediate_size": 16,
        "num_experts": 4,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "head_dim": 32 if wide else 16,
        "original_max_position_embeddings": CONTEXT,
    }
    if kept := getattr(config, "num_key_value_heads", None):
        changes["num_key_value_heads"] = {heads: 4, 1: 1}.get(kept, 2)
    plain = set(getattr(config, "layer_types", None) or ["full_attention"]) == {"full_attention"}
    if plain:
        changes["layer_types"] = ["full_attention"] * 2
    small.update({key: value for key, value in changes.items() if getattr(config, key, None)})
    for rope in _ropes(small):
        if "original_max_position_embeddings" in rope:  # so that short texts show the scaling
            rope["original_max_position_embeddings"] = 16
    return small


def _ropes(config: PreTrainedConfig) -> list[dict[str, Any]]:
    """The rotary settings, one for each kind of layer or one for all."""
    found = getattr(config, "rope_parameters", None) or {}
    return [rope for rope in found.values() if isinstance(rope, dict)] or [found]


@cache
def tokenizer_of(name: str) -> PreTrainedTokenizerFast:
    """The family's tokenizer as it comes; whoever changes it takes a copy."""
    return FAMILIES[name].tokenizer()


def model_of(name: str) -> PreTrainedModel:
    """The family's model as it comes, with random weights."""
    family, tokenizer = FAMILIES[name], tokenizer_of(name)
    config = shrunk(PUBLISHED[family.shape][0])
    config.get_text_config().pad_token_id = tokenizer.pad_token_id
    model = build(config, len(tokenizer) + SPARE)
    ends = tokenizer.convert_tokens_to_ids(list(family.ends)) or tokenizer.eos_token_id
    end_with(model, ends, tokenizer.pad_token_id)
    return model


def save_base(name: str, folder: Path) -> str:
    """The family's base as a directory."""
    model_of(name).save_pretrained(folder)
    tokenizer_of(name).save_pretrained(folder)
    return str(folder)
