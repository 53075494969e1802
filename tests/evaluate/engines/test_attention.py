"""Which models take lines, what they say to what they cannot do, and the slots' memory."""

import copy
from typing import Any

import pytest
import torch
from transformers import Qwen2MoeConfig

from evaluate.engines.families import CONTEXT, LONGROPE, PLAIN, SHARING, alone, model_of, sized
from train.tiny_models import SHAPE, build
from understudy.evaluate.engines.attention import (
    STEP,
    KeysValues,
    Slots,
    StepLayout,
    TreeLayout,
    attend,
)
from understudy.evaluate.engines.attention import UnknownAttentionError as Unknown
from understudy.evaluate.engines.local import takes_lines
from understudy.models import steady_tokens


@pytest.mark.parametrize("family", SHARING)
def test_these_share_what_texts_begin_with(family: str) -> None:
    assert takes_lines(model_of(family))


@pytest.mark.parametrize("family", PLAIN)
def test_these_do_not(family: str) -> None:
    assert not takes_lines(model_of(family))


@pytest.mark.parametrize("family", ["llama", "bloom"])
def test_the_trial_leaves_a_model_as_it_was(family: str) -> None:
    model = copy.deepcopy(model_of(family))
    before, numbers = model.config._attn_implementation, alone(model, [1, 2, 3])
    takes_lines(model)
    assert model.config._attn_implementation == before
    assert torch.equal(alone(model, [1, 2, 3]), numbers)


@pytest.mark.parametrize("scale", [1, 40])
def test_rounding_does_not_bar_a_model(scale: int) -> None:
    """The larger a model's logits, the more bf16 puts them off; at last by some 0.4 nats here."""
    model = copy.deepcopy(model_of("llama"))
    with torch.no_grad():
        model.lm_head.weight.mul_(scale)
    assert takes_lines(model.to(torch.bfloat16))


@pytest.mark.parametrize("layout", [TreeLayout, StepLayout])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_slightly_wrong_attention_is_seen(
    dtype: torch.dtype, layout: type[TreeLayout | StepLayout], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = copy.deepcopy(model_of("llama")).to(dtype)
    assert takes_lines(model)
    own = layout.attend

    def sharper(self: Any, layer: int, *states: Any) -> torch.Tensor:
        *states, scale, window = states
        return own(self, layer, *states, 1.3 * scale, window)

    monkeypatch.setattr(layout, "attend", sharper)
    assert not takes_lines(model)


def test_a_small_vocabulary_is_tried_too() -> None:
    assert takes_lines(build(SHARING["llama"], 5))


@pytest.mark.parametrize("windowed", [True, False])
def test_windows_that_only_the_mask_knows_of(windowed: bool) -> None:
    """Of this family's layers those from `max_window_layers` on have one, if any."""
    config = Qwen2MoeConfig(
        **SHAPE,
        num_key_value_heads=2,
        num_experts=4,
        moe_intermediate_size=16,
        shared_expert_intermediate_size=16,
        use_sliding_window=windowed,
        sliding_window=CONTEXT // 2,
        max_window_layers=1,
    )
    assert takes_lines(sized(config)) != windowed


def test_lengths_beyond_which_positions_are_encoded_anew() -> None:
    assert steady_tokens(LONGROPE) == 40
    assert steady_tokens(SHARING["llama"]) > 10**6
    assert steady_tokens(SHARING["gemma3"]) > 10**6
    assert steady_tokens(SHARING["gpt2"]) > 10**6


def test_what_attention_cannot_do_is_refused() -> None:
    """Capped scores, a call without layout, and layers without a number."""
    layer = model_of("llama").model.layers[0].self_attn
    states = (torch.zeros(1, 4, 3, 8),) * 3
    with pytest.raises(Unknown, match="LlamaAttention"):
        attend(layer, *states, None)
    with pytest.raises(Unknown):
        attend(layer, *states, None, layout=object(), softcap=50.0)  # type: ignore[arg-type]
    with pytest.raises(Unknown):
        attend(torch.nn.Identity(), *states, None, layout=object())  # type: ignore[arg-type]


# Slots


def node(tokens: int, fill: float) -> list[KeysValues]:
    """Keys and values of a node, in two layers; values are as wide as two keys."""
    keys, values = torch.full((2, tokens, 4), fill), torch.full((2, tokens, 8), -fill)
    return [(keys, values), (keys + 100, values - 100)]


def shape(slots: Slots) -> tuple[int, int]:
    (keys, values), (last, _) = slots.states(0), slots.states(1)
    assert keys.shape[:3] == values.shape[:3] == last.shape[:3]
    return keys.shape[0], keys.shape[2]


def test_slots_hold_the_nodes_of_a_text_one_after_another() -> None:
    slots = Slots()
    slots.make_room(2, 9, like=node(1, 0))
    slots.put(1, [node(3, 1.0), node(4, 2.0)])
    keys, values = slots.states(0)
    assert keys[1, :, :8, 0].tolist() == [[1, 1, 1, 2, 2, 2, 2, 0]] * 2
    assert values[1, :, :8, 7].tolist() == [[-1, -1, -1, -2, -2, -2, -2, 0]] * 2
    assert slots.states(1)[0][1, 0, :7, 0].tolist() == [101] * 3 + [102] * 4
    assert not keys[0].any()


def test_slots_grow_and_keep_what_they_hold() -> None:
    slots = Slots()
    slots.make_room(2, 9, like=node(1, 0))
    slots.put(0, [node(5, 1.0)])
    slots.put(1, [node(6, 2.0)])
    before = shape(slots)
    slots.make_room(2, STEP)
    assert shape(slots) == before == (2, STEP), "nothing is copied for the next token"
    slots.make_room(5, STEP + 1)
    assert shape(slots) == (5, 2 * STEP)
    keys = slots.states(0)[0]
    assert keys[0, 0, :6, 0].tolist() == [1] * 5 + [0]
    assert keys[1, 0, :7, 0].tolist() == [2] * 6 + [0]


def test_slots_give_memory_back_when_texts_get_shorter() -> None:
    slots = Slots()
    slots.make_room(2, 5 * STEP, like=node(1, 0))
    slots.put(0, [node(5, 1.0)])
    slots.make_room(8, 20)
    assert shape(slots) == (8, STEP)
    assert slots.states(0)[0][0, 0, :5, 0].tolist() == [1] * 5


def test_a_text_moves_to_another_slot() -> None:
    slots = Slots()
    slots.make_room(3, 9, like=node(1, 0))
    slots.put(0, [node(9, 1.0)])
    slots.put(2, [node(6, 3.0)])
    slots.move(2, 0, 6)
    assert slots.states(0)[0][0, 0, :9, 0].tolist() == [3] * 6 + [1] * 3
    assert slots.states(1)[1][0, 1, :6, 3].tolist() == [-103] * 6
