"""Checkpoints: whole or not there, few, and of one training alone."""

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import nn

from understudy.errors import UserError
from understudy.recipe import TrainSettings
from understudy.train.checkpoint import Checkpoints, weights
from understudy.train.optimizers import build
from understudy.train.ranks import CPU, Ranks

ALONE = Ranks(0, 1, CPU)


def checkpoints(folder: Path, identity: str = "a", keep: int = 1) -> Checkpoints:
    return Checkpoints(folder / "checkpoint", identity, ALONE, keep)


def made(seed: int, steps: int = 2) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    model[0].bias.requires_grad_(False)
    optimizer = build(model, TrainSettings())
    for _ in range(steps):
        step(model, optimizer)
    return model, optimizer


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    model(torch.randn(5, 4)).square().sum().backward()
    for group in optimizer.param_groups:
        group["lr"] = 0.1
    optimizer.step()
    optimizer.zero_grad()


def test_weights_and_the_optimizers_state_come_back(tmp_path: Path) -> None:
    model, optimizer = made(0)
    checkpoints(tmp_path).save(7, model, optimizer)
    other, fresh = made(1, steps=0)
    frozen = other[0].bias.clone()
    assert checkpoints(tmp_path).load(other, fresh) == 7
    for seed in (3, 4):
        for one in ((model, optimizer), (other, fresh)):
            torch.manual_seed(seed)
            with torch.no_grad():
                one[0][0].bias.zero_()
            step(*one)
    for name, weight in weights(model).items():
        assert torch.equal(weight, weights(other)[name])
    assert frozen.any()
    assert "0.bias" not in weights(model)


def test_none_is_no_fault_unless_weights_are_asked_for(tmp_path: Path) -> None:
    model, optimizer = made(0)
    before = {name: weight.clone() for name, weight in weights(model).items()}
    assert checkpoints(tmp_path).load(model, optimizer) == 0
    assert all(torch.equal(weight, before[name]) for name, weight in weights(model).items())
    with pytest.raises(UserError, match="holds no checkpoint yet"):
        checkpoints(tmp_path).load_weights(model)


def test_few_are_kept_and_the_latest_is_taken(tmp_path: Path) -> None:
    model, optimizer = made(0)
    three = checkpoints(tmp_path, keep=3)
    for number in (2, 9, 10, 11, 100):
        with torch.no_grad():
            model[1].weight.fill_(number)
        three.save(number, model, optimizer)
    assert list(three.steps()) == [10, 11, 100]
    folder = tmp_path / "checkpoint"
    shutil.copytree(folder / "step-11", folder / ".step-101.part")  # what a kill leaves
    other, _ = made(1)
    assert three.load_weights(other) == 100
    assert other[1].weight.eq(100).all()
    three.save(101, model, optimizer)
    assert list(three.steps()) == [11, 100, 101]
    three.remove()
    assert not folder.exists()


def test_the_best_weights_are_kept_beside(tmp_path: Path) -> None:
    model, optimizer = made(0)
    one = checkpoints(tmp_path)
    for number in (1, 2):
        with torch.no_grad():
            model[1].weight.fill_(number)
        one.save_best(model)
    one.save(3, made(1)[0], optimizer)
    with torch.no_grad():
        model[1].weight.fill_(0)
    one.load_best(model)
    assert model[1].weight.eq(2).all()


def test_the_first_beginning_counts_until_the_training_is_another(tmp_path: Path) -> None:
    assert checkpoints(tmp_path).begin({"dtype": "bf16"})["dtype"] == "bf16"
    checkpoints(tmp_path).save(1, *made(0))
    assert checkpoints(tmp_path).begin({"dtype": "fp32"})["dtype"] == "bf16"
    assert list(checkpoints(tmp_path).steps()) == [1]
    assert checkpoints(tmp_path, "b").begin({"dtype": "fp32"})["dtype"] == "fp32"
    assert not list(checkpoints(tmp_path, "b").steps())


def damage_cut(folder: Path) -> None:
    file = next(folder.glob("*.distcp"))
    file.write_bytes(file.read_bytes()[:100])


def damage_missing(folder: Path) -> None:
    next(folder.glob("*.distcp")).unlink()


def damage_empty(folder: Path) -> None:
    next(folder.glob("*.distcp")).write_bytes(b"")


def damage_index(folder: Path) -> None:
    (folder / ".metadata").write_bytes(b"nothing of use")


def damage_no_index(folder: Path) -> None:
    (folder / ".metadata").unlink()


@pytest.mark.parametrize(
    "damage", [damage_cut, damage_missing, damage_empty, damage_index, damage_no_index]
)
def test_damage_is_one_line(damage: Any, tmp_path: Path) -> None:
    model, optimizer = made(0)
    checkpoints(tmp_path).save(3, model, optimizer)
    damage(tmp_path / "checkpoint" / "step-3")
    with pytest.raises(UserError, match=r"step-3: the checkpoint cannot be used") as refusal:
        checkpoints(tmp_path).load(model, optimizer)
    assert "\n" not in str(refusal.value)
    assert f"remove {tmp_path / 'checkpoint'}" in str(refusal.value)


@pytest.mark.parametrize(
    ("code", "words"), [(errno.ENOSPC, "disk is full"), (errno.EACCES, "may not be written")]
)
def test_a_full_disk_is_explained_and_the_earlier_state_stays(
    code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, optimizer = made(0)
    one = checkpoints(tmp_path)
    one.save(3, model, optimizer)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(code, "no")

    monkeypatch.setattr(dcp.FileSystemWriter, "write_data", full)
    with pytest.raises(UserError, match=words):
        one.save(4, model, optimizer)
    assert list(one.steps()) == [3]
    assert one.load(*made(1)) == 3
