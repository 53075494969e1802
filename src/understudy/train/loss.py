"""The loss at supervised tokens, with the head run at those tokens alone.

The head's logits are the largest thing in training: a vocabulary of 50,000 makes them 65 times as
wide as GPT-2's hidden states. Here they exist for a few supervised tokens at a time. While they
do, their gradient takes their place, and what the head and the hidden states need of it is summed
up; so the forward pass of the head leaves its whole backward pass behind.

A model for which such short cuts do not hold is run as transformers runs it, logits and all.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import PreTrainedModel

from understudy.lines import grouped
from understudy.models import fuse_gelu
from understudy.train.adapt import head_weights
from understudy.train.attention import NAME, Layout
from understudy.train.data import Batch
from understudy.train.speed import DTYPES

HEAD_LOGITS = 1 << 26  # that exist at a time: 256 MiB in fp32
PART_LOGITS = {"cpu": 1 << 21, "cuda": 1 << 25}  # of these, while a loss is taken: a CPU's cache


PartLoss = Callable[[Tensor, slice], tuple[Tensor, Tensor]]


class Objective(Protocol):
    """What is to be learnt at supervised tokens."""

    def prepare(self, batch: Batch, step: int) -> Batch:
        """The batch that step `step` is to be taken on: this one, or another in its place."""

    def on(self, batch: Batch) -> PartLoss:
        """The loss on a batch, part by part.

        It takes logits (fp32, shape (n, vocabulary), which it may overwrite) of a slice of
        `batch.targets`, and gives their summed loss, a scalar, and its gradient with respect to the
        logits, of their shape.
        """


class CrossEntropy:
    """Minus the log-likelihood of the teacher's text, in nats."""

    def prepare(self, batch: Batch, step: int) -> Batch:
        return batch

    def on(self, batch: Batch) -> PartLoss:
        return lambda logits, part: cross_entropy(logits, batch.targets[part])


