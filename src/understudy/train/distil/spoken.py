"""What a teacher said, token by token, as the ledger has it.

A dialogue names the call of its last answer by the beginning of the call's key
(`Dialogue.origin`). The request of that call holds the answers before, each of which was asked in
equal terms with fewer messages; so their keys, too, can be had.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from understudy.files import canonical_json
from understudy.teacher.ledger import Call, Ledger, call_key
from understudy.teacher.wire import Completion

ORIGIN = 16  # characters of a key that `Dialogue.origin` holds
MOST = 20  # alternatives that are read for a token; no API that we know of gives more
UNLIKELY = -100.0  # log-probabilities below are an API's way to say "none" (-9999)
ROUNDING = 0.01  # by which a log-probability may be above 0


@dataclass(frozen=True)
class Token:
    """A token of the teacher's.

    Attributes:
        text: its bytes.
        options: what could have been there, it included: bytes and log-probability.
    """

    text: bytes
    options: dict[bytes, float]


@dataclass(frozen=True)
class Spoken:
    """An answer in the teacher's tokens.

    Attributes:
        text: the answer's bytes.
        tokens: by the place in `text` at which each begins.
        end: the token that closed the answer, where the API gives it.
    """

    text: bytes
    tokens: dict[int, Token]
    end: Token | None


class Calls:
    """The calls in a ledger that dialogues came from.

    Args:
        ledger: it is gone through once, as calls are in the order of their full keys.
        origins: of the dialogues.
    """

    def __init__(self, ledger: Ledger, origins: set[str]) -> None:
        self._ledger = ledger
        self._keys: dict[str, str] = {}
        self.width = 0  # columns that the options of a token need, at most
        for call in ledger.walk("calls of the ledger"):
            origin = call.key[:ORIGIN]
            if origin in origins:
                self._keys[origin] = call.key
                self.width = max(self.width, _asked(call) + 1)

    def spoken(self, origins: Iterable[str]) -> dict[str, list[Spoken | None]]:
        """All answers of the conversations that ended in these calls, by origin and in order.

        None stands for one that has no call, or no log-probabilities. Origins without a call are
        not there.
        """
        last = self._found(self._keys[origin] for origin in origins if origin in self._keys)
        keys = {call.key[:ORIGIN]: [*_earlier(call), call.key] for call in last.values()}
        calls = last | self._found({key for some in keys.values() for key in some} - last.keys())
        answers = {key: read(call) for key, call in calls.items()}
        return {origin: [answers.get(key) for key in some] for origin, some in keys.items()}

    def _found(self, keys: Iterable[str]) -> dict[str, Call]:
        return {call.key: call for call in self._ledger.lookup(set(keys))}


def _earlier(call: Call) -> list[str]:
    """The keys that the calls before this one in its conversation have."""
    request = _request(call)
    messages = request.get("messages")
    if not isinstance(messages, list):
        return []
    return [
        call_key(
            call.identity,
            call.model,
            canonical_json({**request, "messages": messages[:place]}),
            call.sample,
        )
        for place, message in enumerate(messages)
        if isinstance(message, dict) and message.get("role") == "assistant"
    ]


def _asked(call: Call) -> int:
    """How many alternatives a call asked for."""
    request = _request(call)
    top = request.get("top_logprobs", request.get("logprobs"))
    return min(top, MOST) if isinstance(top, int) and top > 0 else 0


def _request(call: Call) -> dict[str, Any]:
    try:
        request = json.loads(call.request)
    except (ValueError, RecursionError):
        return {}
    return request if isinstance(request, dict) else {}


def read(call: Call) -> Spoken | None:
    """A call's answer in tokens; None where it has none, or they are broken."""
    try:
        completion = Completion.model_validate_json(call.response)
    except ValidationError:
        return None
    tokens = [_token(entry) for entry in completion.logprobs or []]
    known = [token for token in tokens if token is not None]
    if not known or len(known) < len(tokens):
        return None
    end = None
    answer = completion.text.encode(errors="replace")
    *before, last = known
    if call.finish_reason == "stop" and b"".join(token.text for token in before) == answer:
        known, end = before, last
    place, by_place = 0, {}
    for token in known:
        by_place[place] = token
        place += len(token.text)
    return Spoken(b"".join(token.text for token in known), by_place, end)


def _token(entry: Any) -> Token | None:
    """An entry of the chat API's logprobs.content."""
    chosen = _option(entry)
    if chosen is None:
        return None
    likely = entry.get("top_logprobs")
    found = [_option(one) for one in likely[:MOST]] if isinstance(likely, list) else []
    options: dict[bytes, float] = {}
    for option in [chosen, *found]:
        if option and option[1] >= UNLIKELY:
            options.setdefault(*option)
    return Token(chosen[0], options)


def _option(entry: Any) -> tuple[bytes, float] | None:
    """The bytes of one token and its log-probability; None where either is broken."""
    if not isinstance(entry, dict):
        return None
    token, raw, logprob = entry.get("token"), entry.get("bytes"), entry.get("logprob")
    if not isinstance(logprob, int | float) or not -math.inf < logprob <= ROUNDING:
        return None
    if isinstance(raw, list) and raw and all(isinstance(b, int) and 0 <= b < 256 for b in raw):
        text = bytes(raw)
    elif isinstance(token, str):
        text = token.encode(errors="replace")
    else:
        return None
    return text, min(float(logprob), 0.0)
