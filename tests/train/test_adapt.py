"""LoRA and QLoRA: what is trained, what is saved, and that a merge computes the same."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from train.tiny_models import TOKENIZERS, build_model
from understudy.errors import UserError
from understudy.models import load_model
from understudy.recipe import LoraSettings, TrainSettings
from understudy.train.adapt import (
    adapt,
    dropping,
    head_weights,
    load_quantized,
    merged,
    save_adapter,
    underlying,
)
from understudy.train.optimizers import build
from understudy.train.template import bind, fit_embeddings

CPU = torch.device("cpu")
IDS = torch.tensor([[1, 40, 7, 80, 25, 33, 9, 12]])


@pytest.fixture
def base(architecture: str, tmp_path: Path) -> str:
    """A base's folder, whose vocabulary the tokenizer outgrows once a template is bound."""
    tokenizer = TOKENIZERS[architecture]()
    model = build_model(architecture, len(tokenizer))
    for config in (model.config, model.generation_config):
        config.bos_token_id = config.eos_token_id = 0
    model.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    return str(tmp_path / "base")


def prepared(
    base: str, settings: LoraSettings, seed: int = 0
) -> tuple[PeftModel, PreTrainedTokenizerFast, list[int]]:
    """The base with room for a template's tokens and with factors."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    template = bind("markers", tokenizer)
    model = load_quantized(base, CPU) if settings.quantize else load_model(base)
    fit_embeddings(model, template)
    return adapt(model, settings, template.added, seed), tokenizer, template.added


def two_steps(model: PeftModel, new: list[int]) -> None:
    """Train on a line in which the new tokens occur; the head is called apart, as the loop does."""
    plain = underlying(model)
    optimizer = build(model, TrainSettings())
    ids = torch.cat([IDS, torch.tensor([new], dtype=torch.long)], dim=1)
    for _ in range(2):
        body = getattr(plain, plain.base_model_prefix)
        hidden = body(input_ids=ids, use_cache=False).last_hidden_state
        logits = torch.nn.functional.linear(hidden, *head_weights(plain))
        loss = torch.nn.functional.cross_entropy(logits[0, :-1], ids[0, 1:])
        loss.backward()
        optimizer.param_groups[0]["lr"] = 1e-2
        optimizer.step()
        optimizer.zero_grad()


@torch.no_grad()
def logits(model: PreTrainedModel, new: list[int]) -> Tensor:
    ids = torch.cat([IDS, torch.tensor([new], dtype=torch.long)], dim=1)
    return model(input_ids=ids, use_cache=False).logits


def test_factors_change_nothing_before_they_are_trained(base: str) -> None:
    model, _, new = prepared(base, LoraSettings(rank=4))
    with model.disable_adapter():
        expected = logits(underlying(model), new)
    assert torch.equal(logits(underlying(model), new), expected)


def test_only_factors_and_new_tokens_are_trained(base: str, architecture: str) -> None:
    model, _, new = prepared(base, LoraSettings(rank=4))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    two_steps(model, new)
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert changed == trained
    assert all("lora_" in name or "trainable_tokens_delta" in name for name in trained)
    tables = [p for n, p in model.named_parameters() if "trainable_tokens_delta" in n]
    assert len(tables) == (1 if architecture == "gpt2" else 2), "a tied head has no rows of its own"
    assert all(len(table) == len(new) for table in tables)
    plain = underlying(model)
    layers = 4 if architecture == "gpt2" else 7
    assert sum("lora_A" in n for n in trained) == layers * plain.config.num_hidden_layers
    assert not any("lm_head" in n and "lora_" in n for n in trained)


def test_merged_logits_equal_the_trained_ones_and_load_in_plain_transformers(
    base: str, tmp_path: Path
) -> None:
    model, tokenizer, new = prepared(base, LoraSettings(rank=4))
    untrained = logits(underlying(model), new)
    two_steps(model, new)
    trained = logits(underlying(model), new)
    assert (trained - untrained).abs().max() > 0.1
    plain = merged(model)
    assert not any("lora" in name for name, _ in plain.named_modules())
    torch.testing.assert_close(logits(plain, new), trained, rtol=1e-5, atol=1e-5)
    plain.save_pretrained(tmp_path / "model")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    assert type(again) is type(plain)
    assert torch.equal(logits(again, new), logits(plain, new))
    assert again.generation_config.eos_token_id == tokenizer.eos_token_id


def test_factors_alone_load_in_peft_and_as_a_model(base: str, tmp_path: Path) -> None:
    model, tokenizer, new = prepared(base, LoraSettings(rank=4, merge=False))
    two_steps(model, new)
    trained = logits(underlying(model), new)
    folder = tmp_path / "adapter"
    save_adapter(model, tokenizer, folder)
    size = (folder / "adapter_model.safetensors").stat().st_size
    assert size < 4 * sum(p.numel() for p in model.parameters() if p.requires_grad) + 10_000

    grown = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    grown.resize_token_embeddings(len(AutoTokenizer.from_pretrained(folder)))
    peft = PeftModel.from_pretrained(grown, folder)
    assert torch.equal(logits(peft, new), trained)

    plain = load_model(str(folder))
    torch.testing.assert_close(logits(plain, new), trained, rtol=1e-5, atol=1e-5)
    assert plain.generation_config.eos_token_id == tokenizer.eos_token_id
    assert plain.config.pad_token_id == tokenizer.pad_token_id


def test_transformers_loads_factors_by_itself_where_no_token_is_new(
    base: str, tmp_path: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = adapt(load_model(base), LoraSettings(rank=4), [], 0)
    two_steps(model, [])
    trained = logits(underlying(model), [])
    save_adapter(model, tokenizer, tmp_path / "adapter")
    loaded = load_model(str(tmp_path / "adapter"))
    torch.testing.assert_close(logits(loaded, []), trained, rtol=1e-5, atol=1e-5)


def test_factors_of_another_base_are_refused_in_one_line(base: str, tmp_path: Path) -> None:
    model, tokenizer, _ = prepared(base, LoraSettings(rank=4))
    folder = tmp_path / "adapter"
    save_adapter(model, tokenizer, folder)
    other = load_model(base)
    other.config.num_hidden_layers = 1
    AutoModelForCausalLM.from_config(other.config).save_pretrained(tmp_path / "other")
    config = json.loads((folder / "adapter_config.json").read_text())
    config |= {"base_model_name_or_path": str(tmp_path / "other"), "r": 8}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="do not fit") as refusal:
        load_model(str(folder))
    assert "\n" not in str(refusal.value)


def test_factors_are_drawn_from_the_seed_alone(base: str) -> None:
    def factors(seed: int, noise: int) -> Tensor:
        torch.manual_seed(noise)
        model, _, _ = prepared(base, LoraSettings(rank=4), seed)
        assert torch.initial_seed() == noise, "the caller's generator is left as it was"
        return torch.cat([p.flatten() for n, p in model.named_parameters() if "lora_A" in n])

    assert torch.equal(factors(1, noise=5), factors(1, noise=6))
    assert not torch.equal(factors(1, noise=5), factors(2, noise=5))


def test_dropout_is_a_function_of_seed_and_step(base: str) -> None:
    model, _, new = prepared(base, LoraSettings(rank=4, dropout=0.5))
    plain = underlying(model)
    two_steps(model, new)  # factors that are not nothing
    for module in plain.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # as the loop does, which must not put an end to it
    calm = logits(plain, new)

    def dropped(seed: int, step: int, noise: int) -> Tensor:
        torch.manual_seed(noise)
        state = torch.get_rng_state()
        with dropping(model, 0.5, seed, step):
            found = logits(plain, new)
        assert torch.equal(torch.get_rng_state(), state)
        return found

    first = dropped(0, 1, noise=1)
    assert torch.equal(first, dropped(0, 1, noise=2))
    assert not torch.equal(first, dropped(0, 2, noise=1))
    assert not torch.equal(first, dropped(1, 1, noise=1))
    assert not torch.equal(first, calm)
    assert torch.equal(logits(plain, new), calm), "outside of it nothing is dropped"
    assert not any(module.training for module in plain.modules())


def test_chosen_targets_are_taken_and_unknown_ones_named(base: str, architecture: str) -> None:
    name = "c_attn" if architecture == "gpt2" else "q_proj"
    model = adapt(load_model(base), LoraSettings(rank=2, targets=[name]), [], 0)
    names = [n for n, p in model.named_parameters() if p.requires_grad]
    assert names
    assert all(name in n for n in names)
    with pytest.raises(UserError, match=r"train\.lora\.targets.*nowhere") as refusal:
        adapt(load_model(base), LoraSettings(targets=["nowhere"]), [], 0)
    assert "\n" not in str(refusal.value)


def test_a_head_with_a_bias_takes_no_new_tokens() -> None:
    model = build_model("llama")
    model.lm_head = torch.nn.Linear(32, 600)
    with pytest.raises(UserError, match="bias"):
        adapt(model, LoraSettings(), [599], 0)


needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)


@needs_bitsandbytes
@pytest.mark.filterwarnings("ignore")
def test_a_four_bit_base_is_trained_through_its_factors_and_merged_into_the_plain_one(
    base: str, tmp_path: Path
) -> None:
    model, tokenizer, new = prepared(base, LoraSettings(rank=4, quantize=True))
    plain = underlying(model)
    bases = [m for n, m in plain.named_modules() if n.endswith(".base_layer")]
    assert all(type(m).__name__ in ("Linear4bit", "Embedding", "Linear") for m in bases)
    assert sum(type(m).__name__ == "Linear4bit" for m in bases) == sum(
        "lora_A" in name for name, _ in model.named_parameters()
    )
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    untrained = logits(plain, new)
    two_steps(model, new)
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert changed == {name for name, p in model.named_parameters() if p.requires_grad}
    trained = logits(plain, new)
    whole = merged(model)
    assert all(p.dtype == torch.float32 for p in whole.parameters())
    whole.save_pretrained(tmp_path / "model")
    again = load_model(str(tmp_path / "model"))
    assert again.generation_config.eos_token_id == tokenizer.eos_token_id
    # Not equal, as the weights are no longer rounded; but nearer than the untrained model.
    found = logits(again, new)
    assert (found - trained).norm() < (found - untrained).norm()


@needs_bitsandbytes
def test_the_merge_of_a_four_bit_base_holds_the_trained_factors_exactly(tmp_path: Path) -> None:
    build_model("llama").save_pretrained(tmp_path / "base")
    base = str(tmp_path / "base")
    model = adapt(load_quantized(base, CPU), LoraSettings(rank=4, alpha=8), [590], 0)
    two_steps(model, [590])
    layer = underlying(model).model.layers[1].mlp.down_proj
    product = layer.lora_B["default"].weight @ layer.lora_A["default"].weight * 2
    row = underlying(model).get_input_embeddings().weight[590].detach().clone()
    whole = merged(model)
    expected = load_model(base).model.layers[1].mlp.down_proj.weight + product
    torch.testing.assert_close(whole.model.layers[1].mlp.down_proj.weight, expected)
    assert torch.equal(whole.get_input_embeddings().weight[590], row)


def test_without_bitsandbytes_one_line_names_the_extra(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy.train.adapt.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"understudy\[qlora\]") as refusal:
        load_quantized(base, CPU)
    assert "\n" not in str(refusal.value)


@needs_bitsandbytes
def test_a_device_that_cannot_is_named(base: str) -> None:
    with pytest.raises(UserError, match="mps devices cannot"):
        load_quantized(base, torch.device("mps"))
