"""The loss at supervised tokens, with the head run at those tokens alone.

The head's logits are the largest thing in training: a vocabulary of 50,000 makes them 65 times as
wide as GPT-2's hidden states. Here they exist for a few supervised tokens at a time. While they
do, their gradient takes their place, and what the head and the hidden states need of it is summed
up; so the forward pass of the head leaves its whole backward pass behind.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import PreTrainedModel

from understudy.errors import UserError
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


def _parts(start: int, stop: int, size: int) -> Iterator[slice]:
    for begin in range(start, stop, size):
        yield slice(begin, min(begin + size, stop))


class Trainee(nn.Module):
    """A causal language model whose forward pass ends in the loss of a batch.

    Its body is run on whole dialogues, its head at supervised tokens alone, and its attention and
    activations by kernels that suit training.

    Args:
        model: weights in fp32 (in bf16 under FSDP, which gathers them so).
        dtype: number format of the forward pass.

    Raises:
        UserError: the model is not one for which this gives its own logits.
    """

    def __init__(self, model: PreTrainedModel, dtype: str) -> None:
        super().__init__()
        self.model, self.dtype = model, "fp32"
        fuse_gelu(model)
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0  # a step depends on weights and batch alone
        _check(self)  # in fp32, so that rounding hides no fault
        self.dtype = dtype
        model.config._attn_implementation = NAME

    @property
    def device(self) -> torch.device:
        return self.model.device

    def hidden(self, batch: Batch) -> Tensor:
        """The last hidden states at the tokens whose successor is supervised, (m, hidden)."""
        body = getattr(self.model, self.model.base_model_prefix)
        with autocast(batch.ids.device, self.dtype):
            output = body(
                input_ids=batch.ids[None],
                position_ids=batch.positions[None],
                use_cache=False,
                layout=Layout(batch.starts, batch.ids.device),
            )
        return output.last_hidden_state[0].index_select(0, batch.where)

    def forward(self, batch: Batch, objective: Objective, scale: float) -> tuple[Tensor, Tensor]:
        """`scale` times the summed loss, of which gradients can be taken, and the sum itself."""
        hidden = self.hidden(batch)
        weight, bias = head_weights(self.model)
        if not torch.is_grad_enabled():  # which a Function is not told
            weight, bias = weight.detach(), None if bias is None else bias.detach()
        return _Head.apply(hidden, weight, bias, batch, objective, scale, DTYPES[self.dtype])


def autocast(device: torch.device, dtype: str) -> torch.autocast:
    """The forward pass's number format; weights stay fp32."""
    return torch.autocast(device.type, DTYPES[dtype], enabled=dtype != "fp32")


@torch.no_grad()
def _check(trainee: Trainee) -> None:
    """See that a line of dialogues gives, with the head, the logits that the model gives each.

    Raises:
        UserError: it does not.
    """
    model, device = trainee.model, trainee.device
    name = type(model).__name__
    ids = torch.tensor([1, 2, 3, 4, 1, 3, 2], device=device)
    heads: list[Tensor] = []
    hook = model.get_output_embeddings().register_forward_hook(lambda *call: heads.append(call[2]))
    own = [model(input_ids=ids[None, span]).logits for span in (slice(0, 4), slice(4, 7))]
    hook.remove()
    if not all(torch.equal(a.float(), b.float()) for a, b in zip(heads, own, strict=True)):
        raise UserError(f"{name}: changes what its head gives; choose another base")
    before, model.config._attn_implementation = model.config._attn_implementation, NAME
    positions = torch.tensor([0, 1, 2, 3, 0, 1, 2], device=device)
    everywhere = torch.arange(7, device=device)
    try:
        hidden = trainee.hidden(Batch(ids, positions, (0, 4, 7), everywhere, everywhere))
    except TypeError as error:
        raise UserError(
            f"{name}: does not hand a layout to its attention; choose another base"
        ) from error
    finally:
        model.config._attn_implementation = before
    weight, bias = head_weights(model)
    alone = torch.cat(own, dim=1)[0].float()
    astray = (linear(hidden.to(weight.dtype), weight, bias).float() - alone).norm() / alone.norm()
    if astray > (0.05 if getattr(model, "is_loaded_in_4bit", False) else 1e-3):
        raise UserError(
            f"{name}: its dialogues see each other or it has other attention than is supported; "
            "choose another base"
        )
