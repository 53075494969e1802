"""How much memory a training will take at its peak, known before its start.

What autograd keeps of a token is not guessed from the shape but counted: the base's body is run on
fake tensors, which have shapes and no contents, at one and two layers and two lengths, and what it
saves for the backward pass is added up. The rest is arithmetic on the parameters.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AutoModel, AutoModelForCausalLM, PreTrainedConfig
from transformers.integrations import moe
from transformers.pytorch_utils import Conv1D
from transformers.utils import logging

from understudy.errors import UserError
from understudy.models import fuse_gelu
from understudy.progress import say
from understudy.recipe import LoraSettings, TrainSettings
from understudy.train.loss import HEAD_LOGITS, PART_LOGITS
from understudy.train.optimizers import CHUNK
from understudy.train.speed import choose_dtype

GIB = 2**30
SIZES = {"fp32": 4, "bf16": 2}  # bytes a number
PROBED = (16, 32)  # tokens; so few that a mask among them counts for nothing
# A weight in NF4 with its constants quantized too (Dettmers et al. 2023, section 3).
NF4_BYTES = 4.127 / 8
SLACK = 1.05  # over what is counted: gradients under way, and what allocators round up
# What glibc's heap holds in holes between what is kept, as a share of activations and head: of a
# full training, and of one through factors, which makes more short-lived tensors. Fitted to the
# peaks of twelve trainings of 17M to 21M parameters, which the estimates then met to a seventh.
HEAP = (0.6, 1.5)


@dataclass(frozen=True)
class Estimate:
    """The peak of a training's memory.

    Attributes:
        parts: bytes of weights, gradients, optimizer, activations, copies, head, scratch, heap.
    """

    parts: dict[str, int]

    @property
    def total(self) -> int:
        """Bytes in all, with the slack."""
        return round(SLACK * sum(self.parts.values()))

    @property
    def counted(self) -> int:
        """Bytes that are counted and not fitted: no slack, no holes in the heap."""
        return sum(size for name, size in self.parts.items() if name != "heap")

    def words(self) -> str:
        """The sum and its larger parts, for a person."""
        large = sorted(self.parts.items(), key=lambda part: -part[1])[:3]
        named = ", ".join(f"{name} {size / GIB:.1f}" for name, size in large)
        return f"about {self.total / GIB:.1f} GiB ({named})"


@dataclass(frozen=True)
class _Base:
    """What an estimate needs to know of a base."""

    parameters: int
    layers: int
    hidden: int
    vocabulary: int
    largest: int  # parameters in the largest tensor
    linear: dict[str, tuple[int, int]]  # inputs and outputs of the body's linear layers, by name

    @property
    def linear_parameters(self) -> int:
        return sum(inputs * outputs for inputs, outputs in self.linear.values())


class Memory:
    """Estimates of trainings of one base."""

    def __init__(self, config: PreTrainedConfig) -> None:
        self._config = config
        self._base = _measure(config)
        self._saved: dict[str, tuple[float, float]] = {}

    def estimate(
        self, settings: TrainSettings, dtype: str, device: str, ranks: int = 1
    ) -> Estimate:
        """The peak of a training on one device, full or through factors.

        Args:
            settings: the recipe's.
            dtype: fp32 or bf16.
            device: cpu or cuda.
            ranks: devices over which weights, gradients and the optimizer's state are sharded.
        """
        base, lora = self._base, settings.lora
        trained = _factors(base, lora) if lora else base.parameters
        weights = 4 * base.parameters + (4 * trained if lora else 0)
        if lora and lora.quantize:
            weights -= round((4 - NF4_BYTES) * base.linear_parameters)
        table = 4 * base.vocabulary * base.hidden
        scratch = 4 * min(base.largest, trained)  # a gradient before it is added to the others
        if settings.optimizer == "scaled_adamw":
            scratch = max(scratch, 4 * min(max(CHUNK, base.largest), trained))
        if lora:
            scratch += 3 * table  # embeddings and head with the new tokens' rows, and a gradient
        tokens = max(settings.micro_batch_tokens, settings.context)
        parts: dict[str, int] = {
            "weights": weights // ranks,
            "gradients": 4 * trained // ranks,
            "optimizer": 8 * trained // ranks,
            "activations": round(tokens * self._kept(settings, dtype)),
            "copies": self._copies(settings) if dtype == "bf16" else 0,
            "head": self._head(settings, tokens, dtype, device),
            "scratch": scratch,
        }
        if device == "cpu":
            parts["heap"] = round(HEAP[lora is not None] * (parts["activations"] + parts["head"]))
        return Estimate(parts)

    def _kept(self, settings: TrainSettings, dtype: str) -> float:
        """Bytes a token that the body keeps for the backward pass."""
        if dtype not in self._saved:
            self._saved[dtype] = _saved(self._config, dtype)
        around, layer = self._saved[dtype]
        if settings.gradient_checkpointing:
            # Every layer's input, and the one layer that is computed again.
            return around + 4 * self._base.hidden * self._base.layers + layer
        return around + layer * self._base.layers

    def _head(self, settings: TrainSettings, tokens: int, dtype: str, device: str) -> int:
        """Bytes that the loss takes, if all tokens are supervised.

        Hidden states and their gradients; a chunk of logits, a part of it in fp32 with its
        gradient; where the head is trained, its gradient, which is added to the embeddings' or to
        an earlier micro-batch's; in bf16, a copy of the head and one of a chunk's share in that
        gradient.
        """
        size, table = SIZES[dtype], self._base.vocabulary * self._base.hidden
        trained = settings.lora is None
        logits = size * min(HEAD_LOGITS, tokens * self._base.vocabulary) + 8 * PART_LOGITS[device]
        states = tokens * self._base.hidden * (8 + 2 * size)
        copies = (1 + trained) * 2 * table if dtype == "bf16" else 0
        return logits + states + copies + 4 * table * trained

    def _copies(self, settings: TrainSettings) -> int:
        """Bytes of the bf16 copies that autocast makes of the body's matrices.

        Those of trained weights are kept for the step, and those of frozen ones with the layer's
        activations; 4-bit weights are unpacked one by one.
        """
        if not settings.lora:
            return 2 * self._base.linear_parameters
        if settings.lora.quantize:
            return 2 * self._base.largest
        layers = self._base.layers if settings.gradient_checkpointing else 1
        return 2 * self._base.linear_parameters // layers


def check(
    config: PreTrainedConfig, settings: TrainSettings, device: torch.device, ranks: int = 1
) -> Estimate:
    """Estimate a training's peak, and refuse it where the device has less memory free.

    Where only the fitted part of the estimate is beyond what is free, that is said and no more. To
    be called before the weights are loaded.

    Raises:
        UserError: it will not fit; names the least change to the settings with which it would.
    """
    memory = Memory(config)
    free = free_bytes(device)
    found = memory.estimate(settings, choose_dtype(settings.dtype, device), device.type, ranks)
    if found.total <= free:
        return found
    mend = "no setting would do: choose a smaller base"
    for words, changed in _changes(settings, choose_dtype(settings.dtype, device)):
        less = memory.estimate(changed, choose_dtype(changed.dtype, device), device.type, ranks)
        if less.total <= free:
            mend = f"{words} would do, with about {less.total / GIB:.1f}"
            break
    where = f"{free / GIB:.1f} are free on this {'machine' if device.type == 'cpu' else 'GPU'}"
    if found.counted <= free:
        say(f"  memory may run short: {found.words()}, and {where}; {mend}")
        return found
    raise UserError(f"train: needs {found.words()} of memory, but {where}; {mend}")


def free_bytes(device: torch.device) -> int:
    """Memory that this process can still take on a device, limits of its container included."""
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + held
    return min(int(psutil.virtual_memory().available), _container_free(Path("/sys/fs/cgroup")))


def _container_free(root: Path) -> int:
    """What a container's limit leaves (control groups, version 2 or 1); without one, no limit."""
    names = [
        ("memory.max", "memory.current", "memory.stat"),
        (
            "memory/memory.limit_in_bytes",
            "memory/memory.usage_in_bytes",
            "memory/memory.stat",
        ),
    ]
    for limit, usage, statistics in names:
        try:
            most = (root / limit).read_text().strip()
            if most == "max":
                break
            rows = dict(line.split() for line in (root / statistics).read_text().splitlines())
            # File pages count as used, but give way.
            return int(most) - int((root / usage).read_text()) + int(rows.get("inactive_file", 0))
        except (OSError, ValueError):
            continue
    return 2**63


