"""Prompts to put to a model: read from JSONL or from plain lines."""

from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from understudy.dialogue import Turn
from understudy.errors import UserError
from understudy.files import read_jsonl, read_text


class Prompt(BaseModel):
    """What a model is asked: an id of its own and chat messages, the last one the user's."""

    model_config = ConfigDict(extra="forbid")

    id: str
    messages: list[Turn]

    def chat(self) -> list[dict[str, str]]:
        """The messages in the form that templates and APIs take."""
        return [{"role": turn.role, "content": turn.content} for turn in self.messages]


def read_prompts(path: Path) -> list[Prompt]:
    """The prompts of a file.

    JSONL rows hold `prompt` (a text) or `messages` (chat messages), and an `id` or not; any other
    file is taken as one prompt a line, blank lines aside. A prompt without an id has its line's
    number.

    Raises:
        UserError: the file is missing or holds no prompt, a row is malformed, or an id occurs
            twice; names file and line.
    """
    text = read_text(path)
    if text.lstrip()[:1] == "{":
        numbered = [(number, _from_row(path, number, row)) for number, row in read_jsonl(path)]
    else:
        lines = enumerate(text.splitlines(), start=1)
        numbered = [(n, _plain(str(n), line.strip())) for n, line in lines if line.strip()]
    if not numbered:
        raise UserError(f"{path}: holds no prompt; write one a line")
    ids = Counter(prompt.id for _, prompt in numbered)
    for number, prompt in numbered:
        if ids[prompt.id] > 1:
            raise UserError(f"{path}, line {number}: id {prompt.id!r} occurs twice; ids are unique")
    return [prompt for _, prompt in numbered]


def _plain(id: str, text: str) -> Prompt:
    return Prompt(id=id, messages=[Turn(role="user", content=text)])


def _from_row(path: Path, number: int, row: Any) -> Prompt:
    place = f"{path}, line {number}"
    if not isinstance(row, dict):
        raise UserError(f'{place}: not an object; write {{"prompt": ...}}')
    messages = row.get("messages")
    if isinstance(row.get("prompt"), str) and row["prompt"].strip():
        messages = [{"role": "user", "content": row["prompt"]}]
    if messages is None:
        raise UserError(f"{place}: neither a text under prompt nor messages; add one of them")
    try:
        prompt = Prompt(id=str(row.get("id", number)), messages=messages)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise UserError(f"{place}: {where}: {fault['msg']}; mend it") from None
    if not prompt.messages or prompt.messages[-1].role != "user":
        raise UserError(f"{place}: messages must end with the user's; mend it")
    return prompt
