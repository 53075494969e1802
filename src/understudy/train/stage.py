"""The train stage: a base and a set of dialogues become a student."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from understudy.errors import UserError
from understudy.files import digest, file_digest, read_json, whole_folder
from understudy.models import load_config, load_model, load_tokenizer, steady_tokens
from understudy.progress import say
from understudy.recipe import TrainSettings
from understudy.train import memory
from understudy.train.adapt import adapt, load_quantized, merged, save_adapter, underlying
from understudy.train.checkpoint import Checkpoints, gathered, load_weights
from understudy.train.data import DialogueRows, Schedule, pack, unpacked
from understudy.train.distil.align import teacher_arrays
from understudy.train.distil.objective import LEDGER, FromLedger, FromModel, check_distil
from understudy.train.distil.open_teacher import load_teacher
from understudy.train.loop import Lesson, fit
from understudy.train.loss import CrossEntropy, Objective, Trainee
from understudy.train.optimizers import check_rate
from understudy.train.ranks import CPU, Ranks, joined
from understudy.train.speed import choose_dtype
from understudy.train.template import Template, bind, fit_embeddings
from understudy.train.tokens import encode_file

if TYPE_CHECKING:
    from peft import PeftModel

HARMLESS = {"checkpoint_every_s", "checkpoints", "trackers"}  # settings that weights do not show


@dataclass(frozen=True)
class Plan:
    """What a training will do."""

    rows: DialogueRows
    heldout: DialogueRows | None
    schedule: Schedule
    template: Template

    def facts(self) -> dict[str, Any]:
        """Counts that are known before the first step."""
        tokens = self.rows.tokens
        return {
            "dialogues": len(tokens),
            "dialogues_cut": tokens.cut,
            "dialogues_empty": tokens.empty,
            "rows": len(self.rows),
            "row_tokens": int(tokens.offsets[-1]),
            "planned_steps": self.schedule.steps,
        }


def plan_train(
    base: str, data: Path, heldout: Path | None, settings: TrainSettings, out: Path, seed: int
) -> Plan:
    """Encode and pack the dialogues: what will be trained, without the base's weights.

    The tokens stay in `out/tokens/`, for a later start.

    Raises:
        UserError: see `train`.
    """
    config = load_config(base)
    longest = getattr(config.get_text_config(), "max_position_embeddings", settings.context)
    if settings.context > longest:
        raise UserError(
            f"train.context: {settings.context} tokens, but {base} takes {longest}; lower it"
        )
    steady = steady_tokens(config.get_text_config())
    if settings.context > steady:  # dialogues of a line would change each other's positions
        raise UserError(
            f"train.context: {settings.context} tokens, but {base} encodes the positions of texts "
            f"of more than {steady} in another way; lower it to that"
        )
    template = template_for(base, settings)
    rows = _rows(data, template, settings, out / "tokens" / "train")
    if not len(rows):
        raise UserError(
            f"{data}: no dialogue has an answer within {settings.context} tokens; "
            "raise train.context or choose other data"
        )
    heldout_out = out / "tokens" / "heldout"
    heldout_rows = _rows(heldout, template, settings, heldout_out) if heldout else None
    schedule = Schedule(len(rows), _step_rows(rows, settings), settings.epochs, seed)
    return Plan(rows, heldout_rows, schedule, template)


def train(
    base: str,
    data: Path,
    heldout: Path | None,
    settings: TrainSettings,
    out: Path,
    seed: int,
    ledger: str | None = None,
) -> dict[str, Any]:
    """Fine-tune `base` on the dialogues of `data`.

    Writes `out/model/` (weights, tokenizer, chat template and generation settings, as transformers
    loads them; with lora.merge false, the factors as peft loads them), `out/log.jsonl` and
    `out/tensorboard/`. Killed and called again, it goes on from the last checkpoint and ends in the
    same weights. Under torchrun all processes call it, and share the work.

    Args:
        base: a model directory or a hub name.
        data: dialogues to train on, JSONL.
        heldout: dialogues whose loss is watched, JSONL, or None.
        settings: the recipe's.
        out: the stage's folder.
        seed: orders the rows.
        ledger: where the teacher's calls are, to learn from their log-probabilities.

    Returns:
        Facts for the manifest: counts, losses (nats a supervised token), number format, "time".

    Raises:
        UserError: the base cannot be loaded or does not suit, the data hold nothing to train on,
            or memory does not suffice.
    """
    with joined() as ranks:
        return _train(base, data, heldout, settings, out, seed, ledger, ranks)


def _train(
    base: str,
    data: Path,
    heldout: Path | None,
    settings: TrainSettings,
    out: Path,
    seed: int,
    ledger: str | None,
    ranks: Ranks,
) -> dict[str, Any]:
    distil = settings.distil
    if distil:
        check_distil(distil, ranks.count)
    with ranks.first_alone():  # it encodes; the others read what it has left
        plan = plan_train(base, data, heldout, settings, out, seed)
        told = None
        if distil and distil.teacher == LEDGER:
            told = teacher_arrays(
                data, plan.rows.tokens, plan.template, _named(ledger), out / "tokens" / "teacher"
            )
    rows = replace(plan.rows, teacher=(told.ids, told.logprobs)) if told else plan.rows
    texts = [file_digest(file) for file in (data, heldout) if file]
    teacher = told.counts.told if told else distil and _version(distil.teacher)
    chosen = settings.model_dump(exclude=HARMLESS)
    identity = digest([_version(base), texts, chosen, seed, teacher])
    checkpoints = Checkpoints(out / "checkpoint", identity, ranks, settings.checkpoints)
    dtype = choose_dtype(settings.dtype, ranks.device)
    about = {"base": base, "settings": settings.model_dump(mode="json"), "seed": seed}
    dtype = checkpoints.begin({"dtype": dtype, **about})["dtype"]
    config = load_config(base)
    estimate = memory.check(config, settings, ranks.device, ranks.count)
    say(f"  memory: {estimate.words()}")
    model = load_student(base, plan.template, settings, ranks.device, seed)
    trainee = Trainee(underlying(model), dtype)
    if trainee.obstacle:
        _run_as_it_is(base, trainee.obstacle, ranks)
    objective: Objective = CrossEntropy()
    if told and distil:
        objective = FromLedger(distil)
    elif distil:
        scorer = load_teacher(distil.teacher, plan.template, settings.context, dtype, ranks.device)
        objective = FromModel(scorer, trainee.model, plan.template, distil, dtype, seed)
    lesson = Lesson(rows, plan.heldout or None, plan.schedule, objective)
    facts = fit(trainee, lesson, settings, checkpoints, out, ranks)
    if told:
        facts["teacher_told"] = told.facts()
    if ranks.count > 1:
        state = gathered(trainee, ranks)
        if ranks.first:
            model = load_student(base, plan.template, settings, CPU, seed)
            load_weights(Trainee(underlying(model), dtype), state)
    if ranks.first:
        save_student(model, plan.template.tokenizer, settings, out / "model")
    checkpoints.remove()
    return plan.facts() | facts


def _run_as_it_is(base: str, obstacle: str, ranks: Ranks) -> None:
    """Say what it means that a base cannot be run on lines of dialogues.

    Raises:
        UserError: several processes are to train it, which then would not keep step.
    """
    if ranks.count > 1:
        raise UserError(f"{base}: {obstacle}, which one process alone can train; start only one")
    say(
        f"  {base}: {obstacle}; it is run as transformers runs it, which is slower and takes "
        "memory for all of its logits"
    )


def save_checkpoint_as_model(folder: Path, out: Path) -> int:
    """Write the last checkpoint of a training as transformers loads a model.

    Args:
        folder: the training's, where it was stopped, by one process or by many.
        out: the model's.

    Returns:
        How many steps the weights have seen.

    Raises:
        UserError: there is no checkpoint, or the base cannot be loaded.
    """
    begun = folder / "checkpoint" / "begun.json"
    if not begun.exists():
        raise UserError(f"{folder}: holds no checkpoint; name the folder of a stopped training")
    about = read_json(begun)
    settings = TrainSettings.model_validate(about["settings"])
    template = template_for(about["base"], settings)
    model = load_student(about["base"], template, settings, CPU, about["seed"])
    trainee = Trainee(underlying(model), "fp32")
    checkpoints = Checkpoints(begun.parent, about["identity"], Ranks(0, 1, CPU))
    step = checkpoints.load_weights(trainee)
    save_student(model, template.tokenizer, settings, out)
    return step


def load_student(
    base: str, template: Template, settings: TrainSettings, device: torch.device, seed: int
) -> "PreTrainedModel | PeftModel":
    """The base as it is before the first step, on its device: room for new tokens, LoRA's factors.

    Raises:
        UserError: it cannot be loaded, or the rate would destroy it.
    """
    lora = settings.lora
    quantized = lora and lora.quantize
    model = load_quantized(base, device) if quantized else load_model(base).to(device)
    check_rate(settings, sum(parameter.numel() for parameter in model.parameters()))
    fit_embeddings(model, template)
    return adapt(model, lora, template.added, seed) if lora else model


def _rows(path: Path, template: Template, settings: TrainSettings, folder: Path) -> DialogueRows:
    """The dialogues of a file in rows; their tokens go to `folder`."""
    tokens = encode_file(path, template, settings.context, folder)
    return pack(tokens, settings.context) if settings.packing else unpacked(tokens)


def _step_rows(rows: DialogueRows, settings: TrainSettings) -> int:
    """Rows an optimizer step, so that it has the tokens or dialogues that are wished for."""
    whole, wish = int(rows.tokens.offsets[-1]), settings.batch_tokens
    if settings.batch_dialogues:
        whole, wish = len(rows.tokens), settings.batch_dialogues
    return max(1, round(wish * len(rows) / whole))


def save_student(
    model: "PreTrainedModel | PeftModel",
    tokenizer: PreTrainedTokenizerFast,
    settings: TrainSettings,
    folder: Path,
) -> None:
    """Write a trained model: factors merged into the base, or alone where that is wished for.

    Raises:
        UserError: see `save_model`.
    """
    if settings.lora and not settings.lora.merge:
        with whole_folder(folder) as part:
            save_adapter(model, tokenizer, part)
    else:
        save_model(merged(model) if settings.lora else model, tokenizer, folder)


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write weights and tokenizer as transformers loads them; `folder` appears whole or not at all.

    Raises:
        UserError: the disk is full or may not be written to.
    """
    with whole_folder(folder) as part:
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)


def _version(model: str) -> str:
    """What tells a model from another of the same name: a directory's digest, or a hub name."""
    return file_digest(Path(model)) if Path(model).is_dir() else model


def _named(ledger: str | None) -> str:
    if ledger is None:
        raise UserError(
            "train.distil: the teacher's log-probabilities are in a ledger; name it with --ledger"
        )
    return ledger


def template_for(base: str, settings: TrainSettings) -> Template:
    """The chat template, bound to the base's tokenizer.

    Raises:
        UserError: the tokenizer cannot be loaded or does not suit.
    """
    tokenizer = load_tokenizer(base)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UserError(f"base {base}: has no fast tokenizer; choose another base")
    return bind(settings.template, tokenizer)
