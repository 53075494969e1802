"""OpenAI's formats of completions, as the world's models speak them: chat and the older one.

The older interface (POST /v1/completions) takes a text, which is answered as a chat's one message.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.types import Message as Received

from understudy.files import canonical_json, digest
from understudy.world.draws import draws_of, logprobs, split_tokens
from understudy.world.encyclopedia import World
from understudy.world.judging import JUDGES

MODEL = "world-teacher"
MODELS = (MODEL, *JUDGES)
NO_MODEL = f"The models here are {', '.join(MODELS)}."
MOST_ANSWERS = 16
FRAME_TOKENS = 4  # that a message counts beside its content, for role and borders


class ApiError(Exception):
    """A request that is refused, in OpenAI's shape."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


class Message(BaseModel):
    model_config = ConfigDict(strict=True)

    role: Literal["system", "user", "assistant"]
    content: str


class StreamOptions(BaseModel):
    model_config = ConfigDict(strict=True)

    include_usage: bool = False


_Stop = Annotated[str, Field(min_length=1, max_length=1000)]


class _Sampling(BaseModel):
    """The fields that are heeded; others, which OpenAI has as well, are passed over."""

    model_config = ConfigDict(strict=True)

    model: str
    temperature: float | None = Field(None, ge=0, le=2)
    n: int | None = Field(None, ge=1, le=MOST_ANSWERS)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: _Stop | Annotated[list[_Stop], Field(max_length=4)] | None = None
    max_tokens: int | None = Field(None, ge=1)
    stream: bool | None = None


class TextRequest(_Sampling):
    """A request of the older interface."""

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=1)]
    logprobs: int | None = Field(None, ge=0, le=5)


class ChatRequest(_Sampling):
    """A request of the chat interface."""

    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    stream_options: StreamOptions | None = None

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def chat(self) -> list[dict[str, str]]:
        return [{"role": m.role, "content": m.content} for m in self.messages]


@dataclass(frozen=True)
class Choice:
    """One answer, in tokens; `logprobs` has one entry a token, or is None if not asked for."""

    tokens: list[str]
    finish_reason: str
    logprobs: list[dict[str, Any]] | None


ModelT = TypeVar("ModelT", bound=BaseModel)


def read(model: type[ModelT], body: bytes) -> ModelT:
    """Read a JSON body; ApiError 400 names the first fault."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        param = ".".join(str(part) for part in fault["loc"])[:100] or None
        raise ApiError(400, f"{param or 'body'}: {fault['msg']}"[:300], param=param) from None


def bounded(request: Request, most_bytes: int) -> Request:
    """The request, reading whose body ends with ApiError 413 once it is longer than that."""
    received = 0

    async def receive() -> Received:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > most_bytes:
            raise ApiError(413, f"The body is longer than {most_bytes} bytes.", "too_large")
        return message

    return Request(request.scope, receive)


def _parse_chat(body: bytes) -> ChatRequest:
    request = read(ChatRequest, body)
    if request.top_logprobs is not None and not request.logprobs:
        raise ApiError(400, "top_logprobs: needs logprobs to be true", param="top_logprobs")
    return request


def _parse_text(body: bytes) -> ChatRequest:
    """The chat with one message that a request of the older interface stands for."""
    request = read(TextRequest, body)
    if request.stream:
        raise ApiError(400, "stream: only chat completions are streamed here", param="stream")
    prompt = request.prompt if isinstance(request.prompt, str) else request.prompt[0]
    return ChatRequest(
        **request.model_dump(include=set(_Sampling.model_fields)),
        messages=[Message(role="user", content=prompt)],
        logprobs=request.logprobs is not None,
        top_logprobs=request.logprobs,
    )


def answers(world: World, request: ChatRequest) -> list[Choice]:
    """The model's answers: a pure function of the world and the request.

    Messages, temperature, seed and the answer's index draw the wordings; at temperature 0 the
    messages alone do, so that there is one answer whatever the seed.
    """
    temperature = 1.0 if request.temperature is None else request.temperature
    draws = draws_of(world, request.model, request.chat, temperature)
    drawn = [[temperature, request.seed, index] for index in range(request.n or 1)]
    cut = [_cut(draws.text(how if temperature else None), request) for how in drawn]
    estimates: list[list[dict[str, Any]]] | None = None
    if request.logprobs:
        estimates = logprobs(draws, [tokens for tokens, _ in cut], request.top_logprobs or 0)
    return [
        Choice(tokens, reason, estimates[index] if estimates else None)
        for index, (tokens, reason) in enumerate(cut)
    ]


def usage(request: ChatRequest, choices: list[Choice]) -> dict[str, int]:
    """OpenAI's usage object."""
    asked = sum(len(split_tokens(m.content)) + FRAME_TOKENS for m in request.messages)
    given = sum(len(choice.tokens) for choice in choices)
    return {
        "prompt_tokens": asked,
        "completion_tokens": given,
        "total_tokens": asked + given,
    }


