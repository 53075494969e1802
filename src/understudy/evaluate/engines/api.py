"""A teacher over its API.

A chat teacher is asked in words. One that is reached through completions, as base models are, is
given the raw text that a text model continues; there is no likelihood of given texts to be had
from it, so questions with options are answered by their letter in either case.

Every request goes through the ledger: asked again, after a kill or in another run, what was
answered is not paid for twice. A request that fails stops the evaluation, since a score with holes
is none.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Literal

from understudy.errors import UserError
from understudy.evaluate.benchmarks.kinds import (
    LETTERS,
    Benchmark,
    ChoiceItem,
    CodeItem,
    Item,
    PerplexityItem,
    ShortItem,
)
from understudy.evaluate.engines import (
    UNREAD,
    Losses,
    Pick,
    Program,
    Programs,
    Reply,
    Sampling,
    Words,
)
from understudy.evaluate.engines.replies import (
    letter_log_probabilities,
    option_in,
    program_in,
)
from understudy.evaluate.engines.text import until
from understudy.files import digest
from understudy.prompts import Prompt
from understudy.teacher.client import Account, Answer, Cost, Failure, Request, answers, ask_all
from understudy.teacher.jobs import jobs_of

CHOOSE = "Reply with only the letter of the right option ({})."
SHORTLY = "Reply with only the answer, in as few words as possible."
REASON = "Show your reasoning, and end with a line of the form: {}"
WHOLE_CODE = "Reply with only the code of the whole function in one code block."
GO_ON = "Continue this text. Reply with only its continuation."
LETTER_TOKENS, SHORT_TOKENS = 16, 64  # enough for a teacher that says more than it should
MOST_STOPS = 4  # that the API takes
FILTERED = "content_filter"


class ApiEngine:
    """A teacher, asked and paid for by an account.

    Args:
        account: whom to ask, where the answers go, what they may cost.
        top_logprobs: how many tokens' log-probabilities come with the answer to a question with
            options; None where the teacher gives none.
    """

    def __init__(self, account: Account, top_logprobs: int | None = None) -> None:
        teacher = account.teacher
        self.name = teacher.model
        self.prompting: Literal["text", "chat"] = "chat" if teacher.api == "chat" else "text"
        self.identity = digest([teacher.identity, teacher.model, teacher.api, top_logprobs])
        self.account, self.top_logprobs = account, top_logprobs
        self.spent: Cost | None = Cost()

    def asks(self, benchmark: Benchmark, items: Sequence[Item], how: Sampling) -> list[Request]:
        """The requests that items come to, so that they can be priced before they are paid for.

        Args:
            benchmark: which.
            items: of it; `how.samples` requests each for code and toxicity, none for perplexity,
                one for other kinds.
            how: see `write_programs` and `go_on`.
        """
        return [request for item in items for request in self._asks(benchmark, item, how)]

    def choose(
        self, benchmark: Benchmark, items: Sequence[ChoiceItem]
    ) -> Iterator[tuple[int, Pick]]:
        """The option whose letter the reply names."""
        for index, (answer,) in self._ask(benchmark.name, self.asks(benchmark, items, Sampling())):
            yield index, Pick() if answer is None else _pick(answer, items[index].options)

    def answer_shortly(
        self, benchmark: Benchmark, items: Sequence[ShortItem]
    ) -> Iterator[tuple[int, Words]]:
        """The reply without the space around it; from a text model, up to the first stop text."""
        for index, (answer,) in self._ask(benchmark.name, self.asks(benchmark, items, Sampling())):
            text = self._text(answer, benchmark.stop)
            yield index, Words((text.strip() if text and self.prompting == "chat" else text,))

    def write_programs(
        self, benchmark: Benchmark, items: Sequence[CodeItem], how: Sampling
    ) -> Iterator[tuple[int, Programs]]:
        """The function in a reply's code block, with what the prompt puts before it."""
        requests = self.asks(benchmark, items, how)
        for index, found in self._ask(benchmark.name, requests, how.samples):
            texts = [self._text(answer, benchmark.stop) for answer in found]
            programs = [
                None if text is None else self._program(text, items[index]) for text in texts
            ]
            yield index, Programs(tuple(programs))

    def read_answers(
        self, benchmark: Benchmark, items: Sequence[PerplexityItem]
    ) -> Iterator[tuple[int, Losses]]:
        """Not to be had."""
        raise UserError(f"{benchmark.name}: {UNREAD}; leave it out")

    def go_on(self, texts: Sequence[str], how: Sampling) -> Iterator[tuple[int, Words]]:
        """Continuations of raw texts."""
        requests = [request for text in texts for request in self._continuing(text, how)]
        for index, found in self._ask("continuations", requests, how.samples):
            yield index, Words(tuple(self._text(answer) for answer in found))

    def reply(self, prompts: Sequence[Prompt], how: Sampling) -> list[list[Reply]]:
        """Free answers; one that the provider's filter withheld is empty and says so."""
        requests = [
            Request(
                prompt.chat(),
                how.temperature,
                how.max_tokens,
                how.seed + sample,
                sample,
                top_p=how.top_p,
            )
            for prompt in prompts
            for sample in range(how.samples)
        ]
        return [
            [Reply("", FILTERED) if a is None else Reply(a.text, a.finish_reason) for a in found]
            for _, found in self._ask("answers", requests, how.samples)
        ]

    # Asking

    def _asks(self, benchmark: Benchmark, item: Item, how: Sampling) -> list[Request]:
        """The requests that one item comes to."""
        raw = self.prompting == "text"
        stop = benchmark.stop[:MOST_STOPS] if raw else ()
        if isinstance(item, ChoiceItem):
            text = _choice_as_text(item) if raw else _choice_in_words(item)
            lines = ("\n",) if raw else ()
            return [_once(text, LETTER_TOKENS, stop=lines, top_logprobs=self.top_logprobs)]
        if isinstance(item, ShortItem):
            if raw:
                return [_once(item.prompt, benchmark.max_tokens, stop=stop)]
            form, most = _short_form(benchmark)
            mark = "" if item.question.endswith((".", "?", "!", ":")) else "?"
            return [_once(f"{item.question}{mark}\n\n{form}", most)]
        if isinstance(item, PerplexityItem):
            return []
        if isinstance(item, CodeItem):
            return _often(item.prompt if raw else f"{item.prompt}\n\n{WHOLE_CODE}", how, stop)
        return self._continuing(item.prompt, how)

    def _continuing(self, text: str, how: Sampling) -> list[Request]:
        return _often(text if self.prompting == "text" else f"{GO_ON}\n\n{text}", how)

    def _ask(
        self, label: str, requests: Sequence[Request], samples: int = 1
    ) -> Iterator[tuple[int, list[Answer | None]]]:
        """(index, answers) of each item; None for one that the provider's filter withheld.

        Answers are read from the ledger as they are wanted.
        """
        jobs = list(jobs_of(self.account.teacher, requests))
        failures = ask_all(self.account, jobs, len(jobs), f"asking the teacher {label}")
        failed = [failure for failure in failures.values() if failure.reason != FILTERED]
        if failed:
            raise UserError(_explained(failed, len(jobs)))
        outcomes = answers(self.account, jobs, failures)
        for index in range(len(jobs) // samples):
            yield index, [self._paid(outcome) for outcome in islice(outcomes, samples)]

    def _paid(self, outcome: Answer | Failure) -> Answer | None:
        if isinstance(outcome, Failure):
            return None
        self.spent = self.spent or Cost()
        self.spent.add(outcome)
        return outcome

    # Reading

    def _text(self, answer: Answer | None, stop: tuple[str, ...] = ()) -> str | None:
        if answer is None:
            return None
        return until(answer.text, stop) if self.prompting == "text" else answer.text

    def _program(self, text: str, item: CodeItem) -> Program:
        raw = self.prompting == "text"
        return Program(text, item.prompt + text if raw else program_in(text, item))


# What is asked


def _choice_in_words(item: ChoiceItem) -> str:
    """A question with options for a person."""
    *others, last = list(LETTERS[: len(item.options)])
    choose = CHOOSE.format(f"{', '.join(others)} or {last}")
    return f"{_listed(item)}\n\n{choose}"


def _choice_as_text(item: ChoiceItem) -> str:
    """A text that goes on with a letter: the harness's where it does, else without examples."""
    letters = list(LETTERS[: len(item.options)])
    if [continuation.strip() for continuation in item.continuations] == letters:
        return item.prompt
    return f"{_listed(item)}\nAnswer:"


def _listed(item: ChoiceItem) -> str:
    options = [f"{letter}. {text}" for letter, text in zip(LETTERS, item.options, strict=False)]
    return "\n".join([item.question.strip(), *options])


def _short_form(benchmark: Benchmark) -> tuple[str, int]:
    """What is asked for with a question for a short answer, and how many tokens that may take.

    Where the answer is found by a pattern, the reply is to end with what the pattern begins with
    (GSM8K's `####`) and the answer, behind as much reasoning as a text model may write.
    """
    patterns = [extract.pattern for _, extract in benchmark.extracts if extract.pattern]
    if not patterns:
        return SHORTLY, SHORT_TOKENS
    literal = re.compile(r"(?:[\w #:,'-](?![?*{|]))*").match(patterns[0])
    opening = literal[0].strip() if literal else ""
    return REASON.format(f"{opening} ANSWER".strip()), benchmark.max_tokens


def _once(
    text: str, max_tokens: int, stop: tuple[str, ...] = (), top_logprobs: int | None = None
) -> Request:
    """The likeliest answer to one text."""
    return Request(_user(text), 0.0, max_tokens, seed=0, top_logprobs=top_logprobs, stop=stop)


def _often(text: str, how: Sampling, stop: tuple[str, ...] = ()) -> list[Request]:
    """`how.samples` answers to one text. At temperature 0 runs of any seed ask for the same."""
    seed = how.seed if how.temperature else 0
    return [
        Request(
            _user(text), how.temperature, how.max_tokens, seed, sample, stop=stop, top_p=how.top_p
        )
        for sample in range(how.samples)
    ]


def _user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def _pick(answer: Answer, options: Sequence[str]) -> Pick:
    """The option that a reply names; the likeliest, where it opens with that letter."""
    named = option_in(answer.text, options)
    if named is None:
        return Pick(reply=answer.text)
    nats = letter_log_probabilities(answer.logprobs or [], len(options), named)
    of_all = tuple(nats.values()) if len(nats) == len(options) else None
    return Pick(of_all, max(nats, key=nats.__getitem__, default=named), answer.text)


def _explained(failed: list[Failure], requests: int) -> str:
    first = failed[0]
    mend = "raise it, then " if first.reason == "budget" else ""
    return (
        f"{len(failed)} of {requests} requests to the teacher failed, the first one as "
        f"{first.reason} ({first.detail[:200]}); {mend}the same command asks for these again"
    )
