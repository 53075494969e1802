"""The forms that browsers send, read strictly."""

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from understudy.pages.tidy import UNSHOWABLE
from understudy.panel.records import Choice, Claim, Mark, Protocol, Rating

DAY_MS = 86_400_000


def _clean(text: object) -> object:
    """Text as it was typed, without a browser's line ends and what cannot be shown."""
    if not isinstance(text, str):
        return text
    return UNSHOWABLE.sub("", re.sub("\r\n?", "\n", text)).strip()


Text = Annotated[str, BeforeValidator(_clean)]
Token = Annotated[str, Field(max_length=200)]
MarkField = Annotated[str, StringConstraints(pattern=r"^(left|right)\.(0|[1-9][0-9]{0,2})$")]


class Form(BaseModel):
    """What every form holds."""

    model_config = ConfigDict(extra="forbid")

    csrf: Token


class Rate(Form):
    """A rating; a mark has a field of its own, as left.3=wrong for the left answer's sentence 3."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[MarkField, Mark]

    choice: Choice
    comment: Annotated[Text, Field(max_length=2000)] = ""
    active_ms: Annotated[int, Field(ge=0)] = 0

    def rating(self, protocol: Protocol) -> Rating:
        """As the panel keeps it; of a hurried rater without marks."""
        given = self.__pydantic_extra__ if protocol == "checking" else {}
        return Rating(
            choice=self.choice,
            claims=tuple(_claim(name, mark) for name, mark in given.items()),
            comment=self.comment,
            active_ms=min(self.active_ms, DAY_MS),
        )


def _claim(name: str, mark: Mark) -> Claim:
    side, _, sentence = name.partition(".")
    return Claim.model_validate({"side": side, "sentence": int(sentence), "mark": mark})


class Login(Form):
    password: Annotated[str, Field(min_length=1, max_length=1000)]


class Invite(Form):
    name: Annotated[Text, Field(min_length=1, max_length=100)]
    protocol: Protocol
