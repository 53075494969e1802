"""Writing GGUF files, which llama.cpp and what is built on it (Ollama, GPT4All) run on a CPU."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGML_QUANT_VERSION as QUANT_VERSION
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType
from gguf.quants import quant_shape_to_byte_shape

from understudy.errors import UserError
from understudy.export.gguf_tensors import (
    KINDS,
    encoded,
    family_of,
    kinds_of,
    shape_fields,
    weights,
)
from understudy.export.gguf_tokens import tokenizer_fields
from understudy.files import atomic_write
from understudy.models import load_config, load_model, load_tokenizer
from understudy.progress import progress

QUANTS = tuple(KINDS)
FILE_TYPES = {
    "f16": LlamaFileType.MOSTLY_F16,
    "q8_0": LlamaFileType.MOSTLY_Q8_0,
    "q4_0": LlamaFileType.MOSTLY_Q4_0,
}


def write_gguf(model: Path, out: Path, quant: str, about: Mapping[str, str]) -> dict[str, Any]:
    """Write a model as one GGUF file, with its tokenizer and chat template.

    The file appears whole or not at all. The model is held in full precision meanwhile, 4 bytes a
    weight; the quantised weights are written one by one.

    Args:
        model: a directory, of a whole model or of LoRA factors.
        out: the file.
        quant: one of QUANTS.
        about: for people, as GGUF's metadata `general.KEY` (name, author, license, description,
            source and so on); what is empty is left out.

    Returns:
        `architecture`, `quant`, `bytes`, `parameters`, `context` (tokens), `tokenizer` (its kind
        in GGUF's terms), `tensors` (how many of each precision) and `notes` (what who runs the
        file should know, in words).

    Raises:
        UserError: the model cannot be loaded, or there is no way to write it so that llama.cpp
            does what transformers does; or the disk is full.
    """
    if quant not in QUANTS:
        raise UserError(f"--quant {quant}: no such kind; choose from {', '.join(QUANTS)}")
    family = family_of(load_config(str(model)))
    loaded, tokenizer = load_model(str(model)), load_tokenizer(str(model))
    config, ends = loaded.config, loaded.generation_config.eos_token_id
    shape = shape_fields(family, config)
    words, notes = tokenizer_fields(tokenizer, config.vocab_size, ends)
    fields: dict[str, Any] = {f"general.{key}": text for key, text in about.items()}
    fields |= {
        "general.type": "model",
        "general.file_type": int(FILE_TYPES[quant]),
        "general.quantization_version": QUANT_VERSION,
        **{f"{family.name}.{key}": value for key, value in shape.items()},
        **words,
    }
    kinds = kinds_of({name: weight.shape for name, weight in weights(family, loaded)}, quant)
    # The writer opens the file anew by its name; `file` sees to its place and its end.
    with atomic_write(out, "wb") as file, closing(GGUFWriter(file.name, family.name)) as writer:
        for key, value in fields.items():
            _add(writer, key, value)
        for name, weight in weights(family, loaded):
            _announce(writer, name, weight.shape, kinds[name])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        with progress(f"writing {out.name}", len(kinds)) as task:
            for name, weight in weights(family, loaded):
                writer.write_tensor_data(encoded(name, weight, kinds[name]))
                task.advance(note=name)
    counts = Counter(kind.name for kind in kinds.values())
    if quant != "f16" and counts["F16"]:
        notes.append(
            f"{counts['F16']} matrices, whose rows cannot be cut into blocks, have 16 bits"
        )
    if shape["context_length"] < config.max_position_embeddings:
        notes.append("its window of attention is all the context that llama.cpp can give it")
    return {
        "architecture": family.name,
        "quant": quant,
        "bytes": out.stat().st_size,
        "parameters": loaded.num_parameters(),
        "context": shape["context_length"],
        "tokenizer": words["tokenizer.ggml.model"],
        "tensors": dict(counts),
        "notes": notes,
    }


def _add(writer: GGUFWriter, key: str, value: Any) -> None:
    """Add metadata; whole numbers are unsigned and of 32 bits, as llama.cpp reads them."""
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


def _announce(
    writer: GGUFWriter, name: str, shape: Sequence[int], kind: GGMLQuantizationType
) -> None:
    """Name weights in the file's head, with their shape and precision."""
    packed = quant_shape_to_byte_shape(shape, kind)
    writer.add_tensor_info(name, packed, np.dtype(np.uint8), math.prod(packed), kind)
