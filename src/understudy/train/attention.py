"""Attention within each of the dialogues that stand one after the other in a line of tokens.

A micro-batch is one line without filling, and no dialogue in it may see another. On a GPU, in half
precision, one kernel that takes the dialogues' starts does that. Elsewhere dialogues of similar
length are laid side by side and go through causal attention together: what fills the shorter ones
up comes after them, where nothing real looks. Neither way computes what a mask would throw away.
"""

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from understudy.lines import Groups, grouped, has_window

NAME = "understudy_dialogues"
HALF = (torch.float16, torch.bfloat16)


class UnknownAttentionError(Exception):
    """A model's attention is of a kind that this one cannot do."""


class Layout:
    """Where the dialogues of a line are.

    Args:
        starts: where each begins, and the line's length at the end.
        device: of the line.
    """

    def __init__(self, starts: Sequence[int], device: torch.device) -> None:
        self.longest = max(end - start for start, end in pairwise(starts))
        self.cumulative = torch.tensor(starts, dtype=torch.int32, device=device)
        self._starts = starts

    @cached_property
    def groups(self) -> Groups:
        """The dialogues in groups of similar length."""
        return grouped(self._starts, self.cumulative.device)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    layout: Layout | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """transformers' attention function: (1, heads, n, width) each to (1, n, heads, width).

    Raises:
        UnknownAttentionError: the model caps or shifts its scores, keeps its window to the mask
            (there is none here), or hands on no layout.
    """
    layer = getattr(module, "layer_idx", None)
    hidden_window = layer is not None and not sliding_window and has_window(module.config, layer)
    biased = others.get("position_bias") is not None
    if layout is None or softcap is not None or biased or hidden_window:
        raise UnknownAttentionError(type(module).__name__)
    kind = query.device.type
    if torch.is_autocast_enabled(kind):  # rotary positions may have come in fp32
        dtype = torch.get_autocast_dtype(kind)
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    window = sliding_window if sliding_window and sliding_window < layout.longest else None
    if query.is_cuda and query.dtype in HALF:
        whole: Any = varlen_attn(
            query[0].transpose(0, 1),
            key[0].transpose(0, 1),
            value[0].transpose(0, 1),
            layout.cumulative,
            layout.cumulative,
            layout.longest,
            layout.longest,
            scale=scaling,
            window_size=(-1 if window is None else window - 1, 0),
            enable_gqa=query.shape[1] != key.shape[1],
        )
        return whole[None], None
    if query.shape[1] != key.shape[1]:
        heads = query.shape[1] // key.shape[1]
        key, value = (states.repeat_interleave(heads, dim=1) for states in (key, value))
    groups = layout.groups
    sizes = [dialogues * length for dialogues, length in groups.shapes]
    lines = [states[0].transpose(0, 1) for states in (query, key, value)]
    if groups.places is not None:
        lines = [line.index_select(0, groups.places) for line in lines]
    attended = []
    for shape, *parts in zip(groups.shapes, *(line.split(sizes) for line in lines), strict=True):
        q, k, v = (part.unflatten(0, shape).transpose(1, 2) for part in parts)
        mask = _window_mask(shape[1], window, query.device)
        out = scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=mask is None, scale=scaling
        )
        attended.append(out.transpose(1, 2).flatten(0, 1))
    joined = torch.cat(attended) if len(attended) > 1 else attended[0]
    return (joined if groups.back is None else joined.index_select(0, groups.back))[None], None


def _window_mask(length: int, window: int | None, device: torch.device) -> Tensor | None:
    """What a token sees of the `window` last ones, itself included; None: all before it."""
    if window is None or window >= length:
        return None
    places = torch.arange(length, device=device)
    distance = places[:, None] - places
    return (distance >= 0) & (distance < window)


AttentionInterface.register(NAME, attend)
