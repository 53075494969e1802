"""LoRA and QLoRA: few trained factors beside a frozen base, and their merge into a plain model.

LoRA (Hu et al. 2021) adds to a linear layer's weight the product of two thin matrices, scaled by
alpha / rank, and trains these alone; QLoRA (Dettmers et al. 2023) holds the frozen weights in
4 bits. peft does both. What is ours: new tokens are trained with the factors, the factors depend
on the seed alone, and dropout on seed and step.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from understudy.errors import UserError
from understudy.files import digest
from understudy.models import end_with, load_model, loading, make_room, peft_package, peft_quiet
from understudy.recipe import LoraSettings

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel


def load_quantized(base: str, device: torch.device, **options: Any) -> PreTrainedModel:
    """A base whose linear layers are held in NF4, constants quantized too; the rest is fp32.

    Matrices are multiplied in bf16. Dettmers et al. 2023, section 3.

    Args:
        base: a model directory or hub name.
        device: where it will be trained; weights are quantized there.
        options: transformers' own.

    Raises:
        UserError: bitsandbytes is missing or does not know the device, or the base cannot be
            loaded.
    """
    if find_spec("bitsandbytes") is None:
        raise UserError(
            "train.lora.quantize: needs bitsandbytes; pip install 'understudy[qlora]', "
            "or set quantize: false"
        )
    if device.type not in ("cpu", "cuda"):
        raise UserError(
            f"train.lora.quantize: {device.type} devices cannot; set quantize: false "
            "(understudy[qlora] is for NVIDIA GPUs and for CPUs)"
        )
    from bitsandbytes.nn import Linear4bit

    nf4 = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    with loading(base):
        model = AutoModelForCausalLM.from_pretrained(
            base,
            dtype=torch.float32,
            quantization_config=nf4,
            device_map={"": device},
            **options,
        ).eval()
    for layer in model.modules():
        if isinstance(layer, Linear4bit):
            # In evaluation mode it would repack its weights for a kernel that has no gradient.
            layer.support_avx512bf16_for_cpu = False
    return model


def adapt(
    model: PreTrainedModel, settings: LoraSettings, added: list[int], seed: int
) -> "PeftModel":
    """Freeze `model` and put trainable factors into it; until trained they change nothing.

    The embeddings of `added`, and their rows of the head, are trained too: to a frozen base a new
    token would stay a stranger. For a tied head they are one.

    Args:
        model: with room for the added tokens.
        settings: the recipe's.
        added: ids of new tokens.
        seed: draws the factors.

    Raises:
        UserError: no layer has the name of a target, or the head does not allow new tokens.
    """
    head = model.get_output_embeddings()
    if added and getattr(head, "bias", None) is not None:
        raise UserError(
            f"train.lora: the head of {type(model).__name__} has a bias, beside which new tokens "
            "cannot be trained; choose template own, or train without lora"
        )
    base = model.name_or_path
    config = peft_package().LoraConfig(
        task_type="CAUSAL_LM",
        base_model_name_or_path=str(Path(base).absolute()) if Path(base).is_dir() else base,
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=settings.targets or "all-linear",
        trainable_token_indices=_token_rows(model, added) if added else None,
    )
    with torch.random.fork_rng(_cuda(model)):
        torch.manual_seed(seed)
        try:
            return _with_factors(model, config).eval()
        except ValueError as error:  # of peft, about the targets
            reason = str(error).splitlines()[0]
            raise UserError(f"train.lora.targets: {reason[:200]}") from error


def underlying(model: "PreTrainedModel | PeftModel") -> PreTrainedModel:
    """The transformers model, whose layers hold the factors where there are any."""
    return model if isinstance(model, PreTrainedModel) else model.get_base_model()


def head_weights(model: PreTrainedModel) -> tuple[Tensor, Tensor | None]:
    """The matrix and, if it has one, the bias with which hidden states become logits.

    Where new tokens are trained beside a frozen head, the matrix is a copy with their rows put in,
    through which their gradients flow.
    """
    head = model.get_output_embeddings()
    return head.weight, getattr(head, "bias", None)


@contextmanager
def dropping(model: nn.Module, rate: float, seed: int, step: int, rank: int = 0) -> Iterator[None]:
    """Within, the factors' dropout is on; what it drops depends on seed, step and rank alone.

    To be held around all forward and backward passes of one optimizer step, in their order. All
    other dropout stays as it is, and the generators come out as they went in.
    """
    layers = [
        layer
        for name, layer in model.named_modules()
        if ".lora_dropout." in name and isinstance(layer, nn.Dropout)
    ]
    if not rate or not layers:
        yield
        return
    before = [(layer.p, layer.training) for layer in layers]
    with torch.random.fork_rng(_cuda(model)):
        torch.manual_seed(int(digest(["dropout", seed, step, rank])[:15], 16))
        for layer in layers:
            layer.p, layer.training = rate, True
        try:
            yield
        finally:
            for layer, (p, training) in zip(layers, before, strict=True):
                layer.p, layer.training = p, training


def merged(model: "PeftModel") -> PreTrainedModel:
    """A plain model whose weights have the factors' products added in; `model` is used up.

    For a 4-bit base the weights are those of the base as published, loaded anew in fp32. The
    factors are then exactly those that were trained, but the weights beside them are no longer
    rounded to NF4: the model's outputs differ from the trained one's by about the error of that
    rounding, towards those of the unrounded base.

    Raises:
        UserError: the base can no longer be loaded, or not without quantization.
    """
    trained = underlying(model)
    if getattr(trained, "is_loaded_in_4bit", False):
        config = model.peft_config["default"]
        plain = load_model(str(config.base_model_name_or_path))
        make_room(plain, trained.get_input_embeddings().weight.shape[0])
        end_with(plain, trained.config.eos_token_id, trained.config.pad_token_id)
        state = peft_package().get_peft_model_state_dict(model, save_embedding_layers=False)
        state = {name: tensor.to(plain.device) for name, tensor in state.items()}
        model = _with_factors(plain, config)
        peft_package().set_peft_model_state_dict(model, state)
    return model.merge_and_unload().eval()


def save_adapter(model: "PeftModel", tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write factors, rows of new tokens and tokenizer; `models.load_model` and peft read them.

    Where the tokenizer has outgrown the base, peft's users call
    `base.resize_token_embeddings(len(tokenizer))` before `PeftModel.from_pretrained`.
    """
    model.save_pretrained(str(folder), save_embedding_layers=False)
    tokenizer.save_pretrained(folder)


def _with_factors(model: PreTrainedModel, config: "LoraConfig") -> "PeftModel":
    with peft_quiet():
        return peft_package().get_peft_model(model, config)


def _token_rows(model: PreTrainedModel, added: list[int]) -> dict[str, list[int]]:
    """The tables that hold a row for a token, by name; a tied head follows its embeddings."""
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    tables = [embeddings] if head.weight is embeddings.weight else [embeddings, head]
    names = {id(module): name for name, module in model.named_modules()}
    return {names[id(table)]: added for table in tables}


def _cuda(model: nn.Module) -> list[torch.device]:
    """The devices, other than the CPU, whose generators drawing for `model` may use."""
    return list({p.device for p in model.parameters() if p.device.type == "cuda"})
