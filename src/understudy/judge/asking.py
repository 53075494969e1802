"""Putting prompts to a judge: through the ledger, once more where a reply cannot be read."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from understudy.judge.prompts import GRADE, SCORES, Parts, prompt, repair
from understudy.judge.reading import (
    SHARES,
    read_grade,
    read_leading_scores,
    read_verdict,
    weighted_share,
)
from understudy.preferences.scores import preferred
from understudy.recipe import JudgeSettings
from understudy.teacher.client import (
    Account,
    Answer,
    CostOnce,
    Failure,
    Request,
    answers,
    ask_all,
)
from understudy.teacher.jobs import jobs_of

MAX_TOKENS = {"hurried": 16, "style": 16, "checking": 1024, SCORES: 512, GRADE: 512}
NUMBERS = (SCORES, GRADE)  # replies whose log-probabilities are not asked for
KEPT = 20_000  # characters of a reply, its last, that go into files; the ledger has all
UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Judgement:
    """What a judge made of one prompt.

    Attributes:
        key: the ledger's, of the first reply.
        reply: the first, as it was given; "" where there is none.
        verdict: A, B, tie, a grade or two scores, as text; None for a failure.
        value: how far B is preferred, 0 to 1, or the grade; None for a failure.
        weighted: whether log-probabilities made the value.
        repair: the second reply, where the first was unreadable and the second is what counts.
        failure: why there is no verdict.
        scores: of A and B, where the judge was asked for them.
    """

    key: str
    reply: str
    verdict: str | None = None
    value: float | None = None
    weighted: bool = False
    repair: str | None = None
    failure: str | None = None
    scores: tuple[float, float] | None = None

    def row(self, name: str) -> dict[str, Any]:
        """The judgement as JSON; `name` is what its value is called, `scores` only there if any."""
        row = {name if key == "value" else key: value for key, value in asdict(self).items()}
        if self.scores is None:
            del row["scores"]
        return row


def requests(settings: JudgeSettings, asked: Sequence[Parts]) -> Iterator[Request]:
    """The first requests for these prompts.

    Temperature and seed are 0, so that the same question is the same record of the ledger.
    """
    for parts in asked:
        yield _request(settings, parts.protocol, [_turn("user", prompt(parts))])


def ask_judge(
    settings: JudgeSettings, account: Account, asked: Sequence[Parts]
) -> tuple[list[Judgement], CostOnce]:
    """Ask for what the ledger does not hold; a judgement for every prompt, in order, and the cost.

    A reply without a readable verdict is answered once with the request for it alone. What is
    still unreadable, and what was not answered, is a failure.

    Raises:
        UserError: see `teacher.client.ask_all`.
    """
    cost = CostOnce()
    first = list(requests(settings, asked))
    found = _judgements(settings, account, asked, first, cost)
    unread = [place for place, one in enumerate(found) if one.failure == UNREADABLE]
    again = []
    for place in unread:
        said = _turn("assistant", found[place].reply or "(nothing)")
        told = _turn("user", repair(asked[place].protocol))
        chat = [*first[place].messages, said, told]
        again.append(_request(settings, asked[place].protocol, chat))
    second = _judgements(settings, account, [asked[place] for place in unread], again, cost)
    for place, one in zip(unread, second, strict=True):
        kept = found[place]
        found[place] = replace(one, key=kept.key, reply=kept.reply, repair=one.reply)
    return found, cost


def _judgements(
    settings: JudgeSettings,
    account: Account,
    asked: Sequence[Parts],
    requests: Sequence[Request],
    cost: CostOnce,
) -> list[Judgement]:
    """What comes of requests, one for each of the prompts asked."""
    jobs = list(jobs_of(account.teacher, requests))
    failures = ask_all(account, jobs, len(jobs), f"judge {settings.model}")
    found = []
    outcomes = answers(account, jobs, failures)
    for parts, job, outcome in zip(asked, jobs, outcomes, strict=True):
        if isinstance(outcome, Failure):
            failure = f"{outcome.reason}: {outcome.detail}"
            found.append(Judgement(job.key, "", failure=failure))
        else:
            cost.add(outcome)
            found.append(_read(parts.protocol, outcome))
    return found


def _read(protocol: str, answer: Answer) -> Judgement:
    cut = answer.finish_reason == "length"
    key, reply = answer.key, answer.text[-KEPT:]
    if protocol == GRADE:
        grade = read_grade(answer.text, cut)
        if grade is not None:
            return Judgement(key, reply, str(grade), grade)
    elif protocol == SCORES:
        if scores := read_leading_scores(answer.text, cut):
            words = " ".join(f"{score:g}" for score in scores)
            return Judgement(key, reply, words, preferred(*scores), scores=scores)
    elif verdict := read_verdict(answer.text, cut):
        weighted = weighted_share(verdict, answer.logprobs)
        value = SHARES[verdict.word] if weighted is None else weighted
        return Judgement(key, reply, verdict.word, value, weighted is not None)
    return Judgement(key, reply, failure=UNREADABLE)


def _request(settings: JudgeSettings, protocol: str, messages: list[dict[str, str]]) -> Request:
    return Request(
        messages,
        temperature=0.0,
        max_tokens=settings.max_tokens or MAX_TOKENS[protocol],
        seed=0,
        top_logprobs=None if protocol in NUMBERS else settings.top_logprobs,
    )


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
