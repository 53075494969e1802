"""Local classifiers: the right label's probability, whatever was in the batch."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
)

from train.tiny_models import build_model, gpt2_like, llama_like
from understudy.errors import UserError
from understudy.evaluate.toxicity import scorer_of
from understudy.evaluate.toxicity.classifier import Classifier
from understudy.recipe import ToxicitySettings

TEXTS = [
    "A lamp gives light.",
    "The keeper of the lighthouse",
    "USER",
    "What does a baker of the village do? The baker writes letters.",
]
SHAPE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def bert(folder: Path, labels: list[str], positions: int = 66, **config: Any) -> str:
    """Save a random classifier with these labels."""
    tokenizer = llama_like()
    torch.manual_seed(1)
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=600,
            intermediate_size=24,
            max_position_embeddings=positions,
            pad_token_id=tokenizer.pad_token_id,
            initializer_range=1.0,
            id2label=dict(enumerate(labels)),
            **SHAPE,
            **config,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def logits(folder: str, text: str) -> torch.Tensor:
    """What the model says to one text alone, through transformers."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    encoded = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.no_grad():
        return model(**encoded).logits[0]


@pytest.mark.parametrize(
    ("labels", "label", "index"),
    [
        (["neutral", "toxic"], None, 1),
        (["toxic", "non-toxic"], None, 0),
        (["Not_Toxic", "TOXICITY"], None, 1),
        (["is toxic", "nontoxic"], None, 0),
        (["toxicity", "severe_toxicity", "insult"], None, 0),
        (["nothate", "hate"], "hate", 1),
        (["toxic", "LABEL_1"], "LABEL_1", 1),
    ],
)
def test_labels_that_exclude_each_other_share_the_probability(
    tmp_path: Path, labels: list[str], label: str | None, index: int
) -> None:
    folder = bert(tmp_path, labels)
    found = Classifier(folder, label).scores(TEXTS)
    expected = [logits(folder, text).softmax(-1)[index].item() for text in TEXTS]
    assert found == pytest.approx(expected, abs=2e-6)
    assert len(set(found)) == len(TEXTS)


def test_labels_that_may_go_together_have_their_own_probability(tmp_path: Path) -> None:
    labels = ["obscene", "toxic", "insult"]
    folder = bert(tmp_path, labels, problem_type="multi_label_classification")
    expected = [logits(folder, text).sigmoid()[1].item() for text in TEXTS]
    assert Classifier(folder, None).scores(TEXTS) == pytest.approx(expected, abs=2e-6)


def test_a_single_label_has_its_own_probability(tmp_path: Path) -> None:
    folder = bert(tmp_path, ["toxic"])
    expected = [logits(folder, text).sigmoid()[0].item() for text in TEXTS]
    assert Classifier(folder, None).scores(TEXTS) == pytest.approx(expected, abs=2e-6)


def test_a_model_without_padding_is_asked_one_by_one(tmp_path: Path) -> None:
    torch.manual_seed(1)
    labels = {0: "fine", 1: "toxic"}
    config = GPT2Config(vocab_size=600, id2label=labels, initializer_range=1.0, **SHAPE)
    GPT2ForSequenceClassification(config).save_pretrained(tmp_path)
    gpt2_like().save_pretrained(tmp_path)
    expected = [logits(str(tmp_path), text).softmax(-1)[1].item() for text in TEXTS]
    assert Classifier(str(tmp_path), None).scores(TEXTS) == pytest.approx(expected, abs=2e-6)


def test_blank_texts_have_no_score_and_all_others_keep_their_place(tmp_path: Path) -> None:
    scorer = Classifier(bert(tmp_path, ["neutral", "toxic"]), None)
    alone = [scorer.scores([text])[0] for text in TEXTS]
    many = scorer.scores(["", *TEXTS, None, " \n", *TEXTS * 20])
    assert [place for place, score in enumerate(many) if score is None] == [0, 5, 6]
    assert many[1:5] == pytest.approx(alone, abs=2e-6)
    assert many[7:] == pytest.approx(alone * 20, abs=2e-6)
    assert scorer.scores([]) == []


def test_texts_beyond_what_the_model_sees_are_cut_and_that_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scorer = Classifier(bert(tmp_path, ["neutral", "toxic"], positions=18), None)
    capsys.readouterr()
    scorer.scores(["A lamp"])
    assert capsys.readouterr().err == ""
    long = "A lamp gives light. " * 50
    first, second = scorer.scores([long, f"{long} And more."])
    assert first == pytest.approx(second, abs=2e-6)
    assert capsys.readouterr().err.count("texts are cut to the 16 tokens") == 1
    scorer.scores([long])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("labels", "label", "message"),
    [
        (["LABEL_0", "LABEL_1"], None, "no label clearly means toxic among LABEL_0, LABEL_1"),
        (["non-toxic", "hateful"], None, "no label clearly means toxic"),
        (["severe_toxic", "mildly_toxic"], None, "no label clearly means toxic"),
        (["neutral", "toxic"], "rude", "no label 'rude' among neutral, toxic"),
    ],
)
def test_a_label_that_is_not_clear_is_asked_for(
    tmp_path: Path, labels: list[str], label: str | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        Classifier(bert(tmp_path, labels), label)


def test_a_model_without_a_trained_head_is_refused(tmp_path: Path) -> None:
    build_model("gpt2").save_pretrained(tmp_path)
    gpt2_like().save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"no weights for score.weight, so that its scores would"):
        Classifier(str(tmp_path), "LABEL_1")


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be loaded .*name `perspective`, or the directory"):
        Classifier(str(tmp_path), None)
    folder = bert(tmp_path / "wider", ["neutral", "toxic"])
    config = Path(folder) / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"hidden_size": 32}))
    with pytest.raises(UserError, match="cannot be loaded"):
        Classifier(folder, None)


def test_broken_weights_give_no_scores(tmp_path: Path) -> None:
    scorer = Classifier(bert(tmp_path, ["neutral", "toxic"]), None)
    scorer._model.classifier.bias.data.fill_(torch.nan)
    with pytest.raises(UserError, match="gives no numbers"):
        scorer.scores(TEXTS)


def test_the_identity_is_that_of_model_and_label(tmp_path: Path) -> None:
    folder = bert(tmp_path / "one", ["neutral", "toxic"])
    same = bert(tmp_path / "two", ["neutral", "toxic"])
    identity = Classifier(folder, None).identity
    assert Classifier(same, "toxic").identity == identity
    assert Classifier(folder, "neutral").identity != identity


def test_settings_choose_the_scorer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = bert(tmp_path / "model", ["neutral", "toxic"])
    local = scorer_of(ToxicitySettings(scorer=folder, label="neutral"), None, tmp_path)
    assert local.name == folder
    assert local.scores(["A lamp"]) == Classifier(folder, "neutral").scores(["A lamp"])

    monkeypatch.setenv("PERSPECTIVE_API_KEY", "a-key-for-nothing")
    served = scorer_of(ToxicitySettings(), None, tmp_path / "out")
    assert served.name == "perspective"
    assert served.scores(["", None]) == [None, None]
    assert (tmp_path / "out" / "ledger.sqlite").exists()
