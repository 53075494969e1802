"""Prompt sets and answers in the formats they are published in."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from understudy.errors import UserError
from understudy.judge.sets import Row, read_models, read_rows

OURS = {"role": "user", "content": "Why?"}
FORMS: dict[str, tuple[dict[str, Any], Row]] = {
    "our answers": (
        {"id": "p1", "messages": [OURS], "answers": [{"text": "So.", "finish_reason": "stop"}]},
        Row("p1", "Why?", "So."),
    ),
    "our answers without any": (
        {"id": "p1", "messages": [OURS], "answers": []},
        Row("p1", "Why?", None),
    ),
    "our prompts": (
        {"id": 7, "prompt": "Why?", "reference": "Since."},
        Row("7", "Why?", reference="Since."),
    ),
    "our dialogues": (
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                OURS,
                {"role": "assistant", "content": "So."},
                {"role": "user", "content": "No, why?"},
            ]
        },
        Row(
            None,
            "[system]\nBe brief.\n\n[user]\nWhy?\n\n[assistant]\nSo.\n\n[user]\nNo, why?",
        ),
    ),
    "Vicuna's question": (
        {"question_id": 1, "text": "Why?", "category": "generic"},
        Row("1", "Why?"),
    ),
    "Vicuna's answer": (
        {"answer_id": "x", "model_id": "m:v1", "question_id": 1, "text": "So.", "metadata": {}},
        Row("1", None, "So.", model="m:v1"),
    ),
    "MT-bench's question": (
        {"question_id": 81, "category": "writing", "turns": ["Why?", "Sure?"]},
        Row("81", "[turn 1]\nWhy?\n\n[turn 2]\nSure?", turns=2),
    ),
    "a question of one turn": (
        {"question_id": 1, "category": "generic", "turns": ["Why?"]},
        Row("1", "Why?"),
    ),
    "MT-bench's answer": (
        {
            "question_id": 81,
            "answer_id": "x",
            "model_id": "m",
            "choices": [{"index": 0, "turns": ["So.", "Yes."]}],
            "tstamp": 1.0,
        },
        Row("81", None, "[turn 1]\nSo.\n\n[turn 2]\nYes.", model="m", turns=2),
    ),
    "Self-Instruct's task": (
        {
            "id": "user_oriented_task_0",
            "motivation_app": "App",
            "instruction": "Rewrite it. ",
            "instances": [{"input": "It's me.", "output": "It is I."}],
        },
        Row("user_oriented_task_0", "Rewrite it.\n\nIt's me.", reference="It is I."),
    ),
    "Self-Instruct's prediction": (
        {
            "prompt": "Rewrite it.\n\nInput: It's me.\nOutput:",
            "instruction": "Rewrite it.\n",
            "input": "It's me.",
            "response": " It is I.",
            "target": "It is I.",
        },
        Row(None, "Rewrite it.\n\nIt's me.", " It is I."),
    ),
    "AlpacaEval's output": (
        {"dataset": "helpful_base", "instruction": "Why?", "output": "So.", "generator": "m"},
        Row(None, "Why?", "So.", model="m"),
    ),
    "AlpacaEval's prompt": ({"dataset": "helpful_base", "instruction": "Why?"}, Row(None, "Why?")),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms(name: str, tmp_path: Path) -> None:
    value, row = FORMS[name]
    lines = tmp_path / "rows.jsonl"
    lines.write_text(json.dumps(value) + "\n\n", encoding="utf-8")
    assert read_rows(lines) == [row]
    packed = tmp_path / "rows.json.gz"
    packed.write_bytes(gzip.compress(json.dumps([value, value], indent=1).encode()))
    assert read_rows(packed) == [row, row]


def test_a_task_of_several_instances_is_several_prompts(tmp_path: Path) -> None:
    instances = [{"input": "a", "output": "A"}, {"input": "b", "output": "B"}]
    task = {"id": "t", "instruction": "Raise it.", "instances": instances}
    (tmp_path / "tasks.jsonl").write_text(json.dumps(task))
    assert read_rows(tmp_path / "tasks.jsonl") == [
        Row("t/1", "Raise it.\n\na", reference="A"),
        Row("t/2", "Raise it.\n\nb", reference="B"),
    ]


def test_a_folder_is_its_answers(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text(json.dumps(FORMS["our answers"][0]))
    assert read_rows(tmp_path) == [FORMS["our answers"][1]]


def test_models_are_named_by_their_rows_or_files(tmp_path: Path) -> None:
    def write(name: str, form: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(FORMS[form][0]))
        return str(path)

    given = [
        write("some.json", "AlpacaEval's output"),
        write("student/answers.jsonl", "our answers"),
        write("davinci-v1.5_predictions.jsonl", "Self-Instruct's prediction"),
        f"mine={write('answer_x.jsonl', 'our answers')}",
        write("answer_y.jsonl", "our answers"),
        write("a=b", "our answers"),
    ]
    assert list(read_models(given)) == ["m", "student", "davinci-v1.5", "mine", "y", "a=b"]
    with pytest.raises(UserError, match="a model called student already"):
        read_models([given[1], str(tmp_path / "student")])
    with pytest.raises(UserError, match="holds no answers"):
        read_models([write("p.jsonl", "our prompts")])


def test_half_characters_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text('[{"instruction": "Why?", "output": "\\ud83d"}]')
    assert read_rows(tmp_path / "rows.json")[0].answer == "?"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"id": "p", "prompt": "Why?"}\n{"text": "Why?"}\n', "line 2: of no known form (text)"),
        ('["Why?"]', "row 1: of no known form (no keys)"),
        ('{"question_id": [], "text": "Why?"}', "line 1: question_id: "),
        ('{"question_id": true, "text": "Why?"}', "line 1: question_id: "),
        ('{"question_id": 1, "turns": []}', "line 1: turns: "),
        ('{"instruction": "Why?", "output": 7}', "line 1: output: "),
        ('{"id": "p", "messages": [{"role": "x"}], "answers": []}', "line 1: messages.0.role: "),
        ("\n", "holds no rows"),
        ("[]", "holds no rows"),
        ("[{", "line 1: broken JSON"),
        ("Why?\n", "line 1: broken JSON"),
    ],
)
def test_a_wrong_row_is_named(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_text(text)
    with pytest.raises(UserError) as raised:
        read_rows(path)
    assert str(raised.value).startswith(str(path))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    with pytest.raises(UserError, match="no such file"):
        read_rows(tmp_path / "none")


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "count", "kind"),
    [
        ("fastchat/vicuna_bench_question.jsonl", 80, "prompt"),
        ("fastchat/mt_bench_question.jsonl", 80, "prompt"),
        ("fastchat/mt_bench_reference_answer_gpt-4.jsonl", 30, "answer"),
        ("vicuna80/question.jsonl", 80, "prompt"),
        ("vicuna80/answer_gpt35.jsonl", 80, "answer"),
        ("vicuna80/answer_bard.jsonl", 80, "answer"),
        ("vicuna80/answer_vicuna-13b.jsonl", 80, "answer"),
        ("vicuna80/answer_alpaca-13b.jsonl", 80, "answer"),
        ("vicuna80/answer_llama-13b.jsonl", 80, "answer"),
        ("koala_test_set.jsonl", 180, "prompt"),
        ("self_instruct/user_oriented_instructions.jsonl", 252, "reference"),
        ("self_instruct/davinci_predictions.jsonl.gz", 252, "answer"),
        ("self_instruct/text-davinci-003_predictions.jsonl.gz", 252, "answer"),
        ("self_instruct/davinci-self-instruct_predictions.jsonl.gz", 252, "answer"),
        ("alpaca_eval/text_davinci_003.model_outputs.json.gz", 805, "answer"),
        ("alpaca_eval/gpt-3.5-turbo-0301.model_outputs.json.gz", 805, "answer"),
        ("alpaca_eval/gpt4.model_outputs.json.gz", 805, "answer"),
        ("alpaca_eval/alpaca-7b.model_outputs.json.gz", 805, "answer"),
        ("alpaca_eval/vicuna-7b.model_outputs.json.gz", 805, "answer"),
    ],
)
def test_published_files(realdata: Path, name: str, count: int, kind: str) -> None:
    rows = read_rows(realdata / name)
    assert len(rows) == count
    assert all(getattr(row, kind) is not None for row in rows)
