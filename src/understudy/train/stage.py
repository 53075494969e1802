"""The train stage: a base and a set of dialogues become a student."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerFast

from understudy.errors import UserError
from understudy.files import digest, file_digest, writing
from understudy.models import load_model, load_tokenizer, loading
from understudy.recipe import TrainSettings
from understudy.train.checkpoint import Checkpoints
from understudy.train.data import DialogueRows, Schedule, pack, read_encoded
from understudy.train.loop import Fit, fit
from understudy.train.template import Template, bind, fit_embeddings


@dataclass(frozen=True)
class Plan:
    """What a training will do."""

    rows: DialogueRows
    heldout: DialogueRows | None
    schedule: Schedule
    template: Template
    cut: int

    def facts(self) -> dict[str, Any]:
        """Counts that are known before the first step."""
        dialogues = [encoded for row in self.rows.rows for encoded in row]
        return {
            "dialogues": len(dialogues),
            "dialogues_cut": self.cut,
            "rows": len(self.rows),
            "row_tokens": sum(len(encoded.ids) for encoded in dialogues),
            "planned_steps": self.schedule.steps,
        }


def plan_train(
    base: str, data: Path, heldout: Path | None, settings: TrainSettings, seed: int
) -> Plan:
    """Encode and pack the dialogues: what will be trained, without the base's weights.

    Raises:
        UserError: see `train`.
    """
    config, tokenizer = _load_tokenizer(base)
    longest = getattr(config.get_text_config(), "max_position_embeddings", settings.context)
    if settings.context > longest:
        raise UserError(
            f"train.context: {settings.context} tokens, but {base} takes {longest}; lower it"
        )
    template = bind(settings.template, tokenizer)
    rows, cut = _read_rows(data, template, settings)
    if not len(rows):
        raise UserError(
            f"{data}: no dialogue has an answer within {settings.context} tokens; "
            "raise train.context or choose other data"
        )
    heldout_rows, _ = _read_rows(heldout, template, settings) if heldout else (None, 0)
    mean_length = sum(map(rows.length, range(len(rows)))) / len(rows)
    step_rows = max(1, round(settings.batch_tokens / mean_length))
    schedule = Schedule(len(rows), step_rows, settings.epochs, seed)
    return Plan(rows, heldout_rows, schedule, template, cut)


def train(
    base: str,
    data: Path,
    heldout: Path | None,
    settings: TrainSettings,
    out: Path,
    seed: int,
) -> dict[str, Any]:
    """Fine-tune `base` on the dialogues of `data`.

    Writes `out/model/` (weights, tokenizer, chat template and generation settings, as transformers
    loads them) and `out/log.jsonl`. Killed and called again, it goes on from the last checkpoint
    and ends in the same weights.

    Args:
        base: a model directory or a hub name.
        data: dialogues to train on, JSONL.
        heldout: dialogues whose loss is watched, JSONL, or None.
        settings: the recipe's.
        out: the stage's folder.
        seed: orders the rows.

    Returns:
        Facts for the manifest: counts, losses (nats a supervised token), number format, "time".

    Raises:
        UserError: the base cannot be loaded or does not suit, the data hold nothing to train on,
            or memory does not suffice.
    """
    plan = plan_train(base, data, heldout, settings, seed)
    model = load_model(base, attn_implementation="sdpa")
    fit_embeddings(model, plan.template)
    fitting = Fit(
        learning_rate=settings.learning_rate,
        warmup=settings.warmup,
        weight_decay=settings.weight_decay,
        clip=settings.clip,
        dtype=settings.dtype,
        micro_batch_tokens=settings.micro_batch_tokens,
        checkpoint_every_s=settings.checkpoint_every_s,
    )
    named = file_digest(Path(base)) if Path(base).is_dir() else base
    chosen = settings.model_dump(exclude={"checkpoint_every_s"})
    identity = digest([named, file_digest(data), chosen, seed])
    facts = fit(model, plan.rows, plan.heldout or None, plan.schedule, fitting, out, identity)
    save_model(model, plan.template.tokenizer, out / "model")
    Checkpoints(out / "checkpoint", identity).remove()
    return plan.facts() | facts


def _read_rows(path: Path, template: Template, settings: TrainSettings) -> tuple[DialogueRows, int]:
    """The dialogues of a file in rows, and how many of them had to be cut."""
    dialogues, cut = read_encoded(path, template, settings.context)
    if settings.packing:
        return pack(dialogues, settings.context), cut
    return DialogueRows([[encoded] for encoded in dialogues]), cut


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write weights and tokenizer as transformers loads them; `folder` appears whole or not at all.

    Raises:
        UserError: the disk is full or may not be written to.
    """
    part = folder.with_name(f".{folder.name}.part")
    with writing(folder):
        shutil.rmtree(part, ignore_errors=True)
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)


def _load_tokenizer(base: str) -> tuple[Any, PreTrainedTokenizerFast]:
    with loading(base):
        config = AutoConfig.from_pretrained(base)
    tokenizer = load_tokenizer(base)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UserError(f"base {base}: has no fast tokenizer; choose another base")
    return config, tokenizer
