"""A model's shape and weights in GGUF's terms, and back.

Names of keys and tensors are the gguf package's (gguf/constants.py, gguf/tensor_mapping.py). How
llama.cpp wants weights laid out, and which of them in full precision, is as its
convert_hf_to_gguf.py has it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, GGMLQuantizationType, get_tensor_name_map
from gguf.quants import quantize
from torch import Tensor
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel

from understudy.errors import UserError

BLOCK = 32  # weights of a row that share a scale, in Q4_0 and Q8_0
LARGEST = 65504.0  # in half precision, which scales have as well
EMBEDDING, HEAD = "token_embd.weight", "output.weight"
POSITIONS = "position_embd.weight"
ROPE_FACTORS = "rope_freqs.weight"  # what llama.cpp divides the rotary frequencies by
KINDS = {
    "f16": GGMLQuantizationType.F16,
    "q8_0": GGMLQuantizationType.Q8_0,
    "q4_0": GGMLQuantizationType.Q4_0,
}

_SHAPE = {  # key of GGUF's: attribute of the config
    "vocab_size": "vocab_size",
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "attention.head_count": "num_attention_heads",
}
_ROTARY = _SHAPE | {
    "feed_forward_length": "intermediate_size",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
}
_GPT2 = _SHAPE | {
    "feed_forward_length": "n_inner",
    "attention.layer_norm_epsilon": "layer_norm_epsilon",
}
ENDS = ("eos", "eot", "eom")  # tokens that end what a model writes, a message or a turn
_ROLES = {"bos": "bos", "padding": "pad"}
_MAY_LACK = {"vocab_size", "attention.head_count_kv", "attention.key_length"}
_names = cache(get_tensor_name_map)


@dataclass(frozen=True)
class Family:
    """An architecture of llama.cpp's.

    Attributes:
        arch: as the gguf package calls it.
        model_type: as transformers calls what is read back.
        keys: of its shape.
        only: what llama.cpp can compute, by the config's names; the first is the usual.
        permuted: whether a rotary pair is two rows side by side in q and k, and not half a head
            apart as transformers has it.
        transposed: the layers whose weights transformers keeps the other way round.
    """

    arch: MODEL_ARCH
    model_type: str
    keys: Mapping[str, str]
    only: Mapping[str, tuple[Any, ...]]
    permuted: bool = False
    transposed: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return str(MODEL_ARCH_NAMES[self.arch])

    @property
    def rotary(self) -> bool:
        return "rope_type" in self.only

    def tensor_name(self, own: str, layers: int) -> str:
        """GGUF's name for weights that transformers calls `own`.

        Raises:
            UserError: llama.cpp has no place for them.
        """
        found = _names(self.arch, layers).get_name(own, (".weight", ".bias"))
        if found is None:
            raise UserError(f"llama.cpp's {self.name} has no {own}; it cannot be written as GGUF")
        return str(found)


_SILU = {"hidden_act": ("silu",), "rope_type": ("default", "linear")}
_LLAMA = Family(
    MODEL_ARCH.LLAMA,
    "llama",
    _ROTARY,
    _SILU | {"rope_type": ("default", "linear", "llama3")},
    permuted=True,
)
FAMILIES = {  # by transformers' model type
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": Family(MODEL_ARCH.QWEN2, "qwen2", _ROTARY, _SILU),
    "qwen3": Family(MODEL_ARCH.QWEN3, "qwen3", _ROTARY, _SILU | {"attention_bias": (False,)}),
    "gpt2": Family(
        MODEL_ARCH.GPT2,
        "gpt2",
        _GPT2,
        {
            "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
            "scale_attn_weights": (True,),
            "scale_attn_by_inverse_layer_idx": (False,),
            "add_cross_attention": (False,),
        },
        transposed=("attn_qkv", "attn_output", "ffn_up", "ffn_down"),
    ),
}


def family_of(config: PreTrainedConfig) -> Family:
    """The family that a model is written as.

    Raises:
        UserError: there is none, or the model computes what llama.cpp does not.
    """
    family = FAMILIES.get(config.model_type)
    if family is None:
        raise UserError(
            f"a {config.model_type} model cannot be written as GGUF here; what can is "
            f"{', '.join(FAMILIES)}"
        )
    given = config.to_dict() | (getattr(config, "rope_parameters", None) or {})
    for name, known in family.only.items():
        if (value := given.get(name, known[0])) not in known:
            raise UserError(
                f"llama.cpp's {family.name} has no {name} {value!r}, so the model cannot be "
                "written as GGUF"
            )
    return family


def shape_fields(family: Family, config: PreTrainedConfig) -> dict[str, Any]:
    """A shape as GGUF's metadata, by key without the architecture's name.

    These families have no sliding window in llama.cpp. A window changes nothing for texts that fit
    in it, so its length is the context that the file states.
    """
    fields = {key: getattr(config, name, None) for key, name in family.keys.items()}
    if not family.rotary:
        return fields | {"feed_forward_length": config.n_inner or 4 * config.hidden_size}
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    context = config.max_position_embeddings
    fields |= {
        "context_length": min(context, getattr(config, "sliding_window", None) or context),
        "attention.key_length": head,
        "attention.value_length": head,
        "rope.dimension_count": head,
        "rope.freq_base": float(config.rope_parameters["rope_theta"]),
    }
    if config.rope_parameters["rope_type"] == "linear":
        fields["rope.scaling.type"] = "linear"
        fields["rope.scaling.factor"] = float(config.rope_parameters["factor"])
    return fields


def config_of(
    fields: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]
) -> tuple[Family, PreTrainedConfig]:
    """The family and shape of a file's model; LLaMA 3's rotary factors are not part of it.

    Args:
        fields: the file's metadata.
        shapes: of its tensors, by name, as torch has them.

    Raises:
        UserError: it is of another family.
        KeyError: it lacks a part.
        ValueError: parts of it contradict each other.
    """
    arch = fields["general.architecture"]
    family = next((one for one in FAMILIES.values() if one.name == arch), None)
    scaling = fields.get(f"{arch}.rope.scaling.type", "none")
    if family is None or scaling not in ("none", "linear"):
        what = f"architecture {arch}" if family is None else f"rotary scaling {scaling}"
        raise UserError(f"{what} is not read here; {', '.join(FAMILIES)} are")
    shape = {
        name: fields[f"{arch}.{key}"]
        for key, name in family.keys.items()
        if key not in _MAY_LACK or f"{arch}.{key}" in fields
    }
    if not 0 < shape["num_hidden_layers"] <= len(shapes):
        raise ValueError(f"{shape['num_hidden_layers']} layers of {len(shapes)} tensors")
    shape |= {"vocab_size": shapes[EMBEDDING][0], "tie_word_embeddings": HEAD not in shapes}
    ids = {name: fields.get(f"tokenizer.ggml.{name}_token_id") for name in (*_ROLES, *ENDS)}
    shape |= {f"{own}_token_id": ids[name] for name, own in _ROLES.items()}
    shape["eos_token_id"] = [ids[name] for name in ENDS if ids[name] is not None]
    if family.rotary:
        rope = {"rope_type": "default", "rope_theta": fields.get(f"{arch}.rope.freq_base", 1e4)}
        if scaling == "linear":
            rope |= {"rope_type": scaling, "factor": fields[f"{arch}.rope.scaling.factor"]}
        shape["rope_parameters"] = rope
        shape["attention_bias"] = "blk.0.attn_q.bias" in shapes
        shape["mlp_bias"] = "blk.0.ffn_gate.bias" in shapes
    return family, AutoConfig.for_model(family.model_type, **shape)


def weights(family: Family, model: PreTrainedModel) -> Iterator[tuple[str, Tensor]]:
    """A model's weights, as GGUF names them and llama.cpp wants them laid out.

    Raises:
        UserError: the model has some that llama.cpp has no place for.
    """
    config = model.config
    if family.rotary and config.rope_parameters["rope_type"] == "llama3":
        yield ROPE_FACTORS, rope_factors(config, model.model.rotary_emb.inv_freq)
    for own, weight in model.named_parameters():
        name = family.tensor_name(own, config.num_hidden_layers)
        yield name, laid_out(family, config, name, weight.detach())
        if name == EMBEDDING and config.tie_word_embeddings and not family.rotary:
            yield HEAD, weight.detach()  # GPT-2 of older llama.cpp cannot share it


def rope_factors(config: PreTrainedConfig, scaled: Tensor) -> Tensor:
    """What the rotary frequencies of RoFormer (section 3.2.2) were divided by to be `scaled`."""
    places = torch.arange(len(scaled)) / len(scaled)
    return config.rope_parameters["rope_theta"] ** -places / scaled


def laid_out(
    family: Family, config: PreTrainedConfig, name: str, weight: Tensor, back: bool = False
) -> Tensor:
    """Weights of transformers' as llama.cpp wants them, or `back` again."""
    layer = name.split(".")[-2]
    if layer in family.transposed and weight.ndim == 2:
        return weight.T
    if not family.permuted or layer not in ("attn_q", "attn_k"):
        return weight
    heads = config.num_attention_heads if layer == "attn_q" else config.num_key_value_heads
    pairs = (-1, 2) if back else (2, -1)
    return weight.reshape(heads, *pairs, *weight.shape[1:]).transpose(1, 2).reshape(weight.shape)