def _changes(settings: TrainSettings, dtype: str) -> Iterator[tuple[str, TrainSettings]]:
    """Settings that take less memory, in words and as such: single changes, then all up to each."""
    lora = settings.lora or LoraSettings()
    changes: list[tuple[str, dict[str, Any]]] = []
    tokens = settings.micro_batch_tokens
    while tokens > settings.context:
        tokens = max(tokens // 2, settings.context)
        changes.append((f"micro_batch_tokens: {tokens}", {"micro_batch_tokens": tokens}))
    fewest = len(changes) - 1
    if not settings.gradient_checkpointing:
        changes.append(("gradient_checkpointing: true", {"gradient_checkpointing": True}))
    if dtype != "bf16":
        changes.append(("dtype: bf16", {"dtype": "bf16"}))
    if not settings.lora:
        changes.append(("lora: {}", {"lora": lora, "optimizer": "adamw"}))
    if not lora.quantize:
        quantized = lora.model_copy(update={"quantize": True})
        changes.append(("lora: {quantize: true}", {"lora": quantized, "optimizer": "adamw"}))
    for words, change in changes:
        yield words, settings.model_copy(update=change)
    together = changes[max(0, fewest) :]
    for last in range(1, len(together)):
        words = ", ".join(words for words, _ in together[: last + 1])
        update = {key: value for _, change in together[: last + 1] for key, value in change.items()}
        yield words.replace("lora: {}, ", ""), settings.model_copy(update=update)


def _measure(config: PreTrainedConfig) -> _Base:
    text = config.get_text_config()
    with _quiet(), torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config)
    head = model.get_output_embeddings()
    linear = {
        name: tuple(module.weight.shape)
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, Conv1D)) and module is not head
    }
    sizes = [parameter.numel() for parameter in model.parameters()]
    return _Base(
        parameters=sum(sizes),
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        vocabulary=len(head.weight),
        largest=max(sizes),
        linear=linear,
    )


