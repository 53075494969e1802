"""What calls will cost, before the first is sent.

Tokens asked are counted with the teacher's own tokenizer where the recipe names it. Otherwise they,
and the tokens answered in any case, follow what the ledger knows of this teacher: tokens for each
byte asked, and tokens of an answer. Without that it is a rule of thumb, and the estimate says so.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from understudy.teacher.budget import need
from understudy.teacher.client import Account, missing
from understudy.teacher.jobs import jobs_of
from understudy.teacher.ledger import Ledger, exists
from understudy.teacher.wire import Request

BYTES_A_TOKEN = 4.0  # of English text, with the tokenizers of large models
ANSWER_SHARE = 0.5  # of max_tokens, where nothing is known
FRAME_TOKENS = 4  # that a chat template puts around a message
SAMPLE = 1000  # of the ledger's calls, from which its rates are taken


@dataclass
class Estimate:
    """What the calls that the ledger does not answer will take.

    `usd` and `usd_at_most` are None where no price is known; `basis` says how it was counted.
    """

    calls: int = 0
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    completion_at_most: int = 0
    usd: float | None = 0.0
    usd_at_most: float | None = 0.0
    basis: str = ""

    def words(self) -> str:
        """The estimate for a person, in one line."""
        tokens = (
            f"{self.calls} calls, about {self.prompt_tokens:.0f} tokens in and "
            f"{self.completion_tokens:.0f} out (at most {self.completion_at_most})"
        )
        if self.usd is None or self.usd_at_most is None:
            return f"{tokens}; {self.basis}"
        return f"{tokens}; about ${self.usd:.2f}, at most ${self.usd_at_most:.2f} ({self.basis})"

    def as_dict(self) -> dict[str, Any]:
        return {
            "calls": self.calls,
            "prompt_tokens": round(self.prompt_tokens),
            "completion_tokens": round(self.completion_tokens),
            "usd": self.usd,
            "usd_at_most": self.usd_at_most,
        }


def estimate(
    account: Account,
    requests: Iterable[Request],
    tokenizer: str | None,
    prices: str,
    batch: bool = False,
) -> Estimate:
    """What it will take to ask for what the ledger does not hold.

    Args:
        account: whom to ask.
        requests: all of them.
        tokenizer: the teacher's, a folder, a tokenizer.json or a hub name; None if not known.
        prices: where the teacher's prices come from, in words.
        batch: whether the calls go through the Batch API.

    Raises:
        UserError: the tokenizer cannot be loaded.
    """
    count = _counter(tokenizer) if tokenizer else None
    bytes_a_token, answer_share, known = _rates(account)
    how = "the ledger's earlier calls" if known else "a rule of thumb"
    how = f"counted with {tokenizer}, answers by {how}" if count else f"by {how}"
    found = Estimate(basis=f"{how}; {prices}")
    at_most = 0.0
    for job in missing(account, jobs_of(account.teacher, requests)):
        texts = _texts(job.body)
        if count:
            found.prompt_tokens += sum(FRAME_TOKENS + count(text) for text in texts)
        else:
            found.prompt_tokens += sum(len(text.encode()) for text in texts) / bytes_a_token
        found.calls += 1
        found.completion_tokens += answer_share * job.max_tokens
        found.completion_at_most += job.max_tokens
        at_most += need(account.teacher, job, batch).usd
    teacher = account.teacher
    found.usd = teacher.usd(round(found.prompt_tokens), round(found.completion_tokens), batch)
    found.usd_at_most = None if teacher.prices is None else at_most
    return found


def _rates(account: Account) -> tuple[float, float, bool]:
    """Bytes a token asked, the share of max_tokens that answers use, and whether both are known."""
    if not exists(account.ledger):
        return BYTES_A_TOKEN, ANSWER_SHARE, False
    asked = tokens = given = allowed = 0
    with Ledger(account.ledger) as ledger:
        for call in ledger.calls(newest=SAMPLE):
            if call.model != account.teacher.model or not call.prompt_tokens:
                continue
            asked += sum(len(text.encode()) for text in _texts(call.request))
            tokens, given = tokens + call.prompt_tokens, given + call.completion_tokens
            allowed += json.loads(call.request)["max_tokens"]
    if not tokens or not asked:
        return BYTES_A_TOKEN, ANSWER_SHARE, False
    return asked / tokens, given / allowed, True


def _texts(body: str) -> list[str]:
    """What a request's body asks."""
    asked = json.loads(body)
    return [message["content"] for message in asked.get("messages", [])] or [asked["prompt"]]


def _counter(tokenizer: str) -> Callable[[str], int]:
    """Counts the tokens of a text."""
    from understudy.models import load_tokenizer  # with torch, which only this case needs

    encode = load_tokenizer(tokenizer)
    return lambda text: len(encode(text, add_special_tokens=False)["input_ids"])
