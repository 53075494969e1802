"""Attention for lines of tokens that share beginnings, and for many texts that grow by a token.

A line holds nodes of a tree (`tree.py`). A token sees its own node up to itself, and all of the
nodes on the path to it. The parts are attended to one by one and merged by the logarithms of their
normalisers, as FlashAttention merges blocks (Dao et al. 2022, arXiv 2205.14135, section 3.1), so
that the keys and values of a shared beginning are neither computed nor copied again.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

from understudy.evaluate.engines.tree import Line, Node
from understudy.lines import Groups, grouped, has_window

NAME = "understudy_lines"
HALF = (torch.float16, torch.bfloat16)
STEP = 64  # tokens by which slots grow

KeysValues = tuple[Tensor, Tensor]  # each (heads, tokens, width)


class UnknownAttentionError(Exception):
    """A model's attention is of a kind that this one cannot do."""


class Layout(Protocol):
    """What a line's tokens see."""

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float, window: int
    ) -> Tensor:
        """(tokens, heads, width) from three of (heads, tokens, width); a token sees `window`
        tokens back, itself included."""
        ...


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    layout: Layout | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """transformers' attention function: (1, heads, n, width) each to (1, n, heads, width).

    Raises:
        UnknownAttentionError: the model caps its scores, keeps its window to the mask (there is
            none here), or hands on no layout or layer.
    """
    layer = getattr(module, "layer_idx", None)
    if layout is None or softcap is not None or layer is None:
        raise UnknownAttentionError(type(module).__name__)
    if not sliding_window and has_window(module.config, layer):
        raise UnknownAttentionError(type(module).__name__)
    scale = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
    window = sliding_window or 1 << 30
    return layout.attend(layer, query[0], key[0], value[0], scale, window)[None], None


AttentionInterface.register(NAME, attend)


@contextmanager
def attending(model: PreTrainedModel, implementation: str) -> Iterator[None]:
    """Run a model with another implementation of attention, by its name in transformers."""
    config, before = model.config, model.config._attn_implementation
    config._attn_implementation = implementation
    try:
        yield
    finally:
        config._attn_implementation = before


def logits(
    model: PreTrainedModel, layout: Layout, ids: Tensor, places: Tensor, **more: Any
) -> Tensor:
    """(n, vocabulary), from a causal LM of tokens and their places in their texts, (n,) each."""
    given = {"input_ids": ids[None], "position_ids": places[None], **more}
    with attending(model, NAME):
        return model(**given, use_cache=False, layout=layout).logits[0]


