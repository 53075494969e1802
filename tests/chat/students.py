"""A student that has learnt to end its answers, trained in a second, and a run around it."""

import shutil
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from train.bases import make_base, make_data, settings
from understudy.train.stage import train

CONTEXT = 64  # tokens


def train_student(folder: Path, template: str = "alpaca") -> Path:
    """Train a base, `folder/base-llama`, into `folder/train/model`."""
    base = make_base(folder, "llama")
    data = make_data(folder / "dialogues.jsonl")
    train(base, data, None, settings(template=template, epochs=6), folder / "train", 0)
    return folder / "train" / "model"


def make_run(folder: Path, student: Path, base: str) -> Path:
    """A run's folder with as much as a talk needs."""
    shutil.copytree(student, folder / "train" / "model")
    recipe = {"name": "made", "base": base, "collect": None, "judges": []}
    recipe |= {"teacher": None, "curate": {"files": ["dialogues.jsonl"]}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return folder


def messages(*texts: str) -> list[dict[str, str]]:
    """Turns of user and assistant."""
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]


def plain_transformers(model: Path, *texts: str, most: int, **how: Any) -> str:
    """The answer to turns of user and assistant, with nothing of ours involved."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    inputs = tokenizer.apply_chat_template(
        messages(*texts),
        add_generation_prompt=True,
        sanitize_control_tokens=True,
        return_tensors="pt",
        return_dict=True,
    )
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    out = loaded.generate(**inputs, max_new_tokens=most, **({"do_sample": False} | how))
    new = out[0, inputs["input_ids"].shape[1] :]
    return str(tokenizer.decode(new, skip_special_tokens=True))
