"""Asking through a provider's batches (`batch`), with the ledger and the budget of other calls."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

from understudy.progress import Task, say
from understudy.teacher.batch import BatchLine, Url, answers, ordered
from understudy.teacher.budget import Budget, Need, need
from understudy.teacher.jobs import Job, answered
from understudy.teacher.ledger import Ledger
from understudy.teacher.wire import Again, Failure, Teacher, failure_of, parse, refusal

UNDONE = Failure("expired", "the provider's batch ended before it came to this; ask again")


async def ask_in_batches(
    teacher: Teacher,
    ledger: Ledger,
    recipe: str,
    budget: Budget,
    task: Task,
    jobs: Iterator[Job],
    journal: Path,
) -> dict[str, Failure]:
    """Ask for every job that the budget has room for; returns the failures.

    The first of the teacher's endpoints is used. Ctrl-C leaves the batches to the provider; a later
    start fetches them.

    Raises:
        UserError: see `batch.answers`, and the ledger cannot be written.
    """
    endpoint = teacher.endpoints[0]
    url: Url = f"/v1{teacher.route}"  # type: ignore[assignment]
    held = ordered(endpoint.base_url, url, journal)
    failures: dict[str, Failure] = {}
    open_jobs: dict[str, tuple[Job, Need]] = {}
    for job in jobs:
        most = need(teacher, job, batch=True)
        if refused := budget.take(most, job.key in held):
            failures[job.key] = refused
        else:
            open_jobs[job.key] = (job, most)
    lines = [BatchLine(job.key, job.body) for job, _ in open_jobs.values()]
    found = answers(endpoint.base_url, endpoint.key, url, lines, journal, say)
    task.advance(len(failures))
    try:
        async with aclosing(found) as results:
            async for key, status, body in results:
                job, most = open_jobs.pop(key)
                task.advance(1)
                if status != 200:
                    budget.refund(most)
                    failures[key] = failure_of(refusal(teacher, endpoint, status, body, {}))
                    continue
                completion = parse(body)
                if isinstance(completion, Again):
                    budget.lose(most)
                    failures[key] = completion.failure
                    continue
                response = body.decode()
                call, tokens = answered(teacher, recipe, job, completion, response, batch=True)
                await asyncio.to_thread(ledger.record, [call])
                budget.settle(most, tokens, call.usd)
    finally:
        # What is with the provider yet is reserved again by the start that fetches it.
        for _, most in open_jobs.values():
            budget.refund(most)
        budget.close()
    return failures | dict.fromkeys(open_jobs, UNDONE)
