"""The student's own answers: what they are drawn from, and how they become a batch."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from train.tiny_models import build_model
from train.tiny_tokenizers import ALL
from understudy.recipe import DistilSettings
from understudy.train.data import Batch
from understudy.train.distil.objective import FromModel
from understudy.train.distil.on_policy import OwnBatch, is_own_step, own_answers
from understudy.train.distil.open_teacher import OpenTeacher
from understudy.train.loss import Trainee
from understudy.train.template import Template, bind, fit_embeddings

SETTINGS = DistilSettings(teacher="a-model", on_policy=0.5, max_tokens=8)
TALKS = [
    [("user", "What?"), ("assistant", "A lamp."), ("user", "Go on."), ("assistant", "Light.")],
    [("user", "Who?"), ("assistant", "The keeper of the village.")],
]


@pytest.fixture
def template() -> Template:
    return bind("markers", ALL["gpt2"]())


def batch_of(template: Template, talks: list[list[tuple[str, str]]]) -> Batch:
    ids, positions, where, starts = [], [], [], [0]
    for talk in talks:
        encoded = template.encode([{"role": role, "content": text} for role, text in talk])
        where += [starts[-1] + i - 1 for i, own in enumerate(encoded.supervised) if own]
        ids += encoded.ids
        positions += range(len(encoded.ids))
        starts.append(len(ids))
    line, places = torch.tensor(ids), torch.tensor(where)
    return Batch(line, torch.tensor(positions), tuple(starts), places, line[places + 1])


def parts(batch: Batch) -> list[tuple[Tensor, Tensor]]:
    """Each dialogue's prompt and answer."""
    found = []
    for start, end in pairwise(batch.starts):
        own = batch.where[(batch.where >= start) & (batch.where < end)]
        found.append((batch.ids[start : own[0] + 1], batch.ids[own + 1]))
    return found


def student(architecture: str, template: Template) -> Trainee:
    model = build_model(architecture)
    fit_embeddings(model, template)
    return Trainee(model, "fp32")


def test_a_batch_of_own_answers(architecture: str, template: Template) -> None:
    trainee, batch = student(architecture, template), batch_of(template, TALKS)
    own = own_answers(trainee.model, template, batch, SETTINGS, 0, 1)
    assert isinstance(own, OwnBatch)
    prompts = []
    for talk in TALKS:
        ids = template.encode([{"role": r, "content": t} for r, t in talk[:-1]]).ids
        prompts.append([*ids, template.tokenizer.convert_tokens_to_ids("<|assistant|>")])
    assert [prompt.tolist() for prompt, _ in parts(own)] == prompts
    known = set(template.tokenizer.get_vocab().values()) - {template.tokenizer.pad_token_id}
    for prompt, answer in parts(own):
        assert 1 <= len(answer) <= 8
        assert set(answer.tolist()) <= known
        assert len(answer) == 8 or answer[-1] == template.end_id
        assert template.end_id not in answer[:-1]
        assert len(prompt) + len(answer) in [end - start for start, end in pairwise(own.starts)]
    assert own.starts[-1] == len(own.ids) == len(own.positions)
    assert own.targets.tolist() == own.ids[own.where + 1].tolist()
    for start, end in pairwise(own.starts):
        assert own.positions[start:end].tolist() == list(range(end - start))
    assert own.teacher is None


def test_what_is_drawn_depends_on_seed_step_and_weights_alone(template: Template) -> None:
    trainee, batch = student("llama", template), batch_of(template, TALKS)

    def drawn(seed: int, step: int) -> list[int]:
        own = own_answers(trainee.model, template, batch, SETTINGS, seed, step)
        assert own is not None
        return own.ids.tolist()

    first = drawn(3, 7)
    torch.rand(5)
    before = torch.random.get_rng_state()
    assert drawn(3, 7) == first
    assert torch.random.get_rng_state().equal(before)
    assert drawn(3, 8) != first
    assert drawn(4, 7) != first


