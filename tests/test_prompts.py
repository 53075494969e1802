"""Prompts from JSONL and plain lines; a mistake names its line."""

from pathlib import Path

import pytest

from understudy.errors import UserError
from understudy.prompts import read_prompts


def written(folder: Path, text: str) -> Path:
    path = folder / "prompts"
    path.write_text(text, encoding="utf-8")
    return path


def test_plain_lines_are_prompts(tmp_path: Path) -> None:
    found = read_prompts(written(tmp_path, "First?\n\n  Second.  \n"))
    assert [(p.id, p.chat()[0]["content"]) for p in found] == [("1", "First?"), ("3", "Second.")]


def test_rows_hold_a_prompt_or_messages(tmp_path: Path) -> None:
    rows = (
        '{"id": "a", "prompt": "One?", "more": 1}\n'
        '{"messages": [{"role": "system", "content": "Be brief."},'
        ' {"role": "user", "content": "Two?"}]}\n'
    )
    first, second = read_prompts(written(tmp_path, rows))
    assert (first.id, first.chat()) == ("a", [{"role": "user", "content": "One?"}])
    assert (second.id, [m["role"] for m in second.chat()]) == ("2", ["system", "user"])


def test_half_a_surrogate_pair_becomes_a_question_mark(tmp_path: Path) -> None:
    (found,) = read_prompts(written(tmp_path, '{"prompt": "a\\ud800b"}\n'))
    assert found.chat()[0]["content"] == "a?b"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("\n \n", ["holds no prompt"]),
        ('{"text": "x"}\n', ["line 1", "prompt"]),
        ('{"prompt": "a"}\n3\n', ["line 2", "not an object"]),
        ('{"prompt": "a"}\n{"messages": [{"role": "user"}]}\n', ["line 2", "content"]),
        ('{"messages": [{"role": "assistant", "content": "a"}]}\n', ["line 1", "user"]),
        ('{"id": 1, "prompt": "a"}\n{"id": 1, "prompt": "b"}\n', ["line 1", "twice"]),
        ('{"prompt": "a"}\n{"prompt":\n', ["line 2", "broken JSON"]),
    ],
)
def test_mistakes_name_the_line(tmp_path: Path, text: str, names: list[str]) -> None:
    with pytest.raises(UserError) as error:
        read_prompts(written(tmp_path, text))
    assert all(name in str(error.value) for name in names)
