"""A base and a set of dialogues as files, and what a training of them leaves."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from train.tiny_models import TOKENIZERS, build_model
from understudy.dialogue import Dialogue, Turn, write_dialogues
from understudy.recipe import TrainSettings
from understudy.train.watch import read_log

WORDS = ["the", "keeper", "of", "a", "lamp", "writes", "letters", "to", "the", "baker"]
SEEN = {"seconds", "tokens_per_s", "mfu", "memory"}  # what the same training need not repeat


def make_base(folder: Path, architecture: str) -> str:
    path = folder / f"base-{architecture}"
    tokenizer = TOKENIZERS[architecture]()
    build_model(architecture, len(tokenizer)).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


def make_data(path: Path, count: int = 40) -> Path:
    dialogues = []
    for i in range(count):
        question = Turn(role="user", content=" ".join(WORDS[i % 5 : i % 5 + 3]))
        answer = Turn(role="assistant", content=" ".join(WORDS[: 1 + 2 * (i % 5)]))
        dialogues.append(Dialogue(id=str(i), turns=[question, answer], source="test"))
    write_dialogues(path, dialogues)
    return path


def settings(**changes: Any) -> TrainSettings:
    given = {
        "context": 64,
        "epochs": 2,
        "batch_tokens": 256,
        "micro_batch_tokens": 128,
        "learning_rate": 1e-2,
        "dtype": "fp32",
    }
    return TrainSettings.model_validate(given | changes)


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "model" / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def rows_of(out: Path) -> list[dict[str, Any]]:
    """The log, without what a repetition need not repeat."""
    return [{k: r[k] for k in r.keys() - SEEN} for r in read_log(out / "log.jsonl")]
