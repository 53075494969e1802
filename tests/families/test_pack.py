"""Every family packed: dialogues of a line have the loss and gradient of each alone."""

import pytest
import torch

from families.families import FAMILIES, WINDOW, model_of, tokenizer_of
from train.tiny_models import draw_dialogues, plain_loss, tokens_of
from understudy.train.data import pack, unpacked
from understudy.train.loss import CrossEntropy, Trainee

LENGTHS = [40, 3, 17, 6, 33, 2, 18]
CONTEXT = 60  # which several of them share


@pytest.mark.parametrize("name", FAMILIES)
def test_packed_is_the_sum_of_unpacked(name: str) -> None:
    model = model_of(name)
    dialogues = draw_dialogues(LENGTHS, len(tokenizer_of(name)))
    assert max(LENGTHS) > 2 * WINDOW
    total, count = plain_loss(model, dialogues)
    total.backward()
    wanted = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    trainee = Trainee(model, "fp32")
    assert bool(trainee.obstacle) == FAMILIES[name].as_it_is
    tokens = tokens_of(dialogues)
    packed, single = pack(tokens, CONTEXT), unpacked(tokens)
    assert len(packed) < len(single) == len(LENGTHS)
    batches = [packed.collate(range(len(packed))), single.collate(range(len(single)))]
    for batch in batches:
        model.zero_grad()
        loss, summed = trainee(batch, CrossEntropy(), 1.0)
        loss.backward()
        assert len(batch.ids) == sum(LENGTHS), "nothing is filled up"
        assert len(batch.targets) == count
        assert summed.item() == pytest.approx(total.item(), rel=1e-5)
        found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        assert found.keys() == wanted.keys()
        whole = torch.stack([one.norm() for one in wanted.values()]).norm()
        off = torch.stack([(found[n] - wanted[n]).norm() for n in wanted]).norm()
        assert off < 1e-4 * whole
