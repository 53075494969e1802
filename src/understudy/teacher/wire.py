"""What travels to a teacher and back: OpenAI's chat-completions format, read with suspicion.

Everything that comes back is bounded and checked; text of it that is shown to the user is one
line, short, and without the key.
"""

import email.utils
import json
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from understudy.errors import UserError
from understudy.files import digest
from understudy.recipe import Prices

MOST_BYTES = 32 * 2**20  # of an answer's body
SHOWN = 200  # characters of the server's text in a message
SECRET = 8  # a key shorter than this is no secret ("EMPTY", "x") and is not looked for
HIDDEN = "[key]"
WORTH_ANOTHER_TRY = (408, 409, 425, 429)


@dataclass(frozen=True)
class Endpoint:
    """A teacher that can be asked.

    `identity` stands for the teacher in ledger keys: its address, or the digest of a world.
    """

    base_url: str
    model: str
    identity: str
    key: str | None = field(repr=False)
    key_env: str | None
    prices: Prices | None
    concurrency: int
    timeout_s: float
    retries: int

    def usd(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """The price of a call; None where no price is known."""
        if self.prices is None:
            return None
        return (
            prompt_tokens * self.prices.input + completion_tokens * self.prices.output
        ) / 1_000_000


@dataclass(frozen=True)
class Request:
    """One chat completion asked for; `sample` counts equal requests that want another answer."""

    messages: list[dict[str, str]]
    temperature: float
    max_tokens: int
    seed: int
    sample: int = 0
    top_logprobs: int | None = None
    stop: tuple[str, ...] = ()

    def body(self, model: str) -> dict[str, Any]:
        """The JSON body. Seed and sample make its seed, so that samples differ in the body."""
        body = {
            "model": model,
            "messages": self.messages,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "seed": int(digest([self.seed, self.sample])[:8], 16) // 2,  # 31 bits
        }
        if self.top_logprobs is not None:
            body |= {"logprobs": True, "top_logprobs": self.top_logprobs}
        if self.stop:
            body["stop"] = list(self.stop)
        return body


@dataclass(frozen=True)
class Failure:
    """No answer, and why.

    A later start asks again, except after `content_filter`: that answer was paid for and is in the
    ledger, and an equal request would meet the same filter.
    """

    reason: str
    detail: str


@dataclass(frozen=True)
class Again:
    """A failure that another try may mend, after `after_s` seconds if the server says so."""

    failure: Failure
    after_s: float | None = None


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = Field(None, max_length=64)
    logprobs: Any = None


class Completion(BaseModel):
    """As much of a chat completion as is needed; `choices` holds at least one."""

    choices: list[_Choice] = Field(min_length=1)
    usage: Any = None

    @property
    def text(self) -> str:
        return self.choices[0].message.content or ""

    @property
    def finish_reason(self) -> str:
        return self.choices[0].finish_reason or "unknown"

    @property
    def logprobs(self) -> list[dict[str, Any]] | None:
        """The API's logprobs.content; None where there is none."""
        found = self.choices[0].logprobs
        content = found.get("content") if isinstance(found, dict) else None
        return content if isinstance(content, list) else None

    def count(self, name: str) -> int | None:
        """A number of tokens from the usage; None where it is missing or no count."""
        value = self.usage.get(name) if isinstance(self.usage, dict) else None
        return value if isinstance(value, int) and 0 <= value < 2**53 else None


def parse(body: bytes) -> Completion | Again:
    """Read the body of an answer with status 200."""
    try:
        return Completion.model_validate_json(body)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        return Again(Failure("broken", f"no chat completion: {where} {fault['msg']}".strip()))


def refusal(
    teacher: Endpoint, status: int, body: bytes, retry_after: str | None
) -> Again | Failure:
    """What an answer with a status other than 200 means.

    Raises:
        UserError: no request to this teacher can succeed until the user mends something.
    """
    said = f"HTTP {status}: {shown(teacher, body)}"
    if status == 401:
        raise UserError(f"{teacher.base_url}: {_mend_key(teacher)} (HTTP 401)")
    if status == 403:
        raise UserError(f"{teacher.base_url}: {_mend_key(teacher)} ({said})")
    if status == 404:
        raise UserError(
            f"{teacher.base_url}: no model {teacher.model!r} there ({said}); "
            "check teacher.model and teacher.base_url"
        )
    if 300 <= status < 400:
        raise UserError(
            f"{teacher.base_url}: answers with a redirect (HTTP {status}), which is not followed; "
            "name the address that it leads to as teacher.base_url"
        )
    if b"insufficient_quota" in body:
        raise UserError(f"{teacher.base_url}: the account has no credit left ({said})")
    if status == 429:
        return Again(Failure("rate_limited", said), seconds(retry_after))
    if status >= 500 or status in WORTH_ANOTHER_TRY:
        return Again(Failure("server", said), seconds(retry_after))
    return Failure("refused", said)


def _mend_key(teacher: Endpoint) -> str:
    if teacher.key_env is None:
        return (
            "wants a key, and api_key_env is not set; name the environment variable that holds it"
        )
    return f"refuses the key in {teacher.key_env}; check that variable"


def seconds(retry_after: str | None, now: datetime | None = None) -> float | None:
    """A Retry-After header in seconds from now: a number or an HTTP date (RFC 9110, 10.2.3)."""
    if not retry_after:
        return None
    try:
        value = float(retry_after)
    except ValueError:
        try:
            when = email.utils.parsedate_to_datetime(retry_after)
        except (ValueError, OverflowError):
            return None
        value = (when.replace(tzinfo=UTC) - (now or datetime.now(UTC))).total_seconds()
    return max(value, 0.0) if math.isfinite(value) else None


def without_key(teacher: Endpoint, body: bytes) -> bytes:
    """The server's bytes with the key struck out, should they repeat it."""
    key = teacher.key or ""
    return body.replace(key.encode(), HIDDEN.encode()) if len(key) >= SECRET else body


def shown(teacher: Endpoint, body: bytes) -> str:
    """The server's message as one short line without control characters."""
    text = _message(body)
    if teacher.key and len(teacher.key) >= SECRET:
        text = text.replace(teacher.key, HIDDEN)
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line[:SHOWN] + "…" if len(line) > SHOWN else line


def _message(body: bytes) -> str:
    """The message inside an error's body, in OpenAI's shape or a common variant, or the body."""
    text = body[:100_000].decode("utf-8", "replace")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(found, dict) and "error" in found:
        found = found["error"]
    if isinstance(found, dict):
        found = found.get("message", found.get("detail", text))
    return found if isinstance(found, str) else text