def cross_entropy(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The summed cross-entropy and its gradient, which is written over `logits`.

    Args:
        logits: fp32, shape (n, vocabulary).
        targets: ids, shape (n,).
    """
    logits -= logits.amax(1, keepdim=True)
    own = logits.gather(1, targets[:, None])
    likelihoods = logits.exp_()
    total = likelihoods.sum(1, keepdim=True)
    likelihoods /= total
    likelihoods.scatter_add_(1, targets[:, None], -torch.ones_like(own))
    return (total.log() - own).sum(), likelihoods


class _Head(torch.autograd.Function):
    """The head and the loss, forward and backward at once; see the module's text."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        batch: Batch,
        objective: Objective,
        scale: float,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        states, matrix = hidden.to(dtype), weight.to(dtype)
        wants_states, wants_weight, wants_bias, *_ = ctx.needs_input_grad
        of_states = torch.empty_like(states) if wants_states else None
        of_weight = torch.zeros_like(weight, dtype=torch.float32) if wants_weight else None
        of_bias = torch.zeros_like(weight[:, 0], dtype=torch.float32) if wants_bias else None
        loss_of = objective.on(batch)
        part_logits = PART_LOGITS[hidden.device.type]
        total = torch.zeros((), device=hidden.device, dtype=torch.float64)
        for chunk in _parts(0, len(states), max(1, HEAD_LOGITS // len(weight))):
            some = states[chunk]
            logits = (
                some @ matrix.T if bias is None else torch.addmm(bias.to(dtype), some, matrix.T)
            )
            for part in _parts(chunk.start, chunk.stop, max(1, part_logits // len(weight))):
                rows = logits[part.start - chunk.start : part.stop - chunk.start]
                loss, gradient = loss_of(rows.float(), part)
                total += loss
                rows.copy_(gradient.mul_(scale))
            if of_states is not None:
                torch.mm(logits, matrix, out=of_states[chunk])
            if of_weight is not None:
                if dtype == torch.float32:
                    of_weight.addmm_(logits.T, some)
                else:
                    of_weight += logits.T @ some
            if of_bias is not None:
                of_bias += logits.sum(0, dtype=torch.float32)
        kept: Any = (of_states, hidden), (of_weight, weight), (of_bias, bias)
        ctx.save_for_backward(*(None if g is None else g.to(like.dtype) for g, like in kept))
        ctx.mark_non_differentiable(total)
        return (total * scale).to(torch.float32), total

    @staticmethod
    def backward(ctx: Any, outer: Tensor, _: Tensor) -> tuple[Any, ...]:
        gradients = (None if g is None else g.mul_(outer) for g in ctx.saved_tensors)
        return *gradients, None, None, None, None


class _Logits(torch.autograd.Function):
    """The loss of logits that a model gave, forward and backward at once."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, batch: Batch, objective: Objective, scale: float
    ) -> tuple[Tensor, Tensor]:
        loss_of = objective.on(batch)
        gradient = torch.empty_like(logits)
        total = torch.zeros((), device=logits.device, dtype=torch.float64)
        size = max(1, PART_LOGITS[logits.device.type] // logits.shape[1])
        for part in _parts(0, len(logits), size):
            loss, own = loss_of(logits[part].to(torch.float32, copy=True), part)
            total += loss
            gradient[part] = own.mul_(scale)
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(total)
        return (total * scale).to(torch.float32), total

    @staticmethod
    def backward(ctx: Any, outer: Tensor, _: Tensor) -> tuple[Any, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient.mul_(outer), None, None, None


def _parts(start: int, stop: int, size: int) -> Iterator[slice]:
    for begin in range(start, stop, size):
        yield slice(begin, min(begin + size, stop))


class Trainee(nn.Module):
    """A causal language model whose forward pass ends in the loss of a batch.

    Its body is run on whole lines of dialogues, its head at supervised tokens alone, and its
    attention and activations by kernels that suit training. A model of which a trial shows that
    this would not give its own logits is run as it is, on dialogues side by side.

    Args:
        model: weights in fp32 (in bf16 under FSDP, which gathers them so).
        dtype: number format of the forward pass.

    Attributes:
        obstacle: what keeps the model from being run on lines; None where nothing does.
    """

    def __init__(self, model: PreTrainedModel, dtype: str) -> None:
        super().__init__()
        self.model, self.dtype = model, "fp32"
        fuse_gelu(model)
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0  # a step depends on weights and batch alone
        self._factor = _head_factor(model)
        self.obstacle = _obstacle(self)  # in fp32, so that rounding hides no fault
        self.dtype = dtype
        if self.obstacle is None:
            model.config._attn_implementation = NAME

    @property
    def device(self) -> torch.device:
        return self.model.device

    def hidden(self, batch: Batch) -> Tensor:
        """What the head makes logits of, before the tokens that are supervised, (m, hidden)."""
        body = getattr(self.model, self.model.base_model_prefix)
        with autocast(batch.ids.device, self.dtype):
            output = body(
                input_ids=batch.ids[None],
                position_ids=batch.positions[None],
                use_cache=False,
                layout=Layout(batch.starts, batch.ids.device),
            )
        states = output.last_hidden_state[0].index_select(0, batch.where)
        return states if self._factor in (None, 1.0) else states * self._factor

    def logits(self, batch: Batch) -> Tensor:
        """The model's own logits before the tokens that are supervised, (m, vocabulary).

        Dialogues of similar length go through it together. What fills the shorter ones up comes
        after them, where nothing looks.
        """
        groups = grouped(batch.starts, batch.ids.device)
        ids = batch.ids if groups.places is None else batch.ids[groups.places]
        parts = ids.split([dialogues * length for dialogues, length in groups.shapes])
        with autocast(batch.ids.device, self.dtype):
            logits = [
                self.model(input_ids=part.view(shape), use_cache=False).logits.flatten(0, 1)
                for shape, part in zip(groups.shapes, parts, strict=True)
            ]
        where = batch.where if groups.back is None else groups.back[batch.where]
        return torch.cat(logits).index_select(0, where)

    def forward(self, batch: Batch, objective: Objective, scale: float) -> tuple[Tensor, Tensor]:
        """`scale` times the summed loss, of which gradients can be taken, and the sum itself."""
        if self.obstacle:
            return _Logits.apply(self.logits(batch), batch, objective, scale)
        hidden = self.hidden(batch)
        weight, bias = head_weights(self.model)
        if not torch.is_grad_enabled():  # which a Function is not told
            weight, bias = weight.detach(), None if bias is None else bias.detach()
        return _Head.apply(hidden, weight, bias, batch, objective, scale, DTYPES[self.dtype])


def autocast(device: torch.device, dtype: str) -> torch.autocast:
    """The forward pass's number format; weights stay fp32."""
    return torch.autocast(device.type, DTYPES[dtype], enabled=dtype != "fp32")


@torch.no_grad()
def _head_factor(model: PreTrainedModel) -> float | None:
    """What a model multiplies the logits of its head by (Granite and Cohere do).

    None where it does something else to them, as Gemma 2, which caps them. It is shown large ones
    in place of its own: a cap does little to small ones.
    """
    shown: list[Tensor] = []

    def show(module: nn.Module, given: Any, own: Tensor) -> Tensor:
        shown.append(torch.linspace(-100, 100, own.shape[-1], dtype=own.dtype, device=own.device))
        return shown[0].expand_as(own)

    hook = model.get_output_embeddings().register_forward_hook(show)
    try:
        found = model(input_ids=torch.tensor([[1]], device=model.device)).logits[0, 0].float()
    finally:
        hook.remove()
    wanted = shown[0].float()
    if torch.equal(found, wanted):
        return 1.0
    factor = float(found @ wanted / wanted.square().sum())
    plain = getattr(model.get_output_embeddings(), "bias", None) is None
    return factor if plain and torch.allclose(found, factor * wanted, rtol=1e-4) else None


@torch.no_grad()
def _obstacle(trainee: Trainee) -> str | None:
    """What keeps a line of dialogues from giving the logits that the model gives each."""
    model, device = trainee.model, trainee.device
    if trainee._factor is None:
        return "changes what its head gives"
    ids = torch.tensor([1, 2, 3, 4, 1, 3, 2], device=device)
    own = [model(input_ids=ids[None, span]).logits[0] for span in (slice(0, 4), slice(4, 7))]
    before, model.config._attn_implementation = model.config._attn_implementation, NAME
    positions = torch.tensor([0, 1, 2, 3, 0, 1, 2], device=device)
    everywhere = torch.arange(7, device=device)
    try:
        hidden = trainee.hidden(Batch(ids, positions, (0, 4, 7), everywhere, everywhere))
    except Exception:  # a model's code may fail in any way on what it was not made for
        return "has attention of another kind"
    finally:
        model.config._attn_implementation = before
    weight, bias = head_weights(model)
    alone = torch.cat(own).float()
    astray = (linear(hidden.to(weight.dtype), weight, bias).float() - alone).norm() / alone.norm()
    if astray > (0.05 if getattr(model, "is_loaded_in_4bit", False) else 1e-3):
        return "lets dialogues in a line see each other"
    return None
