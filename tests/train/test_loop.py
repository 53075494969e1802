"""The loop: what a plain loop of torch would do, step by step; and when it stops."""

import copy
import math
import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from train.tiny_models import build_model, draw_dialogues, plain_loss, tokens_of
from understudy.errors import UserError
from understudy.recipe import LoraSettings, TrainSettings
from understudy.train import loop, speed, watch
from understudy.train.adapt import adapt, underlying
from understudy.train.checkpoint import Checkpoints
from understudy.train.data import Batch, Schedule, unpacked
from understudy.train.loop import Lesson, Step, fit, learning_rate
from understudy.train.loss import CrossEntropy, PartLoss, Trainee
from understudy.train.ranks import CPU, Ranks
from understudy.train.watch import Guard, read_log

ALONE = Ranks(0, 1, CPU)
VOCABULARY = 64
DIALOGUES = draw_dialogues([12, 3, 30, 5, 18, 7, 25, 9, 40, 14], VOCABULARY)
SEEN = {"seconds", "tokens_per_s", "mfu", "memory"}  # what the same training need not repeat


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "matmul_flops", lambda *_: 1e12)


def model_of(name: str = "llama") -> PreTrainedModel:
    model = build_model(name, VOCABULARY)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(0.5)
    return model


def settings_of(**changes: Any) -> TrainSettings:
    given = {"learning_rate": 5e-3, "warmup": 0.2, "weight_decay": 0.1, "dtype": "fp32"}
    return TrainSettings.model_validate(given | {"spike": None} | changes)


def lesson_of(epochs: float = 4, heldout: int = 0, objective: Any = None) -> Lesson:
    unseen = draw_dialogues([20] * heldout, VOCABULARY, seed=9)
    return Lesson(
        unpacked(tokens_of(DIALOGUES)),
        unpacked(tokens_of(unseen)) if heldout else None,
        Schedule(len(DIALOGUES), 4, epochs, 3),
        objective or CrossEntropy(),
    )


def run(
    out: Path,
    settings: TrainSettings,
    lesson: Lesson | None = None,
    model: PreTrainedModel | None = None,
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Train a model in `out`; returns it and the facts."""
    model = model or model_of()
    checkpoints = Checkpoints(out / "checkpoint", "one", ALONE, settings.checkpoints)
    out.mkdir(exist_ok=True)
    trainee = Trainee(underlying(model), settings.dtype)
    return model, fit(trainee, lesson or lesson_of(), settings, checkpoints, out, ALONE)


def state(model: PreTrainedModel) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def same(one: PreTrainedModel, other: PreTrainedModel) -> bool:
    mine, theirs = state(one), state(other)
    return mine.keys() == theirs.keys() and all(torch.equal(mine[n], theirs[n]) for n in mine)


def apart(one: PreTrainedModel, other: PreTrainedModel, start: PreTrainedModel) -> float:
    """How far apart two trained models are, as a share of the way that one has gone."""
    a, b, s = (torch.cat([w.flatten() for w in state(m).values()]) for m in (one, other, start))
    return float((a - b).norm() / (a - s).norm())


def rows_of(out: Path) -> list[dict[str, Any]]:
    """The log, without what a repetition need not repeat."""
    return [{k: r[k] for k in r.keys() - SEEN} for r in read_log(out / "log.jsonl")]


def losses(out: Path, name: str = "loss") -> list[float]:
    return [row[name] for row in read_log(out / "log.jsonl") if name in row]


def plain_loop(
    model: PreTrainedModel, schedule: Schedule, settings: TrainSettings
) -> list[dict[str, float]]:
    """Training as a tutorial has it: AdamW, clipping, and warm-up with a cosine after it."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": settings.weight_decay},
            {"params": others, "weight_decay": 0},
        ],
        betas=(0.9, 0.95),
        eps=1e-8,
    )
    warm = math.ceil(settings.warmup * schedule.steps)
    seen = []
    for step in range(schedule.steps):
        dialogues = [DIALOGUES[i] for i in schedule.indices(step)]
        total, count = plain_loss(model, dialogues)
        (total / count).backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        falling = math.cos(math.pi * (step - warm) / (schedule.steps - warm))
        share = (step + 1) / warm if step < warm else (1 + falling) / 2
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * share
        optimizer.step()
        optimizer.zero_grad()
        seen.append({"loss": total.item() / count, "grad_norm": float(norm), "supervised": count})
    return seen


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_it_is_a_plain_loop(name: str, tmp_path: Path) -> None:
    settings, lesson = settings_of(micro_batch_tokens=50), lesson_of()
    reference = model_of(name)
    wanted = plain_loop(reference, lesson.schedule, settings)
    model, facts = run(tmp_path, settings, lesson, model_of(name))
    found = [row for row in read_log(tmp_path / "log.jsonl") if row["step"]]
    assert len(found) == facts["steps"] == 10
    for mine, theirs in zip(found, wanted, strict=True):
        assert {key: mine[key] for key in theirs} == pytest.approx(theirs, rel=1e-4)
    assert found[-1]["loss"] < found[0]["loss"] - 0.5
    assert apart(model, reference, model_of(name)) < 1e-3


