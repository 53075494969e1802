"""What the panel keeps: pairs to rate, raters, and what they said."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Protocol = Literal["hurried", "checking"]
Kind = Literal["pair", "gold", "attention"]
Choice = Literal["left_much", "left", "same", "right", "right_much", "cannot"]
Mark = Literal["right", "wrong", "unsure"]

CHOICES: dict[Choice, float | None] = {
    "left_much": 0.0,
    "left": 0.25,
    "same": 0.5,
    "right": 0.75,
    "right_much": 1.0,
    "cannot": None,
}
"""How far the right answer is preferred, 0 to 1."""


class Pair(BaseModel):
    """Two models' answers to one prompt.

    Attributes:
        item: the prompt's id; with both models' names it is the pair's own.
        messages: the prompt's turns, {"role", "content"} each.
        reference: what a checking rater may look facts up in; None where there is nothing.
        kind: gold pairs and attention checks have a known better side and count for raters'
            quality alone.
        better: the model that is better, of gold pairs and attention checks.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    item: str
    messages: tuple[dict[str, str], ...]
    reference: str | None = None
    models: tuple[str, str]
    texts: tuple[str, str]
    kind: Kind = "pair"
    better: str | None = None


class Claim(BaseModel):
    """A checking rater's mark on one sentence of an answer; `sentence` counts from 0."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    side: Literal["left", "right"]
    sentence: int = Field(ge=0, lt=1000)
    mark: Mark


class Rating(BaseModel):
    """What a rater says of a pair.

    Attributes:
        active_ms: how long the page was in front, as the browser says; the store adds its own
            clock's time since the pair was first shown.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    choice: Choice
    claims: tuple[Claim, ...] = Field((), max_length=400)
    comment: str = Field("", max_length=2000)
    active_ms: int = Field(0, ge=0, le=86_400_000)


@dataclass(frozen=True)
class Rater:
    """Somebody who was invited. `place` of `total` pairs are rated; total is 0 before the start."""

    id: int
    name: str
    protocol: Protocol
    revoked: bool
    rated: int
    total: int


@dataclass(frozen=True)
class Task:
    """A pair as one rater sees it: sides drawn, models hidden.

    Attributes:
        id: unguessable, of this rater and pair alone.
        position: from 1, of `total`.
        left, right: the answers' texts.
        reference: None for a hurried rater.
        rating: what this rater has said already, None if nothing.
    """

    id: str
    position: int
    total: int
    messages: tuple[dict[str, str], ...]
    left: str
    right: str
    reference: str | None
    rating: Rating | None
