"""Loading causal language models and their tokenizers, with errors that a user can mend."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from understudy.errors import UserError

_OUT_OF_MEMORY = re.compile("out of memory|can't allocate|bad alloc", re.IGNORECASE)


@contextmanager
def memory_for(what: str, mend: str) -> Iterator[None]:
    """Turn a lack of memory while doing `what` into one line that says how to mend it."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not (isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error))):
            raise
        raise UserError(f"out of memory while {what}; {mend}") from error


@contextmanager
def loading(model: str) -> Iterator[None]:
    """Turn the ways in which loading fails into one line."""
    if model.startswith(("/", ".", "~")) and not Path(model).is_dir():
        raise UserError(f"{model}: no such folder; name one with a transformers causal LM")
    try:
        with memory_for(f"loading {model}", "choose a smaller model or a larger machine"):
            yield
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise UserError(
            f"{model}: cannot be loaded ({reason[:200]}); name a directory with a transformers "
            "causal LM, or a hub name that can be reached"
        ) from error


def load_tokenizer(model: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a model directory or hub name."""
    with loading(model):
        return AutoTokenizer.from_pretrained(model)


def load_model(model: str, **options: Any) -> PreTrainedModel:
    """The fp32 weights of a model directory or hub name, ready for evaluation."""
    with loading(model):
        return AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, **options).eval()
