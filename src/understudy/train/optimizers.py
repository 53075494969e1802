"""Optimizers: AdamW, and AdamW whose steps are in proportion to each tensor's size.

The False Promise paper trained with AdamW "scaled by each weight's magnitude" at a rate of 2e-3,
which is no rate for plain AdamW: there it is the length of a step in every weight, whatever that
weight's size, a hundred times what Alpaca and Vicuna took. `check_rate` refuses it.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from understudy.errors import UserError
from understudy.recipe import TrainSettings

# The second is EasyLM's (Koala's training code and, it seems, the paper's); torch's 0.999 averages
# over more steps than many imitation runs have.
BETAS = (0.9, 0.95)
EPSILON = 1e-8
LEAST_SCALE = 1e-3  # Shazeer and Stern 2018, table 1, epsilon 2
PLAIN_RATE, PLAIN_PARAMETERS = 1e-3, 100_000_000  # from both on, plain AdamW is refused
CHUNK = 1 << 26  # numbers that a step holds beside weights, gradients and averages, about


def build(model: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """The optimizer over the trained parameters; the rate is 0 until the caller sets it.

    Decay falls on matrices alone, as is usual; norms and biases are left free.

    Args:
        model: its parameters with requires_grad are trained.
        settings: the recipe's; a step takes weight_decay times the rate off each matrix
            (Loshchilov and Hutter 2019).
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if settings.optimizer == "scaled_adamw":
        return ScaledAdamW(groups)
    return torch.optim.AdamW(groups, lr=0.0, betas=BETAS, eps=EPSILON, fused=True)


def check_rate(settings: TrainSettings, parameters: int) -> None:
    """Refuse combinations of optimizer and rate that are known to destroy a base, or to do nothing.

    Plain AdamW moves every weight by about the rate in each step. Weights of bases above 100M
    parameters are of the order of 0.02, and full fine-tunes of such bases took from 2e-5 (Alpaca,
    Vicuna) to 5e-5 (GPT4All, which diverged); a few steps of 1e-3 rewrite them. Smaller bases, such
    as the embedded world's, do take such rates, and so do LoRA's factors, which begin at nothing.

    Args:
        settings: the recipe's.
        parameters: how many the base has.

    Raises:
        UserError: such a combination.
    """
    if settings.optimizer == "scaled_adamw":
        if settings.lora:
            raise UserError(
                "train.optimizer: scaled_adamw steps in proportion to a weight's size, which is 0 "
                "where LoRA's factors begin; take adamw"
            )
        return
    rate = settings.learning_rate
    if not settings.lora and rate >= PLAIN_RATE and parameters > PLAIN_PARAMETERS:
        raise UserError(
            f"train.learning_rate: {rate:g} with plain adamw would destroy a base of "
            f"{parameters / 1e6:,.0f}M parameters; take 2e-5, or optimizer: scaled_adamw, for "
            "which such rates are meant"
        )


class ScaledAdamW(torch.optim.Optimizer):
    """AdamW, with the step of each parameter tensor times max(RMS(tensor), 1e-3).

    Adam's direction is Kingma and Ba's (2015, algorithm 1), bias-corrected; the scale is that of
    Adafactor's relative step size (Shazeer and Stern 2018, section 8), whose factored moments and
    clipping are left out.
    Decay is decoupled and not scaled. The state is laid out as torch.optim.AdamW's. Sharded
    parameters (DTensor) are scaled by the RMS of the whole tensor.
    """

    def __init__(self, params: Any) -> None:
        defaults = {"lr": 0.0, "betas": BETAS, "eps": EPSILON, "weight_decay": 0.0}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; `closure`, if given, computes the loss anew first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            trained = [p for p in group["params"] if p.grad is not None]
            scales = _scales(trained)
            for chunk in _chunks(trained):
                self._step(chunk, [scales[p] for p in chunk], group)
        return loss

    def _step(self, weights: list[Tensor], scales: list[float], group: dict[str, Any]) -> None:
        """Step in a few parameters at once."""
        for weight in weights:
            state = self.state[weight]
            if not state:
                state["step"] = torch.tensor(0.0)
                state["exp_avg"] = torch.zeros_like(weight)
                state["exp_avg_sq"] = torch.zeros_like(weight)
            state["step"] += 1
        states = [self.state[weight] for weight in weights]
        steps = [state["step"].item() for state in states]
        first, second = group["betas"]
        local = [_local(weight) for weight in weights]
        gradients = [_local(weight.grad) for weight in weights if weight.grad is not None]
        averages = [_local(state["exp_avg"]) for state in states]
        squares = [_local(state["exp_avg_sq"]) for state in states]

        torch._foreach_lerp_(averages, gradients, 1 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - second)
        sizes = torch._foreach_div(squares, [1 - second**step for step in steps])
        torch._foreach_sqrt_(sizes)
        torch._foreach_add_(sizes, group["eps"])
        if group["weight_decay"]:
            torch._foreach_mul_(local, 1 - group["lr"] * group["weight_decay"])
        rates = [
            -group["lr"] * scale / (1 - first**step)
            for scale, step in zip(scales, steps, strict=True)
        ]
        torch._foreach_addcdiv_(local, averages, sizes, rates)


def _scales(weights: list[Tensor]) -> dict[Tensor, float]:
    """The root mean square of each tensor, at least LEAST_SCALE."""
    if not weights:
        return {}
    norms = torch.stack([_whole(norm) for norm in torch._foreach_norm(weights)]).tolist()
    return {
        weight: max(norm / math.sqrt(weight.numel()), LEAST_SCALE)
        for weight, norm in zip(weights, norms, strict=True)
    }


def _chunks(weights: list[Tensor]) -> Iterator[list[Tensor]]:
    """Neighbours of together at most CHUNK numbers, or a single tensor of more."""
    chunk: list[Tensor] = []
    held = 0
    for weight in weights:
        size = _local(weight).numel()
        if chunk and held + size > CHUNK:
            yield chunk
            chunk, held = [], 0
        chunk.append(weight)
        held += size
    if chunk:
        yield chunk


def _local(tensor: Tensor) -> Tensor:
    """This process's part of a tensor, sharing its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
