"""Bases are pretrained, cached, and the same after a kill."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from understudy.errors import UserError
from understudy.train import loop
from understudy.train.watch import Guard, read_log
from understudy.world import bases
from understudy.world.encyclopedia import World

WORDS = 15_000


@pytest.fixture(scope="module")
def world() -> World:
    return World(0, 30)


@pytest.fixture(scope="module")
def pretrained(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("base")
    facts = bases.pretrain(world, "tiny", out, WORDS, 0)
    assert facts["parameters"] < 300_000
    return out


def test_a_base_loads_in_plain_transformers(pretrained: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(pretrained / "model")
    tokenizer = AutoTokenizer.from_pretrained(pretrained / "model")
    assert len(tokenizer) <= model.config.vocab_size
    text = "Born in 1793, é and\n\ttabs\n"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.eos_token_id == model.generation_config.eos_token_id == 0
    assert tokenizer.pad_token_id == 1
    assert {path.name for path in pretrained.iterdir()} == {"model", "log.jsonl", "tensorboard"}


def test_the_loss_falls(pretrained: Path) -> None:
    losses = [row["loss"] for row in read_log(pretrained / "log.jsonl") if "loss" in row]
    assert losses[-1] < losses[0] - 0.5


def test_a_stopped_pretraining_ends_in_the_same_bits(
    world: World, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, calls = loop.Step.take, 0

    def stopping(self: loop.Step, number: int, guard: Guard) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return take(self, number, guard)

    monkeypatch.setattr(loop, "PAUSE_S", 0.0)
    monkeypatch.setattr(loop, "PAUSE_SAVES", 0)
    monkeypatch.setattr(loop.Step, "take", stopping)
    with pytest.raises(KeyboardInterrupt):
        bases.pretrain(world, "tiny", tmp_path, WORDS, 0)
    assert (tmp_path / "checkpoint" / "step-3").exists()
    bases.pretrain(world, "tiny", tmp_path, WORDS, 0)
    whole, parts = (
        load_file(folder / "model" / "model.safetensors") for folder in (pretrained, tmp_path)
    )
    assert all(torch.equal(whole[name], parts[name]) for name in whole | parts)
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        files = [folder / "model" / name for folder in (pretrained, tmp_path)]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_a_cached_base_is_not_built_again(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []

    def building(_: World, size: str, out: Path, words: int, seed: int) -> dict[str, Any]:
        built.append((size, words, seed))
        (out / "model").mkdir(parents=True)
        (out / "log.jsonl").write_text("")
        return {}

    monkeypatch.setattr(bases, "pretrain", building)
    first = bases.base_dir(world, "tiny", tmp_path, 10, 0)
    assert bases.base_dir(world, "tiny", tmp_path, 10, 0) == first
    others = [
        bases.base_dir(world, "tiny", tmp_path, 10, 1),
        bases.base_dir(world, "tiny", tmp_path, 11, 0),
        bases.base_dir(world, "small", tmp_path, 10, 0),
        bases.base_dir(World(1, 30), "tiny", tmp_path, 10, 0),
    ]
    assert len({first, *others}) == len(built) == 5


def test_the_sizes_are_what_they_are_called() -> None:
    counts = {
        name: sum(p.numel() for p in bases.build_model(shape, 0).parameters())
        for name, shape in bases.SIZES.items()
    }
    assert 0.15e6 < counts["tiny"] < 0.3e6
    assert 0.4e6 < counts["mini"] < 0.7e6
    assert 0.7e6 < counts["small"] < 1.4e6
    assert 4e6 < counts["medium"] < 5.5e6


def test_the_weights_follow_from_the_seed_alone() -> None:
    state = torch.get_rng_state()
    one, same, other = (
        bases.build_model(bases.SIZES["tiny"], seed).get_input_embeddings().weight
        for seed in (0, 0, 1)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_an_unknown_size_is_named(world: World, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="tiny, mini, small, medium"):
        bases.base_dir(world, "huge", tmp_path, 10, 0)


def test_too_little_text_is_explained(world: World, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="too few"):
        bases.pretrain(world, "tiny", tmp_path, 20, 0)


def test_where_bases_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("UNDERSTUDY_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert bases.cache_root() == Path.home() / ".cache" / "understudy"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert bases.cache_root() == tmp_path / "understudy"
    monkeypatch.setenv("UNDERSTUDY_CACHE", str(tmp_path / "own"))
    assert bases.cache_root() == tmp_path / "own"