class TreeLayout:
    """Nodes of a tree in a line.

    Args:
        line: the nodes.
        earlier: keys and values of nodes of earlier lines, a pair a layer; those of `keep` are
            added.
        keep: nodes of the line.
        device: of the line.
    """

    def __init__(
        self,
        line: Line,
        earlier: dict[Node, list[KeysValues]],
        keep: Sequence[Node],
        device: torch.device,
    ) -> None:
        self._line, self._earlier, self._keep = line, earlier, keep
        self._spans = dict(zip(line.nodes, pairwise(line.starts), strict=True))
        for node in keep:
            earlier[node] = []
        self._positions = torch.from_numpy(line.positions).to(device)
        self._last = max(node.stop for node in line.nodes)
        if device.type == "cpu":  # a call is cheap, and copies are not
            self._groups = Groups(None, [(1, len(node.ids)) for node in line.nodes], None)
        else:
            self._groups = grouped(line.starts, device)

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float, window: int
    ) -> Tensor:
        """See Layout."""
        out, norm = self._within(query, key, value, scale, window)
        for node, start, stop in self._line.looks:
            if node in self._spans:
                span = slice(*self._spans[node])
                keys, values = key[:, span], value[:, span]
            else:
                keys, values = self._earlier[node][layer]
            part = query[None, :, start:stop]
            bias = None
            if window < self._last:
                places = torch.arange(node.start, node.stop, device=query.device)
                bias = _bias(self._positions[start:stop], places, window, query.dtype)
            seen, seen_norm = _attend(part, keys[None], values[None], scale, False, bias)
            share = torch.sigmoid(seen_norm[0].T - norm[start:stop])[..., None].to(out.dtype)
            out[start:stop].lerp_(seen[0].transpose(0, 1), share)
            norm[start:stop] = torch.logaddexp(norm[start:stop], seen_norm[0].T)
        for node in self._keep:
            span = slice(*self._spans[node])
            self._earlier[node].append((key[:, span].clone(), value[:, span].clone()))
        return out

    def _within(
        self, query: Tensor, key: Tensor, value: Tensor, scale: float, window: int
    ) -> tuple[Tensor, Tensor]:
        """What tokens see in their own nodes, and the normalisers' logarithms, (n, heads)."""
        states = [state.transpose(0, 1) for state in (query, key, value)]
        groups = self._groups
        if groups.places is not None:
            states = [state.index_select(0, groups.places) for state in states]
        outs, norms = [], []
        sizes = [nodes * length for nodes, length in groups.shapes]
        split = (state.split(sizes) for state in states)
        for shape, *parts in zip(groups.shapes, *split, strict=True):
            q, k, v = (part.unflatten(0, shape).transpose(1, 2) for part in parts)
            bias = None
            if window < shape[1]:
                places = torch.arange(shape[1], device=query.device)
                bias = _bias(places, places, window, query.dtype)
            out, norm = _attend(q, k, v, scale, bias is None, bias)
            outs.append(out.transpose(1, 2).flatten(0, 1))
            norms.append(norm.transpose(1, 2).flatten(0, 1))
        out, norm = torch.cat(outs), torch.cat(norms)
        if groups.back is None:
            return out, norm
        return out.index_select(0, groups.back), norm.index_select(0, groups.back)


