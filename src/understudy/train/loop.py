"""The training loop, of pretraining and fine-tuning alike.

Weights are fp32, the schedule and the optimizer are the recipe's, and the loss is taken at
supervised tokens alone. The weights after step k are a pure function of the settings, the seed and
k, on one machine with one number of threads; so a training that was killed ends in the same bits.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grad_norm_

from understudy.models import memory_for
from understudy.progress import progress, say
from understudy.recipe import TrainSettings
from understudy.train.adapt import dropping
from understudy.train.checkpoint import Checkpoints
from understudy.train.data import Batch, Rows, Schedule, micro_batches
from understudy.train.loss import CrossEntropy, Objective, Trainee
from understudy.train.optimizers import build
from understudy.train.ranks import Ranks, layers, shard, shares
from understudy.train.speed import Meter, keep_freed_memory
from understudy.train.watch import Guard, Log, peak_memory, stop_asked

# Between checkpoints, where the recipe says nothing: seconds, and times what the last one took.
PAUSE_S, PAUSE_SAVES = 20.0, 20


@dataclass(frozen=True)
class Lesson:
    """What a model is fitted to.

    Attributes:
        rows: what to train on.
        heldout: rows whose cross-entropy is taken now and then, or None.
        schedule: which rows go into which step.
        objective: what is learnt at supervised tokens.
    """

    rows: Rows
    heldout: Rows | None
    schedule: Schedule
    objective: Objective = field(default_factory=CrossEntropy)


def fit(
    trainee: Trainee,
    lesson: Lesson,
    settings: TrainSettings,
    checkpoints: Checkpoints,
    out: Path,
    ranks: Ranks,
) -> dict[str, Any]:
    """Train a model in place, and leave it with the weights that are to be the student's.

    Writes `out/log.jsonl`, `out/tensorboard/` and checkpoints. Called again after an interruption,
    with the same arguments, it goes on from the last checkpoint. The checkpoints are left for the
    caller to remove once the model is saved.

    Returns:
        Steps, tokens, losses (nats a supervised token), number format, and speed under "time".

    Raises:
        UserError: memory does not suffice, or a guard stopped the training.
        KeyboardInterrupt: it was asked to stop, and has saved its state.
    """
    keep_freed_memory()
    meter = Meter(trainee.model, trainee.dtype, ranks.device, ranks.count)
    if settings.gradient_checkpointing:
        trainee.model.activation_checkpointing_enable({"use_reentrant": False})
        trainee.train()  # which transformers asks for; the trainee has no dropout
    if settings.compile:
        for layer in layers(trainee.model):
            layer.compile(dynamic=True)
    if ranks.count > 1:
        shard(trainee, trainee.model, trainee.dtype)
    optimizer = build(trainee, settings)
    begun_at = checkpoints.load(trainee, optimizer)
    steps = lesson.schedule.steps
    times = settings.evaluations  # after the one before the first step
    heldout_steps = {round(steps * i / times) for i in range(times + 1)}
    saved, saving_s = time.monotonic(), 0.0
    with (
        memory_for("training", "lower micro_batch_tokens or context, or choose a smaller base"),
        Log(out, begun_at, settings, ranks) as log,
        stop_asked() as asked,
        progress("training steps", steps) as bar,
    ):
        step = Step(trainee, optimizer, lesson, settings, meter, ranks)
        guard = Guard(settings.spike, log.values("loss"))
        bar.advance(begun_at)

        def note(row: dict[str, Any]) -> None:
            if lesson.heldout and row["step"] in heldout_steps:
                row["heldout_loss"] = step.heldout_loss(lesson.heldout)
                if settings.select == "best" and row["heldout_loss"] < min(
                    log.values("heldout_loss"), default=math.inf
                ):
                    checkpoints.save_best(trainee)
            log.add(row)

        if begun_at == 0:
            note({"step": 0})
        for number in range(begun_at + 1, steps + 1):
            row = step.take(number, guard)
            note(row)
            bar.advance(1, _words(row))
            if number == steps or _lost_patience(log, settings.patience):
                break
            pause_s = settings.checkpoint_every_s or max(PAUSE_S, PAUSE_SAVES * saving_s)
            due = time.monotonic() - saved > pause_s
            stopping, due = (bool(n) for n in ranks.sums(asked(), due))  # if any process says so
            if stopping or due:
                begun = time.monotonic()
                checkpoints.save(number, trainee, optimizer)
                saved = time.monotonic()
                saving_s = saved - begun
            if stopping:
                say("  stopped; the same command goes on from here")
                raise KeyboardInterrupt
        if settings.select == "best" and lesson.heldout:
            checkpoints.load_best(trainee)
    return _facts(log, settings, trainee.dtype, ranks)


class Step:
    """An optimizer step: the mean loss over all supervised tokens of some rows.

    Args: see `fit`.
    """

    def __init__(
        self,
        trainee: Trainee,
        optimizer: torch.optim.Optimizer,
        lesson: Lesson,
        settings: TrainSettings,
        meter: Meter,
        ranks: Ranks,
    ) -> None:
        self._trainee, self._optimizer, self._lesson = trainee, optimizer, lesson
        self._settings, self._meter, self._ranks = settings, meter, ranks

    def take(self, number: int, guard: Guard) -> dict[str, Any]:
        """Take step `number`, counted from 1; returns the row of the log.

        Raises:
            UserError: the guard stops it, before any weight is changed.
        """
        start = time.perf_counter()
        rows, objective = self._lesson.rows, self._lesson.objective
        indices = self._lesson.schedule.indices(number - 1)
        batches = [objective.prepare(b, number) for b in self._batches(rows, indices)]
        heard = [batch for batch in batches if len(batch.targets)]
        tokens, supervised, work = self._ranks.sums(
            sum(len(batch.ids) for batch in heard),
            sum(len(batch.targets) for batch in heard),
            self._meter.work(heard),
        )
        # FSDP takes the mean over processes of what is to be a sum.
        scale = self._ranks.count / max(1, supervised)
        losses = []
        lora, seed = self._settings.lora, self._lesson.schedule.seed
        with dropping(self._trainee, lora.dropout if lora else 0, seed, number, self._ranks.rank):
            for batch in batches:
                loss, summed = self._trainee(batch, objective, scale)
                loss.backward()
                losses.append(summed)
        loss = self._ranks.sums(float(sum(losses)))[0] / max(1, supervised)
        norm = clip_grad_norm_(self._trainee.parameters(), self._settings.clip)
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        guard.see(number, loss, float(norm), lambda: rows.names(indices))
        rate = learning_rate(number, self._lesson.schedule.steps, self._settings)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad()
        return {
            "step": number,
            "lr": rate,
            "loss": loss,
            "grad_norm": float(norm),
            "tokens": int(tokens),
            "supervised": int(supervised),
            **self._meter.read(work, int(tokens), time.perf_counter() - start),
            "memory": peak_memory(self._ranks.device),
        }

    @torch.no_grad()
    def heldout_loss(self, heldout: Rows) -> float:
        """Mean cross-entropy over the supervised tokens of `heldout`, in nats."""
        total, count = 0.0, 0
        for batch in self._batches(heldout, range(len(heldout))):
            total += float(self._trainee(batch, CrossEntropy(), 1.0)[1])
            count += len(batch.targets)
        total, counted = self._ranks.sums(total, count)
        return total / counted

    def _batches(self, rows: Rows, indices: Sequence[int]) -> Iterator[Batch]:
        """This process's micro-batches; one that only keeps step has no targets."""
        runs = micro_batches(rows, indices, self._settings.micro_batch_tokens)
        for run in shares(runs, self._ranks):
            batch = rows.collate(run) if run else rows.collate(indices[:1]).silent()
            yield batch.to(self._ranks.device)


