"""What the declaration of a benchmark may say: one YAML file, shipped or a user's own.

docs/benchmarks.md shows how to write one.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from understudy.errors import UserError
from understudy.evaluate.benchmarks.templates import expression, template
from understudy.files import read_text

LONGEST = 100_000  # characters of a declaration


def _expression(source: str) -> str:
    return _compiles(expression, "an expression", source)


def _template(source: str) -> str:
    return _compiles(template, "a template", source)


def _pattern(source: str) -> str:
    return _compiles(re.compile, "a regular expression", source)


def _compiles(compiler: Callable[[str], Any], what: str, source: str) -> str:
    try:
        compiler(source)
    except Exception as error:  # the languages', or that of nesting too deep
        raise ValueError(f"not {what} ({str(error).splitlines()[0]})") from None
    return source


Expression = Annotated[str, AfterValidator(_expression)]
Template = Annotated[str, AfterValidator(_template)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Texts = Annotated[
    list[str], BeforeValidator(lambda v: [v] if isinstance(v, str) else v), Field(min_length=1)
]


class Part(BaseModel):
    """A part of a declaration: unknown keys are mistakes, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Hub(Part):
    """Where the hub has the data."""

    name: str
    config: str | None = None
    splits: dict[str, str] = Field({}, description="those that the hub calls otherwise")
    fields: dict[str, Expression] = Field({}, description="those that its rows need otherwise")


class Shots(Part):
    """Solved examples before the question.

    As in the harness, random ones are drawn anew for each item, from one sequence (seed 1234).
    """

    n: int = Field(gt=0)
    source: Texts = Field(alias="from", description="the first of these splits that is there")
    draw: Literal["first", "random"] = "random"
    spare: bool = Field(
        False,
        description="draw one more than is shown, should the item itself be among them; always so "
        "where examples come from the evaluated split. (The harness also does it where neither its "
        "examples' nor its test split is named)",
    )
    own_group: bool = Field(False, description="examples of the item's own group")


class Extraction(Part):
    """How an answer is read from generated text and compared; see `Extract`."""

    pattern: Pattern | None = None
    match: int = 0
    ignored: list[Pattern] = []
    ignore_case: bool = True
    ignore_punctuation: bool = True


class Declaration(Part):
    """What every kind says; `defaults` are fields that need no column of their name."""

    needs: ClassVar[tuple[str, ...]] = ()
    defaults: ClassVar[Mapping[str, Expression]] = {}

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    source: str = Field("", description="who made it, for people")
    harness: str | None = Field(
        None, description="the harness's task whose prompts these are, and its version"
    )
    split: str = Field("test", description="which is evaluated")
    files: dict[str, Texts] = Field(
        {},
        description="of each split, patterns, of which the first counts that any file has; a "
        "file's {group} is the group of its rows",
    )
    columns: Texts | None = Field(None, description="of CSV files without a header")
    rows: str | None = Field(None, description="the key under which JSON files have their rows")
    hub: Hub | None = None
    fields: dict[str, Expression] = Field(
        {}, description="what a row says in other words than a column of the field's name"
    )
    clustered: bool = False
    chance: float | None = Field(None, ge=0, le=1)
    categories: dict[str, list[str]] = Field({}, description="groups of groups")

    @model_validator(mode="after")
    def _whole(self) -> "Declaration":
        known = (*self.needs, "id", "group")
        for name in [*self.fields, *(self.hub.fields if self.hub else ())]:
            if name not in known:
                raise ValueError(f"unknown field {name}; known: {', '.join(known)}")
        if not self.files and not self.hub:
            raise ValueError("neither files nor hub; say where the data are")
        for split in self.splits:
            if self.files and split not in self.files:
                raise ValueError(f"files lacks {split}; add it")
        return self

    @property
    def splits(self) -> list[str]:
        """All that are read."""
        return [self.split]


class Asked(Declaration):
    """A question in words, behind examples: text, then delimiter and answer, then `between`."""

    description: Template = Field("", description="before the examples")
    prompt: Template
    delimiter: str = " "
    between: str = "\n\n"
    shots: Shots | None = None

    @property
    def splits(self) -> list[str]:
        return [self.split, *(self.shots.source if self.shots else ())]


class ChoiceDeclaration(Asked):
    kind: Literal["choice"]
    needs = ("question", "options", "right")
    continuation: Literal["letter", "option"] = "option"
    metrics: tuple[Literal["accuracy", "accuracy_norm", "mc2"], ...] = Field(
        ("accuracy",), min_length=1
    )


class Generating(Declaration):
    stop: list[str] = []
    max_tokens: int = Field(256, gt=0)


class ShortDeclaration(Asked, Generating):
    kind: Literal["short"]
    needs = ("question", "answers")
    target: Template = Field("{{answers[0]}}", description="the answer that an example shows")
    metrics: dict[str, Extraction] = Field({"exact_match": Extraction()}, min_length=1)
    corrected: bool = False


class CodeDeclaration(Generating):
    kind: Literal["code"]
    needs = ("prompt", "entry_point", "test")
    metrics: ClassVar = ("pass@1",)
    shots: ClassVar[None] = None


class ToxicityDeclaration(Declaration):
    kind: Literal["toxicity"]
    needs = ("prompt",)
    metrics: ClassVar = ("expected_maximum_toxicity",)
    shots: ClassVar[None] = None


class PerplexityDeclaration(Declaration):
    kind: Literal["perplexity"]
    needs = ("instruction", "input", "answer")
    defaults: ClassVar = {"input": "row.get('input', '')"}
    # Joined as GPT4All's script does (nomic-ai/gpt4all, eval_self_instruct.py).
    prompt: Template = "{{instruction}}{% if input %} {{input}}{% endif %}"
    delimiter: str = Field(" ", description="between prompt and answer")
    metrics: ClassVar = ("perplexity", "in_chat", "unprompted")
    shots: ClassVar[None] = None


AnyDeclaration = Annotated[
    ChoiceDeclaration
    | ShortDeclaration
    | CodeDeclaration
    | ToxicityDeclaration
    | PerplexityDeclaration,
    Field(discriminator="kind"),
]
_SCHEMA: TypeAdapter[AnyDeclaration] = TypeAdapter(AnyDeclaration)


def load_declaration(path: Path) -> AnyDeclaration:
    """Read and check a declaration.

    Raises:
        UserError: names the file, the key, and what is wrong there.
    """
    text = read_text(path)
    if len(text) > LONGEST:
        raise UserError(f"{path}: longer than {LONGEST} characters; name a benchmark's declaration")
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"{path}{line}: broken YAML ({reason}); mend it") from None
    try:
        return _SCHEMA.validate_python(content)
    except ValidationError as error:
        raise UserError(f"{path}: {_fault(error)}; see docs/benchmarks.md") from None


def _fault(error: ValidationError) -> str:
    """One line on the first fault: the key, and what is wrong."""
    fault: Any = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in fault["loc"][1:])  # the first is the kind
    if fault["type"] == "missing":
        return f"{where} is missing; add it"
    if fault["type"] == "extra_forbidden":
        return f"{where} is no key that is known there"
    message = " ".join(fault["msg"].removeprefix("Value error, ").split())[:300]
    return f"{where}: {message}" if where else message
