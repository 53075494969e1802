"""What answers benchmarks and prompts: a local model, or a teacher over its API.

The two are asked differently, as the field does: a text model, base and student alike, continues
the benchmark's raw text; a teacher, which can only be talked to, is asked in words. Which it was is
recorded beside every score.

What is asked of an engine comes back as (index of the item, answer), in the order in which it is
finished, so that whoever asks can keep each answer at once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from understudy.evaluate.benchmarks.kinds import (
    Benchmark,
    ChoiceItem,
    CodeItem,
    PerplexityItem,
    ShortItem,
)
from understudy.prompts import Prompt
from understudy.teacher.client import Cost

UNREAD = "an API does not tell how likely a given text is"


@dataclass(frozen=True)
class Sampling:
    """How text is drawn. Temperature 0 takes the likeliest token; the seed is the run's."""

    samples: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    seed: int = 0


@dataclass(frozen=True)
class Reply:
    """Generated text without the text that stopped it; finish_reason as the API has it."""

    text: str
    finish_reason: str


@dataclass(frozen=True)
class Pick:
    """What an engine makes of a question with options.

    Attributes:
        log_likelihoods: nats of each option's continuation, from a text model.
        option: the one that was named, from a teacher; None where none could be made out.
        reply: the teacher's words; None from a text model, and where the filter withheld them.
        seconds: that it took; a share of its batch's.
    """

    log_likelihoods: tuple[float, ...] | None = None
    option: int | None = None
    reply: str | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Words:
    """Generated answers to one item, one a sample.

    Attributes:
        texts: without the text that stopped them; None where the provider's filter withheld one.
        seconds: that they took, from the item's turn to its end.
    """

    texts: tuple[str | None, ...]
    seconds: float | None = None


@dataclass(frozen=True)
class Program:
    """A program without its test; `corrected` where the harness's reading of it is at fault."""

    reply: str
    source: str
    corrected: str | None = None


@dataclass(frozen=True)
class Programs:
    """The programs for one item, one a sample; None where the filter withheld one."""

    programs: tuple[Program | None, ...]
    seconds: float | None = None


@dataclass(frozen=True)
class Losses:
    """How unlikely a given answer is to a text model, in nats a token, its end token aside.

    Attributes:
        tokens: of the answer, as far as the model's context has room for them.
        text: behind the task as raw text.
        chat: behind the task in the model's chat form.
        alone: of all tokens but the first, behind the first; None for an answer of one token.
        cut: whether the answer has more tokens.
        seconds: that it took; a share of its batches'.
    """

    tokens: int
    text: float
    chat: float
    alone: float | None = None
    cut: bool = False
    seconds: float | None = None


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

    def choose(
        self, benchmark: Benchmark, items: Sequence[ChoiceItem]
    ) -> Iterator[tuple[int, Pick]]:
        """Weigh or pick the options of each item."""
        ...

    def answer_shortly(
        self, benchmark: Benchmark, items: Sequence[ShortItem]
    ) -> Iterator[tuple[int, Words]]:
        """One short answer an item."""
        ...

    def write_programs(
        self, benchmark: Benchmark, items: Sequence[CodeItem], how: Sampling
    ) -> Iterator[tuple[int, Programs]]:
        """`how.samples` programs an item."""
        ...

    def read_answers(
        self, benchmark: Benchmark, items: Sequence[PerplexityItem]
    ) -> Iterator[tuple[int, Losses]]:
        """Weigh the right answer of each item.

        Raises:
            UserError: the model is reached over an API.
        """
        ...

    def go_on(self, texts: Sequence[str], how: Sampling) -> Iterator[tuple[int, Words]]:
        """`how.samples` continuations a text, to their `how.max_tokens`."""
        ...

    def reply(self, prompts: Sequence[Prompt], how: Sampling) -> list[list[Reply]]:
        """Free answers, `how.samples` a prompt."""
        ...
