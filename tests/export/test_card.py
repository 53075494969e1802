"""The model card says what was measured and what binds, and no data can break it."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import yaml

from report.run_folder import change_json
from understudy.errors import UserError
from understudy.export.card import card_markdown, evaluation_rows, figure, points, weaknesses
from understudy.export.licence import Binding, licence_of
from understudy.export.student import Student, student_at
from understudy.exporting import binding_of
from understudy.models import load_tokenizer

FREE = {"of": "mit", "asks": "attribution", "commercial": "free", "document": None, "version": None}
OPEN_DATA = {"commercial": "not barred by what is known", "teachers": [],
             "licences": [{"of": "mit", "names": ["mit"], "dialogues": 5}]}  # fmt: skip
EVIL = "</td><script>alert(1)</script> | a ![x](http://e.example) `b` \x1b[31m\n# Heading"


def card_of(student: Student, binding: Binding | None = None) -> str:
    tokenizer = load_tokenizer(str(student.model))
    return card_markdown(student, tokenizer, binding or binding_of(student))


def front(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text.split("---\n", 2)[1])
    return found


def section(text: str, title: str) -> str:
    return text.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_what_the_run_measured_is_told(run: Path) -> None:
    text = card_of(student_at(str(run)))
    assert "> It learnt the accent; it lost some of the part" in text
    evaluation = section(text, "Evaluation")
    assert re.search(
        r"\| nq \(exact\\_match\) \| 18\.0 \(14\.1–22\.7\), n = 300 \| 7\.3 .* \| 96\.7 .* \| "
        r"−10\.7 \(−15\.2 to −6\.9\) \| −14 % \(−19 to −9\) \|",
        evaluation,
    )
    assert "apart from being right: 96 % (93–99)" in evaluation
    assert "| judge, checking: world-checking | teacher | 15 % (9–24) | 120 |" in evaluation
    assert "685 dialogues to train on and 76 held out" in section(text, "Data")
    assert "60 steps, 180,000 supervised tokens, in bf16" in section(text, "Training")
    assert "| learning rate | 0.0002 |" in section(text, "Training")
    assert f"| the imitation set | {'a' * 64} |" in section(text, "Provenance")
    assert "understudy 0.1.0, python 3.11.7, torch 2.13.0" in section(text, "Provenance")
    assert str(run.parent) not in text


def test_weaknesses_are_the_measured_ones(run: Path) -> None:
    told = weaknesses(student_at(str(run)).report)
    assert told == [
        "It is worse than its base on nq: −10.7 (−15.2 to −6.9) points.",
        "That it does better than its base is not shown on mmlu: −0.8 (−3.4 to +1.8) points; "
        "humaneval: 0.0 (−2.4 to +2.7) points.",
        "It closed less than half of the gap to its teacher on mmlu, nq and humaneval.",
        "It sounds sure in 98 % (94–100) of its answers (base: 57 % (53–61)), and scores 29 % on "
        "mmlu, 7 % on nq and 0 % on humaneval.",
        "Its answers look better than they are. A judge in a hurry preferred it to its teacher in "
        "48 % (36–60) of pairs; checking facts, in 15 % (9–24).",
    ]


def test_a_student_that_rose_is_not_said_to_be_weak(run: Path) -> None:
    report = student_at(str(run)).report
    rose = {"value": 0.2, "low": 0.1, "high": 0.3}
    closed = {"value": 0.9, "low": 0.7, "high": 1.0}
    better = report | {"change": {"nq": rose}, "gap_closed": {"nq": closed}, "preference": None}
    better["models"] = {"student": {"benchmarks": {}}}
    assert weaknesses(better) == []
    assert weaknesses({}) == []


def test_what_was_not_measured_is_said_to_be_so(run: Path) -> None:
    (run / "report.json").unlink()
    (run / "curate" / "card.json").unlink()
    (run / "train" / "manifest.json").unlink()
    text = card_of(student_at(str(run)))
    assert "Not measured: there is no report" in section(text, "Evaluation")
    assert "Not known: nothing was measured" in section(text, "Known weaknesses")
    for title in ("Data", "Training"):
        assert section(text, title).strip().startswith("Not known."), title
    assert "a teacher that is not known" in text
    assert "model-index" not in front(text)
    assert "**Commercial use: not known.**" in text


def test_a_model_without_a_run_is_no_student(run: Path, tmp_path: Path) -> None:
    alone = (run / "train" / "model").rename(tmp_path / "alone")
    text = card_of(student_at(str(alone)))
    assert "No run is known that made it" in text
    assert "imitate" not in text.split("## Licences")[0].split("# alone")[1]
    assert front(text)["license"] == "unknown"
    assert "| Base: licence unknown; ask | – |" in text


def test_the_hubs_own_library_reads_it(run: Path) -> None:
    card = huggingface_hub.ModelCard(card_of(student_at(str(run))))
    assert card.data.license == "other"
    assert card.data.license_name == "several-see-the-card"
    assert {one.dataset_name: one.metric_value for one in card.data.eval_results or []} == {
        "mmlu": 0.2875, "nq": 0.0733, "humaneval": 0.0,
    }  # fmt: skip


def test_front_matter_names_base_sets_and_languages_that_the_hub_has(run: Path) -> None:
    student = student_at(str(run))
    assert student.recipe is not None
    files = ["hub:databricks/dolly-15k:train", "hub:../../etc", "b.jsonl"]
    sources = [{"file": file, "read": 1, "kept": 1} for file in files]
    card = student.card | {"sources": sources, "languages": ["en", "x: y"]}
    recipe = student.recipe.model_copy(update={"base": "huggyllama/llama-7b"})
    binding = Binding(None, False, FREE, {})
    found = front(card_of(replace(student, card=card, recipe=recipe), binding=binding))
    assert found["base_model"] == "huggyllama/llama-7b"
    assert found["datasets"] == ["databricks/dolly-15k"]
    assert found["language"] == ["en"]


@pytest.mark.parametrize(
    ("binding", "word", "licence"),
    [
        (Binding("mit", True, FREE, OPEN_DATA), "not barred by what is known", "mit"),
        (Binding("mit", True, FREE, {}), "not known", "other"),
        (Binding("apache-2.0", True, FREE, OPEN_DATA), "not barred by what is known", "other"),
        (Binding("acme", False, FREE | {"commercial": "not known"}, OPEN_DATA), "not known",
         "other"),
        (Binding("cc-by-nc-4.0", True, FREE | {"commercial": "barred"}, OPEN_DATA), "barred",
         "other"),
        (Binding("mit", True, FREE, OPEN_DATA | {"commercial": "barred: OpenAI"}), "barred",
         "other"),
        (Binding("mit", True, FREE, OPEN_DATA | {"commercial": "fine, do go on"}), "not known",
         "other"),
        (Binding(None, False, FREE | {"commercial": "not known"}, OPEN_DATA), "not known",
         "unknown"),
    ],
)  # fmt: skip
def test_the_most_restrictive_counts(binding: Binding, word: str, licence: str) -> None:
    assert binding.commercial[0] == word
    assert binding.front_matter()["license"] == licence
    assert f"Commercial use: {word}" in binding.statement


def test_a_bases_licence_is_read_from_its_card(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    for text, expected in [
        ("---\nlicense: apache-2.0\n---\n# Base", "apache-2.0"),
        ("---\nlicense: other\nlicense_name: llama3.2\n---\n", "llama3.2"),
        ("---\nlicense: unknown\n---\n", None),
        ("---\nlicense: [a, b]\n---\n", None),
        ("---\n{{{\n---\n", None),
        ("---\n- a\n---\n", None),
        ("# Base\n", None),
    ]:
        readme.write_text(text)
        assert licence_of(str(tmp_path)) == expected, text
    readme.write_bytes(b"\xff\xfe\x00")
    assert licence_of(str(tmp_path)) is None
    readme.unlink()
    assert licence_of(str(tmp_path)) is None


def test_a_bases_own_terms_bind(run: Path, tmp_path: Path) -> None:
    base = tmp_path / "llama"
    base.mkdir()
    (base / "README.md").write_text("---\nlicense: llama2\n---\n")
    student = student_at(str(run))
    assert student.recipe is not None
    recipe = student.recipe.model_copy(update={"base": str(base)})
    found = binding_of(replace(student, recipe=recipe, card={}))
    assert found.base == "llama2"
    assert found.commercial[0] == "barred"


def test_texts_of_others_are_plain_words(run: Path) -> None:
    change_json(run / "curate" / "card.json", teachers={EVIL: 1}, dropped={EVIL: 1},
                sources=[{"file": EVIL, "read": 1, "kept": 1}])  # fmt: skip
    change_json(run / "report.json", verdict=EVIL, not_measured=[EVIL])
    text = card_of(student_at(str(run)))
    assert "<script>" not in text
    assert "\x1b" not in text
    assert "\n# Heading" not in text
    assert "![x]" not in text
    headings = re.findall(r"^# .*", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    assert headings == ["# desk"]


def test_a_file_that_is_none_of_a_runs_is_named(run: Path) -> None:
    (run / "report.json").write_text("[]")
    with pytest.raises(UserError, match=r"report\.json: not what a run leaves there"):
        student_at(str(run))


def test_a_perplexity_is_no_share_and_lower_is_better() -> None:
    score = {"metric": "perplexity", "score": 31.16, "low": 26.46, "high": 36.28, "n": 100}
    change = {"value": 4.65, "low": 0.57, "high": 8.91}
    report = {
        "models": {"student": {"benchmarks": {"truth": score | {"highest": 100.0}}}},
        "perplexity": {"truth": {"change": change}},
    }
    (row,) = evaluation_rows(report)
    assert figure(row["scores"][1]) == "31.2 (26.5–36.3), n = 100"
    assert points(row["change"]) == "+4.7 (+0.6 to +8.9)"
    assert weaknesses(report) == [
        "Right answers surprise it more than its base, on truth: perplexity +4.7 (+0.6 to +8.9)."
    ]
    report["perplexity"] = {"truth": {"change": change | {"low": -0.57}}}
    assert weaknesses(report) == []
