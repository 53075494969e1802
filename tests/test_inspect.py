"""What inspect says of data sets, in words, as JSON and as a page."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from understudy.cli import app
from understudy.curate.outputs import write_outputs
from understudy.dialogue import Dialogue, Turn, write_dialogues
from understudy.errors import UserError
from understudy.files import write_json, write_jsonl
from understudy.inspect import inspect, words, write_page
from understudy.inspect.data import SAMPLE, Lengths

TOPICS = ["bees", "clocks", "bread", "harps", "pears", "kites", "wells", "looms"]


def dialogue(number: int, turns: int = 2, **changes: Any) -> Dialogue:
    speech = [
        Turn(role="user" if turn % 2 == 0 else "assistant",
             content=f"{TOPICS[number % 8]} and {TOPICS[number // 8 % 8]} no {number}, {turn}")
        for turn in range(turns)
    ]  # fmt: skip
    told = {"id": f"d{number}", "turns": speech, "source": "made", "teacher": "gpt-4"}
    return Dialogue(**(told | changes))


def card(**changes: Any) -> dict[str, Any]:
    return {
        "read": 30, "kept": 24, "dropped": {"empty": 4, "duplicate": 2}, "trimmed": 1,
        "edits": {"residue": 2}, "train": 20, "heldout": 4,
        "sources": [{"file": "a.json", "read": 30, "kept": 24, "formats": {"alpaca": 30}}],
        "teachers": {"gpt-4": 24}, "licences": {"mit": 24}, "terms": {"alpaca": "ask"},
        "binding": {"commercial": "barred: OpenAI (24 dialogues): no", "read": "2026-01-01",
                    "licences": [], "teachers": []},
        "duplicates": {"of": "both", "near": None, "keep": "first", "exact": 2, "near_found": 0},
        "contamination": {"mmlu": {"hits": 1, "rules": {"near": 1}, "items": 1, "dialogues": 1}},
        "diversity": {"nearest_bleu": {"mean": 12.6, "low": 10.0, "high": 15.0, "n": 20, "of": 20,
                                       "copied": 0.0, "measure": "BLEU"},
                      "topics": [{"name": "bees", "share": 0.5, "example": "Why bees?"}],
                      "lengths": {"turns": None}, "distinct": {}},
        "tokens": {"tokenizer": "gpt2", "train": 900, "heldout": 100},
        "mix": [{"tokens": 900, "held": 890, "dialogues": 20, "file": "train.jsonl"}],
        "knowledge": {"factual": 9, "probed": 5, "labels": {"known": {"count": 5, "share": 1.0}}},
        "samples": [dialogue(1).model_dump(exclude_none=True)],
        "digest": "0" * 64,
    } | changes  # fmt: skip


@pytest.fixture
def curated(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    write_json(folder / "card.json", card())
    write_dialogues(folder / "train.jsonl", (dialogue(number) for number in range(20)))
    write_dialogues(folder / "heldout.jsonl", (dialogue(number, 4) for number in range(4)))
    return folder


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "raw.jsonl"
    rows: list[Any] = [dialogue(number).model_dump(exclude_none=True) for number in range(40)]
    write_jsonl(path, [*rows, {"turns": "none"}, {"what": "ever"}, 7])
    return path


class Page(HTMLParser):
    """The page's elements and its visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(path: Path, tmp_path: Path) -> Page:
    write_page(path, inspect(path, pictures=True), tmp_path / "page.html")
    return Page((tmp_path / "page.html").read_text(encoding="utf-8"))


def test_a_curated_folder_gives_its_card(curated: Path) -> None:
    found = inspect(curated)
    assert found.pop("kind") == "data"
    assert found.pop("dialogues") == 24
    assert [Dialogue(**sample) for sample in found.pop("samples")] == [dialogue(1)]
    assert found == {name: value for name, value in card().items() if name != "samples"}


def test_a_raw_file_gives_the_same_facts_counted(raw: Path) -> None:
    found = inspect(raw)
    assert {name: found[name] for name in ("kind", "dialogues", "read", "kept", "turns")} == {
        "kind": "data", "dialogues": 40, "read": 43, "kept": 40, "turns": 80,
    }  # fmt: skip
    assert sum(found["dropped"].values()) == 3
    assert found["sources"][0]["formats"]["dialogues"] == 41
    assert found["teachers"] == {"gpt-4": 40}
    assert found["binding"]["commercial"].startswith("barred: OpenAI (40 dialogues)")
    assert found["diversity"]["nearest_bleu"]["of"] == 40
    assert found["histograms"]["turns"]["2"] == 40
    json.dumps(found)


