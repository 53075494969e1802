"""The whole way on published files: a recorded set as the teacher, small random bases."""

import csv
import gzip
import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from end_to_end.commands import Understudy
from understudy.files import read_json, read_jsonl, write_jsonl
from understudy.models import load_model, load_tokenizer
from understudy.recipe import TrainSettings
from understudy.recipe_file import load_recipe
from understudy.run import run
from understudy.train.stage import save_model, template_for
from understudy.train.template import fit_embeddings
from understudy.train.watch import read_log

pytestmark = pytest.mark.realdata

LIMIT = 200  # items a benchmark; the whole files take longer than a test should
RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture(scope="module")
def bases(realdata: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: made(name, realdata, tmp_path_factory.mktemp(name)) for name in ("gpt2", "llama")}


def made(architecture: str, realdata: Path, folder: Path) -> Path:
    """A small randomly initialised model with a tokenizer trained on the Alpaca file."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import (
        GPT2Config,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
        PreTrainedTokenizerFast,
    )

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1000,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator([(realdata / "alpaca_en_demo.json").read_text()], trainer)
    torch.manual_seed(0)
    size = len(tokenizer.get_vocab())
    if architecture == "gpt2":
        model = GPT2LMHeadModel(
            GPT2Config(vocab_size=size, n_positions=1024, n_embd=32, n_layer=2, n_head=2)
        )
    else:
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=size,
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                max_position_embeddings=1024,
            )
        )
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|endoftext|>", bos_token="<|endoftext|>"
    ).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_recorded_set_and_real_benchmarks_end_with_a_report(
    architecture: str,
    bases: dict[str, Path],
    realdata: Path,
    tmp_path: Path,
    understudy: Understudy,
) -> None:
    recipe = tmp_path / "real.yaml"
    recipe.write_text(
        f"""
name: real
base: {bases[architecture]}
curate: {{files: [{realdata}/alpaca_en_demo.json], heldout: 0.05, heldout_max: 20}}
train: {{context: 256, epochs: 0.2}}
evaluate: {{data: {realdata}, limit: {LIMIT}, max_tokens: 32}}
answers: {{prompts: heldout, n: 10, max_tokens: 48}}
"""
    )
    understudy("run", recipe, "--out", tmp_path / "run")
    report = json.loads((tmp_path / "run/report.json").read_text())
    assert report["verdict"]
    for who in ("base", "student"):
        mmlu = report["models"][who]["benchmarks"]["mmlu"]
        assert mmlu["n"] == LIMIT
        # A model without knowledge answers one letter or the other whatever is asked; over 33
        # subjects the share of each letter is near a quarter.
        assert mmlu["low"] <= 0.25 <= mmlu["high"], mmlu
    card = json.loads((tmp_path / "run/curate/card.json").read_text())
    assert card["read"] == 999 == card["kept"] + sum(card["dropped"].values())
    assert "teacher" not in report["models"] or not report["models"]["teacher"].get("benchmarks")


def published_set(name: str, realdata: Path, folder: Path) -> tuple[Path, int]:
    """A seed system's data as published, or in its published form; how many records that is."""
    if name in ("alpaca", "distillation"):
        return realdata / "alpaca_en_demo.json", 999
    if name == "self-instruct":
        return realdata / "self_instruct" / "seed_tasks.jsonl", 175
    if name == "nq-synthetic":
        rows = [row for _, row in islice(read_jsonl(realdata / "NQ-open.dev.jsonl"), 400)]
        path = folder / "pairs.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            pairs = ((row["question"], row["answer"][0]) for row in rows)
            csv.writer(file).writerows([("input", "output"), *pairs])
        return path, 400
    if name == "gpt4all":  # its own set is not at hand; other answers of a GPT in its form
        with gzip.open(realdata / "gpteacher" / "roleplay-instruct.json.gz", "rt") as file:
            some = json.load(file)[:300]
        path = folder / "gpt4all.jsonl"
        write_jsonl(
            path,
            (
                {"prompt": row["instruction"], "response": row["response"], "source": "made"}
                for row in some
            ),
        )
        return path, 300
    return realdata / "fastchat" / "dummy_conversation.json", 500


def fitted(base: Path, folder: Path) -> Path:
    """The base with rows for the tokens of the format `markers`, as a teacher has to have them."""
    template = template_for(str(base), TrainSettings())
    model = load_model(str(base))
    fit_embeddings(model, template)
    save_model(model, template.tokenizer, folder)
    return folder


ASKED = {
    "alpaca": "self_instruct/user_oriented_instructions.jsonl",
    "self-instruct": "self_instruct/user_oriented_instructions.jsonl",
    "vicuna": "vicuna80/question.jsonl",
    "koala": "koala_test_set.jsonl",
}
SEED_SYSTEMS = (*ASKED, "gpt4all", "nq-synthetic", "sharegpt-mix", "distillation")


@pytest.mark.parametrize("name", SEED_SYSTEMS)
def test_a_seed_systems_data_go_through_its_recipe_and_a_short_training(
    name: str, bases: dict[str, Path], realdata: Path, tmp_path: Path
) -> None:
    path, count = published_set(name, realdata, tmp_path)
    base = bases["gpt2" if name == "self-instruct" else "llama"]
    changes: dict[str, Any] = {
        "base": base,
        "teacher": "null",
        "collect": "null",
        "judges": "[]",
        "curate.files": [str(path)],
        "evaluate.data": realdata,
        "evaluate.benchmarks": "[humaneval]",
        "train.dtype": "fp32",
        "train.context": 512,
        "train.micro_batch_tokens": 2048,
        "train.epochs": 0.1,
        "train.evaluations": 1,
    }
    if name in ASKED:
        asked = realdata / ASKED[name]
        changes |= {"answers.prompts": asked, "curate.contamination.files": [str(asked)]}
    if name == "distillation":
        changes["train.template"] = "markers"
        changes["train.distil.teacher"] = fitted(base, tmp_path / "teacher")
    recipe = load_recipe(
        RECIPES / f"{name}.yaml", [f"{key}={value}" for key, value in changes.items()]
    )
    out = run(recipe, tmp_path / "run", until="train")
    card = read_json(out / "curate" / "card.json")
    assert card["read"] == count == card["kept"] + sum(card["dropped"].values())
    assert card["kept"] > 0.25 * count, card["dropped"]  # the dialogues at hand ask much twice
    losses = [row["loss"] for row in read_log(out / "train" / "log.jsonl") if "loss" in row]
    assert losses
    assert all(0 < loss < 20 for loss in losses)
    tokenizer = load_tokenizer(str(out / "train" / "model"))
    assert recipe.train.template == "own" or tokenizer.chat_template


def test_what_natural_questions_asks_is_kept_out_of_a_local_set(
    bases: dict[str, Path], realdata: Path, tmp_path: Path
) -> None:
    path, count = published_set("nq-synthetic", realdata, tmp_path)
    changes = [
        "teacher=null",
        "collect=null",
        "judges=[]",
        f"base={bases['llama']}",
        f"curate.files=[{path}]",
    ]
    changes += [f"evaluate.data={realdata}", "evaluate.benchmarks=[nq]"]
    recipe = load_recipe(RECIPES / "nq-synthetic.yaml", changes)
    out = run(recipe, tmp_path / "run", until="curate")
    card = read_json(out / "curate" / "card.json")
    assert card["dropped"].get("contaminated", 0) > 0.95 * count, card["dropped"]
