"""The whole way on published files: a recorded set as the teacher, small random bases."""

import json
from pathlib import Path

import pytest

from end_to_end.commands import Understudy

pytestmark = pytest.mark.realdata

LIMIT = 200  # items a benchmark; the whole files take longer than a test should


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def base(request: pytest.FixtureRequest, realdata: Path, tmp_path_factory: object) -> Path:
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
    if request.param == "gpt2":
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
    folder = Path(tmp_path_factory.mktemp(request.param))  # type: ignore[attr-defined]
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|endoftext|>", bos_token="<|endoftext|>"
    ).save_pretrained(folder)
    return folder


def test_recorded_set_and_real_benchmarks_end_with_a_report(
    base: Path, realdata: Path, tmp_path: Path, understudy: Understudy
) -> None:
    recipe = tmp_path / "real.yaml"
    recipe.write_text(
        f"""
name: real
base: {base}
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
