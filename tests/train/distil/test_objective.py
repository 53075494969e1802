"""The objectives in the head, against a plain formulation under autograd."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div

from train.tiny_models import build_model
from understudy.errors import UserError
from understudy.recipe import DistilSettings
from understudy.train.data import Batch, TopK
from understudy.train.distil.objective import FromLedger, FromModel, check_distil
from understudy.train.distil.on_policy import OwnBatch
from understudy.train.distil.open_teacher import OpenTeacher
from understudy.train.loss import Objective, Trainee

SCALE = 0.2


def line(teacher: TopK | None = None) -> Batch:
    ids = torch.tensor([5, 6, 7, 8, 9, 5, 6, 9, 11])
    where = torch.tensor([1, 2, 3, 6, 7])
    positions = torch.tensor([0, 1, 2, 3, 4, 0, 1, 2, 3])
    return Batch(ids, positions, (0, 5, 9), where, ids[where + 1], teacher)


def logits_of(trainee: Trainee, batch: Batch) -> Tensor:
    logits: Tensor = trainee.model.get_output_embeddings()(trainee.hidden(batch))
    return logits


def check(trainee: Trainee, batch: Batch, objective: Objective, plain: Tensor) -> None:
    """Loss and gradients of the head's way are those of the plain one."""
    parameters = list(trainee.model.parameters())
    expected = torch.autograd.grad(plain * SCALE, parameters)
    scaled, summed = trainee(batch, objective, SCALE)
    found = torch.autograd.grad(scaled, parameters)
    assert float(summed) == pytest.approx(float(plain.detach()), rel=1e-5)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_from_a_ledger(architecture: str) -> None:
    trainee = Trainee(build_model(architecture), "fp32")
    named = torch.tensor([[7, 3], [-1, -1], [9, -1], [2, 4], [-1, -1]])
    logprobs = torch.log(torch.tensor([[0.5, 0.3], [0, 0], [0.9, 0], [0.25, 0.25], [0, 0]]))
    batch = line(TopK(named, logprobs))
    settings = DistilSettings(weight=0.7)
    logits = logits_of(trainee, batch)
    own = cross_entropy(logits, batch.targets, reduction="none")
    plain = own[1] + own[4]  # of which the teacher told nothing
    for row in (0, 2, 3):
        ids = named[row][named[row] >= 0]
        p = logprobs[row].exp()[: len(ids)]
        q = logits[row].softmax(dim=0)[ids]
        p, q = (torch.cat([side, 1 - side.sum(dim=0, keepdim=True)]) for side in (p, q))
        plain = plain + 0.3 * own[row] + 0.7 * (p * (p / q).log()).sum()
    objective = FromLedger(settings)
    assert objective.prepare(batch, 1) is batch
    check(trainee, batch, objective, plain)


def from_model(trainee: Trainee, teacher: OpenTeacher, **settings: Any) -> FromModel:
    chosen = DistilSettings(teacher="there", **settings)
    nothing: Any = None
    return FromModel(teacher, trainee.model, nothing, chosen, "fp32", 0)


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
def test_from_a_model(architecture: str, weight: float) -> None:
    trainee = Trainee(build_model(architecture), "fp32")
    other = build_model("gpt2" if architecture == "llama" else "llama")
    teacher, batch = OpenTeacher(other, 600, "fp32"), line()
    theirs = teacher.logits(teacher.states(batch))
    logits = logits_of(trainee, batch)
    far = kl_div(
        (logits / 2).log_softmax(dim=1),
        (theirs / 2).log_softmax(dim=1),
        reduction="sum",
        log_target=True,
    )
    plain = weight * 4 * far + (1 - weight) * cross_entropy(logits, batch.targets, reduction="sum")
    check(trainee, batch, from_model(trainee, teacher, weight=weight, temperature=2.0), plain)


def test_own_words_are_nobodys_example(architecture: str) -> None:
    """At them there is the divergence and no cross-entropy, whatever the weight."""
    trainee = Trainee(build_model(architecture), "fp32")
    teacher = OpenTeacher(build_model("llama"), 600, "fp32")
    own = OwnBatch(**vars(line()))
    theirs = teacher.logits(teacher.states(own)).log_softmax(dim=1)
    log_q = logits_of(trainee, own).log_softmax(dim=1)
    plain = (log_q.exp() * (log_q - theirs)).sum()
    objective = from_model(trainee, teacher, weight=0.1, divergence="reverse", on_policy=1.0)
    if architecture == "gpt2":
        check(trainee, own, objective, plain)
    else:  # the teacher itself: there is nothing to learn
        scaled, summed = trainee(own, objective, SCALE)
        assert float(summed) == pytest.approx(0, abs=1e-4)
        scaled.backward()
        assert max(float(p.grad.abs().max()) for p in trainee.model.parameters()) < 1e-3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"on_policy": 0.5}, r"train\.distil\.on_policy: a ledger cannot score"),
        ({"temperature": 2.0, "weight": 1.0}, r"train\.distil\.weight: .* set it below 1"),
    ],
)
def test_what_a_ledger_cannot_do_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_distil(DistilSettings(**settings))
    check_distil(DistilSettings(teacher="a-model", **settings))
    check_distil(DistilSettings(temperature=2.0))
    assert math.isclose(DistilSettings().weight, 0.5)
