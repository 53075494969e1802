"""Divergences and their gradients against autograd on a plain dense formulation, in fp64."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from understudy.train.distil.divergence import Kind, divergence, told, topk_divergence

KINDS: list[Kind] = ["forward", "reverse", "js"]


def dense(p: Tensor, q: Tensor, kind: Kind) -> Tensor:
    """The divergence of each row, as it is written in books."""
    if kind == "forward":
        return (p * (p / q).log()).sum(dim=1)
    if kind == "reverse":
        return (q * (q / p).log()).sum(dim=1)
    m = (p + q) / 2
    return ((p * (p / m).log()).sum(dim=1) + (q * (q / m).log()).sum(dim=1)) / 2


def top(logits: Tensor, k: int, spare: int = 0) -> Any:
    """The k likeliest tokens of each row of the teacher's, with `spare` columns that fill up."""
    found = logits.log_softmax(dim=1).topk(k, dim=1)
    return SimpleNamespace(
        ids=torch.nn.functional.pad(found.indices, (0, spare), value=-1),
        logprobs=torch.nn.functional.pad(found.values, (0, spare), value=-math.inf),
    )


def logits(rows: int, vocabulary: int, seed: int, scale: float = 3.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(rows, vocabulary, dtype=torch.float64, generator=generator)


def close(found: tuple[Tensor, Tensor], loss: Tensor, student: Tensor) -> None:
    (gradient,) = torch.autograd.grad(loss, student)
    torch.testing.assert_close(found[0], loss.detach(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found[1], gradient, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_full_divergence_and_gradient(kind: Kind, temperature: float) -> None:
    student, teacher = logits(6, 11, 0).requires_grad_(), logits(6, 11, 1)
    p, q = (teacher / temperature).softmax(dim=1), (student / temperature).softmax(dim=1)
    loss = dense(p, q, kind).sum() * temperature**2
    close(divergence(student.detach(), teacher, kind, temperature), loss, student)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wider", ["student", "teacher"])
def test_only_the_tokens_of_both_are_compared(kind: Kind, wider: str) -> None:
    student, teacher = logits(4, 9, 0), logits(4, 9, 1)
    loss, gradient = divergence(student[:, :7], teacher[:, :7], kind, 1.0)
    cut = (student, teacher[:, :7]) if wider == "student" else (student[:, :7], teacher)
    cut_loss, cut_gradient = divergence(*cut, kind, 1.0)
    assert float(cut_loss) == pytest.approx(float(loss))
    assert cut_gradient.shape == cut[0].shape
    torch.testing.assert_close(cut_gradient[:, :7], gradient)
    assert not cut_gradient[:, 7:].any()


@pytest.mark.parametrize("kind", KINDS)
def test_topk_divergence_and_gradient_with_the_rest_as_one_event(kind: Kind) -> None:
    student, teacher = logits(6, 11, 0).requires_grad_(), logits(6, 11, 1)
    known = top(teacher, 3, spare=2)
    events = []
    for side in (teacher, student):
        listed = side.softmax(dim=1).gather(1, known.ids[:, :3])
        events.append(torch.cat([listed, 1 - listed.sum(dim=1, keepdim=True)], dim=1))
    loss = dense(*events, kind).sum()
    close(topk_divergence(student.detach(), known, kind, 1.0), loss, student)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", [0.5, 4.0])
def test_topk_divergence_and_gradient_of_what_is_listed(kind: Kind, temperature: float) -> None:
    student, teacher = logits(6, 11, 0).requires_grad_(), logits(6, 11, 1)
    known = top(teacher, 3, spare=1)
    p, q = (
        (side.gather(1, known.ids[:, :3]) / temperature).softmax(dim=1)
        for side in (teacher, student)
    )
    loss = dense(p, q, kind).sum() * temperature**2
    close(topk_divergence(student.detach(), known, kind, temperature), loss, student)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_with_every_token_listed_topk_is_the_full_divergence(
    kind: Kind, temperature: float
) -> None:
    student, teacher = logits(5, 9, 2), logits(5, 9, 3)
    loss, gradient = divergence(student, teacher, kind, temperature)
    topk_loss, topk_gradient = topk_divergence(student, top(teacher, 9, 1), kind, temperature)
    torch.testing.assert_close(topk_loss, loss, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(topk_gradient, gradient, rtol=1e-9, atol=1e-9)


@given(
    kind=st.sampled_from(KINDS),
    vocabulary=st.integers(2, 30),
    share=st.floats(0, 1),
    seeds=st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)),
    scale=st.floats(0.01, 4),
)
@settings(max_examples=150)
def test_topk_is_a_lower_bound(
    kind: Kind, vocabulary: int, share: float, seeds: tuple[int, int], scale: float
) -> None:
    student, teacher = (logits(1, vocabulary, seed, scale) for seed in seeds)
    full, _ = divergence(student, teacher, kind, 1.0)
    bounds = [
        float(topk_divergence(student, top(teacher, k), kind, 1.0)[0])
        for k in (max(1, round(share * vocabulary)), 1)
    ]
    assert -1e-9 <= bounds[1] <= bounds[0] + 1e-4  # fewer listed tokens, a lower bound
    assert bounds[0] <= float(full) + 1e-4  # LEAST_REST times a few nats


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_a_place_without_the_teacher_adds_nothing(kind: Kind, temperature: float) -> None:
    student, teacher = logits(3, 9, 4), top(logits(3, 9, 5), 4)
    whole, _ = topk_divergence(student[1:], slice_of(teacher, 1), kind, temperature)
    teacher.ids[0], teacher.logprobs[0] = -1, -math.inf
    loss, gradient = topk_divergence(student, teacher, kind, temperature)
    assert told(teacher).tolist() == [False, True, True]
    assert float(loss) == pytest.approx(float(whole))
    assert not gradient[0].any()
    assert gradient[1:].any()


def slice_of(teacher: Any, start: int) -> Any:
    return SimpleNamespace(ids=teacher.ids[start:], logprobs=teacher.logprobs[start:])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "logprobs", [[0.0, -20.0], [1e-4, -math.inf], [math.log(0.7), math.log(0.3) + 1e-5]]
)
def test_rounded_log_probabilities_that_sum_to_one_or_more(
    kind: Kind, logprobs: list[float]
) -> None:
    teacher: Any = SimpleNamespace(ids=torch.tensor([[3, 5]]), logprobs=torch.tensor([logprobs]))
    if math.isinf(logprobs[1]):
        teacher.ids[0, 1] = -1
    loss, gradient = topk_divergence(logits(1, 9, 6).float(), teacher, kind, 1.0)
    assert 0 <= float(loss) < 20
    assert gradient.isfinite().all()
    assert float(gradient.sum()) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_far_apart_and_sure_of_it(kind: Kind, temperature: float) -> None:
    """Students and teachers whose probabilities underflow fp32 give finite numbers."""
    student, teacher = torch.zeros(2, 6), torch.zeros(2, 6)
    student[:, 0], teacher[:, 1] = 300.0, 300.0
    for loss, gradient in (
        divergence(student, teacher, kind, temperature),
        topk_divergence(student, top(teacher, 2), kind, temperature),
    ):
        assert loss.isfinite()
        assert gradient.isfinite().all()
        assert float(loss) > 0


def test_descending_the_gradient_brings_the_student_to_the_teacher() -> None:
    teacher = top(logits(4, 20, 7), 5)
    student = torch.zeros(4, 20, dtype=torch.float64)
    before, _ = topk_divergence(student, teacher, "forward", 1.0)
    for _ in range(400):
        student -= topk_divergence(student, teacher, "forward", 1.0)[1]
    after, _ = topk_divergence(student, teacher, "forward", 1.0)
    assert float(after) < 1e-3 < float(before)
