"""What is learnt from a teacher's distributions, as the training loop's objectives.

At a target of which the teacher's distribution is known, the loss is `weight` times the divergence
plus (1 - weight) times the cross-entropy of the teacher's text; at any other it is the
cross-entropy alone, so that an answer's end is learnt even if the teacher tells nothing there. At
the student's own words it is the divergence alone: they are nobody's example.
"""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from understudy.errors import UserError
from understudy.recipe import DistilSettings
from understudy.train.data import Batch, TopK
from understudy.train.distil.divergence import divergence, told, topk_divergence
from understudy.train.distil.on_policy import OwnBatch, is_own_step, own_answers
from understudy.train.distil.open_teacher import OpenTeacher
from understudy.train.loss import PartLoss, autocast
from understudy.train.template import Template

LEDGER = "ledger"  # the setting that takes the teacher's words from there


def check_distil(settings: DistilSettings, ranks: int = 1) -> None:
    """Faults that only show when several settings are read together.

    Args:
        settings: the recipe's.
        ranks: processes that train together.

    Raises:
        UserError: a ledger is asked for what only a model can do, or shards are to write.
    """
    if settings.on_policy and ranks > 1:
        raise UserError(
            "train.distil.on_policy: a student in shards cannot write; use one process, or set it "
            "to 0"
        )
    if settings.teacher != LEDGER:
        return
    if settings.on_policy:
        raise UserError(
            "train.distil.on_policy: a ledger cannot score what the student writes; name a teacher "
            "model, or set it to 0"
        )
    if settings.temperature != 1 and settings.weight == 1:
        raise UserError(
            "train.distil.weight: at a temperature other than 1 a ledger's tokens are compared "
            "among themselves, and cross-entropy must hold down all others; set it below 1, or "
            "temperature to 1"
        )


class FromLedger:
    """The likeliest tokens that the teacher named when it gave its answers."""

    def __init__(self, settings: DistilSettings) -> None:
        self._settings = settings

    def prepare(self, batch: Batch, step: int) -> Batch:
        """The batch as it is."""
        return batch

    def on(self, batch: Batch) -> PartLoss:
        """See `Objective`."""
        assert batch.teacher is not None
        settings, teacher = self._settings, batch.teacher

        def loss(logits: Tensor, part: slice) -> tuple[Tensor, Tensor]:
            named = TopK(teacher.ids[part], teacher.logprobs[part])
            far = topk_divergence(logits, named, settings.divergence, settings.temperature)
            return _mixed(logits, batch.targets[part], far, settings.weight * told(named))

        return loss


class FromModel:
    """A teacher model's whole distribution, on its own text or on the student's.

    Args:
        teacher: scores.
        student: writes on some steps.
        template: the student's.
        settings: the recipe's.
        dtype: number format of the student's forward pass.
        seed: of the training.
    """

    def __init__(
        self,
        teacher: OpenTeacher,
        student: PreTrainedModel,
        template: Template,
        settings: DistilSettings,
        dtype: str,
        seed: int,
    ) -> None:
        self._teacher, self._student, self._template = teacher, student, template
        self._settings, self._dtype, self._seed = settings, dtype, seed

    def prepare(self, batch: Batch, step: int) -> Batch:
        """The batch, or on some steps its dialogues with the student's own answers."""
        settings = self._settings
        if not is_own_step(step, settings.on_policy):
            return batch
        with autocast(batch.ids.device, self._dtype):
            own = own_answers(self._student, self._template, batch, settings, self._seed, step)
        return own or batch

    def on(self, batch: Batch) -> PartLoss:
        """See `Objective`."""
        settings, teacher = self._settings, self._teacher
        states = teacher.states(batch)

        def loss(logits: Tensor, part: slice) -> tuple[Tensor, Tensor]:
            theirs = teacher.logits(states[part])
            far = divergence(logits, theirs, settings.divergence, settings.temperature)
            if isinstance(batch, OwnBatch):
                return far
            weights = torch.full_like(logits[:, 0], settings.weight)
            return _mixed(logits, batch.targets[part], far, weights)

        return loss


def _mixed(
    logits: Tensor, targets: Tensor, far: tuple[Tensor, Tensor], weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Divergence and cross-entropy, summed, and the gradient.

    Args:
        logits: shape (c, V).
        targets: ids, shape (c,).
        far: the divergence, summed, and its gradient, before they are weighted.
        weights: of the divergence at each target, shape (c,); 0 where it is 0 anyway, and otherwise
            the same for all.
    """
    weight = weights.max()
    log_q = logits.log_softmax(dim=1)
    own = log_q.gather(1, targets[:, None])
    loss = weight * far[0] - ((1 - weights[:, None]) * own).sum()
    gradient = log_q.exp_().scatter_add_(1, targets[:, None], -torch.ones_like(own))
    return loss, gradient.mul_(1 - weights[:, None]).add_(far[1] * weight)
