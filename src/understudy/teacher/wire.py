"""What travels to a teacher and back: OpenAI's formats of completions, read with suspicion.

Everything that comes back is bounded and checked; text of it that is shown to the user is one
line, short, and without the key.
"""

import email.utils
import functools
import json
import math
import re
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from understudy.errors import UserError
from understudy.files import canonical_json, digest
from understudy.recipe import Prices

MOST_BYTES = 32 * 2**20  # of an answer's body
SHOWN = 200  # characters of the server's text in a message
SECRET = 8  # a key shorter than this is no secret ("EMPTY", "x") and is not looked for
HIDDEN = "[key]"
WORTH_ANOTHER_TRY = (408, 409, 425, 429)
LOOPBACK = ("127.0.0.1", "localhost", "::1")
ROUTES = {"chat": "/chat/completions", "completions": "/completions"}


@dataclass(frozen=True)
class Endpoint:
    """A way to a teacher: an address, up to its /v1, and a key."""

    base_url: str
    key: str | None = field(default=None, repr=False)
    key_env: str | None = None


@dataclass(frozen=True)
class Teacher:
    """A teacher that can be asked.

    Attributes:
        identity: stands for the teacher in ledger keys: its first address, or a world's digest.
        api: `completions` is the older interface, which base models have: text in, text out.
        endpoints: the ways to it, used side by side; one at least.
        prices: None where they are not known.
        concurrency: calls at once at one endpoint, at most.
        timeout_s: of one call as a whole.
        retries: of one call, after the first try.
    """

    model: str
    identity: str
    endpoints: tuple[Endpoint, ...]
    api: Literal["chat", "completions"] = "chat"
    prices: Prices | None = None
    concurrency: int = 64
    timeout_s: float = 60.0
    retries: int = 6

    @property
    def base_url(self) -> str:
        """The first address, which names the teacher in messages."""
        return self.endpoints[0].base_url

    @property
    def route(self) -> str:
        """Where its calls go, after the address."""
        return ROUTES[self.api]

    def usd(self, prompt_tokens: int, completion_tokens: int, batch: bool = False) -> float | None:
        """The price of a call; None where no price is known."""
        if self.prices is None:
            return None
        asked = prompt_tokens * self.prices.input + completion_tokens * self.prices.output
        return asked * (self.prices.batch if batch else 1.0) / 1_000_000


@dataclass(frozen=True)
class Request:
    """One completion asked for; `sample` counts equal requests that want another answer."""

    messages: list[dict[str, str]]
    temperature: float
    max_tokens: int
    seed: int
    sample: int = 0
    top_logprobs: int | None = None
    stop: tuple[str, ...] = ()
    top_p: float = 1.0

    def body(self, teacher: Teacher) -> str:
        """The JSON body, in canonical form. Seed and sample make its seed, so samples differ.

        Raises:
            UserError: the teacher takes plain text and the messages are a dialogue.
        """
        body: dict[str, Any] = {
            "model": teacher.model,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "seed": _seed(self.seed, self.sample),
        }
        if teacher.api == "chat":
            body["messages"] = self.messages
        else:
            body["prompt"] = self._text(teacher)
        if self.top_logprobs is not None:
            top = self.top_logprobs
            chat = {"logprobs": True, "top_logprobs": top}
            body |= chat if teacher.api == "chat" else {"logprobs": top}
        if self.stop:
            body["stop"] = list(self.stop)
        if self.top_p != 1.0:
            body["top_p"] = self.top_p
        return canonical_json(body)

    def _text(self, teacher: Teacher) -> str:
        if any(message["role"] == "assistant" for message in self.messages):
            raise UserError(
                f"teacher.api: {teacher.model} is asked through completions, which take one text; "
                "ask prompts of one turn, or use api: chat"
            )
        return "\n\n".join(message["content"] for message in self.messages)


@functools.lru_cache(maxsize=4096)
def _seed(seed: int, sample: int) -> int:
    return int(digest([seed, sample])[:8], 16) // 2  # 31 bits


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
    """A failure that another try may mend.

    Attributes:
        after_s: seconds to wait, if the server says so.
        slower: whether it asks for fewer calls: too many at once, or too much to do.
        billed: whether the provider may have written an answer, and charge for it.
    """

    failure: Failure
    after_s: float | None = None
    slower: bool = False
    billed: bool = False


def failure_of(outcome: Again | Failure) -> Failure:
    """What is left of an outcome that is not tried again."""
    return outcome.failure if isinstance(outcome, Again) else outcome


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    """A choice of either interface: chat has a message, completions a text."""

    message: _Message | None = None
    text: str | None = None
    finish_reason: str | None = Field(None, max_length=64)
    logprobs: Any = None