def test_the_size_of_a_forward_pass_changes_nothing(tmp_path: Path) -> None:
    models, found = [], []
    for tokens in (10_000, 45, 1):
        out = tmp_path / str(tokens)
        models.append(run(out, settings_of(micro_batch_tokens=tokens))[0])
        found.append(losses(out))
    for other, model in zip(found[1:], models[1:], strict=True):
        assert other[:2] == pytest.approx(found[0][:2], rel=1e-6)
        assert other == pytest.approx(found[0], rel=1e-5)
        assert apart(models[0], model, model_of()) < 1e-3


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_computing_activations_twice_changes_nothing(name: str, tmp_path: Path) -> None:
    models = [
        run(tmp_path / str(twice), settings_of(gradient_checkpointing=twice), model=model_of(name))
        for twice in (False, True)
    ]
    assert same(models[0][0], models[1][0])
    assert rows_of(tmp_path / "False") == rows_of(tmp_path / "True")


def test_bf16_learns_as_well(tmp_path: Path) -> None:
    for dtype in ("fp32", "bf16"):
        model, _ = run(tmp_path / dtype, settings_of(dtype=dtype))
        assert model.dtype == torch.float32
    assert losses(tmp_path / "bf16") == pytest.approx(losses(tmp_path / "fp32"), rel=0.03)
    assert losses(tmp_path / "bf16") != losses(tmp_path / "fp32")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_compiled_layers_compute_the_same(name: str, tmp_path: Path) -> None:
    for compiled in (False, True):
        run(tmp_path / str(compiled), settings_of(compile=compiled), model=model_of(name))
    assert losses(tmp_path / "True") == pytest.approx(losses(tmp_path / "False"), rel=1e-3)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_factors_alone_are_trained(checkpointing: bool, tmp_path: Path) -> None:
    settings = settings_of(lora=LoraSettings(rank=4), gradient_checkpointing=checkpointing)
    assert settings.lora
    model = adapt(model_of(), settings.lora, [], 0)
    before = state(model)
    run(tmp_path, settings, model=model)
    changed = {name for name, weight in state(model).items() if not weight.equal(before[name])}
    assert changed
    assert all("lora_" in name for name in changed)
    assert losses(tmp_path)[-1] < losses(tmp_path)[0]


def test_dropout_of_factors_is_used_and_outlives_a_stop(tmp_path: Path) -> None:
    models = {}
    for rate in (0.0, 0.3):
        for stop in (99, 4):
            settings = settings_of(lora=LoraSettings(rank=4, dropout=rate), checkpoint_every_s=1e-9)
            assert settings.lora
            out = tmp_path / f"{rate}-{stop}"
            with pytest.MonkeyPatch.context() as patch:
                stop_before(patch, stop)
                if stop < 99:
                    with pytest.raises(KeyboardInterrupt):
                        run(out, settings, model=adapt(model_of(), settings.lora, [], 0))
                    patch.undo()
                    patch.setattr(speed, "matmul_flops", lambda *_: 1e12)
                models[rate, stop] = run(
                    out, settings, model=adapt(model_of(), settings.lora, [], 0)
                )[0]
    assert not same(models[0.0, 99], models[0.3, 99])
    assert same(models[0.3, 99], models[0.3, 4])


def stop_before(patch: pytest.MonkeyPatch, *numbers: int) -> None:
    """Interrupt training in the midst of the steps of these numbers, each once."""
    left, take = set(numbers), Step.take

    def stopping(self: Step, number: int, guard: Guard) -> dict[str, Any]:
        if number in left:
            left.remove(number)

            def fail(*_: Any) -> None:
                raise KeyboardInterrupt

            guard.see = fail  # type: ignore[method-assign]
        return take(self, number, guard)

    patch.setattr(Step, "take", stopping)


def unseen_loss(model: PreTrainedModel, dialogues: int) -> float:
    """The loss of plain transformers on what `lesson_of` holds out."""
    model.config._attn_implementation = "sdpa"
    total, count = plain_loss(model, draw_dialogues([20] * dialogues, VOCABULARY, seed=9))
    return total.item() / count