def learning_rate(step: int, steps: int, settings: TrainSettings) -> float:
    """The rate of step `step` (from 1): linear warm-up, then constant, or down towards 0.

    The cosine is Loshchilov and Hutter 2017, "SGDR", equation 5, without restarts.
    """
    warm = settings.warmup_steps or math.ceil(settings.warmup * steps)
    if step <= warm:
        return settings.learning_rate * step / warm
    done = (step - warm - 1) / max(1, steps - warm)
    share = {"cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done, "constant": 1.0}
    return settings.learning_rate * share[settings.schedule]


def _lost_patience(log: Log, patience: int | None) -> bool:
    """Whether the latest held-out losses, as many as `patience`, were all no new best."""
    losses = log.values("heldout_loss")
    if patience is None or "heldout_loss" not in log.rows[-1] or len(losses) <= patience:
        return False
    return min(losses[-patience:]) >= min(losses[:-patience])


def _words(row: dict[str, Any]) -> str:
    return (
        f"loss {row['loss']:.3f} · {row['tokens_per_s']:,.0f} tokens/s · "
        f"{row['mfu']:.0%} of matmul speed · {row['memory'] / 2**30:.1f} GiB"
    )


def _facts(log: Log, settings: TrainSettings, dtype: str, ranks: Ranks) -> dict[str, Any]:
    steps = [row for row in log.rows if "loss" in row]
    heldout = log.values("heldout_loss")
    last = steps[-max(1, len(steps) // 20) :]
    tokens, seconds = (sum(row[key] for row in steps) for key in ("tokens", "seconds"))
    facts = {
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
            "peak_bytes": max(row["memory"] for row in steps),
            "devices": ranks.count,
        },
    }
    if settings.select == "best" and heldout:
        best = min(
            (row for row in log.rows if "heldout_loss" in row), key=itemgetter("heldout_loss")
        )
        facts |= {"heldout_loss": best["heldout_loss"], "best_step": best["step"]}
    return facts
