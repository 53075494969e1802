"""Prompts, references and answers brought together."""

from pathlib import Path

import pytest

from understudy.errors import UserError
from understudy.judge.match import match
from understudy.judge.sets import Row, read_rows

PROMPTS = [Row("1", "Why?"), Row("2", "How so?"), Row("3", "[turn 1]\nA\n\n[turn 2]\nB", turns=2)]


def test_by_id_and_by_text() -> None:
    a = [Row("1", None, "a1"), Row("3", None, "a3", turns=2), Row("2", None, "a2")]
    b = [Row(None, " How\nso? ", "b2"), Row(None, "Why?", "b1")]
    items, unmatched = match(PROMPTS, [Row("2", None, "right"), Row("1", None)], {"a": a, "b": b})
    assert [(item.id, item.reference, item.answers) for item in items] == [
        ("1", None, {"a": "a1", "b": "b1"}),
        ("2", "right", {"a": "a2", "b": "b2"}),
        ("3", None, {"a": "a3"}),
    ]
    assert unmatched == {"b": {"unanswered": 1}, "references": {"empty": 1}}


def test_all_that_fits_nowhere_is_counted() -> None:
    rows = [
        Row("1", "Why?", "kept"),
        Row("1", "Why?", "again"),
        Row("9", None, "of no prompt"),
        Row(None, "Who?", "of no prompt"),
        Row(None, None, "of no prompt"),
        Row("2", "Where?", "of another"),
        Row("3", None, "one turn of two"),
        Row("2", "[system]\nBe brief.\n\n[user]\nHow so?", None),
    ]
    items, unmatched = match([*PROMPTS, Row("1", "When?"), Row("4", None)], [], {"a": rows})
    assert [item.answers for item in items] == [{"a": "kept"}, {}, {}]
    assert unmatched["prompts"] == {"repeated": 1, "empty": 1}
    assert unmatched["a"] == {
        "repeated": 1,
        "no_prompt": 3,
        "other_prompt": 1,
        "other_turns": 1,
        "empty": 1,
        "unanswered": 2,
    }
    assert sum(unmatched["a"].values()) - 2 + 1 == len(rows)


def test_prompts_without_ids_are_named_by_their_text() -> None:
    first, _ = match([Row(None, "Why?"), Row(None, "How?")], [], {})
    other, unmatched = match([Row(None, " How? "), Row(None, "How?")], [], {})
    assert first[0].id != first[1].id == other[0].id
    assert (len(other), unmatched) == (1, {"prompts": {"repeated": 1}})


def test_no_prompt_at_all() -> None:
    with pytest.raises(UserError, match="name it with --prompts"):
        match([Row("1", None, "An answer.")], [], {})


@pytest.mark.realdata
def test_published_files_fit_together(realdata: Path) -> None:
    tasks = read_rows(realdata / "self_instruct/user_oriented_instructions.jsonl")
    triple = {
        name: read_rows(realdata / f"self_instruct/{name}_predictions.jsonl.gz")
        for name in ("davinci", "text-davinci-003", "davinci-self-instruct")
    }
    items, unmatched = match(tasks, [], triple)
    assert all(len(item.answers) == 3 and item.reference for item in items)
    assert (len(items), unmatched) == (252, {})

    outputs = {
        name: read_rows(realdata / f"alpaca_eval/{name}.model_outputs.json.gz")
        for name in ("text_davinci_003", "gpt4", "vicuna-7b")
    }
    items, unmatched = match(outputs["gpt4"], [], outputs)
    assert all(len(item.answers) == 3 for item in items)
    assert (len(items), unmatched) == (805, {})

    for prompts in ("vicuna80/question.jsonl", "fastchat/vicuna_bench_question.jsonl"):
        rows = {name: read_rows(realdata / f"vicuna80/answer_{name}.jsonl") for name in ("bard",)}
        items, unmatched = match(read_rows(realdata / prompts), [], rows)
        assert all(item.answers for item in items)
        assert (len(items), unmatched) == (80, {})

    questions = read_rows(realdata / "fastchat/mt_bench_question.jsonl")
    references = read_rows(realdata / "fastchat/mt_bench_reference_answer_gpt-4.jsonl")
    items, unmatched = match(questions, references, {"gpt-4": references})
    assert sum(item.reference is not None for item in items) == 30
    assert unmatched == {"gpt-4": {"unanswered": 50}}
