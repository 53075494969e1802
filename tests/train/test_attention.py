"""Attention that keeps the dialogues of a line apart, whatever their lengths."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from understudy.lines import ALIKE
from understudy.train.attention import Layout, UnknownAttentionError, attend

CPU = torch.device("cpu")
LENGTHS = st.lists(st.integers(1, 24), min_size=1, max_size=9)


def starts_of(lengths: list[int]) -> list[int]:
    return [sum(lengths[:i]) for i in range(len(lengths) + 1)]


def masked(
    q: Tensor, k: Tensor, v: Tensor, starts: list[int], window: int | None, scale: float | None
) -> Tensor:
    """The same by a mask over the whole line."""
    places = torch.arange(q.shape[2], device=q.device)
    dialogue = torch.bucketize(places, torch.tensor(starts[1:], device=q.device), right=True)
    distance = places[:, None] - places
    seen = (dialogue[:, None] == dialogue) & (distance >= 0)
    if window:
        seen &= distance < window
    k, v = (one.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for one in (k, v))
    return scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=scale).transpose(1, 2)


def states(tokens: int, heads: int, kept: int, **options: Any) -> list[Tensor]:
    torch.manual_seed(tokens)
    shapes = [(1, count, tokens, 8) for count in (heads, kept, kept)]
    return [torch.randn(shape, **options).requires_grad_() for shape in shapes]


@settings(max_examples=60)
@given(LENGTHS, st.sampled_from([(4, 4), (4, 2), (4, 1)]), st.none() | st.integers(1, 30))
def test_it_is_attention_under_a_mask_of_blocks(
    lengths: list[int], heads: tuple[int, int], window: int | None
) -> None:
    starts = starts_of(lengths)
    inputs = states(starts[-1], *heads, dtype=torch.float64)
    found, _ = attend(
        nn.Identity(), *inputs, None, 0.3, layout=Layout(starts, CPU), sliding_window=window
    )
    wanted = masked(*inputs, starts, window, 0.3)
    torch.testing.assert_close(found, wanted)
    weight = torch.randn_like(found)
    mine, theirs = (torch.autograd.grad((one * weight).sum(), inputs) for one in (found, wanted))
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("window", [None, 7])
@pytest.mark.parametrize("heads", [(4, 4), (4, 2)])
def test_the_kernel_of_a_gpu_does_the_same(heads: tuple[int, int], window: int | None) -> None:
    starts = starts_of([40, 1, 9, 100, 3])
    torch.manual_seed(0)
    inputs = [torch.randn(1, n, starts[-1], 64, device="cuda") for n in (*heads, heads[1])]
    half = [one.bfloat16().requires_grad_() for one in inputs]
    whole = [one.detach().float().requires_grad_() for one in half]
    layout = Layout(starts, torch.device("cuda"))
    found, _ = attend(nn.Identity(), *half, None, layout=layout, sliding_window=window)
    wanted = masked(*whole, starts, window, None)
    torch.testing.assert_close(found.float(), wanted, rtol=0.02, atol=0.02)
    weight = torch.randn_like(wanted)
    mine = torch.autograd.grad((found * weight).sum(), half)
    theirs = torch.autograd.grad((wanted * weight).sum(), whole)
    for one, other in zip(mine, theirs, strict=True):
        assert float((one - other).norm() / other.norm()) < 0.02


@settings(max_examples=60)
@given(LENGTHS)
def test_groups_hold_each_token_and_little_else(lengths: list[int]) -> None:
    starts = starts_of(lengths)
    groups = Layout(starts, CPU).groups
    line = torch.arange(starts[-1])
    if groups.places is None or groups.back is None:
        assert len(set(lengths)) == 1
        assert groups.shapes == [(len(lengths), lengths[0])]
        return
    assert torch.equal(line[groups.places][groups.back], line)
    sizes = [dialogues * length for dialogues, length in groups.shapes]
    assert sum(sizes) == len(groups.places) <= starts[-1] / ALIKE
    for part, (dialogues, length) in zip(groups.places.split(sizes), groups.shapes, strict=True):
        for one in part.view(dialogues, length):  # a dialogue from its start, its last repeated
            start = int(one[0])
            end = dict(pairwise(starts))[start]
            assert one.tolist() == [min(start + i, end - 1) for i in range(length)]


@pytest.mark.parametrize("extra", [{"softcap": 50.0}, {"position_bias": 1}, {"layout": None}])
def test_other_attention_is_refused(extra: dict[str, Any]) -> None:
    options = {"layout": Layout([0, 3], CPU)} | extra
    with pytest.raises(UnknownAttentionError, match="Identity"):
        attend(nn.Identity(), *states(3, 2, 2), None, **options)
