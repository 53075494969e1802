"""Requests on their way to a record in the ledger."""

import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from understudy.files import writing
from understudy.teacher.ledger import Call, call_key, checksum
from understudy.teacher.wire import Completion, Request, Teacher


class Job(NamedTuple):
    """What a request comes to: its key in the ledger, and its body as canonical JSON."""

    key: str
    sample: int
    max_tokens: int
    body: str


def jobs_of(teacher: Teacher, requests: Iterable[Request]) -> Iterator[Job]:
    """The jobs of requests, in their order."""
    for request in requests:
        body = request.body(teacher)
        key = call_key(teacher.identity, teacher.model, body, request.sample)
        yield Job(key, request.sample, request.max_tokens, body)


class Spool:
    """Jobs in a nameless file, which is gone through again faster than they are made again.

    Args:
        jobs: what to keep.
        folder: on the disk that the file takes room of; made if it is missing.

    Raises:
        UserError: the disk is full, or the folder may not be written to.
    """

    def __init__(self, jobs: Iterable[Job], folder: Path) -> None:
        self.count = 0
        with writing(folder / "spool"):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(  # noqa: SIM115 - lives as long as the spool
                "w+", encoding="utf-8", newline="\n", dir=folder
            )
            for self.count, job in enumerate(jobs, start=1):
                # JSON has neither tabs nor line breaks of its own.
                self._file.write("\t".join(map(str, job)) + "\n")
            self._file.flush()

    def __iter__(self) -> Iterator[Job]:
        """The jobs from the first on; only one iteration at a time."""
        self._file.seek(0)
        for line in self._file:
            key, sample, max_tokens, body = line[:-1].split("\t", 3)
            yield Job(key, int(sample), int(max_tokens), body)


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
        sample=job.sample,
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
