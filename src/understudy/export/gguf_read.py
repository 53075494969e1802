"""Reading GGUF files back, to measure what their precision costs.

transformers has a reader of its own. It leaves out what these files may have (scaled rotary
frequencies, LLaMA's biases, GPT-2's context, Qwen 3's width of heads, whether digits are split), so
it is not used here.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader, TokenType
from gguf.quants import dequantize
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
from tokenizers.processors import TemplateProcessing
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from understudy.errors import UserError
from understudy.export.gguf_tensors import ROPE_FACTORS, Family, config_of, laid_out
from understudy.export.gguf_tokens import (
    BYTE_LEVEL,
    PIECES,
    ROLES,
    SPACE,
    SPLITTINGS,
    implied_merges,
)
from understudy.files import open_bytes
from understudy.models import memory_for

Fields = Mapping[str, Any]


def load_gguf(path: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """What a file's weights say, as a transformers model in fp32, and its tokenizer.

    The tokenizer splits text as llama.cpp does. The file may be anyone's; of what it says nothing
    is taken for true that would cost more memory than its own size accounts for.

    Args:
        path: of a file that `write_gguf` wrote, or another of the same families.

    Raises:
        UserError: there is no such file, it is damaged or no GGUF, or it holds a model or
            tokenizer of a kind that is not read here.
    """
    with _reading(path):
        file = _Reader(path)
        fields = {name: field.contents() for name, field in file.fields.items()}
        tensors = {tensor.name: tensor for tensor in file.tensors}
        shapes = {name: one.shape[::-1].tolist() for name, one in tensors.items()}
        family, config = config_of(fields, shapes)
        tokenizer = tokenizer_of(fields, config.max_position_embeddings)
        return _model_of(family, config, tensors).eval(), tokenizer


def load_gguf_tokenizer(path: Path) -> PreTrainedTokenizerFast:
    """A file's tokenizer alone; its `model_max_length` is the model's context.

    Raises:
        UserError: see `load_gguf`.
    """
    with _reading(path):
        fields = {name: field.contents() for name, field in _Reader(path).fields.items()}
        context = fields[f"{fields['general.architecture']}.context_length"]
        return tokenizer_of(fields, int(context))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn whatever a file from elsewhere can do wrong into one line."""
    with open_bytes(path) as file:
        if file.read(4) != b"GGUF":
            raise UserError(f"{path}: not a GGUF file; name one that ends in .gguf")
    try:
        with memory_for(f"reading {path}", "take a smaller model or a larger machine"):
            yield
    except UserError as error:
        raise UserError(f"{path}: {_line(str(error))}") from error
    except Exception as error:
        reason = _line(f"{type(error).__name__}: {error}")
        raise UserError(f"{path}: damaged or cut ({reason}); write or fetch it again") from error


def _line(text: str) -> str:
    """What a file may have put into a message, fit for a terminal."""
    return "".join(one if one.isprintable() else "?" for one in text[:300])


class _Reader(GGUFReader):
    """The package's reader, which takes what lies beyond a file's end for empty, and so does not
    come back from a list that is said to be endless."""

    def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> Any:
        found = super()._get(offset, dtype, count, override_order)
        if len(found) != count:
            raise EOFError(f"the file ends before byte {offset + found.itemsize * int(count)}")
        return found


def _model_of(
    family: Family, config: PreTrainedConfig, tensors: Mapping[str, Any]
) -> PreTrainedModel:
    """The model with a file's weights.

    Raises:
        ValueError: a tensor is missing or has another shape than the model's.
    """
    kind = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    with torch.device("meta"):
        wanted = {name: weight.shape for name, weight in kind(config).named_parameters()}
    weights = {}
    for own, shape in wanted.items():
        name = family.tensor_name(own, config.num_hidden_layers)
        if name not in tensors:
            raise ValueError(f"it has no {name}")
        weight = laid_out(family, config, name, _dequantised(tensors[name]), back=True)
        if weight.shape != shape:
            raise ValueError(f"{name} has the shape {list(weight.shape)}, not {list(shape)}")
        weights[own] = weight.contiguous()
    model: PreTrainedModel = kind.from_pretrained(
        None, config=config, state_dict=weights, dtype=torch.float32
    )
    if ROPE_FACTORS in tensors:
        model.model.rotary_emb.inv_freq /= _dequantised(tensors[ROPE_FACTORS])
    return model


