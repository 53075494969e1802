"""Prompt sets, reference answers and models' answers as they are published, read as they are.

A file is JSONL or one JSON list, packed or not; what its rows are is known by their keys:

| rows | keys |
|---|---|
| ours: answers | `id`, `messages`, `answers`; a `reference` or not |
| ours, Koala: prompts | `prompt` or `messages`; `id`, `reference` or not |
| Vicuna: questions, answers | `question_id`, `text`; answers have an `answer_id` or `model_id` |
| MT-bench: questions | `question_id`, `turns` |
| MT-bench: answers, reference answers | `question_id`, `choices` |
| Self-Instruct: tasks, with references | `id`, `instruction`, `instances` (`input`, `output`) |
| Self-Instruct: predictions | `instruction`, `input`, `response` |
| AlpacaEval: prompts, model outputs | `instruction`; outputs have an `output` and a `generator` |
"""

import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import BaseModel, BeforeValidator, Field

from understudy.dialogue import Turn
from understudy.errors import UserError
from understudy.files import open_text, read_json, read_jsonl, validated, whole_characters

Id = Annotated[str, BeforeValidator(lambda id: str(id) if type(id) is int else id)]
ANSWERS = "answers.jsonl"  # in the folder of a model's answers


class Row(NamedTuple):
    """What one row of a file says; None where it does not.

    Attributes:
        id: of the prompt.
        prompt: what was asked, as one text.
        answer: a model's.
        reference: a right answer.
        model: whose answer it is.
        turns: how many turns of the prompt are answered, or to be answered, one after another.
    """

    id: str | None
    prompt: str | None
    answer: str | None = None
    reference: str | None = None
    model: str | None = None
    turns: int = 1


def read_rows(path: Path) -> list[Row]:
    """The rows of a prompt set, of reference answers or of a model's answers (see the module).

    Args:
        path: the file, or a folder with an answers.jsonl.

    Raises:
        UserError: the file is missing, broken or empty, or a row is of no known form.
    """
    path = path / ANSWERS if path.is_dir() else path
    rows = [row for place, value in _values(path) for row in _form(place, value).rows()]
    if not rows:
        raise UserError(f"{path}: holds no rows; name a file of prompts or answers")
    return rows


def read_models(given: Sequence[str]) -> dict[str, list[Row]]:
    """The rows of several models' answers, by the models' names.

    Args:
        given: files or folders, or NAME=PATH. Without a name a model is called as its rows call
            it, or else as its file or folder is, without what formats add to that.

    Raises:
        UserError: see `read_rows`; a file has no answers, or two models have one name.
    """
    models: dict[str, list[Row]] = {}
    for text in given:
        name, named, rest = text.partition("=")
        if not named or Path(text).exists():
            name, rest = "", text
        rows = read_rows(Path(rest))
        if all(row.answer is None for row in rows):
            raise UserError(f"{rest}: holds no answers; prompt sets are named with --prompts")
        called = {row.model for row in rows}
        name = name or (called.pop() if len(called) == 1 else None) or _name_of(Path(rest))
        if name in models:
            raise UserError(f"{rest}: there is a model called {name} already; write NAME={rest}")
        models[name] = rows
    return models


def _name_of(path: Path) -> str:
    """student for runs/desk/answers/student, gpt4 for gpt4.model_outputs.json.gz."""
    path = path.resolve()
    if path.name == ANSWERS:
        return path.parent.name
    name = re.sub(r"(\.gz|\.json|\.jsonl|\.model_outputs|_predictions)+$", "", path.name)
    return name.removeprefix("answer_")


def _values(path: Path) -> Iterator[tuple[str, Any]]:
    """The rows as JSON, each with its place for messages to the user."""
    with open_text(path) as file:
        is_list = next((line for line in file if line.strip()), "").lstrip().startswith("[")
    if not is_list:
        yield from ((f"{path}, line {number}", value) for number, value in read_jsonl(path))
        return
    for number, value in enumerate(read_json(path), start=1):
        yield f"{path}, row {number}", whole_characters(value)


def _form(place: str, value: Any) -> "_Form":
    keys = set(value) if isinstance(value, dict) else set()
    for form in _FORMS:
        if any(needed <= keys for needed in form.known_by):
            return validated(form, value, place)
    known = ", ".join(sorted(keys)[:10]) or "no keys"
    raise UserError(f"{place}: of no known form ({known}); docs/judge.md lists those that are")