def test_held_out_losses_are_as_many_as_asked_for(tmp_path: Path) -> None:
    for times, steps in ((1, [0, 10]), (4, [0, 2, 5, 8, 10]), (50, list(range(11)))):
        out = tmp_path / str(times)
        model, facts = run(out, settings_of(evaluations=times), lesson_of(heldout=3))
        rows = [row for row in read_log(out / "log.jsonl") if "heldout_loss" in row]
        assert [row["step"] for row in rows] == steps
        assert facts["heldout_loss_before"] == rows[0]["heldout_loss"]
        assert facts["heldout_loss"] == rows[-1]["heldout_loss"]
        assert facts["heldout_loss"] == pytest.approx(unseen_loss(model, 3), rel=1e-5)


def test_the_best_weights_become_the_student(tmp_path: Path) -> None:
    settings = settings_of(learning_rate=3e-2, evaluations=20, schedule="constant", epochs=8)
    last, _ = run(tmp_path / "last", settings, lesson_of(8, heldout=6))
    chosen = settings.model_copy(update={"select": "best"})
    best, facts = run(tmp_path / "best", chosen, lesson_of(8, heldout=6))
    found = losses(tmp_path / "best", "heldout_loss")
    assert min(found) < 0.9 * min(found[0], found[-1]), "it should fall and rise"
    assert unseen_loss(best, 6) == pytest.approx(min(found), rel=1e-5)
    assert facts["heldout_loss"] == min(found)
    at_best = [r["step"] for r in rows_of(tmp_path / "best") if r.get("heldout_loss") == min(found)]
    assert facts["best_step"] == at_best[0]
    assert not same(best, last)


def test_patience_ends_a_training_that_gets_no_better(tmp_path: Path) -> None:
    settings = settings_of(learning_rate=3e-2, evaluations=20, schedule="constant")
    run(tmp_path / "whole", settings, lesson_of(8, heldout=6))
    whole = losses(tmp_path / "whole", "heldout_loss")
    for patience in (1, 3):
        out = tmp_path / str(patience)
        chosen = settings.model_copy(update={"patience": patience})
        _, facts = run(out, chosen, lesson_of(8, heldout=6))
        found = losses(out, "heldout_loss")
        assert found == whole[: len(found)]
        assert facts["steps"] < 20
        assert min(found[:-patience]) == min(found)
        assert all(
            min(found[:n]) < min(found[: n - patience]) for n in range(patience + 1, len(found))
        )


class Faulty(CrossEntropy):
    """Cross-entropy that goes wrong at one step."""

    def __init__(self, step: int, add: float = 0.0, gradient: float = 1.0) -> None:
        self._at, self._add, self._gradient = step, add, gradient
        self._now = 0

    def prepare(self, batch: Batch, step: int) -> Batch:
        self._now = step
        return batch

    def on(self, batch: Batch) -> PartLoss:
        sound = super().on(batch)

        def loss(logits: Tensor, part: slice) -> tuple[Tensor, Tensor]:
            total, gradient = sound(logits, part)
            if self._now != self._at:
                return total, gradient
            return total + self._add * len(logits), gradient * self._gradient

        return loss


@pytest.mark.parametrize(
    ("objective", "spike", "words"),
    [
        (Faulty(8, add=math.nan), None, "the loss is no longer a number"),
        (Faulty(8, add=math.inf), 3.0, "the loss is no longer a number"),
        (Faulty(8, gradient=math.nan), None, "the gradient is no longer a number"),
        (Faulty(8, gradient=math.inf), None, "the gradient is no longer a number"),
        (Faulty(8, add=5.0), 4.0, "the loss leapt from about"),
    ],
)
def test_a_guard_stops_before_harm_is_done(
    objective: Faulty,
    spike: float | None,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "RECENT", 5)
    settings = settings_of(learning_rate=1e-3, spike=spike, checkpoint_every_s=1e-9)
    with pytest.raises(UserError, match=rf"^step 8: {words}") as stop:
        run(tmp_path / "out", settings, lesson_of(4, objective=objective))
    message = str(stop.value)
    assert "\n" not in message
    members = [f"d{i}" for i in lesson_of(4).schedule.indices(7)]
    assert f"dialogues {', '.join(members)}" in message
    assert [path.name for path in (tmp_path / "out" / "checkpoint").glob("step-*")] == ["step-7"]
    mended, _ = run(tmp_path / "out", settings, lesson_of(4))
    assert same(mended, run(tmp_path / "whole", settings, lesson_of(4))[0])


