"""What answers benchmarks and prompts: a local model, or a teacher over its API.

The two are asked differently, as the field does: a local model, base and student alike, continues
the benchmark's raw text; a teacher, which can only be talked to, is asked in words. Which it was is
recorded beside every score.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from understudy.evaluate.benchmarks.kinds import Benchmark, ChoiceItem, CodeItem, ShortItem
from understudy.prompts import Prompt
from understudy.teacher.client import Cost


@dataclass(frozen=True)
class Reply:
    """Generated text without the text that stopped it; finish_reason as the API has it."""

    text: str
    finish_reason: str


@dataclass(frozen=True)
class Pick:
    """The option chosen (None where none could be made out), and what that rests on."""

    option: int | None
    log_likelihoods: list[float] | None = None
    reply: str | None = None


@dataclass(frozen=True)
class Program:
    """A program without its test; `corrected` where the harness's reading of it is at fault."""

    reply: str
    source: str
    corrected: str | None = None


class Engine(Protocol):
    """What benchmarks are put to.

    Attributes:
        name: of the model, for people.
        prompting: "text" (raw prompts) or "chat" (asked in words).
        spent: what was spent since it was set to Cost(); None where nothing costs money.
    """

    name: str
    prompting: Literal["text", "chat"]
    spent: Cost | None

    @property
    def identity(self) -> str:
        """Stands for the model's content: equal identities give equal answers."""
        ...

    def choose(self, benchmark: Benchmark, items: Sequence[ChoiceItem]) -> list[Pick]:
        """Pick one option an item."""
        ...

    def answer_shortly(self, benchmark: Benchmark, items: Sequence[ShortItem]) -> list[str | None]:
        """A short answer an item; None where the provider's filter withheld it."""
        ...

    def write_programs(
        self, benchmark: Benchmark, items: Sequence[CodeItem], max_tokens: int
    ) -> list[Program | None]:
        """A program an item; None where the provider's filter withheld it."""
        ...

    def reply(
        self,
        prompts: Sequence[Prompt],
        samples: int,
        temperature: float,
        max_tokens: int,
        seed: int,
    ) -> list[list[Reply]]:
        """Free answers, `samples` a prompt."""
        ...
