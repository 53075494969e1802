"""A request on its way to a record in the ledger."""

import time
from typing import NamedTuple

from understudy.teacher.ledger import Call, checksum
from understudy.teacher.wire import Completion, Request, Teacher


class Job(NamedTuple):
    """One request with its key in the ledger and its body."""

    key: str
    request: Request
    body: str


def answered(
    teacher: Teacher,
    recipe: str,
    job: Job,
    completion: Completion,
    response: str,
    batch: bool = False,
) -> tuple[Call, int | None]:
    """The ledger's record of an answer, and its tokens; None where the teacher does not say."""
    asked, given = completion.count("prompt_tokens"), completion.count("completion_tokens")
    known = asked is not None and given is not None
    call = Call(
        key=job.key,
        identity=teacher.identity,
        model=teacher.model,
        sample=job.request.sample,
        request=job.body,
        response=response,
        finish_reason=completion.finish_reason,
        prompt_tokens=asked or 0,
        completion_tokens=given or 0,
        usd=teacher.usd(asked or 0, given or 0, batch) if known else None,
        created=time.time(),
        recipe=recipe,
        checksum=checksum(response),
    )
    return call, call.prompt_tokens + call.completion_tokens if known else None