def kinds_of(shapes: Mapping[str, Sequence[int]], quant: str) -> dict[str, GGMLQuantizationType]:
    """The precision that each tensor is written in.

    Vectors and position embeddings stay in full. In a file of 4 bits, the matrix that gives the
    logits has 8, as nothing after it makes up for what is lost there; llama.cpp's own quantiser
    gives it 6 (`llama_tensor_get_type` in llama-quant.cpp), which the gguf package cannot write.

    Args:
        shapes: of the tensors, by GGUF's names.
        quant: one of KINDS.
    """
    head = HEAD if HEAD in shapes else EMBEDDING
    kinds = {}
    for name, shape in shapes.items():
        kinds[name] = KINDS["q8_0" if quant == "q4_0" and name == head else quant]
        if shape[-1] % BLOCK:
            kinds[name] = GGMLQuantizationType.F16
        if len(shape) == 1 or name == POSITIONS:
            kinds[name] = GGMLQuantizationType.F32
    return kinds


def encoded(name: str, weight: Tensor, kind: GGMLQuantizationType) -> np.ndarray:
    """Weights as they stand in the file.

    Raises:
        UserError: some are not finite, or too large for half precision.
    """
    if kind != GGMLQuantizationType.F32 and not weight.abs().max() <= LARGEST:
        raise UserError(
            f"{name}: has weights that are not finite or exceed {LARGEST:.0f}, which the file "
            "cannot hold; see whether the training diverged"
        )
    found: np.ndarray = quantize(weight.float().contiguous().numpy(), kind)
    return found