def _factors(base: _Base, lora: LoraSettings) -> int:
    """Parameters of the factors: rank times inputs and outputs of every target."""
    return lora.rank * sum(
        inputs + outputs
        for name, (inputs, outputs) in base.linear.items()
        if lora.targets is None or name.split(".")[-1] in lora.targets
    )


def _saved(config: PreTrainedConfig, dtype: str) -> tuple[float, float]:
    """Bytes a token that autograd keeps around the layers, and in each of them.

    (0, 0) where a body cannot be run on fake tensors: what is not known is not refused.
    """
    try:
        (short, long), (shorter, longer) = (
            [_saved_bytes(config, dtype, layers, tokens) for tokens in PROBED] for layers in (1, 2)
        )
    except Exception:
        return 0.0, 0.0
    more = PROBED[1] - PROBED[0]
    one, two = (long - short) / more, (longer - shorter) / more
    return max(0.0, 2 * one - two), two - one


def _saved_bytes(config: PreTrainedConfig, dtype: str, layers: int, tokens: int) -> int:
    """Bytes, weights apart, that the body of so many layers keeps of so many tokens."""
    small = copy.deepcopy(config.get_text_config())
    small.num_hidden_layers = layers
    if getattr(small, "layer_types", None):
        small.layer_types = small.layer_types[:layers]
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        held.append(tensor)
        return tensor

    held: list[torch.Tensor] = []  # so that no two storages get one address
    with _quiet(), torch.random.fork_rng([]), FakeTensorMode(), _experts_on_fakes():
        body = AutoModel.from_config(small, dtype=torch.float32).eval()
        fuse_gelu(body)
        weights = {parameter.untyped_storage()._cdata for parameter in body.parameters()}
        with (
            torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
            torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"),
        ):
            body(input_ids=torch.zeros(1, tokens, dtype=torch.long), use_cache=False)
    return sum(size for storage, size in kept.items() if storage not in weights)


@contextmanager
def _experts_on_fakes() -> Iterator[None]:
    """Within, experts are multiplied by the one of transformers' operators that takes fake tensors
    of any number format; it keeps what the others keep."""
    operators: Any = moe
    before = operators._can_use_grouped_mm
    operators._can_use_grouped_mm = lambda *_: False
    try:
        yield
    finally:
        operators._can_use_grouped_mm = before


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' words on models of random weights."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