class Slots:
    """Keys and values of texts that grow by a token at a time: text i is in slot i."""

    def __init__(self) -> None:
        self._layers: list[list[Tensor]] = []  # keys and values, (slots, heads, tokens, width)

    def put(self, slot: int, path: Sequence[Sequence[KeysValues]]) -> None:
        """Put a text into a slot: the keys and values of its nodes, a list of layers each."""
        start = 0
        for node in path:
            stop = start + node[0][0].shape[1]
            for states, given in zip(self._layers, node, strict=True):
                for state, new in zip(states, given, strict=True):
                    state[slot, :, start:stop] = new
            start = stop

    def make_room(self, count: int, longest: int, like: Sequence[KeysValues] | None = None) -> None:
        """See that there are `count` slots of `longest` tokens; no more are held than that takes.

        Args:
            count, longest: of all that is in use; what is in other slots may be lost.
            like: gives layers and shapes, for the first time.
        """
        if not self._layers:
            assert like is not None
            self._layers = [
                [new.new_empty(0, new.shape[0], 0, new.shape[2]) for new in layer] for layer in like
            ]
        slots, _, tokens, _ = self._layers[0][0].shape
        if slots >= count and tokens >= longest:
            return
        longest = -(-longest // STEP) * STEP
        kept, both = min(slots, count), min(tokens, longest)
        for states in self._layers:
            for place, old in enumerate(states):
                # Zeros: what is masked out must still be a number.
                new = old.new_zeros(count, old.shape[1], longest, old.shape[3])
                new[:kept, :, :both] = old[:kept, :, :both]
                states[place] = new

    def move(self, source: int, target: int, tokens: int) -> None:
        """Copy a slot's first tokens into another."""
        for states in self._layers:
            for state in states:
                state[target, :, :tokens] = state[source, :, :tokens]

    def states(self, layer: int) -> list[Tensor]:
        """Keys and values of a layer."""
        return self._layers[layer]


class StepLayout:
    """The next tokens of the texts in slots, one each.

    Args:
        slots: of which the first ones are in use.
        positions: of the tokens, (n,).
        longest: tokens of the longest text, the new one included.
    """

    def __init__(self, slots: Slots, positions: Tensor, longest: int) -> None:
        self._slots, self._positions = slots, positions
        self._rows = torch.arange(len(positions), device=positions.device)
        self._width = -(-longest // 16) * 16  # kernels want it even
        self._places = torch.arange(self._width, device=positions.device)
        self._masks: dict[int, Tensor] = {}

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float, window: int
    ) -> Tensor:
        """See Layout."""
        count, states = len(self._rows), self._slots.states(layer)
        for state, new in zip(states, (key, value), strict=True):
            state[self._rows, :, self._positions] = new.transpose(0, 1)
        keys, values = (state[:count, :, : self._width] for state in states)
        # Heads that share keys stand as further queries of one head.
        folded = query.transpose(0, 1).unflatten(1, (keys.shape[1], -1))
        mask = self._mask(window, query.dtype)[:, None, None]
        mask = mask.expand(-1, -1, folded.shape[2], -1)
        out = scaled_dot_product_attention(folded, keys, values, attn_mask=mask, scale=scale)
        return out.flatten(1, 2)

    def _mask(self, window: int, dtype: torch.dtype) -> Tensor:
        if window not in self._masks:
            behind = self._positions[:, None] - self._places
            hidden = (behind < 0) | (behind >= window)
            zeros = torch.zeros(hidden.shape, dtype=dtype, device=hidden.device)
            self._masks[window] = zeros.masked_fill_(hidden, float("-inf"))
        return self._masks[window]


def _bias(asking: Tensor, asked: Tensor, window: int, dtype: torch.dtype) -> Tensor:
    """Minus infinity where a token does not see another by their places, else 0."""
    behind = asking[:, None] - asked
    zeros = torch.zeros(behind.shape, dtype=dtype, device=behind.device)
    return zeros.masked_fill_((behind < 0) | (behind >= window), float("-inf"))


def _attend(
    query: Tensor, key: Tensor, value: Tensor, scale: float, causal: bool, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Attention, (batch, heads, n, width), and its normalisers' logarithms, (batch, heads, n).

    A row that sees nothing gives zeros and minus infinity.
    """
    heads, shared = query.shape[1], key.shape[1]
    if heads != shared and not causal and bias is None:
        folded = query.unflatten(1, (shared, -1)).flatten(2, 3)
        out, norm = _attend(folded, key, value, scale, causal, bias)
        shape = (heads // shared, query.shape[2])
        return out.unflatten(2, shape).flatten(1, 2), norm.unflatten(2, shape).flatten(1, 2)
    if heads != shared:
        key, value = (s.repeat_interleave(heads // shared, dim=1) for s in (key, value))
    if bias is not None:
        bias = bias.expand(query.shape[0], heads, -1, -1)
    out, norm = _kernel(query, key, value, scale, causal, bias)
    if bias is not None:
        norm = norm.masked_fill((bias == float("-inf")).all(-1), float("-inf"))
    return out, norm


def _kernel(
    query: Tensor, key: Tensor, value: Tensor, scale: float, causal: bool, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """PyTorch's fused attention where it also gives the normalisers."""
    aten = torch.ops.aten
    if query.device.type == "cpu":
        return aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, 0.0, causal, attn_mask=bias, scale=scale
        )
    if query.is_cuda and query.dtype in HALF and bias is None:
        found = aten._scaled_dot_product_flash_attention(
            query, key, value, 0.0, causal, False, scale=scale
        )
        return found[0], found[1]
    if query.is_cuda and bias is None:
        found = aten._scaled_dot_product_efficient_attention(
            query, key, value, None, True, 0.0, causal, scale=scale
        )
        return found[0], found[1][..., : query.shape[2]]
    scores = query @ key.transpose(-1, -2) * scale
    if causal:
        scores += torch.full_like(scores, float("-inf")).triu_(1)
    if bias is not None:
        scores += bias
    shares = scores.softmax(-1).nan_to_num_(0.0)
    return shares @ value, scores.float().logsumexp(-1)