def test_spikes_that_are_allowed_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    early = settings_of(learning_rate=1e-3, spike=1.0)  # too few losses to know what is usual
    run(tmp_path / "early", early, lesson_of(4, objective=Faulty(8, add=5.0)))
    monkeypatch.setattr(watch, "RECENT", 5)
    for number, spike in enumerate((6.0, None)):
        settings = settings_of(learning_rate=1e-3, spike=spike)
        run(tmp_path / str(number), settings, lesson_of(4, objective=Faulty(8, add=5.0)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_polite_stop_finishes_the_step_and_saves(number: int, tmp_path: Path) -> None:
    class Stopped(CrossEntropy):
        def prepare(self, batch: Batch, step: int) -> Batch:
            if step == 4:
                os.kill(os.getpid(), number)
            return batch

    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        run(
            tmp_path / "parts", settings_of(micro_batch_tokens=9999), lesson_of(objective=Stopped())
        )
    assert signal.getsignal(number) == before
    assert [path.name for path in (tmp_path / "parts" / "checkpoint").glob("step-*")] == ["step-4"]
    model, facts = run(tmp_path / "parts", settings_of())
    whole, wanted = run(tmp_path / "whole", settings_of())
    assert same(model, whole)
    assert rows_of(tmp_path / "parts") == rows_of(tmp_path / "whole")
    assert facts.keys() == wanted.keys()
    assert all(facts[key] == wanted[key] for key in facts.keys() - {"time"})


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    class Stopped(CrossEntropy):
        def prepare(self, batch: Batch, step: int) -> Batch:
            if step == 4:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
            return batch

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", settings_of(), lesson_of(objective=Stopped()))
    assert not list((tmp_path / "out" / "checkpoint").glob("step-*"))


def every(calls: int) -> SimpleNamespace:
    """A clock that a time's reading moves on, so that checkpoints come every few steps."""
    now = 0

    def monotonic() -> float:
        nonlocal now
        now += 1
        return now / calls

    return SimpleNamespace(monotonic=monotonic, perf_counter=loop.time.perf_counter)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"dtype": "bf16"},
        {"optimizer": "scaled_adamw", "learning_rate": 0.05},
        {"select": "best", "learning_rate": 3e-2},
        {"gradient_checkpointing": True, "checkpoints": 2},
    ],
    ids=["fp32", "bf16", "scaled", "best", "twice"],
)
def test_ten_stops_change_no_bit(
    changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(**{"checkpoint_every_s": 1.0, **changes})
    whole, wanted = run(tmp_path / "whole", settings, lesson_of(8, heldout=2))
    draw = torch.Generator().manual_seed(len(str(changes)))
    stops = [int(n) + 1 for n in torch.randperm(20, generator=draw)[:10]]
    stop_before(monkeypatch, *stops)
    halts = 0
    while True:
        monkeypatch.setattr(loop, "time", every(3))
        try:
            model, facts = run(tmp_path / "parts", settings, lesson_of(8, heldout=2))
            break
        except KeyboardInterrupt:
            halts += 1
            kept = list((tmp_path / "parts" / "checkpoint").glob("step-*"))
            assert len(kept) <= settings.checkpoints
    assert halts == 10
    assert same(model, whole)
    assert rows_of(tmp_path / "parts") == rows_of(tmp_path / "whole")
    assert all(facts[key] == wanted[key] for key in facts.keys() - {"time"})


def test_rates_rise_and_then_fall_as_their_names_say() -> None:
    def rates(**changes: Any) -> list[float]:
        settings = settings_of(learning_rate=1.0, **({"warmup": 0.1} | changes))
        return [learning_rate(step, 100, settings) for step in range(1, 101)]

    for name in ("cosine", "linear", "constant"):
        found = rates(schedule=name)
        assert found[:10] == pytest.approx([n / 10 for n in range(1, 11)])
        assert found[10] == 1.0
        assert found[10:] == sorted(found[10:], reverse=True)
    assert rates(schedule="cosine")[55] == pytest.approx(0.5)
    assert rates(schedule="linear")[55] == pytest.approx(0.5)
    assert 0 < rates(schedule="cosine")[-1] < 1e-3 < rates(schedule="linear")[-1] < 0.02
    assert rates(schedule="constant")[-1] == 1.0
    assert rates(warmup_steps=50)[49] == 1.0
    assert rates(warmup_steps=50)[48] < 1
    assert rates(warmup=0.0)[0] == 1.0
    assert learning_rate(1, 1, settings_of(warmup=0.03)) > 0


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_too_little_memory_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def failing(*_: Any) -> None:
        raise error

    monkeypatch.setattr(Trainee, "forward", failing)
    with pytest.raises(UserError, match="micro_batch_tokens"):
        run(tmp_path, settings_of())


def test_dialogues_without_a_target_are_borne(tmp_path: Path) -> None:
    masked = [replace_masks(dialogue) for dialogue in DIALOGUES[:4]]
    rows = unpacked(tokens_of(masked + DIALOGUES[4:]))
    lesson = replace(lesson_of(1), rows=rows, schedule=Schedule(10, 1, 1.0, 0))
    model, facts = run(tmp_path, settings_of(), lesson)
    assert facts["steps"] == 10
    assert all(bool(weight.isfinite().all()) for weight in state(model).values())


def replace_masks(dialogue: Any) -> Any:
    masked = copy.deepcopy(dialogue)
    masked.supervised[:] = [False] * len(masked.supervised)
    return masked
