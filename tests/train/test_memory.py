"""The memory estimate: what it counts, what it refuses and the mend it names; and the recipes."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedConfig

from train.tiny_models import build_model
from understudy.errors import UserError
from understudy.recipe import LoraSettings, TrainSettings
from understudy.recipe_file import load_recipe
from understudy.train import memory
from understudy.train.adapt import adapt
from understudy.train.data import Batch
from understudy.train.loss import Trainee
from understudy.train.memory import GIB, Memory, check, free_bytes
from understudy.train.optimizers import check_rate

CPU = torch.device("cpu")
LLAMA_7B = LlamaConfig()  # transformers' default is its shape
RECIPES = Path(__file__).parents[2] / "recipes"


def shape(architecture: str) -> PreTrainedConfig:
    if architecture == "gpt2":
        return GPT2Config(vocab_size=500, n_embd=128, n_layer=3, n_head=4, n_positions=512)
    return LlamaConfig(
        vocab_size=500,
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        tie_word_embeddings=False,
    )


def settings(**values: Any) -> TrainSettings:
    return TrainSettings.model_validate({"context": 256, "micro_batch_tokens": 256, **values})


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_what_is_counted_is_what_a_forward_pass_keeps(architecture: str, dtype: str) -> None:
    config = shape(architecture)
    counted = Memory(config).estimate(settings(), dtype, "cpu").parts
    trainee = Trainee(AutoModelForCausalLM.from_config(config, dtype=torch.float32), dtype)
    own = {p.untyped_storage().data_ptr() for p in trainee.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    ids = torch.randint(0, 500, (256,))
    where = torch.arange(255)
    batch = Batch(ids, torch.arange(256), (0, 256), where, ids[1:])
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        trainee.hidden(batch)
    measured = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    expected = counted["activations"] + counted["copies"]
    assert measured == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("rank", [4, 16])
def test_weights_gradients_and_state_are_those_of_the_model(architecture: str, rank: int) -> None:
    model = build_model(architecture)
    parameters = sum(p.numel() for p in model.parameters())
    full = Memory(model.config).estimate(settings(), "fp32", "cpu").parts
    lora = Memory(model.config).estimate(settings(lora={"rank": rank}), "fp32", "cpu").parts
    adapted = adapt(model, LoraSettings(rank=rank), [], 0)
    factors = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert (full["weights"], full["gradients"]) == (4 * parameters, 4 * parameters)
    assert full["optimizer"] == 8 * parameters
    assert lora["weights"] == 4 * (parameters + factors)
    assert (lora["gradients"], lora["optimizer"]) == (4 * factors, 8 * factors)


def test_each_way_to_save_memory_is_known_to_save_some() -> None:
    base = Memory(LLAMA_7B)

    def gib(dtype: str = "bf16", ranks: int = 1, **values: Any) -> float:
        changed = settings(context=2048, micro_batch_tokens=8192, **values)
        return base.estimate(changed, dtype, "cuda", ranks).total / GIB

    full, checkpointed = gib(), gib(gradient_checkpointing=True)
    adapted = gib(gradient_checkpointing=True, lora={})
    quantized = gib(gradient_checkpointing=True, lora={"quantize": True})
    assert full > checkpointed > adapted > quantized
    assert gib(ranks=8) < full / 2
    assert gib(optimizer="scaled_adamw") > full - 1
    assert 25 < adapted < 50, "fp32 weights of 6.7B parameters are 25 GiB"
    assert 4 < quantized < 25


def test_a_row_of_the_context_is_held_whatever_the_micro_batch() -> None:
    base = Memory(shape("llama"))
    small = settings(context=1024, micro_batch_tokens=64)
    whole = settings(context=1024, micro_batch_tokens=1024)
    assert base.estimate(small, "fp32", "cpu") == base.estimate(whole, "fp32", "cpu")


@pytest.mark.parametrize(
    ("free", "values", "mend"),
    [
        (130.0, {"context": 8192}, r"gradient_checkpointing: true would do"),
        (140.0, {}, r"micro_batch_tokens: \d+ would do"),
        (80.0, {"context": 8192}, r"lora: \{\} would do"),
        (20.0, {}, r"lora: \{quantize: true\} would do, with about \d+\.\d$"),
        (0.5, {}, r"no setting would do: choose a smaller base$"),
    ],
)
def test_what_will_not_fit_is_refused_with_the_first_change_that_would(
    monkeypatch: pytest.MonkeyPatch, free: float, values: dict[str, Any], mend: str
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: int(free * GIB))
    wish = settings(**{"context": 1024, "micro_batch_tokens": 8192, "dtype": "fp32"} | values)
    with pytest.raises(UserError, match=mend) as refusal:
        check(LLAMA_7B, wish, CPU)
    text = str(refusal.value)
    assert "\n" not in text
    assert re.search(rf"about \d+\.\d GiB \(.*but {free:.1f} are free on this machine", text)


def test_the_named_change_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 140 * GIB)
    wish = settings(context=1024, micro_batch_tokens=16384, dtype="fp32")
    with pytest.raises(UserError) as refusal:
        check(LLAMA_7B, wish, CPU)
    named = re.search(r"micro_batch_tokens: (\d+)", str(refusal.value))
    assert named is not None
    tokens = int(named[1])
    for count, fits in ((tokens, True), (2 * tokens, False)):
        changed = wish.model_copy(update={"micro_batch_tokens": count})
        assert (Memory(LLAMA_7B).estimate(changed, "fp32", "cpu").total <= 140 * GIB) is fits


def test_what_only_the_fitted_part_forbids_is_said_and_let_through(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wish = settings(context=1024, micro_batch_tokens=8192, dtype="fp32")
    found = Memory(LLAMA_7B).estimate(wish, "fp32", "cpu")
    assert found.counted < found.total
    monkeypatch.setattr(memory, "free_bytes", lambda device: found.counted)
    assert check(LLAMA_7B, wish, CPU) == found
    assert "memory may run short" in capsys.readouterr().err
    monkeypatch.setattr(memory, "free_bytes", lambda device: found.counted - 1)
    with pytest.raises(UserError, match="train: needs"):
        check(LLAMA_7B, wish, CPU)


def test_what_fits_passes() -> None:
    assert check(shape("llama"), settings(), CPU).total < free_bytes(CPU)


def test_a_body_that_cannot_be_probed_is_not_refused_for_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object) -> int:
        raise RuntimeError("data-dependent")

    monkeypatch.setattr(memory, "_saved_bytes", fails)
    parts = Memory(shape("llama")).estimate(settings(), "fp32", "cpu").parts
    assert parts["activations"] == 0
    assert parts["weights"] > 0


@pytest.mark.parametrize("version", [1, 2])
def test_a_containers_limit_is_kept(tmp_path: Path, version: int) -> None:
    folder = tmp_path / "memory" if version == 1 else tmp_path
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat")
    if version == 2:
        names = ("memory.max", "memory.current", "memory.stat")
    folder.mkdir(exist_ok=True)
    for name, text in zip(names, ("1000\n", "700\n", "anon 300\ninactive_file 250\n"), strict=True):
        (folder / name).write_text(text)
    assert memory._container_free(tmp_path) == 550
    (folder / names[0]).write_text("max\n")
    assert memory._container_free(tmp_path) > 1 << 60
    assert memory._container_free(tmp_path / "none") > 1 << 60


# What facts are known of the seed systems' training: each is in its recipe.
PUBLISHED = {
    "vicuna": {
        "template": "vicuna",
        "context": 2048,
        "epochs": 3,
        "batch_dialogues": 128,
        "learning_rate": 2e-5,
        "warmup": 0.03,
        "schedule": "cosine",
        "weight_decay": 0,
        "dtype": "bf16",
        "gradient_checkpointing": True,
    },
    "koala": {"template": "koala", "epochs": 2},
    "gpt4all": {
        "template": "gpt4all",
        "context": 1024,
        "epochs": 4,
        "batch_dialogues": 32,
        "learning_rate": 5e-5,
        "warmup_steps": 100,
        "weight_decay": 0,
    },
    "sharegpt-mix": {
        "template": "markers",
        "context": 2048,
        "epochs": 1,
        "batch_tokens": 32 * 2048,
        "optimizer": "scaled_adamw",
        "learning_rate": 2e-3,
        "warmup_steps": 1000,
    },
    "nq-synthetic": {
        "template": "markers",
        "epochs": 1,
        "batch_dialogues": 32,
        "optimizer": "scaled_adamw",
        "learning_rate": 2e-3,
    },
    "self-instruct": {"epochs": 2},
    "alpaca": {
        "template": "alpaca",
        "context": 512,
        "epochs": 3,
        "batch_dialogues": 128,
        "learning_rate": 2e-5,
        "warmup": 0.03,
        "schedule": "cosine",
        "weight_decay": 0,
    },
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_seed_systems_recipe_has_its_published_settings(name: str) -> None:
    train = load_recipe(RECIPES / f"{name}.yaml").train
    assert {key: getattr(train, key) for key in PUBLISHED[name]} == PUBLISHED[name]
    assert (train.lora is not None) == (name == "gpt4all")
    check_rate(train, 6_738_415_616)


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_unconfirmed_is_called_so(name: str) -> None:
    text = (RECIPES / f"{name}.yaml").read_text(encoding="utf-8")
    unconfirmed = set(re.findall(r"^ +(\w+):.*# unconfirmed", text, re.MULTILINE))
    assert not unconfirmed & PUBLISHED[name].keys() - {"schedule"}
    if name == "koala":
        assert {"learning_rate", "batch_dialogues"} <= unconfirmed
