"""The card says what was measured, in a form that the Hub reads and no data can break."""

import re
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.curate.card import card_markdown
from understudy.curate.terms import binding
from understudy.pages.markdown import LONGEST_NAME, inline

BARE = {
    "read": 12, "kept": 10, "dropped": {"empty": 2}, "trimmed": 0, "train": 9, "heldout": 1,
    "sources": [{"file": "a.json", "read": 12, "kept": 10, "formats": {"alpaca": 12}}],
}  # fmt: skip
SPREAD = {"mean": 12.5, "min": 1, "p5": 2, "p25": 5, "p50": 9, "p75": 20, "p95": 30, "max": 40}
WHOLE = BARE | {
    "edits": {"residue": 3, "masked e-mail": 2},
    "teachers": {"gpt-4": 10},
    "licences": {"cc-by-nc-4.0": 10},
    "terms": {"alpaca": "non-commercial"},
    "binding": binding({"cc-by-nc-4.0": 10}, {"gpt-4": 10}, ["alpaca"]),
    "duplicates": {"of": "prompts", "near": 0.8, "keep": "longest", "exact": 1, "near_found": 4},
    "contamination": {"mmlu": {"hits": 3, "rules": {"near": 3}, "items": 2, "dialogues": 3}},
    "diversity": {
        "prompts": 9,
        "nearest_bleu": {
            "mean": 12.5, "low": 11.0, "high": 14.0, "n": 9, "of": 9, "exact": True,
            "copied": 0.25, "measure": "sentence BLEU", "most_similar": [],
        },
        "distinct": {
            who: {"tokens": 100, "1": 0.5, "2": 0.75, "3": None} for who in ("prompts", "answers")
        },
        "lengths": {"prompt_characters": SPREAD, "answer_characters": SPREAD, "turns": None},
        "topics": [{"name": "bees, hive", "share": 0.4, "example": "How do bees talk?"}],
        "coverage": {"embedder": "mini", "targets": 80, "mean": 0.61},
    },
    "tokens": {"tokenizer": "gpt2", "train": 5000, "heldout": 400},
    "mix": [
        {"tokens": 1000, "held": 990, "dialogues": 2, "file": "train-1000.jsonl"},
        {"tokens": 5000, "held": 5000, "dialogues": 9, "file": "train.jsonl"},
    ],
    "knowledge": {
        "factual": 8, "probed": 5,
        "labels": {"known": {"count": 4, "share": 0.8}, "unknown": {"count": 1, "share": 0.2}},
    },
    "samples": [{"id": "x", "source": "a.json", "turns": [
        {"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi there"},
    ]}],
    "digest": "0" * 64,
}  # fmt: skip


def front(text: str) -> dict[str, Any]:
    opening, content, _ = text.split("---\n", 2)
    assert opening == ""
    found: dict[str, Any] = yaml.safe_load(content)
    return found


def section(text: str, title: str) -> str:
    return text.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_everything_measured_is_told() -> None:
    text = card_markdown(WHOLE)
    assert "not measured" not in text.replace("| 75.0 % | not measured |", "").lower()
    assert "**Commercial use: barred.** cc-by-nc-4.0 (10 dialogues): attribution" in text
    assert "| OpenAI: gpt-4 | 10 |" in text
    assert "<https://openai.com/policies/services-agreement/>" in text
    assert "| empty | 2 |" in section(text, "In and out")
    assert "| masked e-mail | 2 |" in section(text, "In and out")
    assert "Compared: prompts. Equal after normalising: 1. Near" in section(text, "Duplicates")
    assert "| mmlu | 2 | 3 | near (3) |" in section(text, "Contamination")
    diversity = section(text, "Diversity")
    assert "| 12.5 % (11.0 % to 14.0 %) |" in diversity
    assert re.search(r"ShareGPT-Mix.*\| 8 % \|", diversity)
    assert re.search(r"Super-NaturalInstructions.*\| 61 % \|", diversity)
    assert "| bees, hive | 40.0 % | How do bees talk? |" in section(text, "Topics")
    assert "5,000 to train on, 400 held out" in section(text, "Tokens")
    assert "| 1,000 | 990 | 2 | train-1000.jsonl |" in section(text, "Tokens")
    assert "| known | 4 | 80.0 % |" in section(text, "Knowledge")
    assert "```text\nHi there\n```" in section(text, "Samples")


def test_what_was_not_measured_is_said_to_be_so() -> None:
    text = card_markdown(BARE)
    for title in ("Duplicates", "Contamination", "Diversity", "Topics", "Lengths", "Knowledge"):
        assert "not measured" in section(text, title).lower(), title
    assert "Not measured: no tokenizer" in section(text, "Tokens")
    assert "**Commercial use: not known.**" in text
    nothing = dict.fromkeys(set(WHOLE) - set(BARE))
    assert card_markdown(BARE | nothing) == text


