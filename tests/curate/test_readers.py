"""Every format's records become dialogues, and what is none says why."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curate.samples import (
    FLAT,
    SAMPLES,
    SUBMISSION,
    TREE,
    asked,
    comment,
    discord,
    message,
    node,
)
from understudy.curate import joins
from understudy.curate.readers import READERS, Record, read_file
from understudy.dialogue import Dialogue, Turn, write_dialogues


def read(folder: Path, *records: Any) -> list[Record]:
    path = folder / "data"
    path.write_text(json.dumps(records))
    return list(read_file(path))


def said(record: Record) -> list[tuple[str, str]] | None:
    return record.dialogue and [(turn.role, turn.content) for turn in record.dialogue.turns]


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("form", ["array", "lines"])
def test_formats(tmp_path: Path, name: str, form: str) -> None:
    sample = SAMPLES[name]
    path = tmp_path / "data"
    lines = "".join(json.dumps(record) + "\n" for record in sample.records)
    path.write_text(lines if form == "lines" else json.dumps(sample.records))
    *before, found = read_file(path)
    assert (found.format, said(found)) == (sample.format, sample.turns)
    assert {(r.format, r.reason) for r in before} <= {(sample.format, "no_answer")}
    assert found.dialogue
    assert found.dialogue.teacher == sample.teacher
    assert found.dialogue.licence == sample.licence
    assert found.dialogue.id == found.id == (sample.id or "data:1")
    assert found.dialogue.source == "data"
    assert len(found.dialogue.origin or "") == 16


def test_there_is_a_sample_of_every_format() -> None:
    assert {sample.format for sample in SAMPLES.values()} | {"fastchat"} == {
        reader.NAME for reader in READERS
    }
    assert all(reader.NAME and reader.TERMS for reader in READERS)


@pytest.mark.parametrize(
    ("record", "format", "reason", "why"),
    [
        ({}, None, "unknown", "none of the known formats"),
        (17, None, "unknown", "none of the known formats"),
        ({"instruction": "Add.", "input": ""}, "alpaca", "unreadable", "no output"),
        ({"instruction": ["Add."], "output": "3"}, "alpaca", "unreadable", "not text but list"),
        ({"instruction": "A", "input": 5, "output": "3"}, "alpaca", "unreadable", "input is not"),
        ({"conversations": {"from": "human"}}, "sharegpt", "unreadable", "not a list of objects"),
        ({"conversations": ["Hi"]}, "sharegpt", "unreadable", "not a list of objects"),
        ({"conversations": [{"from": "cat", "value": "Mew"}]}, "sharegpt", "unreadable", "'cat'"),
        ({"conversations": [{"from": "tool", "value": "1"}]}, "sharegpt", "unreadable", "'tool'"),
        ({"conversations": [{"from": "gpt"}]}, "sharegpt", "unreadable", "no value"),
        ({"items": [{"value": "x"}]}, "sharegpt", "unreadable", "no from"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages", "unreadable", "'tool'"),
        ({"messages": [{"role": "user"}]}, "messages", "unreadable", "no content"),
        (
            {"messages": [{"role": "assistant", "content": None}]},
            "messages",
            "unreadable",
            "content is not text",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages",
            "unreadable",
            "other than text",
        ),
        (
            {"messages": [{"role": "assistant", "content": "x", "weight": 0}]},
            "messages",
            "unreadable",
            "weight 0",
        ),
        ({"turns": [{"role": "cat", "content": "M"}]}, "dialogues", "unreadable", "turns.0.role"),
        ({"turns": "Hi"}, "dialogues", "unreadable", "turns"),
        ({"instruction": "A", "most_similar": {}}, "self_instruct", "no_answer", "instance"),
        ({"instruction": "A", "instances": []}, "self_instruct", "no_answer", "no instance"),
        ({"question": "Q", "chatgpt_answers": []}, "hc3", "no_answer", "not answer"),
        ({"question": "Q", "chatgpt_answers": [1]}, "hc3", "unreadable", "list of texts"),
        ({"prompt": node("prompter", "Hi")}, "openassistant", "no_answer", "nobody"),
        ({"message_tree_id": "t"}, "openassistant", "unreadable", "first message"),
        (message("2", "1", "assistant", "x"), "openassistant", "unreadable", "first message"),
        (
            {
                "marker_gpt": "GPT:",
                "human_0": "Q",
                "gpt_bad_1": "A",
                "fields": "[human_0],gpt_bad_1",
            },
            "koala",
            "unreadable",
            "worse",
        ),
        ({"marker_gpt": "GPT:", "fields": "[human_0]"}, "koala", "unreadable", "no human_0"),
        ({"question": "Q", "answer_0": "A", "answer_1": "B"}, "webgpt", "unreadable", "question"),
        (
            {"question": {"full_text": "Q"}, "answer_0": "A", "answer_1": "B"},
            "webgpt",
            "unreadable",
            "not a number",
        ),
        (
            {"instruction": "Q", "generator_1": "a", "preference": None},
            "alpaca_eval",
            "unreadable",
            "preference",
        ),
        ({"question_id": 1, "turns": ["Q"]}, "fastchat", "no_answer", "question alone"),
        ({"question_id": 1, "text": "Q", "category": "x"}, "fastchat", "no_answer", "question"),
        (
            {"question_id": 1, "text": "A", "model_id": "m"},
            "fastchat",
            "unreadable",
            "another file",
        ),
        ({"question_id": 1, "choices": [{"turns": []}]}, "fastchat", "unreadable", "another file"),
        ({"id": "koala_1", "prompt": "Q"}, "table", "no_answer", "without an answer"),
        ({"prompt": "Q", "response": None}, "table", "no_answer", "without an answer"),
        ({"question": "Q", "answer": ["A"]}, "table", "unreadable", "answer is not text but list"),
    ],
)
def test_records_without_a_dialogue_say_why(
    tmp_path: Path, record: Any, format: str | None, reason: str, why: str
) -> None:
    (found,) = read(tmp_path, record)
    assert found.dialogue is None
    assert (found.format, found.reason, found.position) == (format, reason, 1)
    assert why in found.detail


def test_a_broken_record_keeps_its_text(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_text('{"prompt": "a"}\n{"prompt": \n')
    found = list(read_file(path))[1]
    assert (found.reason, found.position, found.id) == ("broken", 2, "data:2")
    assert found.raw == '{"prompt": '
    assert "character 12" in found.detail


def test_the_format_is_found_by_record(tmp_path: Path) -> None:
    names = ["alpaca", "sharegpt", "messages", "dolly", "table"]
    found = read(tmp_path, *(SAMPLES[name].records[0] for name in names), 3)
    assert [record.format for record in found] == [*names, None]


def test_of_a_tie_the_first_is_taken(tmp_path: Path) -> None:
    (found,) = read(tmp_path, SAMPLES["webgpt"].records[0] | {"score_0": 1.0})
    assert said(found) == asked("Why?", "So [1].")


# What we write ourselves

OURS = Dialogue(
    id="7",
    turns=[Turn(role="user", content="a"), Turn(role="assistant", content="b")],
    source="collect",
    teacher="t",
    licence="CC0",
    origin="o",
    cut=True,
)


def test_own_dialogues_keep_their_provenance(tmp_path: Path) -> None:
    bare = Dialogue(id="8", turns=OURS.turns, source="x", origin="p")
    write_dialogues(tmp_path / "d.jsonl", [OURS, bare])
    assert [record.dialogue for record in read_file(tmp_path / "d.jsonl")] == [OURS, bare]


@pytest.mark.parametrize("dialogue", [OURS, Dialogue(id="8", turns=OURS.turns, source="x")])
def test_other_forms_carry_it_too(tmp_path: Path, dialogue: Dialogue) -> None:
    more = dialogue.model_dump(exclude={"turns"})
    speakers = {"user": "human", "assistant": "gpt"}
    shared = [{"from": speakers[turn.role], "value": turn.content} for turn in dialogue.turns]
    forms = [
        dialogue.model_dump() | {"__index_level_0__": 3},
        {"messages": dialogue.messages()} | more,
        {"conversations": shared} | more,
    ]
    assert [record.dialogue for record in read(tmp_path, *forms)] == [dialogue] * 3


def test_an_input_is_kept_apart_as_the_end_of_its_turn(tmp_path: Path) -> None:
    given = {"instruction": "Translate.", "input": "casa", "output": "house"}
    (record,) = read(tmp_path, given)
    turn = record.dialogue.turns[0]
    assert (turn.content, turn.input) == ("Translate.\n\ncasa", "casa")
    assert turn.saying("Please translate.\n\ncasa").input == "casa"
    assert turn.saying("Translate.\n\nhouse").input is None


def test_an_id_that_is_none_gives_way_to_the_place(tmp_path: Path) -> None:
    record = {"prompt": "a", "response": "b"}
    for id in (None, "", True, 1.5, [1], "x" * 2000):
        assert read(tmp_path, record | {"id": id})[0].id == "data:1"


# Records that belong together


def test_a_bot_answers_what_it_refers_to_or_the_last_person(tmp_path: Path) -> None:
    export = {
        "guild": {"id": "1"},
        "channel": {"id": "9", "name": "bots"},
        "messages": [
            discord("1", "Greetings!", bot=True),
            discord("2", "One?"),
            discord("3", "Two?"),
            discord("4", "Two.", bot=True),
            discord("5", "One.", bot=True, to="2"),
            discord("6", "Else.", bot=True, to="unknown"),
            discord("7", ""),
        ],
        "messageCount": 7,
    }
    path = tmp_path / "export"
    for text in (json.dumps(export), json.dumps(export, indent=2)):
        path.write_text(text)
        found = list(read_file(path))
        assert [said(record) for record in found] == [
            None,
            None,
            None,
            asked("Two?", "Two."),
            asked("One?", "One."),
            asked("Two?", "Else."),
            None,
        ]
        assert [record.reason for record in found] == [
            "unreadable",
            "no_answer",
            "no_answer",
            None,
            None,
            None,
            "no_answer",
        ]
        assert [record.position for record in found] == list(range(1, 8))
        assert found[3].raw == export["messages"][3]


def test_a_comment_answers_its_parent(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        SUBMISSION,
        comment("a", "t3_s", "Because."),
        comment("b", "t1_a", "Oh."),
        comment("c", "t1_b", "[removed]"),
        comment("d", "t1_c", "To what was removed."),
        comment("e", "t3_unknown", "Too far off."),
        SUBMISSION | {"id": "gone", "selftext": "[deleted]"},
        comment("f", "t3_gone", "To what was deleted."),
        SUBMISSION | {"id": "bare", "selftext": ""},
        comment("g", "t3_bare", "Just so."),
    )
    assert [said(record) for record in found if record.dialogue] == [
        asked("Why?\n\nI wonder.", "Because."),
        asked("Because.", "Oh."),
        asked("Why?", "Just so."),
    ]
    reasons = [record.reason for record in found if record.reason]
    assert reasons == [
        "no_answer",
        "no_answer",
        "unreadable",
        "unreadable",
        "no_answer",
        "unreadable",
        "no_answer",
    ]
    assert len(found) == 10


def test_old_questions_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joins, "RECENT", 2)
    chain = [SUBMISSION, *(comment(str(n), f"t1_{n - 3}", f"text {n}") for n in range(9))]
    assert [record.dialogue for record in read(tmp_path, *chain)] == [None] * 10
    monkeypatch.setattr(joins, "RECENT", 4)
    assert sum(record.dialogue is not None for record in read(tmp_path, *chain)) == 6
    monkeypatch.setattr(joins, "ROOM", 12)
    assert sum(record.dialogue is not None for record in read(tmp_path, *chain)) == 0


def test_rows_of_trees_become_one_record_each(tmp_path: Path) -> None:
    rootless = [row | {"message_tree_id": "u"} for row in FLAT[1:]]
    alone = FLAT[0] | {"message_tree_id": "v"}
    found = read(tmp_path, *FLAT, *rootless[:2], {"odd": 1}, rootless[2], alone)
    assert {(record.position, record.reason) for record in found} == {
        (1, None),
        (5, "unreadable"),
        (7, "unknown"),
        (9, "no_answer"),
    }
    assert len(found) == 4


def test_a_message_that_answers_itself_ends(tmp_path: Path) -> None:
    turns = [message("1", None, "prompter", "Hi"), message("1", "1", "assistant", "Hello")]
    (found,) = read(tmp_path, *turns)
    assert said(found) == asked("Hi", "Hello")


def test_a_tree_of_rows_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joins, "LARGEST_TREE", 3)
    assert [record.reason for record in read(tmp_path, *FLAT)] == [None, "unreadable"]
    assert TREE["message_tree_id"] == "t"


# Published files

PUBLISHED = {
    "alpaca_en_demo.json": ("alpaca", 999, {}),
    "alpaca_eval/alpaca-7b.alpaca_eval_gpt4.annotations.json.gz": ("alpaca_eval", 805, {}),
    "alpaca_eval/alpaca-7b.model_outputs.json.gz": ("alpaca_eval", 805, {}),
    "alpaca_eval/alpaca-7b.weighted_alpaca_eval_gpt4_turbo.annotations.json.gz": (
        "alpaca_eval",
        805,
        {},
    ),
    "alpaca_eval/gpt-3.5-turbo-0301.alpaca_eval_gpt4.annotations.json.gz": (
        "alpaca_eval",
        805,
        {"unreadable": 1},
    ),
    "alpaca_eval/gpt-3.5-turbo-0301.model_outputs.json.gz": ("alpaca_eval", 805, {}),
    "alpaca_eval/gpt-3.5-turbo-0301.weighted_alpaca_eval_gpt4_turbo.annotations.json.gz": (
        "alpaca_eval",
        805,
        {},
    ),
    "alpaca_eval/gpt4.model_outputs.json.gz": ("alpaca_eval", 805, {}),
    "alpaca_eval/text_davinci_003.model_outputs.json.gz": ("alpaca_eval", 805, {}),
    "alpaca_eval/vicuna-7b.model_outputs.json.gz": ("alpaca_eval", 805, {}),
    "alpaca_eval/vicuna-7b.weighted_alpaca_eval_gpt4_turbo.annotations.json.gz": (
        "alpaca_eval",
        805,
        {},
    ),
    "fastchat/dummy_conversation.json": ("sharegpt", 500, {}),
    "fastchat/mt_bench_question.jsonl": ("fastchat", 80, {"no_answer": 80}),
    "fastchat/mt_bench_reference_answer_gpt-4.jsonl": ("fastchat", 30, {"unreadable": 30}),
    "fastchat/vicuna_bench_question.jsonl": ("fastchat", 80, {"no_answer": 80}),
    "gpteacher/codegen-instruct.json.gz": ("alpaca", 4535, {}),
    "gpteacher/roleplay-instruct.json.gz": ("alpaca", 1923, {}),
    "gpteacher/toolformer.json.gz": ("alpaca", 5959, {}),
    "gsm8k/test.jsonl": ("table", 1319, {}),
    "gsm8k/train.jsonl.gz": ("table", 7473, {}),
    "koala_test_set.jsonl": ("table", 180, {"no_answer": 180}),
    "self_instruct/davinci-self-instruct_predictions.jsonl.gz": ("self_instruct", 252, {}),
    "self_instruct/davinci_predictions.jsonl.gz": ("self_instruct", 252, {}),
    "self_instruct/seed_tasks.jsonl": ("self_instruct", 175, {}),
    "self_instruct/t0_train_sample.jsonl.gz": ("table", 3372, {}),
    "self_instruct/text-davinci-003_predictions.jsonl.gz": ("self_instruct", 252, {}),
    "self_instruct/user_oriented_instructions.jsonl": ("self_instruct", 252, {}),
    "vicuna80/answer_alpaca-13b.jsonl": ("fastchat", 80, {"unreadable": 80}),
    "vicuna80/answer_bard.jsonl": ("fastchat", 80, {"unreadable": 80}),
    "vicuna80/answer_gpt35.jsonl": ("fastchat", 80, {"unreadable": 80}),
    "vicuna80/answer_llama-13b.jsonl": ("fastchat", 80, {"unreadable": 80}),
    "vicuna80/answer_vicuna-13b.jsonl": ("fastchat", 80, {"unreadable": 80}),
    "vicuna80/question.jsonl": ("fastchat", 80, {"no_answer": 80}),
    "vicuna80/review_gpt35_vicuna-13b.jsonl": ("fastchat", 80, {"unreadable": 80}),
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sets_are_read_whole(realdata: Path, name: str) -> None:
    found = list(read_file(realdata / name))
    format, count, reasons = PUBLISHED[name]
    assert {record.format for record in found} == {format}
    assert [record.position for record in found] == list(range(1, count + 1))
    assert Counter(record.reason for record in found if record.reason) == reasons

    def turns() -> Iterator[Turn]:
        for record in found:
            if record.dialogue:
                yield from record.dialogue.turns

    answers = 1000 if "dummy" in name else count - sum(reasons.values())
    assert sum(turn.role == "assistant" for turn in turns()) == answers
    assert len({record.id for record in found}) == count
