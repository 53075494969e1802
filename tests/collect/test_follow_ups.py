"""The user's next turns: from a file's lines, by the teacher, by a model at hand."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from teacher.scripted import Said, completion, scripted
from understudy.collect.follow_ups import MAX_TOKENS, ROLE, by_model, by_teacher
from understudy.collect.follow_ups import scripted as lines
from understudy.dialogue import Dialogue, Turn
from understudy.errors import UserError
from understudy.prompts import Prompt
from understudy.teacher.client import ask


def dialogue(id: str, *texts: str, system: str | None = None) -> Dialogue:
    roles = ["user", "assistant"] * len(texts)
    turns = [Turn(role=role, content=text) for role, text in zip(roles, texts, strict=False)]  # type: ignore[arg-type]
    head = [Turn(role="system", content=system)] if system else []
    return Dialogue(id=id, turns=[*head, *turns], source="test")


ONE = dialogue("a", "What is felt?", "Pressed wool.", system="A craft shop.")


def test_lines_are_drawn_by_seed_and_id_and_not_said_twice(tmp_path: Path) -> None:
    file = tmp_path / "lines.txt"
    file.write_text("Why?\n\n  Go on.  \nAn example, please.\n")
    follow = lines(file, 0)
    many = [dialogue(str(n), "Hello", "Hi.") for n in range(60)]
    drawn = follow(many)
    assert set(drawn) == {"Why?", "Go on.", "An example, please."}
    assert follow(many) == drawn == lines(file, 0)(many)
    assert lines(file, 1)(many) != drawn
    said = dialogue("a", "Why?", "So.", "Go on.", "Well.")
    assert follow([said]) == ["An example, please."]
    all_said = dialogue("a", "Why?", "So.", "Go on.", "Well.", "An example, please.", "Here.")
    assert follow([all_said]) == [None]


@pytest.mark.parametrize("text", [None, "", " \n\n"])
def test_a_file_without_lines_is_a_mistake(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "lines.txt"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match=r"lines.txt: "):
        lines(file, 0)


def test_the_teacher_is_shown_the_talk_and_asked_for_the_persons_part(tmp_path: Path) -> None:
    def script(_: int, body: dict[str, Any]) -> Said:
        asked = body["messages"][0]["content"]
        if "broken" in asked:
            return Said(400, b"no")
        return Said(body=completion("  " if "silent" in asked else " How thick? \n"))

    others = [dialogue("b", "silent", "So."), dialogue("c", "broken", "So.")]
    with scripted(script) as server:
        account = server.account(tmp_path / "ledger")
        found = by_teacher(partial(ask, account), 0)([ONE, *others])
        assert by_teacher(partial(ask, account), 0)([ONE, others[0]]) == found[:2]
    assert found == ["How thick?", None, None]
    assert len(server.bodies) == 3
    (body,) = [body for body in server.bodies if "felt" in body["messages"][0]["content"]]
    told = "Setting: A craft shop.\n\nPerson: What is felt?\n\nAssistant: Pressed wool."
    assert body["messages"] == [{"role": "user", "content": f"{ROLE}\n\n{told}\n\nPerson:"}]
    assert body["max_tokens"] == MAX_TOKENS


def test_a_model_is_asked_in_the_same_words() -> None:
    seen: list[Prompt] = []

    def reply(prompts: list[Prompt]) -> list[str]:
        seen.extend(prompts)
        return [" Really? ", "\n"]

    assert by_model(reply)([ONE, dialogue("b", "x", "y")]) == ["Really?", None]
    assert [prompt.id for prompt in seen] == ["a", "b"]
    assert seen[0].messages[0].content.startswith(ROLE)
