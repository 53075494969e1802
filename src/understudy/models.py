"""Loading causal language models and their tokenizers, with errors that a user can mend."""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.activations import GELUTanh, NewGELUActivation

from understudy.errors import UserError

# On import, bitsandbytes says on a CPU that it lacks a kernel that only inference uses.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

CONFIG = "config.json"  # in a directory of a whole model
ADAPTER = "adapter_config.json"  # in a directory of LoRA factors; names their base
ANY = 1 << 30  # longer than any text
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


def find_student(name: str) -> str:
    """The model directory that a name means.

    Args:
        name: a run's folder, a training's, a model directory or a hub name; the last two are given
            back as they are.

    Raises:
        UserError: the run or the training has not come to its end.
    """
    if is_model(Path(name)):
        return name
    training = training_of(Path(name))
    if (training / "model").is_dir():
        return str(training / "model")
    if (training / "checkpoint").is_dir():
        raise UserError(
            f"{training}: its training was stopped; start it again to finish it, or make a model "
            f"of its last checkpoint: understudy export {training} --out MODEL"
        )
    if training != Path(name):
        raise UserError(f"{name}: the run has no student yet; understudy run trains it")
    return name


def is_model(folder: Path) -> bool:
    """Whether a folder holds a whole model or LoRA factors."""
    return any((folder / name).exists() for name in (CONFIG, ADAPTER))


def training_of(folder: Path) -> Path:
    """The folder of a run's training; another folder is taken for a training's own."""
    run = (folder / "recipe.yaml").exists() or (folder / "train" / "model").is_dir()
    return folder / "train" if run else folder


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


def load_config(model: str) -> PreTrainedConfig:
    """The shape of a model directory or hub name; of LoRA factors, their base's."""
    with loading(model):
        if (Path(model) / ADAPTER).exists():
            return AutoConfig.from_pretrained(_factors_config(model).base_model_name_or_path)
        return AutoConfig.from_pretrained(model)


def steady_tokens(config: PreTrainedConfig) -> int:
    """The longest text, in tokens, whose positions are encoded as every shorter one's are."""
    rope = getattr(config, "rope_parameters", None) or {}
    return rope["original_max_position_embeddings"] if rope.get("rope_type") == "longrope" else ANY


def load_model(model: str, **options: Any) -> PreTrainedModel:
    """The fp32 weights of a model directory or hub name, ready for evaluation.

    A directory of LoRA factors gives their base with the factors merged in.
    """
    if (Path(model) / ADAPTER).exists():
        return _load_adapter(model, **options)
    with loading(model):
        return AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, **options).eval()


def _load_adapter(folder: str, **options: Any) -> PreTrainedModel:
    with loading(folder):
        base = str(_factors_config(folder).base_model_name_or_path)
    plain = load_model(base, **options)
    tokenizer = load_tokenizer(folder)
    make_room(plain, len(tokenizer))
    end_with(plain, tokenizer.eos_token_id, tokenizer.pad_token_id)
    try:
        with peft_quiet():
            model = peft_package().PeftModel.from_pretrained(plain, folder)
    except (RuntimeError, ValueError, IndexError, OSError) as error:
        raise UserError(
            f"{folder}: the factors do not fit {base}, which its {ADAPTER} names as their base; "
            "restore that base"
        ) from error
    return model.merge_and_unload().eval()


def _factors_config(folder: str) -> Any:
    return peft_package().LoraConfig.from_pretrained(folder)


def make_room(model: PreTrainedModel, tokens: int) -> None:
    """Give the embeddings and the head rows for at least so many tokens."""
    if tokens > model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(tokens, mean_resizing=False)


def end_with(model: PreTrainedModel, end: Any, padding: int | None) -> None:
    """Set the tokens that end and fill up what the model writes."""
    for config in (model.config, model.generation_config):
        config.eos_token_id, config.pad_token_id = end, padding


def fuse_gelu(model: nn.Module) -> None:
    """Replace the tanh form of GELU by the same function in one kernel."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation):
                setattr(module, name, GELUTanh())


@contextmanager
def peft_quiet() -> Iterator[None]:
    """Without peft's warnings on what it mends itself (layers stored transposed, as GPT-2's)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def peft_package() -> ModuleType:
    """peft, which takes seconds to import: for those alone who train or load factors."""
    import peft

    return peft