class _Form(BaseModel):
    """A row of one format; `known_by` are the sets of keys of which it has one."""

    known_by: ClassVar[Sequence[set[str]]]

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """What it says: one row, or one for each of its parts."""


class _Text(BaseModel):
    text: str


class _Answers(_Form):
    known_by = [{"id", "messages", "answers"}]
    id: Id
    messages: list[Turn]
    answers: list[_Text]
    reference: str | None = None

    def rows(self) -> Iterator[Row]:
        answer = self.answers[0].text if self.answers else None
        yield Row(self.id, _dialogue(self.messages), answer, self.reference)


class _Prompt(_Form):
    known_by = [{"prompt"}, {"messages"}]
    id: Id | None = None
    prompt: str | None = None
    messages: list[Turn] = []
    reference: str | None = None

    def rows(self) -> Iterator[Row]:
        asked = _dialogue(self.messages) if self.prompt is None else self.prompt
        yield Row(self.id, asked, reference=self.reference)


class _VicunaAnswer(_Form):
    known_by = [{"question_id", "text", "answer_id"}, {"question_id", "text", "model_id"}]
    question_id: Id
    text: str
    model_id: str | None = None

    def rows(self) -> Iterator[Row]:
        yield Row(self.question_id, None, self.text, model=self.model_id)


class _VicunaQuestion(_Form):
    known_by = [{"question_id", "text"}]
    question_id: Id
    text: str

    def rows(self) -> Iterator[Row]:
        yield Row(self.question_id, self.text)


class _BenchQuestion(_Form):
    known_by = [{"question_id", "turns"}]
    question_id: Id
    turns: list[str] = Field(min_length=1)

    def rows(self) -> Iterator[Row]:
        yield Row(self.question_id, _turns(self.turns), turns=len(self.turns))


class _Choice(BaseModel):
    turns: list[str] = Field(min_length=1)


class _BenchAnswer(_Form):
    known_by = [{"question_id", "choices"}]
    question_id: Id
    choices: list[_Choice] = Field(min_length=1)
    model_id: str | None = None

    def rows(self) -> Iterator[Row]:
        turns = self.choices[0].turns
        yield Row(self.question_id, None, _turns(turns), model=self.model_id, turns=len(turns))


class _Instance(BaseModel):
    input: str = ""
    output: str | None = None


class _Task(_Form):
    known_by = [{"instruction", "instances"}]
    id: Id | None = None
    instruction: str
    instances: list[_Instance]

    def rows(self) -> Iterator[Row]:
        for number, one in enumerate(self.instances, start=1):
            id = f"{self.id}/{number}" if self.id and len(self.instances) > 1 else self.id
            yield Row(id, _with_input(self.instruction, one.input), reference=one.output)


class _Prediction(_Form):
    known_by = [{"instruction", "response"}]
    instruction: str
    input: str | None = None
    response: str

    def rows(self) -> Iterator[Row]:
        yield Row(None, _with_input(self.instruction, self.input), self.response)


class _Output(_Form):
    known_by = [{"instruction"}]
    instruction: str
    input: str | None = None
    output: str | None = None
    generator: str | None = None

    def rows(self) -> Iterator[Row]:
        asked = _with_input(self.instruction, self.input)
        yield Row(None, asked, self.output, model=self.generator)


_FORMS: list[type[_Form]] = [
    _Answers,
    _BenchAnswer,
    _BenchQuestion,
    _VicunaAnswer,
    _VicunaQuestion,
    _Task,
    _Prediction,
    _Output,
    _Prompt,
]


def _dialogue(messages: list[Turn]) -> str:
    """Chat messages as one text; a single one of the user's is that text itself."""
    if [turn.role for turn in messages] == ["user"]:
        return messages[0].content
    return "\n\n".join(f"[{turn.role}]\n{turn.content}" for turn in messages)


def _turns(texts: list[str]) -> str:
    """The turns of one side as one text; a single one is that text itself."""
    if len(texts) == 1:
        return texts[0]
    return "\n\n".join(f"[turn {number}]\n{text}" for number, text in enumerate(texts, start=1))


def _with_input(instruction: str, given: str | None) -> str:
    return "\n\n".join(part for part in (instruction.strip(), (given or "").strip()) if part)
