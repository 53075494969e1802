"""The loss: cross-entropy at supervised tokens, with the head run at those tokens alone."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from understudy.errors import UserError
from understudy.train.data import Batch, Rows, micro_batches
from understudy.train.speed import DTYPES

HEAD_TOKENS = {"cpu": 128, "cuda": 1024}  # at a time; on a CPU their logits stay in the cache


def hidden_states(model: PreTrainedModel, batch: Batch) -> Tensor:
    """The last hidden states at the tokens whose successor is supervised, shape (n, hidden)."""
    body = getattr(model, model.base_model_prefix)
    output = body(input_ids=batch.ids, position_ids=batch.positions, use_cache=False)
    return output.last_hidden_state.flatten(0, 1).index_select(0, batch.where)


def add_gradients(model: PreTrainedModel, batch: Batch, scale: float) -> float:
    """Add the gradients of `scale` times the summed loss of a batch; returns the summed loss.

    The head runs over a few supervised tokens at a time, backward pass included, so that the
    logits of a batch never exist together.
    """
    hidden = hidden_states(model, batch)
    leaf = hidden.detach().requires_grad_()
    total = torch.zeros((), device=hidden.device, dtype=torch.float64)
    for loss in _head_losses(model, leaf, batch.targets):
        (loss * scale).backward()
        total += loss.detach()
    hidden.backward(leaf.grad)
    return float(total)


@torch.no_grad()
def mean_loss(model: PreTrainedModel, rows: Rows, micro_batch_tokens: int, dtype: str) -> float:
    """Mean loss over the supervised tokens of `rows`, in nats."""
    total, count = 0.0, 0
    for run in micro_batches(rows, range(len(rows)), micro_batch_tokens):
        batch = rows.collate(run).to(model.device)
        with autocast(model.device, dtype):
            hidden = hidden_states(model, batch)
            total += sum(float(loss) for loss in _head_losses(model, hidden, batch.targets))
        count += len(batch.targets)
    return total / count


def _head_losses(model: PreTrainedModel, hidden: Tensor, targets: Tensor) -> Iterator[Tensor]:
    """The summed cross-entropy of one part of the supervised tokens after the other."""
    head = model.get_output_embeddings()
    size = HEAD_TOKENS[hidden.device.type]
    for states, wanted in zip(hidden.split(size), targets.split(size), strict=True):
        yield cross_entropy(head(states).float(), wanted, reduction="sum")


def autocast(device: torch.device, dtype: str) -> torch.autocast:
    """The forward pass's number format; weights stay fp32."""
    return torch.autocast(device.type, DTYPES[dtype], enabled=dtype != "fp32")


@torch.no_grad()
def check_architecture(model: PreTrainedModel) -> None:
    """See that the model is one for which the loop's two short cuts hold.

    Dialogues in one row must not see each other, and the logits must be the head's product with
    the last hidden states. Both are tried on a few tokens.

    Raises:
        UserError: one of them does not hold.
    """
    ids = torch.tensor([[1, 2, 3, 4, 1, 3, 2]], device=model.device)
    positions = torch.tensor([[0, 1, 2, 3, 0, 1, 2]], device=model.device)
    everywhere = torch.arange(7, device=model.device)
    packed = hidden_states(model, Batch(ids, positions, everywhere, everywhere))
    alone = [
        hidden_states(model, Batch(ids[:, span], positions[:, span], everywhere[:n], everywhere))
        for span, n in ((slice(0, 4), 4), (slice(4, 7), 3))
    ]
    head = model.get_output_embeddings()
    logits = model(input_ids=ids, position_ids=positions, use_cache=False).logits[0]
    name = type(model).__name__
    if not torch.allclose(packed, torch.cat(alone), rtol=1e-3, atol=1e-3):
        raise UserError(f"{name}: keeps no packed dialogues apart; choose another base")
    if not torch.allclose(logits, head(packed), rtol=1e-3, atol=1e-3):
        raise UserError(f"{name}: its logits are not its head's output; choose another base")