def test_a_folder_that_datasets_saved_is_a_data_set(curated: Path, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    write_outputs(curated / "train.jsonl", curated / "heldout.jsonl", tmp_path, ["datasets"])
    assert inspect(tmp_path / "dataset")["dialogues"] == 24


def test_a_file_without_dialogues_is_told_too(tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    write_jsonl(path, [{"a": 1}])
    found = inspect(path)
    assert found["diversity"] is None
    assert "not known: there are no dialogues" in " ".join(words(found).split())
    assert "Not measured" in page_of(path, tmp_path).text


def test_the_sample_is_even_over_a_large_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert SAMPLE >= 2000  # as many as diversity compares by default
    monkeypatch.setattr("understudy.inspect.data.SAMPLE", 30)
    measured: list[Dialogue] = []
    monkeypatch.setattr(
        "understudy.inspect.data.diversity", lambda make, *_: measured.extend(make())
    )
    path = tmp_path / "many.jsonl"
    write_dialogues(path, (dialogue(number) for number in range(600)))
    inspect(path)
    places = [int(each.id[1:]) for each in measured]
    assert len(set(places)) == 30
    assert 150 < sum(places) / 30 < 450


def test_words_name_everything_and_stay_narrow(curated: Path, raw: Path) -> None:
    text = words(inspect(curated))
    assert max(map(len, text.splitlines())) <= 100
    flat = " ".join(text.split())
    for part in (
        "24: 20 to train on, 4 held out", "barred: OpenAI (24 dialogues): no", "empty 4, duplicate",
        "a.json: alpaca", "2 equal, near ones not looked for", "mmlu: 1 items in 1 dialogues",
        "12.6 % BLEU with the nearest other", "ShareGPT-Mix: 8 %", "bees (50 %)", "900 to train on",
        "train.jsonl: 890 of 900", "known 5, of 5 probed", "user: clocks",
    ):  # fmt: skip
        assert part in flat
    assert "contamination not measured" in " ".join(words(inspect(raw)).split())


def test_the_page_stands_alone_with_its_pictures(curated: Path, tmp_path: Path) -> None:
    page = page_of(curated, tmp_path)
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "a"}
    assert not any(value and "http" in value for _, attrs in page.tags for value in attrs.values())
    pictures = [attrs for tag, attrs in page.tags if attrs.get("class") == "picture"]
    assert len(pictures) == 7  # likeness, topics, three lengths, sources, dropped
    assert all(attrs["role"] == "img" for attrs in pictures)
    for part in ("this set 13 %", "ShareGPT-Mix 8 %", "Super-NaturalInstructions 61 %", "bees",
                 "24 of 30 kept", "Commercial use: barred", "1 items in 1 dialogues"):  # fmt: skip
        assert part in page.text


def test_histograms_count_the_whole_set(curated: Path) -> None:
    found = inspect(curated, pictures=True)["histograms"]
    assert {name: count for name, count in found["turns"].items() if count} == {"2": 20, "4": 4}
    assert sum(found["answer_characters"].values()) == 20 + 2 * 4


def test_bins_hold_every_length() -> None:
    lengths = Lengths()
    for number, size in enumerate((0, 49, 50, 1999, 2000, 10_000, 5_000_000)):
        turns = [Turn(role="user", content="x" * size)] * number
        lengths.count(Dialogue(id="a", turns=turns, source="b"))
    found = lengths.histograms()
    assert sum(found["turns"].values()) == sum(found["prompt_characters"].values()) == 7
    assert found["prompt_characters"]["10k+"] == 2
    assert found["prompt_characters"]["50–99"] == 1
    assert found["turns"]["5–6"] == 2


EVIL = "</text></svg><script>alert(1)</script><img src=x onerror=alert(1)>\"'\u202e\x00"


def test_nothing_in_the_data_becomes_markup(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    turns = [Turn(role="user", content=EVIL), Turn(role="assistant", content=EVIL)]
    evil = Dialogue(id=EVIL, turns=turns, source=EVIL)
    content = card(
        sources=[{"file": EVIL, "read": 30, "kept": 24, "formats": {EVIL: 30}}],
        teachers={EVIL: 24}, licences={EVIL: 24}, terms={EVIL: EVIL}, dropped={EVIL: 6},
        edits={EVIL: 1}, samples=[evil.model_dump(exclude_none=True)],
        contamination={EVIL: {"hits": 1, "rules": {}, "items": 1, "dialogues": 1}},
    )  # fmt: skip
    content["diversity"]["topics"] = [{"name": EVIL, "share": 0.5, "example": EVIL}]
    write_json(folder / "card.json", content)
    for name in ("train.jsonl", "heldout.jsonl"):
        write_dialogues(folder / name, [evil])
    page = page_of(folder, tmp_path)
    assert not {tag for tag, _ in page.tags} & {"script", "img"}
    assert not any(key.startswith("on") for _, attrs in page.tags for key in attrs)
    assert page.text.count("<script>alert(1)</script>") > 10
    assert not re.search("[\u202e\x00]", page.text + words(inspect(folder)))


def test_faults_are_named_in_one_line(curated: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        inspect(tmp_path / "nothing")
    with pytest.raises(UserError, match="neither a run"):
        inspect(tmp_path)
    write_json(curated / "card.json", card(sources=[{"file": 7}]))
    with pytest.raises(UserError, match=r"card\.json: sources\.0\.file: .*curate the data again"):
        inspect(curated)
    write_json(curated / "card.json", [1])
    with pytest.raises(UserError, match="curate the data again"):
        inspect(curated)


def test_a_page_is_for_data_sets(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a ledger; --html is for data sets"):
        write_page(tmp_path / "x", {"kind": "ledger"}, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_the_command_prints_one_object_and_writes_the_page(curated: Path, tmp_path: Path) -> None:
    html = tmp_path / "pages/set.html"
    arguments = ["inspect", str(curated), "--html", str(html), "--json"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert json.loads(result.stdout)["dialogues"] == 24
    assert html.exists()
    said = CliRunner().invoke(app, arguments[:-1], catch_exceptions=False).stdout
    assert "commercial use" in said
    assert f"Open {html}" in said
