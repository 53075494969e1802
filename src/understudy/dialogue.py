"""Dialogue and Turn: the one record that stages hand on."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from understudy.errors import UserError
from understudy.files import digest, read_jsonl, write_jsonl

Role = Literal["system", "user", "assistant"]


class Turn(BaseModel):
    """What one side said, once.

    `input` is the end of `content` where a record keeps an instruction and its input apart.
    """

    model_config = ConfigDict(extra="forbid")

    role: Role
    content: str
    input: str | None = None

    def saying(self, text: str) -> "Turn":
        """The same turn with another text; `input` stays if that still ends in it."""
        kept = self.input if self.input and text.endswith(self.input) else None
        return Turn(role=self.role, content=text, input=kept)


class Dialogue(BaseModel):
    """Turns of user and assistant, with their provenance.

    `origin` is the digest of the teacher's call or of the record that the dialogue came from.
    `cut` is true where the last answer is known to have been cut short (finish_reason "length").
    """

    model_config = ConfigDict(extra="forbid")

    id: str
    turns: list[Turn]
    source: str = Field(description="file, collection or recipe stage it came from")
    teacher: str | None = None
    licence: str | None = None
    origin: str | None = None
    cut: bool = False

    @property
    def prompt(self) -> str:
        """The first user turn's text ("" if there is none)."""
        return next((turn.content for turn in self.turns if turn.role == "user"), "")

    @property
    def answer(self) -> str:
        """The last assistant turn's text ("" if there is none)."""
        return next((t.content for t in reversed(self.turns) if t.role == "assistant"), "")

    def messages(self) -> list[dict[str, str]]:
        """The turns as chat messages, the form that templates and APIs take."""
        return [{"role": turn.role, "content": turn.content} for turn in self.turns]

    def messages_with_inputs(self) -> list[dict[str, str]]:
        """The same, with `input` where a turn has one, for templates that show it apart."""
        return [turn.model_dump(exclude_none=True) for turn in self.turns]


def record_digest(record: Any) -> str:
    """Short digest of a raw record, for `Dialogue.origin` and for ids."""
    return digest(record)[:16]


def read_dialogues(path: Path) -> Iterator[Dialogue]:
    """Yield the dialogues of a JSONL file that a stage wrote; errors name file and line."""
    for number, row in read_jsonl(path):
        try:
            yield Dialogue.model_validate(row)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise UserError(
                f"{path}, line {number}: not a dialogue ({where}: {first['msg']})"
            ) from error


def write_dialogues(path: Path, dialogues: Iterable[Dialogue]) -> int:
    """Write dialogues as JSONL, atomically; returns how many there were."""
    return write_jsonl(path, (dialogue.model_dump(exclude_none=True) for dialogue in dialogues))
