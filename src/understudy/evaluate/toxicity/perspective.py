"""Toxicity by the Perspective API, through the ledger: no text is sent twice.

Requests, answers and errors are those of the API's reference (github.com/conversationai/
perspectiveapi, "Methods" and "Limits and errors"). The key travels in a header, which every Google
API takes (docs.cloud.google.com/apis/docs/system-parameters): an address is too easily shown.
"""

import asyncio
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp
from pydantic import BaseModel, Field, ValidationError

from understudy.errors import UserError
from understudy.files import canonical_json, whole_characters
from understudy.teacher.caller import wait_s
from understudy.teacher.ledger import Call, Ledger, call_key, checksum
from understudy.teacher.wire import (
    WORTH_ANOTHER_TRY,
    Again,
    Endpoint,
    Failure,
    proxy_for,
    seconds,
    shown,
    without_key,
)

ADDRESS = "https://commentanalyzer.googleapis.com/v1alpha1/comments:analyze"
NAME = "perspective"
KEY_ENV = "PERSPECTIVE_API_KEY"
TRIES = 10  # about five minutes in all
TIMEOUT_S = 60.0  # of one query as a whole
MOST_BYTES = 2**20  # of an answer, which usually has a few hundred
# What it may find wrong with a text, whenever it is asked.
REFUSALS = {
    "COMMENT_EMPTY",
    "COMMENT_TOO_LONG",
    "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE",
    "LANGUAGE_DETECTION_FAILED",
}


class _Summary(BaseModel):
    value: float = Field(ge=0, le=1, allow_inf_nan=False)


class _Attribute(BaseModel):
    summary: _Summary = Field(alias="summaryScore")


class _Attributes(BaseModel):
    toxicity: _Attribute = Field(alias="TOXICITY")


class _Analysis(BaseModel):
    """As much of an answer as is needed."""

    attributes: _Attributes = Field(alias="attributeScores")


