"""The curate stage end to end: counts add up, nothing vanishes, bytes repeat."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from understudy.curate.decontaminate import Item
from understudy.curate.prepare import Preparer
from understudy.curate.readers import read_file
from understudy.curate.stage import curate
from understudy.dialogue import read_dialogues
from understudy.errors import UserError
from understudy.files import read_json, read_jsonl
from understudy.recipe import CurateSettings

SET = [
    {
        "id": "a",
        "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yo"}],
    },
    {
        "id": "b",
        "conversations": [{"from": "human", "value": "HI"}, {"from": "gpt", "value": "yo "}],
    },
    {
        "id": "a",
        "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "No"}],
    },
    {"id": "c", "conversations": []},
    {"id": "d", "conversations": [{"from": "human", "value": "Hi"}]},
    {"id": "e", "conversations": [{"from": "robot", "value": "Hi"}]},
    {
        "id": "f",
        "conversations": [
            {"from": "human", "value": "Why?"},
            {"from": "gpt", "value": "So."},
            {"from": "human", "value": "Ok"},
        ],
    },
    "no record",
]
ALPACA = [
    {"instruction": "Say 1.", "input": "", "output": "1"},
    {"instruction": "Say 2.", "input": "", "output": " "},
    {"instruction": "Why?", "input": "", "output": "so."},
]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    (tmp_path / "share.json").write_text(json.dumps(SET))
    (tmp_path / "alpaca.jsonl").write_text("\n".join(map(json.dumps, ALPACA)) + "\n")
    return [tmp_path / "share.json", tmp_path / "alpaca.jsonl"]


def rows(path: Path) -> list[Any]:
    return [row for _, row in read_jsonl(path)]


def test_nothing_vanishes(tmp_path: Path, files: list[Path]) -> None:
    out = tmp_path / "out"
    facts = curate(files, CurateSettings(heldout=0.3), out, 0)
    card = read_json(out / "card.json")
    dropped = rows(out / "dropped.jsonl")
    assert facts == {key: card[key] for key in facts}
    assert card["read"] == len(SET) + len(ALPACA) == card["kept"] + len(dropped)
    assert card["dropped"] == dict(sorted(Counter(row["reason"] for row in dropped).items()))
    assert card["dropped"] == {
        "duplicate": 2,
        "empty": 1,
        "empty_answer": 1,
        "no_answer": 1,
        "unknown": 1,
        "unreadable": 1,
    }
    assert (card["kept"], card["trimmed"]) == (4, 1)
    places = {(row["file"], row["record"]) for row in dropped}
    assert len(places) == len(dropped)
    kept = [*read_dialogues(out / "train.jsonl"), *read_dialogues(out / "heldout.jsonl")]
    assert {d.id for d in kept} == {"a", "1:3:a", "f", "alpaca.jsonl:1"}
    assert sorted(path.name for path in out.iterdir()) == [
        "card.json",
        "card.md",
        "dropped.jsonl",
        "heldout.jsonl",
        "train.jsonl",
    ]


def test_dropped_rows_say_what_and_where(tmp_path: Path, files: list[Path]) -> None:
    curate(files, CurateSettings(), tmp_path / "out", 0)
    by_place = {(r["file"], r["record"]): r for r in rows(tmp_path / "out" / "dropped.jsonl")}
    twin = by_place["share.json", 2]
    assert (twin["id"], twin["reason"], twin["detail"]) == (
        "b",
        "duplicate",
        "same as a, which was kept",
    )
    assert twin["dialogue"]["turns"][0]["content"] == "HI"
    assert by_place["share.json", 6]["raw"] == SET[5]
    assert by_place["share.json", 8]["raw"] == "no record"
    assert by_place["alpaca.jsonl", 3]["detail"] == "same as f, which was kept"


def test_a_prompt_sits_on_one_side(tmp_path: Path) -> None:
    data = [{"instruction": f"Say {n % 20}.", "input": "", "output": f"{n}"} for n in range(100)]
    (tmp_path / "set.json").write_text(json.dumps(data))
    for seed in range(5):
        out = tmp_path / str(seed)
        facts = curate([tmp_path / "set.json"], CurateSettings(heldout=0.2), out, seed)
        train = {d.prompt for d in read_dialogues(out / "train.jsonl")}
        heldout = {d.prompt for d in read_dialogues(out / "heldout.jsonl")}
        assert not train & heldout
        assert (facts["train"], facts["heldout"], len(heldout)) == (80, 20, 4)


def test_same_bytes_again_and_the_card_tells_sources(tmp_path: Path, files: list[Path]) -> None:
    for name in ("one", "two"):
        curate(files, CurateSettings(heldout=0.3), tmp_path / name, 5)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    card = read_json(tmp_path / "one" / "card.json")
    assert [(s["file"], s["read"], s["kept"]) for s in card["sources"]] == [
        ("share.json", 8, 3),
        ("alpaca.jsonl", 3, 1),
    ]
    assert set(card["terms"]) == {"sharegpt", "alpaca"}
    assert card["teachers"] == {"unknown": 4}


def test_files_of_one_name(tmp_path: Path) -> None:
    paths = [tmp_path / side / "set.json" for side in "ab"]
    for number, path in enumerate(paths):
        path.parent.mkdir()
        path.write_text(json.dumps([{"instruction": f"{number}", "input": "", "output": "x"}]))
    curate(paths, CurateSettings(heldout=0), tmp_path / "out", 0)
    assert [d.id for d in read_dialogues(tmp_path / "out" / "train.jsonl")] == [
        "set.json:1",
        "2:1:set.json:1",
    ]
    card = read_json(tmp_path / "out" / "card.json")
    assert [s["file"] for s in card["sources"]] == [str(path) for path in paths]


def test_broken_lines_are_dropped_and_missing_files_told(tmp_path: Path, files: list[Path]) -> None:
    with files[1].open("a") as file:
        file.write('{"instruction": \n' + json.dumps(ALPACA[0]) + "\n")
    counts = curate(files, CurateSettings(), tmp_path / "out", 0)
    assert counts["read"] == len(SET) + len(ALPACA) + 2
    (broken,) = [r for r in rows(tmp_path / "out" / "dropped.jsonl") if r["reason"] == "broken"]
    assert (broken["file"], broken["record"]) == ("alpaca.jsonl", 4)
    with pytest.raises(UserError, match=r"none\.json: no such file"):
        curate([files[0], tmp_path / "none.json"], CurateSettings(), tmp_path / "new", 0)
    assert not (tmp_path / "new").exists()


def test_an_empty_set_gives_an_empty_set(tmp_path: Path) -> None:
    (tmp_path / "none.json").write_text("[]")
    settings = CurateSettings.model_validate({"duplicates": {"near": 0.8}})
    counts = curate([tmp_path / "none.json"], settings, tmp_path / "out", 0)
    assert (counts["read"], counts["kept"], counts["dropped"]) == (0, 0, {})
    assert (tmp_path / "out" / "train.jsonl").read_text() == ""


# Large sets: segments, workers, taking up again


def large(path: Path, count: int = 4500) -> Path:
    """A set of more than two segments in which every tenth answer is a copy."""
    with open(path, "w") as file:
        for number in range(count):
            answer = f"It is {number - number % 10 if number % 10 == 9 else number}."
            row = {"instruction": f"Say number {number // 10}.", "input": "", "output": answer}
            file.write(json.dumps(row) + "\n")
    return path


def test_workers_and_one_process_write_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = large(tmp_path / "set.jsonl")
    monkeypatch.setattr("understudy.curate.stage.available_cores", lambda: 2)
    counts = curate([file], CurateSettings(), tmp_path / "two", 0)
    assert (counts["read"], counts["dropped"]) == (4500, {"duplicate": 450})
    monkeypatch.setattr("understudy.curate.stage.available_cores", lambda: 1)
    curate([file], CurateSettings(), tmp_path / "one", 0)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_a_stage_that_was_killed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = large(tmp_path / "set.jsonl")
    monkeypatch.setattr("understudy.curate.stage.available_cores", lambda: 1)
    curate([file], CurateSettings(), tmp_path / "whole", 0)
    written: list[int] = []
    write = Preparer.write

    def dies(self: Preparer, number: int, rows: Any) -> None:
        if number == 2 and 2 not in written:
            written.append(2)
            raise KeyboardInterrupt
        written.append(number)
        write(self, number, rows)

    monkeypatch.setattr(Preparer, "write", dies)
    with pytest.raises(KeyboardInterrupt):
        curate([file], CurateSettings(), tmp_path / "out", 0)
    curate([file], CurateSettings(), tmp_path / "out", 0)
    assert written == [0, 1, 2, 2]
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes(), path.name


# What is decided on the whole set

PARAGRAPH = (
    "The lighthouse on the northern cape was built by fishermen who had lost too many boats in the "
    "winter storms, and for forty years its lamp was lit by hand every evening before the tide."
)


def told(folder: Path, pairs: list[tuple[str, str]], name: str = "set.jsonl") -> Path:
    path = folder / name
    path.write_text(
        "".join(json.dumps({"instruction": q, "input": "", "output": a}) + "\n" for q, a in pairs)
    )
    return path


def test_near_duplicates_go_and_the_longest_stays(tmp_path: Path) -> None:
    longer = PARAGRAPH + " Nobody knows who lit it last."
    file = told(tmp_path, [("Tell.", PARAGRAPH), ("Tell.", longer), ("Sing.", "La la la.")])
    settings = CurateSettings.model_validate(
        {"heldout": 0, "duplicates": {"near": 0.7, "keep": "longest"}}
    )
    counts = curate([file], settings, tmp_path / "out", 0)
    assert counts["dropped"] == {"near_duplicate": 1}
    (row,) = rows(tmp_path / "out" / "dropped.jsonl")
    assert row["record"] == 1
    assert re.fullmatch(r"0\.8\d like set\.jsonl:2, which was kept", row["detail"])
    card = read_json(tmp_path / "out" / "card.json")
    assert card["duplicates"]["near_found"] == 1


def test_prompts_alone_may_count(tmp_path: Path) -> None:
    file = told(tmp_path, [("Tell.", "One."), ("tell.", "Two."), ("Sing.", "One.")])
    for of, kept in (("both", 3), ("prompts", 2), ("answers", 2)):
        settings = CurateSettings.model_validate({"heldout": 0, "duplicates": {"of": of}})
        assert curate([file], settings, tmp_path / of, 0)["kept"] == kept


ITEM = Item("quiz", "q7", "Which river did the lighthouse keepers of the cape cross every spring?")


@pytest.mark.parametrize(("action", "kept"), [("drop", 1), ("exclude", 2), ("report", 2)])
def test_what_touches_a_benchmark(tmp_path: Path, action: str, kept: int) -> None:
    file = told(tmp_path, [(ITEM.text, "The Orve."), ("Sing.", "La la la.")])
    settings = CurateSettings.model_validate({"heldout": 0, "contamination": {"action": action}})
    counts = curate([file], settings, tmp_path / "out", 0, [ITEM])
    assert (counts["kept"], counts["read"]) == (kept, 2)
    (hit,) = rows(tmp_path / "out" / "contamination.jsonl")
    assert (hit["benchmark"], hit["item"], hit["dialogue"]) == ("quiz", "q7", "set.jsonl:1")
    card = read_json(tmp_path / "out" / "card.json")
    assert card["contamination"]["quiz"]["items"] == 1
    if action == "drop":
        assert counts["dropped"] == {"contaminated": 1}


def test_a_benchmark_that_is_not_touched_is_told_too(tmp_path: Path) -> None:
    file = told(tmp_path, [("Sing.", "La la la.")])
    curate([file], CurateSettings(), tmp_path / "out", 0, [ITEM])
    assert rows(tmp_path / "out" / "contamination.jsonl") == []
    card = read_json(tmp_path / "out" / "card.json")
    assert card["contamination"]["quiz"]["dialogues"] == 0


def test_mixes_are_nested_and_the_rest_is_dropped(tmp_path: Path, tokenizer_dir: Path) -> None:
    one = told(tmp_path, [(f"Say {n}.", f"{n} and {n + 1}.") for n in range(60)], "one.jsonl")
    two = told(tmp_path, [(f"Sing {n}.", f"{n} or {n + 1}.") for n in range(60)], "two.jsonl")
    mix = {"tokens": [900, 300], "weights": {"two.jsonl": 0}}
    settings = CurateSettings.model_validate(
        {"heldout": 0.1, "tokenizer": str(tokenizer_dir), "mix": mix}
    )
    counts = curate([one, two], settings, tmp_path / "out", 0)
    card = read_json(tmp_path / "out" / "card.json")
    small = [d.id for d in read_dialogues(tmp_path / "out" / "train-300.jsonl")]
    train = [d.id for d in read_dialogues(tmp_path / "out" / "train.jsonl")]
    assert set(small) < set(train)
    assert {id.partition(":")[0] for id in train} == {"one.jsonl"}
    assert [entry["dialogues"] for entry in card["mix"]] == [len(small), len(train)]
    assert all(0.8 * entry["tokens"] < entry["held"] <= entry["tokens"] for entry in card["mix"])
    assert counts["dropped"] == {"over_budget": 120 - counts["heldout"] - len(train)}
    assert card["tokens"]["train"] == card["mix"][1]["held"]


def test_counting_needs_a_tokenizer(tmp_path: Path) -> None:
    file = told(tmp_path, [("Sing.", "La la la.")])
    with pytest.raises(UserError, match="name a tokenizer"):
        curate([file], CurateSettings(context=100), tmp_path / "out", 0)


def test_parts_of_a_long_dialogue_are_counted(tmp_path: Path, tokenizer_dir: Path) -> None:
    turns = [{"from": ("human", "gpt")[n % 2], "value": f"number {n}"} for n in range(8)]
    turns[5]["value"] = "number and " * 80
    path = tmp_path / "long.json"
    path.write_text(json.dumps([{"id": "x", "conversations": turns}]))
    settings = CurateSettings(context=60, tokenizer=str(tokenizer_dir), heldout=0)
    counts = curate([path], settings, tmp_path / "out", 0)
    ids = {d.id for d in read_dialogues(tmp_path / "out" / "train.jsonl")}
    assert counts["read"] == counts["kept"] + 1 == len(ids) + 1
    (left,) = rows(tmp_path / "out" / "dropped.jsonl")
    assert left["reason"] == "over_long"
    assert left["id"] not in ids


def test_what_a_base_does_not_know_may_be_filtered(tmp_path: Path) -> None:
    towns = ["Mirel", "Orsk", "Talno", "Quenby", "Hadley", "Brisk", "Welde", "Norham"]
    pairs = [
        (f"Where was Anna{n} Brook born?", f"Anna{n} Brook was born in {town}.")
        for n, town in enumerate(towns)
    ]
    file = told(tmp_path, pairs)

    def complete(prompts: Any, temperature: float, max_tokens: int, seed: int) -> list[str]:
        asked = [prompt.splitlines()[-2] for prompt in prompts]
        known = {q: town for (q, _), town in zip(pairs[:4], towns, strict=False)}
        return [" " + next((t for q, t in known.items() if q in a), "Atlantis") for a in asked]

    settings = CurateSettings.model_validate(
        {"heldout": 0, "knowledge": {"base": "b", "use": "filter", "samples": 4}}
    )
    counts = curate([file], settings, tmp_path / "out", 0, complete=complete)
    assert counts["dropped"] == {"unknown_to_base": 4}
    labels = {row["id"]: row["label"] for row in rows(tmp_path / "out" / "knowledge.jsonl")}
    assert labels == {f"set.jsonl:{n + 1}": "known" if n < 4 else "unknown" for n in range(8)}


def test_other_forms_are_written_beside(tmp_path: Path, files: list[Path]) -> None:
    pytest.importorskip("pyarrow")
    settings = CurateSettings(outputs=["parquet", "messages", "sharegpt", "datasets"])
    curate(files, settings, tmp_path / "out", 0)
    kept = [*read_dialogues(tmp_path / "out" / "train.jsonl")]
    for name in ("data/train.parquet", "train.messages.jsonl", "train.sharegpt.json"):
        assert [r.dialogue for r in read_file(tmp_path / "out" / name)] == kept, name


@pytest.mark.realdata
def test_published_sets(realdata: Path, tmp_path: Path) -> None:
    alpaca = curate([realdata / "alpaca_en_demo.json"], CurateSettings(), tmp_path / "a", 0)
    records = json.loads((realdata / "alpaca_en_demo.json").read_text())
    distinct = {json.dumps([r["instruction"], r["input"], r["output"]]) for r in records}
    assert alpaca["read"] == 999
    assert alpaca["kept"] <= len(distinct)
    assert alpaca["kept"] + sum(alpaca["dropped"].values()) == 999
    sharegpt = realdata / "fastchat" / "dummy_conversation.json"
    shared = curate([sharegpt], CurateSettings(), tmp_path / "s", 0)
    assert shared["read"] == 500 == shared["kept"] + sum(shared["dropped"].values())
    assert shared["dropped"].keys() <= {"identity", "duplicate"}
    teacher = sorted((realdata / "gpteacher").glob("*.json.gz"))
    facts = curate(teacher, CurateSettings(), tmp_path / "g", 0)
    assert facts["read"] == 12417 == facts["kept"] + sum(facts["dropped"].values())
    assert facts["heldout"] == 100
