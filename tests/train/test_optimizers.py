"""The optimizers: what a step is, that its state survives, and which rates are refused."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.multiprocessing.spawn import spawn

from understudy.errors import UserError
from understudy.recipe import LoraSettings, TrainSettings
from understudy.train import optimizers
from understudy.train.optimizers import BETAS, EPSILON, build, check_rate


def small_model() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 4))
    with torch.no_grad():
        model[0].weight.mul_(30)  # so that the tensors' sizes differ
        model[2].bias.zero_()
    return model


def built(model: nn.Module, name: str, decay: float) -> torch.optim.Optimizer:
    return build(model, TrainSettings.model_validate({"optimizer": name, "weight_decay": decay}))


def some_steps(model: nn.Module, optimizer: torch.optim.Optimizer, count: int, first: int) -> None:
    for step in range(first, first + count):
        torch.manual_seed(step)
        model(torch.randn(5, 6)).square().sum().backward()
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 / (1 + step)
        optimizer.step()
        optimizer.zero_grad()


def test_a_scaled_step_is_adams_times_the_size_of_the_tensor() -> None:
    model, twin = small_model(), small_model()
    scaled = built(model, "scaled_adamw", 0.0)
    some_steps(model, scaled, 1, 1)
    plain = built(twin, "adamw", 0.0)
    before = [p.detach().clone() for p in twin.parameters()]
    some_steps(twin, plain, 1, 1)
    for old, new, other in zip(before, model.parameters(), twin.parameters(), strict=True):
        size = max(float(old.square().mean().sqrt()), 1e-3)
        torch.testing.assert_close(new - old, (other - old) * size, rtol=1e-3, atol=1e-6)
    assert float(before[0].square().mean().sqrt()) > 1
    assert float(before[5].abs().max()) == 0, "the least scale is tried, too"


def test_scaled_adamw_equals_its_formula_over_many_steps() -> None:
    model = small_model()
    optimizer = built(model, "scaled_adamw", 0.1)
    expected = [p.detach().double().clone() for p in model.parameters()]
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in expected]
    for step in range(1, 5):
        some_gradients(model, step)
        rate = 2e-3 / step
        for i, parameter in enumerate(model.parameters()):
            assert parameter.grad is not None
            gradient, weight = parameter.grad.double(), expected[i]
            first = BETAS[0] * moments[i][0] + (1 - BETAS[0]) * gradient
            second = BETAS[1] * moments[i][1] + (1 - BETAS[1]) * gradient**2
            moments[i] = first, second
            scale = max(float(weight.square().mean().sqrt()), 1e-3)
            direction = (first / (1 - BETAS[0] ** step)) / (
                (second / (1 - BETAS[1] ** step)).sqrt() + EPSILON
            )
            decay = 0.1 if weight.ndim >= 2 else 0.0
            expected[i] = weight * (1 - rate * decay) - rate * scale * direction
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()
    for parameter, wanted in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.double(), wanted, rtol=1e-4, atol=1e-6)


def some_gradients(model: nn.Module, step: int) -> None:
    torch.manual_seed(step)
    model(torch.randn(5, 6)).square().sum().backward()


@pytest.mark.parametrize("name", ["adamw", "scaled_adamw"])
def test_a_saved_state_goes_on_to_the_same_bits(tmp_path: Path, name: str) -> None:
    whole = small_model()
    some_steps(whole, built(whole, name, 0.1), 4, 1)
    model = small_model()
    optimizer = built(model, name, 0.1)
    some_steps(model, optimizer, 2, 1)
    torch.save([model.state_dict(), optimizer.state_dict()], tmp_path / "state.pt")
    resumed = small_model()
    again = built(resumed, name, 0.1)
    weights, state = torch.load(tmp_path / "state.pt", weights_only=True)
    resumed.load_state_dict(weights)
    again.load_state_dict(state)
    some_steps(resumed, again, 2, 3)
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_state_is_laid_out_as_adamws() -> None:
    states = []
    for name in ("adamw", "scaled_adamw"):
        model = small_model()
        optimizer = built(model, name, 0.0)
        some_steps(model, optimizer, 1, 1)
        states.append(optimizer.state_dict())
    assert states[0]["state"][0].keys() == states[1]["state"][0].keys()
    assert states[0]["param_groups"][0]["params"] == states[1]["param_groups"][0]["params"]


def test_chunks_do_not_change_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    models = []
    for chunk in (1, 50, 1 << 26):
        monkeypatch.setattr(optimizers, "CHUNK", chunk)
        model = small_model()
        some_steps(model, built(model, "scaled_adamw", 0.1), 2, 1)
        models.append(nn.utils.parameters_to_vector(model.parameters()))
    assert torch.equal(models[0], models[1])
    assert torch.equal(models[0], models[2])


@pytest.mark.parametrize("name", ["adamw", "scaled_adamw"])
def test_decay_falls_on_matrices_alone_and_frozen_parameters_stay(name: str) -> None:
    model = small_model()
    model[0].requires_grad_(False)
    groups = built(model, name, 0.3).param_groups
    assert [(group["weight_decay"], len(group["params"])) for group in groups] == [(0.3, 1), (0, 3)]
    assert all(group["betas"] == BETAS for group in groups)


def _sharded(rank: int, ranks: int, store: str, out: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=ranks
    )
    model = small_model()
    mesh = init_device_mesh("cpu", (ranks,))
    fully_shard(model, mesh=mesh)
    assert isinstance(next(model.parameters()), DTensor)
    optimizer = built(model, "scaled_adamw", 0.1)
    some_steps(model, optimizer, 3, 1)
    state = optimizer.state[next(model.parameters())]
    assert isinstance(state["exp_avg"], DTensor), "checkpoints shard what is a DTensor"
    weights = [p.full_tensor().detach() for p in model.parameters()]
    if rank == 0:
        torch.save(weights, out)
    torch.distributed.destroy_process_group()


def test_shards_step_by_the_size_of_the_whole_tensor(tmp_path: Path) -> None:
    spawn(_sharded, (2, str(tmp_path / "store"), str(tmp_path / "weights.pt")), nprocs=2)
    model = small_model()
    some_steps(model, built(model, "scaled_adamw", 0.1), 3, 1)
    sharded = torch.load(tmp_path / "weights.pt", weights_only=True)
    for one, other in zip(model.parameters(), sharded, strict=True):
        torch.testing.assert_close(one.detach(), other, rtol=1e-5, atol=1e-7)


def test_the_papers_rate_is_refused_for_plain_adamw_on_a_real_base() -> None:
    settings = TrainSettings(learning_rate=2e-3)
    with pytest.raises(UserError, match=r"learning_rate: 0.002.*1,558M.*scaled_adamw") as refusal:
        check_rate(settings, 1_557_611_200)  # GPT-2 XL, the paper's smallest base
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("settings", "parameters"),
    [
        (TrainSettings(learning_rate=2e-3, optimizer="scaled_adamw"), 1_557_611_200),
        (TrainSettings(learning_rate=2e-5), 6_700_000_000),
        (TrainSettings(learning_rate=6e-3), 500_000),
        (TrainSettings(learning_rate=2e-3, lora=LoraSettings()), 6_700_000_000),
    ],
)
def test_rates_that_suit_pass(settings: TrainSettings, parameters: int) -> None:
    check_rate(settings, parameters)


def test_scaled_steps_are_refused_for_factors_that_begin_at_zero() -> None:
    with pytest.raises(UserError, match="LoRA"):
        check_rate(TrainSettings(optimizer="scaled_adamw", lora=LoraSettings()), 1_000_000)


def test_plain_adamw_moves_small_weights_by_the_rate_and_scaled_in_proportion() -> None:
    """Why the rate of the one is none for the other: steps of 2e-3 in weights of 0.02."""
    moved = {}
    for name in ("adamw", "scaled_adamw"):
        layer = nn.Linear(64, 64, bias=False)
        torch.manual_seed(0)
        nn.init.normal_(layer.weight, std=0.02)
        before = layer.weight.detach().clone()
        optimizer = built(layer, name, 0.0)
        for _ in range(10):
            torch.manual_seed(1)
            layer(torch.randn(16, 64)).sum().backward()
            optimizer.param_groups[0]["lr"] = 2e-3
            optimizer.step()
            optimizer.zero_grad()
        moved[name] = float((layer.weight.detach() - before).norm() / before.norm())
    assert moved["adamw"] > 0.5
    assert math.isclose(moved["scaled_adamw"], 0.02, rel_tol=0.1)