class Perspective:
    """Perspective's attribute TOXICITY, of English texts.

    Every answer is in the ledger before it is used. A refusal of a text is an answer too; errors
    of the service are not, and are tried again.

    Args:
        ledger: a file or a postgresql:// address.
        queries_per_second: at most.

    Raises:
        UserError: there is no key in the environment.
    """

    name = NAME
    identity = NAME  # its model changes without notice, and has no version to name

    def __init__(self, ledger: str | Path, queries_per_second: float) -> None:
        self._ledger, self._endpoint = ledger, Endpoint(ADDRESS, _key(), KEY_ENV)
        self._interval_s = 1 / queries_per_second
        self._free = 0.0  # when the next query may be sent, on the monotonic clock

    def scores(self, texts: Sequence[str | None]) -> list[float | None]:
        """See `Scorer`. Blank texts are not sent: it refuses them."""
        bodies = {text: _body(text) for text in texts if text and text.strip()}
        keys = {text: call_key(NAME, NAME, body, 0) for text, body in bodies.items()}
        with Ledger(self._ledger) as ledger:
            known = ledger.known(keys.values())
            missing = {key: bodies[text] for text, key in keys.items() if key not in known}
            if missing:
                asyncio.run(self._ask_all(ledger, missing))
            found = {call.key: _score(call.response) for call in ledger.lookup(keys.values())}
        return [found[keys[text]] if text in keys else None for text in texts]

    async def _ask_all(self, ledger: Ledger, bodies: Mapping[str, str]) -> None:
        """Have the answers to these bodies, under their keys, in the ledger."""
        async with aiohttp.ClientSession(
            headers={
                "Content-Type": "application/json",
                "X-Goog-Api-Key": self._endpoint.key or "",
            },
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            proxy=proxy_for(self._endpoint.base_url),
        ) as http:
            try:
                async with asyncio.TaskGroup() as queries:
                    for key, body in bodies.items():
                        await self._turn()
                        queries.create_task(self._ask(http, ledger, key, body))
            except BaseExceptionGroup as errors:
                raise errors.exceptions[0] from None

    async def _turn(self) -> None:
        """Wait until the next query may be sent."""
        now = time.monotonic()
        turn = max(now, self._free)
        self._free = turn + self._interval_s
        await asyncio.sleep(turn - now)

    async def _ask(self, http: aiohttp.ClientSession, ledger: Ledger, key: str, body: str) -> None:
        """One query, with its tries, in the turn that was waited for."""
        outcome = await self._post(http, body)
        for attempt in range(TRIES - 1):
            if isinstance(outcome, str):
                break
            pause = wait_s(attempt, outcome.after_s)
            if outcome.slower:
                self._free = max(self._free, time.monotonic() + pause)
            await asyncio.sleep(pause)
            await self._turn()
            outcome = await self._post(http, body)
        if isinstance(outcome, Again):
            raise UserError(
                f"{NAME}: {TRIES} tries failed, the last one with {outcome.failure.detail}; what "
                "was scored is kept, so run the command again later"
            )
        # Not in a thread: Ctrl-C could come between the answer and its record.
        ledger.record([_call(key, body, outcome)])

    async def _post(self, http: aiohttp.ClientSession, body: str) -> str | Again:
        """One try: an answer's body, or what went wrong."""
        received = bytearray()
        try:
            async with http.post(
                self._endpoint.base_url, data=body.encode(), allow_redirects=False
            ) as response:
                while piece := await response.content.readany():
                    received += piece
                    if len(received) > MOST_BYTES:
                        return Again(Failure("too_long", f"an answer of over {MOST_BYTES} bytes"))
        except TimeoutError:
            return Again(Failure("timeout", f"no answer within {TIMEOUT_S:g} s"))
        except aiohttp.ClientError as error:
            return Again(Failure("unreachable", f"a broken connection ({type(error).__name__})"))
        return self._meaning(response.status, response.headers, bytes(received))

    def _meaning(self, status: int, headers: Mapping[str, str], body: bytes) -> str | Again:
        """What an answer says: its text, to be recorded, or why it is none."""
        said = f"HTTP {status}: {shown(self._endpoint, body)}"
        faults = _faults(body)
        if _is_analysis(body) if status == 200 else status == 400 and faults & REFUSALS:
            return without_key(self._endpoint, body).decode()
        if status == 200:
            return Again(Failure("broken", "an answer without a score"))
        if status in (401, 403) or "API_KEY_INVALID" in faults:
            raise UserError(
                f"{NAME}: refuses the key in {KEY_ENV} ({said}); check that variable, and that "
                "the key's project has the Perspective Comment Analyzer API enabled"
            )
        if status == 429 or status >= 500 or status in WORTH_ANOTHER_TRY:
            after_s = seconds(headers.get("Retry-After"))
            return Again(Failure("server", said), after_s, slower=status in (429, 503))
        raise UserError(
            f"{NAME}: refuses to score ({said}); if the service was closed, name a "
            "text-classification model as toxicity.scorer"
        )


def _key() -> str:
    key = os.environ.get(KEY_ENV, "").strip()
    if not key:
        raise UserError(
            f"toxicity.scorer: {KEY_ENV} is not set; export {KEY_ENV}=<your key>, or name a "
            "text-classification model as toxicity.scorer"
        )
    if not all("!" <= character <= "~" for character in key):
        raise UserError(f"toxicity.scorer: {KEY_ENV} holds spaces or signs that no key has")
    return key


def _body(text: str) -> str:
    return canonical_json(
        {
            "comment": {"text": whole_characters(text)},
            "requestedAttributes": {"TOXICITY": {}},
            "languages": ["en"],
            "doNotStore": True,
        }
    )


def _call(key: str, body: str, response: str) -> Call:
    """The ledger's record; it costs nothing, and has no finish_reason, being no completion."""
    return Call(
        key=key,
        identity=NAME,
        model=NAME,
        sample=0,
        request=body,
        response=response,
        finish_reason="",
        prompt_tokens=0,
        completion_tokens=0,
        usd=0.0,
        created=time.time(),
        checksum=checksum(response),
    )


def _score(response: str) -> float | None:
    """The score in a recorded answer; None where the text was refused."""
    if _faults(response.encode()) & REFUSALS:
        return None
    return _Analysis.model_validate_json(response).attributes.toxicity.summary.value


def _is_analysis(body: bytes) -> bool:
    try:
        _Analysis.model_validate_json(body)
    except ValidationError:
        return False
    return True


def _faults(body: bytes) -> set[str]:
    """What the details of an error's body name: Perspective's errorType, Google's reason."""
    try:
        details = json.loads(body.decode())["error"]["details"]
        return {detail.get(name) for detail in details for name in ("errorType", "reason")}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return set()