class Completion(BaseModel):
    """As much of an answer's body as is needed; `choices` holds at least one."""

    choices: list[_Choice] = Field(min_length=1)
    usage: Any = None

    @property
    def text(self) -> str:
        choice = self.choices[0]
        return (choice.message.content if choice.message else choice.text) or ""

    @property
    def finish_reason(self) -> str:
        return self.choices[0].finish_reason or "unknown"

    @property
    def logprobs(self) -> list[dict[str, Any]] | None:
        """The chat API's logprobs.content, also of an answer to completions; None without any."""
        found = self.choices[0].logprobs
        if not isinstance(found, dict):
            return None
        if "tokens" in found:
            return _as_content(found)
        content = found.get("content")
        return content if isinstance(content, list) else None

    def count(self, name: str) -> int | None:
        """A number of tokens from the usage; None where it is missing or no count."""
        value = self.usage.get(name) if isinstance(self.usage, dict) else None
        return value if isinstance(value, int) and 0 <= value < 2**53 else None


def _as_content(found: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The log-probabilities of completions in the form that chat gives them."""
    columns = [found.get(name) for name in ("tokens", "token_logprobs", "top_logprobs")]
    tokens, chosen, top = (column if isinstance(column, list) else [] for column in columns)
    if len(tokens) != len(chosen):
        return None
    rows = []
    for place, (token, logprob) in enumerate(zip(tokens, chosen, strict=True)):
        others = top[place] if place < len(top) and isinstance(top[place], dict) else {}
        likely = [{"token": name, "logprob": value} for name, value in others.items()]
        rows.append({"token": token, "logprob": logprob, "top_logprobs": likely})
    return rows


def parse(body: bytes) -> Completion | Again:
    """Read the body of an answer with status 200."""
    try:
        completion = Completion.model_validate_json(body)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        if (where, fault["type"]) == ("choices", "too_short"):
            return Again(Failure("empty", "the answer holds no choice"), billed=True)
        what = f"no completion: {where} {fault['msg']}".strip()
        return Again(Failure("broken", what), billed=True)
    choice = completion.choices[0]
    if choice.message is None and choice.text is None:
        return Again(Failure("broken", "no completion: neither message nor text"), billed=True)
    return completion


def refusal(
    teacher: Teacher, endpoint: Endpoint, status: int, body: bytes, headers: Mapping[str, str]
) -> Again | Failure:
    """What an answer with a status other than 200 means.

    Raises:
        UserError: no request to this teacher can succeed until the user mends something.
    """
    place, said = endpoint.base_url, f"HTTP {status}: {shown(endpoint, body)}"
    if status == 401:
        raise UserError(f"{place}: {_mend_key(endpoint)} (HTTP 401)")
    if status == 403:
        raise UserError(f"{place}: {_mend_key(endpoint)} ({said})")
    if status == 404:
        raise UserError(
            f"{place}: no model {teacher.model!r} there ({said}); "
            "check teacher.model and teacher.base_url"
        )
    if 300 <= status < 400:
        raise UserError(
            f"{place}: answers with a redirect (HTTP {status}), which is not followed; "
            "name the address that it leads to as teacher.base_url"
        )
    if status == 402 or b"insufficient_quota" in body:
        raise UserError(f"{place}: the account has no credit left ({said})")
    after_s = seconds(headers.get("Retry-After"))
    if status == 429:
        return Again(Failure("rate_limited", said), after_s, slower=True)
    if status >= 500 or status in WORTH_ANOTHER_TRY:
        return Again(Failure("server", said), after_s, slower=status == 503)
    return Failure("refused", said)


def _mend_key(endpoint: Endpoint) -> str:
    if endpoint.key_env is None:
        return (
            "wants a key, and api_key_env is not set; name the environment variable that holds it"
        )
    return f"refuses the key in {endpoint.key_env}; check that variable"


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


_PART = re.compile(r"([0-9.]+)(ms|s|m|h|d)")
_PART_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def reset_s(text: str | None) -> float | None:
    """An x-ratelimit-reset header in seconds from now: "1m30.5s", "20ms", or a bare number."""
    if not text or len(text) > 40:
        return None
    parts = _PART.findall(text)
    try:
        if "".join(number + unit for number, unit in parts) == text:
            return sum(float(number) * _PART_S[unit] for number, unit in parts)
    except ValueError:
        return None
    return seconds(text)


def proxy_for(address: str) -> str | None:
    """The proxy that the environment names for an address."""
    url = urllib.parse.urlsplit(address)
    if url.hostname in LOOPBACK or urllib.request.proxy_bypass(url.hostname or ""):
        return None
    return urllib.request.getproxies().get(url.scheme)


def without_key(endpoint: Endpoint, body: bytes) -> bytes:
    """The server's bytes with the key struck out, should they repeat it, also escaped for JSON."""
    key = endpoint.key or ""
    if len(key) < SECRET:
        return body
    escaped = json.dumps(key)[1:-1]
    for form in (key, escaped, escaped.replace("/", "\\/")):
        body = body.replace(form.encode(), HIDDEN.encode())
    return body


def shown(endpoint: Endpoint, body: bytes) -> str:
    """The server's message as one short line without control characters."""
    text = _message(body)
    if endpoint.key and len(endpoint.key) >= SECRET:
        text = text.replace(endpoint.key, HIDDEN)
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