def test_checked_and_clean_is_not_unchecked() -> None:
    found = section(card_markdown(BARE | {"contamination": {}}), "Contamination")
    assert "no item" in found
    assert "Not measured" not in found


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        ({"CC BY-SA 3.0": 4}, {"license": "cc-by-sa-3.0"}),
        ({"unknown": 4}, {"license": "unknown"}),
        ({}, {"license": "unknown"}),
        ({"mit": 3, "unknown": 1}, {"license": "other", "license_name": "several-see-the-card"}),
        ({"acme": 1}, {"license": "other", "license_name": "several-see-the-card"}),
    ],
)
def test_the_licence_is_named_where_there_is_one(
    licences: dict[str, int], expected: dict[str, str]
) -> None:
    found = front(card_markdown(BARE | {"licences": licences}))
    assert {key: value for key, value in found.items() if "license" in key} == expected


def test_front_matter_names_files_sizes_and_sources() -> None:
    sources = [{"file": name, "read": 1, "kept": 1, "formats": {}} for name in
               ("hub:databricks/dolly-15k:train", "hub:../../etc", "b.jsonl")]  # fmt: skip
    card = WHOLE | {"sources": sources, "train": 40_000, "languages": {"en": 3, "x: y": 1}}
    found = front(card_markdown(card))
    assert found["size_categories"] == ["10K<n<100K"]
    assert found["source_datasets"] == ["databricks/dolly-15k"]
    assert found["language"] == ["en"]
    default, subset = found["configs"]
    assert [file["path"] for file in default["data_files"]] == ["train.jsonl", "heldout.jsonl"]
    assert subset["config_name"] == "1000-tokens"
    assert subset["data_files"] == [{"split": "train", "path": "train-1000.jsonl"}]


def test_the_hubs_own_library_reads_it() -> None:
    hub = pytest.importorskip("huggingface_hub")
    card = hub.DatasetCard(card_markdown(WHOLE))
    assert card.data.license == "cc-by-nc-4.0"
    assert card.data.task_categories == ["text-generation"]
    assert card.text.lstrip().startswith("# Imitation set")


EVIL = [
    "<script>alert(1)</script>",
    "a | b | c\n| d | e |",
    "](javascript:alert(1)) ![x](http://evil.example/a.png)",
    "---\nlicense: mit\n---",
    "# Heading\n\n## Licences and terms",
    "```\n</code>\n````\n~~~",
    "**bold** _it_ `code` $x$ @someone &lt; www.evil.example",
    "\u202eevil\x00\x1b[31m",
    "{{ 7 * 7 }} {% raw %}",
    "=cmd|' /C calc'!A0",
]


def poisoned(text: str) -> dict[str, Any]:
    """A card with `text` wherever data had a say."""
    topics = [{"name": text, "share": 0.4, "example": text}]
    return WHOLE | {
        "sources": [{"file": text, "read": 12, "kept": 10, "formats": {text: 12}}],
        "teachers": {text: 10},
        "licences": {text: 10},
        "binding": binding({text: 10}, {text: 10}, [text]),
        "contamination": {text: {"hits": 3, "rules": {text: 3}, "items": 2, "dialogues": 3}},
        "diversity": WHOLE["diversity"] | {"topics": topics},
        "tokens": {"tokenizer": text, "train": 5, "heldout": 4},
        "samples": [{"id": text, "turns": [{"role": "user", "content": text}] * 9}],
    }


def without_code(text: str) -> str:
    """The card without its code blocks, which must close."""
    kept: list[str] = []
    fence = None
    for line in text.split("\n"):
        if fence is None and (opened := re.match(r"(`{3,})text$", line)):
            fence = opened[1]
        elif fence is None:
            kept.append(line)
        elif line == fence:
            fence = None
    assert fence is None
    return "\n".join(kept)


def assert_harmless(text: str) -> None:
    clean = card_markdown(poisoned("plain"))
    found = card_markdown(poisoned(text))
    assert front(found) == front(clean)
    plain, other = without_code(clean), without_code(found)
    shape = [re.match(r"#*|\|?", line)[0] for line in plain.split("\n")]  # type: ignore[index]
    assert [re.match(r"#*|\|?", line)[0] for line in other.split("\n")] == shape  # type: ignore[index]
    cells = re.compile(r"(?<!\\)\|")
    assert [len(cells.findall(line)) for line in other.split("\n")] == [
        len(cells.findall(line)) for line in plain.split("\n")
    ]
    assert not re.search(r"(?<!\\)<(?!https://[\w./#-]+>)", other.split("---\n", 2)[2])
    assert not re.search(r"(?<!\\)[]!`$]", other.split("---\n", 2)[2].replace("`", "", 10))


@pytest.mark.parametrize("text", EVIL)
def test_data_cannot_break_out(text: str) -> None:
    assert_harmless(text)


@settings(max_examples=60)
@given(st.text(st.sampled_from("ab \n\r\u2028|`~<>[]()!#*_-=\\&$@:/.wht{}%\x00"), max_size=40))
def test_no_text_can_break_out(text: str) -> None:
    assert_harmless(text)


def test_names_and_turns_are_bounded() -> None:
    assert len(card_markdown(poisoned("x" * 100_000))) < 20_000
    assert len(inline("*" * 10_000)) < 3 * LONGEST_NAME
