"""Coverage by an embedder: a tiny BERT with random weights, written here."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizer

from understudy.curate.coverage import coverage
from understudy.errors import UserError

WORDS = ["bake", "bread", "plant", "roses", "orbit", "of", "mars"]


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embedder")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(vocabulary)})
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def test_the_nearest_is_found(embedder: Path) -> None:
    prompts = ["plant roses", "bake bread", "orbit of mars"]
    found = coverage(prompts, ["bake bread", "orbit of mars", "roses bake"], str(embedder))
    assert (found["targets"], found["prompts"]) == (3, 3)
    assert found["quantiles"]["p95"] == pytest.approx(1, abs=1e-3)
    worst = found["least"][0]
    assert worst["target"] == "roses bake"
    assert worst["cosine"] < 0.9999
    assert {each["target"]: each["nearest"] for each in found["least"][1:]} == {
        "bake bread": "bake bread",
        "orbit of mars": "orbit of mars",
    }


def test_cosines_are_those_of_means_without_padding(embedder: Path) -> None:
    tokenizer = BertTokenizer.from_pretrained(embedder)
    model = BertModel.from_pretrained(embedder).eval()
    vectors = []
    for text in ("bake", "orbit of mars plant roses of mars"):  # of unlike length, one by one
        with torch.inference_mode():
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state
        mean = states[0].mean(dim=0).numpy()
        vectors.append(mean / np.linalg.norm(mean))
    prompts = ["orbit of mars plant roses of mars"]
    found = coverage(prompts, ["bake"], str(embedder))
    assert found["mean"] == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-4)
    both = coverage(["bake", *prompts], ["bake", *prompts], str(embedder))  # padded together
    assert both["mean"] == pytest.approx(1, abs=1e-4)


def test_long_texts_are_cut_to_the_models_positions(embedder: Path) -> None:
    found = coverage(["bake bread " * 500], ["bake bread " * 600], str(embedder))
    assert found["mean"] == pytest.approx(1, abs=1e-4)


def test_a_folder_without_a_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such folder"):
        coverage(["a"], ["b"], str(tmp_path / "missing"))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"does not embed text") as raised:
        coverage(["a"], ["b"], str(tmp_path))
    assert "\n" not in str(raised.value)
