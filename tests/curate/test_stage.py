"""The curate stage end to end: counts add up, nothing vanishes, bytes repeat."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

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
        "unreadable": 2,
    }
    assert (card["kept"], card["trimmed"]) == (4, 1)
    places = {(row["file"], row["record"]) for row in dropped}
    assert len(places) == len(dropped)
    kept = [*read_dialogues(out / "train.jsonl"), *read_dialogues(out / "heldout.jsonl")]
    assert {d.id for d in kept} == {"a", "1:3:a", "f", "alpaca.jsonl:1"}
    assert sorted(path.name for path in out.iterdir()) == [
        "card.json",
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


def test_broken_and_missing_files_leave_nothing_behind(tmp_path: Path, files: list[Path]) -> None:
    with files[1].open("a") as file:
        file.write('{"instruction": \n')
    with pytest.raises(UserError, match=r"alpaca\.jsonl, line 4: broken JSON"):
        curate(files, CurateSettings(), tmp_path / "out", 0)
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(UserError, match=r"none\.json: no such file"):
        curate([files[0], tmp_path / "none.json"], CurateSettings(), tmp_path / "out", 0)


@pytest.mark.realdata
def test_published_sets(realdata: Path, tmp_path: Path) -> None:
    alpaca = curate([realdata / "alpaca_en_demo.json"], CurateSettings(), tmp_path / "a", 0)
    records = json.loads((realdata / "alpaca_en_demo.json").read_text())
    distinct = {json.dumps([r["instruction"], r["input"], r["output"]]) for r in records}
    assert alpaca["read"] == 999
    assert alpaca["kept"] <= len(distinct)
    assert alpaca["kept"] + sum(alpaca["dropped"].values()) == 999
    sharegpt = realdata / "fastchat" / "dummy_conversation.json"
    assert curate([sharegpt], CurateSettings(), tmp_path / "s", 0) == {
        "read": 500,
        "kept": 500,
        "dropped": {},
        "trimmed": 0,
        "train": 452,
        "heldout": 48,
    }
    teacher = sorted((realdata / "gpteacher").glob("*.json.gz"))
    facts = curate(teacher, CurateSettings(), tmp_path / "g", 0)
    assert facts["read"] == 12417 == facts["kept"] + sum(facts["dropped"].values())
    assert facts["heldout"] == 100