def _chat_choice(choice: Choice, request: ChatRequest) -> dict[str, Any]:
    return {
        "message": {"role": "assistant", "content": "".join(choice.tokens), "refusal": None},
        "logprobs": _wrapped(choice.logprobs),
    }


def _text_choice(choice: Choice, request: ChatRequest) -> dict[str, Any]:
    return {
        "text": "".join(choice.tokens),
        "logprobs": _columns(choice.logprobs, len(request.messages[0].content)),
    }


@dataclass(frozen=True)
class Interface:
    """One of the two interfaces.

    Attributes:
        object: what an answer calls itself.
        prefix: how its id begins.
        parse: reads a body; ApiError names the first fault.
        choice: writes one choice of an answer, without its index and its reason for the end.
    """

    object: str
    prefix: str
    parse: Callable[[bytes], ChatRequest]
    choice: Callable[[Choice, ChatRequest], dict[str, Any]]


INTERFACES = {
    "/v1/chat/completions": Interface("chat.completion", "chatcmpl", _parse_chat, _chat_choice),
    "/v1/completions": Interface("text_completion", "cmpl", _parse_text, _text_choice),
}


def parse(interface: Interface, body: bytes) -> ChatRequest:
    """Read a request's body; ApiError 400 or 404 names the first fault."""
    request = interface.parse(body)
    if request.model not in MODELS:
        raise ApiError(404, NO_MODEL, "model_not_found", "model")
    return request


def heading(world: World, interface: Interface, model: str, body: bytes) -> dict[str, Any]:
    """What every answer to this body begins with."""
    name = digest([world.identity, body.decode("utf-8", "replace")])[:24]
    return {
        "id": f"{interface.prefix}-{name}",
        "object": interface.object,
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": f"world-{world.identity}",
    }


def completion(
    head: dict[str, Any],
    interface: Interface,
    request: ChatRequest,
    choices: list[Choice],
    used: dict[str, int],
) -> dict[str, Any]:
    """The body of a plain answer."""
    rows = [
        {
            "index": index,
            **interface.choice(choice, request),
            "finish_reason": choice.finish_reason,
        }
        for index, choice in enumerate(choices)
    ]
    return {**head, "choices": rows, "usage": used}


def events(
    head: dict[str, Any], choices: list[Choice], used: dict[str, int] | None
) -> Iterator[bytes]:
    """The server-sent events of a streamed answer, a token each; `used` None leaves usage out."""
    head = {**head, "object": "chat.completion.chunk"}
    rest = {} if used is None else {"usage": None}

    def event(
        index: int, delta: dict[str, str], logprobs: Any = None, reason: str | None = None
    ) -> bytes:
        row = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        return _event({**head, "choices": [row], **rest})

    for index, choice in enumerate(choices):
        yield event(index, {"role": "assistant", "content": ""})
        for position, token in enumerate(choice.tokens):
            own = choice.logprobs[position : position + 1] if choice.logprobs is not None else None
            yield event(index, {"content": token}, _wrapped(own))
        yield event(index, {}, reason=choice.finish_reason)
    if used is not None:
        yield _event({**head, "choices": [], "usage": used})
    yield b"data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> bytes:
    return f"data: {canonical_json(value)}\n\n".encode()


def _wrapped(logprobs: list[dict[str, Any]] | None) -> dict[str, Any] | None:
    return None if logprobs is None else {"content": logprobs, "refusal": None}


def _columns(logprobs: list[dict[str, Any]] | None, start: int) -> dict[str, Any] | None:
    """Log-probabilities as the older interface has them; offsets count from the prompt's start."""
    if logprobs is None:
        return None
    tokens = [entry["token"] for entry in logprobs]
    return {
        "tokens": tokens,
        "token_logprobs": [entry["logprob"] for entry in logprobs],
        "top_logprobs": [
            {one["token"]: one["logprob"] for one in [*entry["top_logprobs"], entry]}
            for entry in logprobs
        ],
        "text_offset": list(accumulate(map(len, tokens[:-1]), initial=start)) if tokens else [],
    }


def _cut(text: str, request: ChatRequest) -> tuple[list[str], str]:
    """The tokens up to the first stop text and the limit, and the reason for the end."""
    ends = [place for stop in request.stops if (place := text.find(stop)) >= 0]
    tokens = split_tokens(text[: min(ends, default=len(text))])
    if request.limit is not None and len(tokens) > request.limit:
        return tokens[: request.limit], "length"
    return tokens, "stop"
