"""A teacher at hand: who may be one, and what it says."""

from pathlib import Path

import pytest
import torch
from transformers import Gemma2Config, GraniteConfig

from train.tiny_models import CONFIGS, SHAPE, build, build_model
from train.tiny_tokenizers import ALL
from understudy.errors import UserError
from understudy.train.data import Batch
from understudy.train.distil.open_teacher import OpenTeacher, load_teacher, shared_tokens
from understudy.train.template import bind

CPU = torch.device("cpu")
SCALED = {
    "granite": GraniteConfig(**SHAPE, logits_scaling=8.0),
    "gemma2": Gemma2Config(**SHAPE, num_key_value_heads=2, head_dim=8),
}


def line() -> Batch:
    ids = torch.tensor([5, 6, 7, 8, 9, 5, 6, 9, 11])
    where = torch.tensor([1, 2, 3, 6, 7])
    positions = torch.tensor([0, 1, 2, 3, 4, 0, 1, 2, 3])
    return Batch(ids, positions, (0, 5, 9), where, ids[where + 1])


@pytest.mark.parametrize("name", ["gpt2", "llama", "granite", "gemma2"])
def test_its_logits_are_the_models_own(name: str) -> None:
    """Also those that are scaled or capped."""
    config, batch = (CONFIGS | SCALED)[name], line()
    model = build(config, 600)
    with torch.no_grad():
        parts = [model(input_ids=batch.ids[None, :5]), model(input_ids=batch.ids[None, 5:])]
    expected = torch.cat([part.logits[0] for part in parts])[batch.where]
    teacher = OpenTeacher(model, 500, "fp32")
    states = teacher.states(batch)
    found = torch.cat([teacher.logits(states[:2]), teacher.logits(states[2:])])
    torch.testing.assert_close(found, expected[:, :500], rtol=1e-4, atol=1e-4)
    assert not states.requires_grad
    in_bf16 = OpenTeacher(build(config, 600), 500, "bf16")
    rough = in_bf16.logits(in_bf16.states(batch))
    assert rough.dtype == torch.float32
    assert (rough.argmax(dim=1) == found.argmax(dim=1)).float().mean() >= 0.8


def saved(folder: Path, tokenizer_kind: str, template: str | None, rows: int = 600) -> str:
    tokenizer = ALL[tokenizer_kind]()
    if template:
        bind(template, tokenizer)
    tokenizer.save_pretrained(folder)
    build_model("llama", rows).save_pretrained(folder)
    return str(folder)


def test_a_teacher_of_the_same_template_is_taken(tmp_path: Path) -> None:
    template = bind("markers", ALL["gpt2"]())
    name = saved(tmp_path, "gpt2", "markers")
    teacher = load_teacher(name, template, 64, "fp32", CPU)
    assert teacher.size == len(template.tokenizer) - 1  # padding, which comes last, is left out
    assert teacher.logits(teacher.states(line())).shape == (5, teacher.size)


def test_a_teacher_of_the_same_family_is_taken_under_its_own_template(tmp_path: Path) -> None:
    template = bind("own", ALL["llama"]())
    assert load_teacher(saved(tmp_path, "llama", None), template, 64, "fp32", CPU).size > 256


@pytest.mark.parametrize(
    ("kind", "template", "context", "rows", "message"),
    [
        ("gpt2", None, 64, 600, r"does not know the template's '<\|system\|>'"),
        ("llama", "markers", 64, 600, "so the tokenizers differ; name a teacher"),
        ("gpt2", "markers", 65, 600, "65 tokens, but the teacher .* takes 64"),
        ("gpt2", "markers", 64, 300, "has 300 embeddings"),
    ],
)
def test_a_teacher_of_other_tokens_is_refused(
    tmp_path: Path, kind: str, template: str | None, context: int, rows: int, message: str
) -> None:
    own = bind("markers", ALL["gpt2"]())
    name = saved(tmp_path, kind, template, rows)
    with pytest.raises(UserError, match=message):
        load_teacher(name, own, context, "fp32", CPU)


def test_equal_vocabularies_that_split_otherwise_are_refused() -> None:
    template, teacher = bind("own", ALL["llama"]()), ALL["llama"]()
    assert shared_tokens("it", teacher, template)
    teacher.backend_tokenizer.model.dropout = 1.0  # merges nothing
    with pytest.raises(UserError, match=r"splits text otherwise .* name a teacher"):
        shared_tokens("it", teacher, template)
