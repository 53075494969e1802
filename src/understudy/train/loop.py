"""The training loop, of pretraining and fine-tuning alike.

Full fine-tuning with fp32 weights, AdamW, a cosine schedule and the loss at supervised tokens
alone. The weights after step k are a pure function of the settings, the seed and k, on one machine
with one number of threads; so a training that was killed ends in the same bits.
"""

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from understudy.errors import UserError
from understudy.files import write_jsonl
from understudy.models import memory_for
from understudy.progress import progress, say
from understudy.train.checkpoint import Checkpoints, read_log
from understudy.train.data import Rows, Schedule, micro_batches
from understudy.train.loss import add_gradients, autocast, check_architecture, mean_loss
from understudy.train.speed import Meter, choose_dtype

HELDOUT_POINTS = 5  # times the held-out loss is taken after the one before the first step


@dataclass(frozen=True)
class Fit:
    """How a model is fitted.

    Attributes:
        learning_rate: at the top of the schedule.
        warmup: share of the steps over which it rises from 0.
        weight_decay: AdamW's, on matrices.
        clip: longest norm of the gradient.
        dtype: number format of the forward pass: fp32, bf16 or auto.
        micro_batch_tokens: tokens a forward pass, at most.
        checkpoint_every_s: seconds between checkpoints, about.
    """

    learning_rate: float
    warmup: float
    weight_decay: float
    clip: float
    dtype: str
    micro_batch_tokens: int
    checkpoint_every_s: float


def fit(
    model: PreTrainedModel,
    rows: Rows,
    heldout: Rows | None,
    schedule: Schedule,
    settings: Fit,
    out: Path,
    identity: str,
) -> dict[str, Any]:
    """Train `model` in place; log in `out/log.jsonl`, checkpoints in `out/checkpoint/`.

    Called again after an interruption, with the same arguments, it goes on from the last
    checkpoint. The checkpoints are left for the caller to remove once the model is saved.

    Args:
        model: fp32 weights.
        rows: what to train on.
        heldout: rows whose loss is taken now and then, or None.
        schedule: which rows go into which step.
        settings: how.
        out: folder.
        identity: digest of all that the weights depend on.

    Returns:
        Steps, tokens, losses (nats a supervised token), number format, and speed under "time".

    Raises:
        UserError: the model does not fit into memory, or its architecture is not supported.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device).eval()  # no dropout: a step depends on weights and batch alone
    check_architecture(model)
    checkpoints = Checkpoints(out / "checkpoint", identity)
    dtype = checkpoints.begin(choose_dtype(settings.dtype, device))
    optimizer = _optimizer(model, settings.weight_decay)
    begun_at = checkpoints.load(model, optimizer)
    log_path = out / "log.jsonl"
    log = [row for row in read_log(log_path) if row["step"] <= begun_at] if begun_at else []
    write_jsonl(log_path, log)

    micro_batch_tokens = settings.micro_batch_tokens
    meter = Meter(model, dtype, device)
    heldout_steps = {round(schedule.steps * i / HELDOUT_POINTS) for i in range(HELDOUT_POINTS + 1)}
    saved = time.monotonic()
    with (
        memory_for("training", "lower micro_batch_tokens or context, or choose a smaller base"),
        _stoppable(checkpoints.folder),
        open(log_path, "a", encoding="utf-8") as file,
        progress("training steps", schedule.steps) as task,
    ):
        task.advance(begun_at)

        def note(row: dict[str, Any]) -> None:
            if heldout and row["step"] in heldout_steps:
                row["heldout_loss"] = mean_loss(model, heldout, micro_batch_tokens, dtype)
            log.append(row)
            file.write(json.dumps(row) + "\n")
            file.flush()

        if begun_at == 0:
            note({"step": 0})
        for step in range(begun_at + 1, schedule.steps + 1):
            row = {"step": step, "lr": learning_rate(step, schedule.steps, settings)}
            indices = schedule.indices(step - 1)
            note(
                row
                | optimizer_step(model, optimizer, rows, indices, row["lr"], settings, dtype, meter)
            )
            task.advance(1, f"loss {log[-1]['loss']:.3f}")
            if time.monotonic() - saved > settings.checkpoint_every_s and step < schedule.steps:
                checkpoints.save(step, model, optimizer)
                saved = time.monotonic()
    return _facts(log, dtype)


def learning_rate(step: int, steps: int, settings: Fit) -> float:
    """The rate of step `step` (from 1): linear warm-up, then a half cosine towards 0.

    Loshchilov and Hutter 2017, "SGDR", equation 5, without restarts.
    """
    warm = math.ceil(settings.warmup * steps)
    if step <= warm:
        return settings.learning_rate * step / warm
    done = (step - warm - 1) / max(1, steps - warm)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def optimizer_step(
    model: PreTrainedModel,
    optimizer: torch.optim.Optimizer,
    rows: Rows,
    indices: list[int],
    rate: float,
    settings: Fit,
    dtype: str,
    meter: Meter,
) -> dict[str, Any]:
    """One optimizer step: the mean loss over all supervised tokens of the rows at `indices`."""
    start = time.perf_counter()
    runs = micro_batches(rows, indices, settings.micro_batch_tokens)
    batches = [rows.collate(run) for run in runs]
    supervised = sum(len(batch.targets) for batch in batches)
    loss = 0.0
    for batch in batches:
        with autocast(model.device, dtype):
            loss += add_gradients(model, batch.to(model.device), 1 / max(1, supervised))
    if not math.isfinite(loss):
        raise UserError("the loss is no longer a number; lower learning_rate or use dtype fp32")
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad()
    tokens = sum(rows.length(index) for index in indices)
    return {
        "loss": loss / max(1, supervised),
        "grad_norm": float(norm),
        "tokens": tokens,
        "supervised": supervised,
        **meter.read(batches, tokens, time.perf_counter() - start),
    }


def _optimizer(model: PreTrainedModel, weight_decay: float) -> torch.optim.AdamW:
    """AdamW with decay on matrices alone, as is usual; norms and biases are left free."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.95), fused=True)


@contextmanager
def _stoppable(checkpoints: Path) -> Iterator[None]:
    """Say on Ctrl-C how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        if (checkpoints / "state.pt").exists():
            say("  stopped; the same command goes on from the last checkpoint")
        else:
            say("  stopped before the first checkpoint; the same command starts again")
        raise


def _facts(log: list[dict[str, Any]], dtype: str) -> dict[str, Any]:
    steps = [row for row in log if "loss" in row]
    heldout = [row["heldout_loss"] for row in log if "heldout_loss" in row]
    last = steps[-max(1, len(steps) // 20) :]
    tokens, seconds = (sum(row[key] for row in steps) for key in ("tokens", "seconds"))
    return {
        "steps": len(steps),
        "tokens": tokens,
        "supervised_tokens": sum(row["supervised"] for row in steps),
        "train_loss": sum(row["loss"] for row in last) / len(last),
        "heldout_loss_before": heldout[0] if heldout else None,
        "heldout_loss": heldout[-1] if heldout else None,
        "dtype": dtype,
        "time": {
            "seconds": round(seconds, 3),
            "tokens_per_s": round(tokens / seconds, 1),
            "mfu": round(sum(row["mfu"] * row["seconds"] for row in steps) / seconds, 4),
        },
    }