def _dequantised(tensor: Any) -> Tensor:
    found = np.array(dequantize(tensor.data, tensor.tensor_type), np.float32)
    return torch.from_numpy(found)


def tokenizer_of(fields: Fields, context: int) -> PreTrainedTokenizerFast:
    """The tokenizer that a file's metadata describe.

    Args:
        fields: the metadata.
        context: tokens that the model can take.

    Raises:
        UserError: it is of a kind that is not read here.
        KeyError: a part is missing.
    """
    kind, pre = fields["tokenizer.ggml.model"], fields.get("tokenizer.ggml.pre")
    if kind == PIECES:
        tokenizer = _pieces(fields)
    elif kind == BYTE_LEVEL and pre in SPLITTINGS:
        tokenizer = _byte_level(fields)
    else:
        raise UserError(
            f"a tokenizer of kind {kind}, {pre} is not read here; {PIECES} and {BYTE_LEVEL} are, "
            f"the latter with {', '.join(SPLITTINGS)}"
        )
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    tokenizer.add_tokens(
        [
            AddedToken(token, special=one != TokenType.USER_DEFINED, normalized=False)
            for token, one in zip(tokens, types, strict=True)
            if one in (TokenType.CONTROL, TokenType.UNKNOWN, TokenType.USER_DEFINED)
        ]
    )
    named = {
        own: tokens[fields[f"tokenizer.ggml.{name}_token_id"]]
        for own, name in ROLES.items()
        if f"tokenizer.ggml.{name}_token_id" in fields
    }
    opens = fields.get("tokenizer.ggml.add_bos_token", kind == PIECES or pre == "llama-bpe")
    closes = fields.get("tokenizer.ggml.add_eos_token", False)
    first, last = [named["bos"]] if opens else [], [named["eos"]] if closes else []
    tokenizer.post_processor = TemplateProcessing(
        single=[*first, "$A", *last],
        special_tokens=[(token, tokens.index(token)) for token in {*first, *last}],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        chat_template=fields.get("tokenizer.chat_template"),
        model_max_length=context,
        clean_up_tokenization_spaces=False,
        **{f"{own}_token": token for own, token in named.items()},
    )


def _byte_level(fields: Fields) -> Tokenizer:
    splitting = SPLITTINGS[fields["tokenizer.ggml.pre"]]
    merges = [tuple(merge.split(" ", 1)) for merge in fields["tokenizer.ggml.merges"]]
    model = models.BPE(_vocabulary(fields), merges, ignore_merges=splitting.whole_words)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = splitting.pre_tokenizer()
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _pieces(fields: Fields) -> Tokenizer:
    listed = (fields[f"tokenizer.ggml.{key}"] for key in ("tokens", "token_type", "scores"))
    merges = list(implied_merges(*listed))
    tokenizer = Tokenizer(
        models.BPE(_vocabulary(fields), merges, fuse_unk=True, byte_fallback=True)
    )
    opened = fields.get("tokenizer.ggml.add_space_prefix", True)
    steps = [normalizers.Prepend(SPACE)] if opened else []
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE)])
    written = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*written, *([decoders.Strip(" ", 1)] if opened else [])])
    return tokenizer


def _vocabulary(fields: Fields) -> dict[str, int]:
    """Ids by token, without those that only fill the embeddings up."""
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    return {
        token: number
        for number, (token, kind) in enumerate(zip(tokens, types, strict=True))
        if kind != TokenType.UNUSED
    }
