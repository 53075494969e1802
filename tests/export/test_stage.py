"""A student becomes files with a card: made once, whole or not at all."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from train.bases import make_data
from understudy.errors import UserError
from understudy.export import quality, stage
from understudy.export.student import student_at, write_model
from understudy.exporting import benchmarks_of, export, rows_of, scales_of
from understudy.files import read_json, write_jsonl
from understudy.models import load_model
from understudy.recipe import Recipe
from understudy.run import as_yaml

QUESTIONS = [
    {"id": str(place), "question": f"Where is {name}?", "answers": [name]}
    for place, name in enumerate(["Arnwick", "Tolland", "Bram", "the mill"] * 3)
]
BENCHMARK = {
    "name": "towns",
    "kind": "short",
    "files": {"test": "towns.jsonl"},
    "fields": {"question": "question", "answers": "answers"},
    "prompt": "Question: {{question}}\nAnswer:",
    "stop": ["\n"],
    "max_tokens": 4,
}


def logits(model: Path) -> torch.Tensor:
    with torch.inference_mode():
        return load_model(str(model))(torch.tensor([[1, 40, 7, 80, 25]])).logits


def test_a_hub_directory_is_the_model_with_its_card_and_recipe(run: Path, tmp_path: Path) -> None:
    (run / "train" / "model" / "README.md").write_text("an old card")
    (run / "train" / "model" / "optimizer.pt").write_text("state")
    (run / "train" / "model" / "LICENSE").write_text("MIT")
    out = tmp_path / "hub"
    facts = export(str(run), "hub", out)
    assert facts == {"model": str(out), "card": str(out / "README.md")}
    assert {path.name for path in out.iterdir()} == {
        "README.md", "recipe.yaml", "LICENSE", "config.json", "generation_config.json",
        "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
    }  # fmt: skip
    torch.testing.assert_close(logits(out), logits(run / "train" / "model"), rtol=0, atol=0)
    shown = (out / "recipe.yaml").read_text()
    assert "db.internal" not in shown
    assert Recipe.model_validate(yaml.safe_load(shown)).name == "desk"
    assert "# desk" in (out / "README.md").read_text()


def test_the_cards_own_code_runs(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    export(str(run), "hub", tmp_path / "hub")
    card = (tmp_path / "hub" / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    monkeypatch.chdir(tmp_path / "hub")
    exec(code.replace("max_new_tokens=256", "max_new_tokens=4, do_sample=False"), {})
    assert capsys.readouterr().out


def test_factors_are_merged(run: Path, tmp_path: Path) -> None:
    base = run / "train" / "model"
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base),
        LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False),
    )
    factors = tmp_path / "factors"
    model.save_pretrained(factors)
    for file in base.glob("*token*"):
        shutil.copy(file, factors)
    write_model(factors, tmp_path / "whole")
    assert not (tmp_path / "whole" / "adapter_config.json").exists()
    torch.testing.assert_close(logits(tmp_path / "whole"), logits(factors))
    assert not torch.equal(logits(factors), logits(base))


@pytest.mark.parametrize("to", ["model", "hub"])
def test_nothing_but_a_model_is_replaced(run: Path, tmp_path: Path, to: Any) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("dear")
    for out, words in [
        (tmp_path / "letters", "holds something else than a model"),
        (run, "the student itself lies there"),
        (run / "train" / "model", "the student itself lies there"),
        (run / "recipe.yaml", "holds something else"),
    ]:
        with pytest.raises(UserError, match=words):
            export(str(run), to, out)
    assert (tmp_path / "letters" / "dear.txt").exists()
    assert export(str(run), to, tmp_path / "out") == export(str(run), to, tmp_path / "out")


def test_what_is_no_student_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    for to in ("model", "hub", "gguf"):
        with pytest.raises(UserError, match="holds no model"):
            export(str(tmp_path / "letters"), to, tmp_path / "out")


def test_gguf_files_come_with_modelfile_card_and_facts(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    facts = export(str(run), "gguf", out, ["q8_0", "f16", "q8_0"])
    assert facts == read_json(out / "export.json")
    assert {path.name for path in out.iterdir() if path.name != ".lock"} == {
        "desk-q8_0.gguf", "desk-f16.gguf", "Modelfile", "README.md", "export.json", "made",
        "quality",
    }  # fmt: skip
    assert [one["file"] for one in facts["files"]] == ["desk-q8_0.gguf", "desk-f16.gguf"]
    assert all(one["bytes"] == (out / one["file"]).stat().st_size for one in facts["files"])
    assert facts["template"]
    assert facts["provenance"]["base"] == "world:small"
    assert "gpt-4o-mini" in facts["provenance"]["teachers"]
    assert (out / "Modelfile").read_text().startswith("FROM ./desk-q8_0.gguf\n")
    found = facts["quality"]
    assert found["dialogues"] == 12
    assert found["files"]["f16"]["ratio"]["value"] == pytest.approx(1, abs=1e-3)
    assert found["not_measured"].keys() == {"mmlu", "nq", "humaneval"}
    card = (out / "README.md").read_text()
    assert re.search(r"\| desk-q8\\_0\.gguf \| 0\.\d MB \| [\d,.]+ \| [01]\.\d{4} \(", card)
    assert "understudy chat desk-q8_0.gguf" in card


def test_what_is_complete_is_not_made_again(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    first = export(str(run), "gguf", out, ["f16"], measured=False)
    assert first["quality"] is None
    assert "Not measured: quality (it was not asked for)." in (out / "README.md").read_text()

    def not_again(*_: Any) -> dict[str, Any]:
        raise AssertionError("written again")

    with monkeypatch.context() as patch:
        patch.setattr(stage, "write_gguf", not_again)
        assert export(str(run), "gguf", out, ["f16"], measured=False) == first
        with pytest.raises(AssertionError, match="written again"):
            export(str(run), "gguf", out, ["f16"], called="other", measured=False)
    assert export(str(run), "gguf", out, ["f16"], called="other", measured=False)["name"] == "other"


def test_a_quantisation_that_is_none_is_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--quant q3_z: not known; choose from f16, q8_0, q4_0"):
        export(str(run), "gguf", tmp_path / "out", ["q3_z"])


# What quality is measured with


def test_what_is_read_is_the_assistants_tokens_within_the_context(run: Path) -> None:
    student = student_at(str(run))
    dialogues = student.heldout()
    rows = rows_of(student, dialogues)
    assert len(rows) == len(dialogues) == 12
    from understudy.models import load_tokenizer

    tokenizer = load_tokenizer(str(student.model))
    for row, dialogue in zip(rows, dialogues, strict=True):
        read = tokenizer.decode([token for _, token in row.reads])
        assert read == dialogue.answer + "<|end|>"
        assert all(row.ids[place + 1] == token for place, token in row.reads)


def test_dialogues_may_be_named_for_a_model_without_a_run(run: Path, tmp_path: Path) -> None:
    alone = (run / "train" / "model").rename(tmp_path / "alone")
    student = student_at(str(alone))
    nothing = scales_of(student, None)
    assert nothing.outputs == ()
    assert nothing.not_measured.keys() == {"perplexity", "benchmarks"}
    found = scales_of(student, make_data(tmp_path / "mine.jsonl", 5))
    assert found.outputs == (quality.LOSSES,)
    with pytest.raises(UserError, match="no such file"):
        scales_of(student, tmp_path / "none.jsonl")


def test_a_template_that_takes_no_dialogues_is_said(run: Path, tmp_path: Path) -> None:
    alone = (run / "train" / "model").rename(tmp_path / "alone")
    (alone / "chat_template.jinja").unlink()
    found = scales_of(student_at(str(alone)), make_data(tmp_path / "mine.jsonl", 5))
    assert found.outputs == ()
    assert "has no chat template" in found.not_measured["perplexity"]


def test_benchmarks_at_hand_are_asked_of_both(run: Path, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "towns.yaml").write_text(yaml.safe_dump(BENCHMARK))
    write_jsonl(tmp_path / "own" / "towns.jsonl", QUESTIONS)
    student = student_at(str(run))
    assert student.recipe is not None
    asked = {"benchmarks": [str(tmp_path / "own" / "towns.yaml"), "nq"], "data": None, "limit": 8}
    recipe = Recipe.model_validate(student.recipe.model_dump() | {"evaluate": asked})
    (run / "recipe.yaml").write_text(as_yaml(recipe))
    settings, data, missing = benchmarks_of(student_at(str(run)))
    assert settings is not None
    assert (settings.benchmarks, settings.limit, data) == (asked["benchmarks"][:1], 8, None)
    assert missing == {"nq": "its data are the hub’s"}
    facts = export(str(run), "gguf", tmp_path / "out", ["f16"])
    towns = facts["quality"]["files"]["f16"]["benchmarks"]["towns"]
    assert towns["n"] == facts["quality"]["original"]["benchmarks"]["towns"]["n"] == 8
    assert towns["low"] <= towns["difference"] <= towns["high"]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| towns | 0.0 (0.0–" in card
    assert "Not measured: nq (its data are the hub’s)." in card
