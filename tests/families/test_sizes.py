"""Published shapes: parameters as published, and what a training of them would take."""

from pathlib import Path

import pytest

from families.families import FAMILIES
from families.published import PUBLISHED
from understudy.plan.steps import count_of
from understudy.recipe import TrainSettings
from understudy.train.memory import Memory

# One for each kind of layer: what autograd keeps is counted by running it.
COUNTED = ["gpt2-xl", "llama-7b", "llama-65b", "gemma-3-1b", "phi-2", "qwen3-30b-a3b", "bloom-560m"]


def test_every_family_is_of_a_published_shape() -> None:
    assert len(FAMILIES) >= 14
    assert {family.shape for family in FAMILIES.values()} <= PUBLISHED.keys()


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_counted_without_weights(name: str, tmp_path: Path) -> None:
    config, billions = PUBLISHED[name]
    config.save_pretrained(tmp_path)
    assert count_of(str(tmp_path)) == pytest.approx(billions * 1e9, rel=0.01)


@pytest.mark.parametrize("name", COUNTED)
def test_memory_is_estimated_from_the_shape(name: str, tmp_path: Path) -> None:
    config, billions = PUBLISHED[name]
    text = config.get_text_config()
    settings = TrainSettings.model_validate({"context": 1024, "micro_batch_tokens": 1024})
    found = Memory(config).estimate(settings, "bf16", "cuda")
    assert found.parts["weights"] == found.parts["gradients"] == found.parts["optimizer"] / 2
    assert found.parts["weights"] == pytest.approx(4e9 * billions, rel=0.01)
    states = 1024 * text.hidden_size * text.num_hidden_layers  # the least that a layer keeps
    assert 4 * states < found.parts["activations"] < 400 * states