def test_padding_does_not_change_what_is_likely(architecture: str, template: Template) -> None:
    """A student that is sure of what it says says the same beside a longer prompt and alone."""
    trainee = student(architecture, template)
    with torch.no_grad():
        for parameter in trainee.model.get_output_embeddings().parameters():
            parameter.mul_(1000)
    together = own_answers(trainee.model, template, batch_of(template, TALKS), SETTINGS, 0, 1)
    assert together is not None
    for talk, (_, answer) in zip(TALKS, parts(together), strict=True):
        alone = own_answers(trainee.model, template, batch_of(template, [talk]), SETTINGS, 0, 1)
        assert alone is not None
        assert parts(alone)[0][1].tolist() == answer.tolist()


def test_it_draws_from_the_whole_distribution(template: Template) -> None:
    """Settings that came with the base, which would cut the distribution, do not count."""
    trainee = student("llama", template)
    config = trainee.model.generation_config
    config.top_k, config.repetition_penalty, config.do_sample, config.min_p = 1, 5.0, False, 0.9
    with torch.no_grad():
        trainee.model.get_output_embeddings().weight.zero_()  # every token is as likely
    batch = batch_of(template, TALKS * 8)
    own = own_answers(trainee.model, template, batch, SETTINGS, 0, 1)
    assert own is not None
    assert len(set(own.targets.tolist())) > 60
    assert trainee.model.generation_config is config


def test_the_model_goes_on_training_as_it_was(template: Template) -> None:
    trainee, batch = student("llama", template), batch_of(template, TALKS)
    trainee.model.activation_checkpointing_enable({"use_reentrant": False})
    trainee.train()
    before = trainee.hidden(batch)
    assert own_answers(trainee.model, template, batch, SETTINGS, 0, 1)
    assert trainee.model.training
    assert trainee.hidden(batch).equal(before)


def test_prompts_without_room_are_left_out(template: Template) -> None:
    trainee = student("gpt2", template)  # takes 64 tokens
    long = [("user", "lamp " * 70), ("assistant", "A lamp.")]
    own = own_answers(trainee.model, template, batch_of(template, [long, *TALKS]), SETTINGS, 0, 1)
    assert own is not None
    assert len(own.starts) == 3
    alone = own_answers(trainee.model, template, batch_of(template, [long]), SETTINGS, 0, 1)
    assert alone is None
    most = SETTINGS.model_copy(update={"max_tokens": 500})
    own = own_answers(trainee.model, template, batch_of(template, TALKS), most, 0, 1)
    assert own is not None
    assert max(map(len, (answer for _, answer in parts(own)))) <= 32


def test_the_objective_has_the_student_write_on_its_steps(template: Template) -> None:
    trainee, batch = student("llama", template), batch_of(template, TALKS)
    model = build_model("llama")
    fit_embeddings(model, template)
    objective = FromModel(
        OpenTeacher(model, len(template.tokenizer) - 1, "fp32"),
        trainee.model,
        template,
        SETTINGS.model_copy(update={"divergence": "js"}),
        "bf16",
        0,
    )
    assert objective.prepare(batch, 1) is batch
    own = objective.prepare(batch, 2)
    assert isinstance(own, OwnBatch)
    assert own.ids.equal(objective.prepare(batch, 2).ids)
    with torch.no_grad():
        trainee.model.get_output_embeddings().weight.mul_(0.5)
    scaled, summed = trainee(own, objective, 1.0)
    assert float(summed) > 0
    scaled.backward()
    long = batch_of(template, [[("user", "lamp " * 70), ("assistant", "A lamp.")]])
    assert objective.prepare(long, 2) is long


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.5, 2 / 3, 1.0])
def test_own_steps_are_spread_evenly(share: float) -> None:
    own = [is_own_step(step, share) for step in range(1, 301)]
    assert sum(own) == pytest.approx(300 * share, abs=1)
    assert sum(own[:150]) == pytest.approx(150 * share, abs=1)
