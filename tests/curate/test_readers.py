"""Every format's records become dialogues, and what is none says why."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from understudy.curate.readers import READERS, read_file
from understudy.dialogue import Dialogue, Turn, write_dialogues

ALPACA = {"instruction": "Add.", "input": "1 2", "output": "3"}
SHAREGPT = {
    "id": "s1",
    "conversations": [
        {"from": "system", "value": "Be kind."},
        {"from": "human", "value": "Hi"},
        {"from": "chatgpt", "value": "Hello"},
    ],
}
MESSAGES = {
    "messages": [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]},
        {"role": "assistant", "content": "Hello"},
    ],
    "model": "gpt-4",
}


def one(tmp_path: Path, record: Any) -> Any:
    path = tmp_path / "data"
    path.write_text(json.dumps([record]))
    (found,) = read_file(path)
    return found


def said(dialogue: Dialogue) -> list[tuple[str, str]]:
    return [(turn.role, turn.content) for turn in dialogue.turns]


KIND = [("system", "Be kind."), ("user", "Hi"), ("assistant", "Hello")]


@pytest.mark.parametrize(
    ("record", "format", "turns", "teacher"),
    [
        (ALPACA, "alpaca", [("user", "Add.\n\n1 2"), ("assistant", "3")], None),
        (
            {"instruction": "Go.", "input": " ", "response": "Gone."},
            "alpaca",
            [("user", "Go."), ("assistant", "Gone.")],
            None,
        ),
        (SHAREGPT, "sharegpt", KIND, "chatgpt"),
        (MESSAGES, "messages", KIND, "gpt-4"),
        (
            {"turns": [{"role": "user", "content": "Hi"}], "teacher": "t"},
            "dialogues",
            [("user", "Hi")],
            "t",
        ),
    ],
)
def test_formats(
    tmp_path: Path,
    record: dict[str, Any],
    format: str,
    turns: list[tuple[str, str]],
    teacher: str | None,
) -> None:
    found = one(tmp_path, record)
    assert (found.format, said(found.dialogue)) == (format, turns)
    assert found.dialogue.teacher == teacher
    assert found.dialogue.id == record.get("id", "data:1")
    assert found.dialogue.source == "data"
    assert len(found.dialogue.origin) == 16


def test_own_dialogues_keep_their_provenance(tmp_path: Path) -> None:
    turns = [Turn(role="user", content="a"), Turn(role="assistant", content="b")]
    written = Dialogue(
        id="7", turns=turns, source="collect", teacher="t", licence="CC0", origin="o", cut=True
    )
    write_dialogues(tmp_path / "d.jsonl", [written])
    assert [record.dialogue for record in read_file(tmp_path / "d.jsonl")] == [written]


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ({}, "none of the known formats"),
        (17, "none of the known formats"),
        ({"instruction": "Add.", "input": ""}, "no output"),
        ({"instruction": ["Add."], "output": "3"}, "instruction is not text but list"),
        ({"instruction": "Add.", "input": 5, "output": "3"}, "input is not text but int"),
        ({"conversations": {"from": "human"}}, "conversations is not a list of objects"),
        ({"conversations": ["Hi"]}, "conversations is not a list of objects"),
        ({"conversations": [{"from": "cat", "value": "Mew"}]}, "unknown role 'cat'"),
        ({"conversations": [{"from": "gpt", "value": None}]}, "value is not text but NoneType"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "unknown role 'tool'"),
        ({"messages": [{"role": "user"}]}, "no content"),
        ({"messages": [{"role": "assistant", "content": None}]}, "content is not text"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "other than text",
        ),
        ({"turns": [{"role": "cat", "content": "Mew"}]}, "turns.0.role"),
        ({"turns": "Hi"}, "turns"),
    ],
)
def test_unreadable_records_say_why(tmp_path: Path, record: Any, why: str) -> None:
    found = one(tmp_path, record)
    assert found.dialogue is None
    assert (found.reason, found.position, found.raw) == ("unreadable", 1, record)
    assert why in found.detail


def test_the_format_is_found_by_record(tmp_path: Path) -> None:
    path = tmp_path / "mixed.csv"
    path.write_text("\n".join(json.dumps(record) for record in (ALPACA, SHAREGPT, 3, MESSAGES)))
    assert [found.format for found in read_file(path)] == ["alpaca", "sharegpt", None, "messages"]


def test_every_reader_states_terms() -> None:
    assert all(reader.NAME and reader.TERMS for reader in READERS)


PUBLISHED = {
    "alpaca_en_demo.json": ("alpaca", 999, 999),
    "fastchat/dummy_conversation.json": ("sharegpt", 500, 1000),
    "gpteacher/codegen-instruct.json.gz": ("alpaca", 4535, 4535),
    "gpteacher/roleplay-instruct.json.gz": ("alpaca", 1923, 1923),
    "gpteacher/toolformer.json.gz": ("alpaca", 5959, 5959),
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sets_are_read_whole(realdata: Path, name: str) -> None:
    def turns() -> Iterator[Turn]:
        for record in found:
            assert record.dialogue is not None
            yield from record.dialogue.turns

    found = list(read_file(realdata / name))
    format, dialogues, answers = PUBLISHED[name]
    assert {record.format for record in found} == {format}
    assert [record.position for record in found] == list(range(1, dialogues + 1))
    assert sum(turn.role == "assistant" for turn in turns()) == answers
    assert all(turn.content for turn in turns())
