"""Preferences between two answers: the one record that judges and panels leave, and its file.

What can be said of many of them is computed here too, the same for an LLM and for people:
`win_rate`, `bradley_terry`, `agreement`, `length`, `control`, `bias` and `scores`.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from understudy.files import read_jsonl, validated, write_jsonl

FILE = "preferences.jsonl"
Score = Annotated[float, Field(ge=0, le=10)]


class Shown(BaseModel):
    """One of the two answers, as it was shown."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    text: str


class Preference(BaseModel):
    """What one rater said of one pair of answers, once.

    Attributes:
        item: the prompt's id.
        first, second: the answers in the order in which they were shown.
        share: how far the second is preferred, from 0 (the first) to 1; 0.5 is a tie. None where
            the rater could not judge, or its reply could not be read.
        rater: a judge's name or a person's.
        protocol: how was judged: hurried, checking, style or scores.
        scores: of the first and the second, 0 to 10, by a judge that scores; else None.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    item: str
    first: Shown
    second: Shown
    share: float | None = Field(ge=0, le=1)
    rater: str
    protocol: str
    scores: tuple[Score, Score] | None = None

    @property
    def models(self) -> tuple[str, str]:
        """In the order shown."""
        return self.first.model, self.second.model

    def share_of(self, model: str) -> float | None:
        """How far one of the two models is preferred, 0 to 1, wherever it stood.

        Raises:
            KeyError: it is neither of the two.
        """
        if model not in self.models:
            raise KeyError(model)
        if self.share is None:
            return None
        return self.share if model == self.second.model else 1 - self.share

    def score_of(self, model: str) -> float | None:
        """The score of one of the two models' answers; None where there are no scores."""
        return self.scores and self.scores[model == self.second.model]

    def text_of(self, model: str) -> str:
        """The answer of one of the two models."""
        return (self.second if model == self.second.model else self.first).text


def write_preferences(path: Path, preferences: Iterable[Preference]) -> int:
    """Write them as JSONL, atomically; returns how many. Only rows that have scores name them."""
    return write_jsonl(path, (one.model_dump(exclude_defaults=True) for one in preferences))


def read_preferences(path: Path) -> Iterator[Preference]:
    """Yield the preferences of a file.

    Raises:
        UserError: the file is missing, or a line is no preference; names both.
    """
    for line, row in read_jsonl(path):
        yield validated(Preference, row, f"{path}, line {line}")
