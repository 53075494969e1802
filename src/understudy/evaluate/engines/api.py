"""A teacher over its API, asked in words.

Every request goes through the ledger: asked again after a kill, what was answered is not paid for
twice. A request that fails stops the evaluation, since a score with holes is none.
"""

import re
from collections.abc import Sequence
from typing import Literal

from understudy.errors import UserError
from understudy.evaluate.benchmarks.kinds import (
    LETTERS,
    Benchmark,
    ChoiceItem,
    CodeItem,
    ShortItem,
)
from understudy.evaluate.engines import Pick, Program, Reply
from understudy.files import digest
from understudy.prompts import Prompt
from understudy.teacher.client import Account, Answer, Cost, Failure, Request, ask

CHOOSE = "Reply with only the letter of the right option (A, B, C or D)."
SHORTLY = "Reply with only the answer, in as few words as possible."
WHOLE_CODE = "Reply with only the code of the whole function in one code block."
LETTER_TOKENS, SHORT_TOKENS = 16, 64  # enough for a teacher that says more than it should
FILTERED = "content_filter"


class ApiEngine:
    """A teacher, asked and paid for by an account."""

    prompting: Literal["text", "chat"] = "chat"

    def __init__(self, account: Account) -> None:
        teacher = account.teacher
        self.name = teacher.model
        self.identity = digest([teacher.identity, teacher.model])
        self.account = account
        self.spent: Cost | None = Cost()

    def choose(self, benchmark: Benchmark, items: Sequence[ChoiceItem]) -> list[Pick]:
        """The letter in the reply to the question with its options."""
        asked = []
        for item in items:
            options = [f"{a}. {text}" for a, text in zip(LETTERS, item.options, strict=True)]
            asked.append("\n".join([item.question.strip(), *options, "", CHOOSE]))
        picks = []
        for reply in self._texts(asked, LETTER_TOKENS, benchmark.name):
            letter = None if reply is None else letter_in(reply)
            picks.append(Pick(None if letter is None else LETTERS.index(letter), reply=reply))
        return picks

    def answer_shortly(self, benchmark: Benchmark, items: Sequence[ShortItem]) -> list[str | None]:
        """The reply, without the space around it."""
        asked = [f"{item.question}?\n\n{SHORTLY}" for item in items]
        replies = self._texts(asked, SHORT_TOKENS, benchmark.name)
        return [None if reply is None else reply.strip() for reply in replies]

    def write_programs(
        self, benchmark: Benchmark, items: Sequence[CodeItem], max_tokens: int
    ) -> list[Program | None]:
        """The function in the reply's code block, with what the prompt puts before it."""
        asked = [f"{item.prompt}\n\n{WHOLE_CODE}" for item in items]
        replies = self._texts(asked, max_tokens, benchmark.name)
        return [
            None if reply is None else Program(reply, program_in(reply, item))
            for reply, item in zip(replies, items, strict=True)
        ]

    def reply(
        self,
        prompts: Sequence[Prompt],
        samples: int,
        temperature: float,
        max_tokens: int,
        seed: int,
    ) -> list[list[Reply]]:
        """Free answers; one that the provider's filter withheld is empty and says so."""
        requests = [
            Request(prompt.chat(), temperature, max_tokens, seed + sample, sample)
            for prompt in prompts
            for sample in range(samples)
        ]
        flat = [
            Reply("", FILTERED) if outcome is None else Reply(outcome.text, outcome.finish_reason)
            for outcome in self._ask(requests, "answers")
        ]
        return [flat[start : start + samples] for start in range(0, len(flat), samples)]

    def _texts(self, asked: list[str], max_tokens: int, label: str) -> list[str | None]:
        """Replies at temperature 0; None where the provider's filter withheld one."""
        requests = [
            Request([{"role": "user", "content": text}], 0.0, max_tokens, seed=0) for text in asked
        ]
        outcomes = self._ask(requests, f"asking the teacher {label}")
        return [None if outcome is None else outcome.text for outcome in outcomes]

    def _ask(self, requests: list[Request], label: str) -> list[Answer | None]:
        outcomes = ask(self.account, requests, label)
        found: list[Answer | None] = []
        failed = []
        for outcome in outcomes:
            if isinstance(outcome, Answer):
                found.append(outcome)
                self.spent = self.spent or Cost()
                self.spent.add(outcome)
            elif outcome.reason == FILTERED:
                found.append(None)
            else:
                failed.append(outcome)
        if failed:
            raise UserError(_explained(failed, len(requests)))
        return found


def _explained(failed: list[Failure], requests: int) -> str:
    first = failed[0]
    return (
        f"{len(failed)} of {requests} requests to the teacher failed, the first one as "
        f"{first.reason} ({first.detail[:200]}); the same command asks for these again"
    )


def letter_in(reply: str) -> str | None:
    """The option that a reply names: a letter alone, or else the only one it can mean."""
    text = reply.strip()
    if strict := re.fullmatch(r"\W*([A-D])\W*", text, re.IGNORECASE):
        return strict[1].upper()
    said = re.search(r"\b(?i:answer|option|choice)\b\W*(?:is|:)?\W*\(?([A-D])\b", text)
    if said:
        return said[1]
    opening = re.match(r"\W*([A-D])(?:[.):,*]| is\b)", text)
    if opening:
        return opening[1]
    named = set(re.findall(r"\b([B-D])\b|\b(A)[.):,*]", text))
    letters = {first or second for first, second in named}
    return letters.pop() if len(letters) == 1 else None


def program_in(reply: str, item: CodeItem) -> str:
    """The program that a reply gives for an item's prompt.

    A whole function stands behind what the prompt has before its own (imports, helpers); anything
    else is taken as the function's body.
    """
    block = re.search(r"```[^\n]*\n(.*?)(?:```|\Z)", reply, re.DOTALL)
    code = block[1] if block else reply
    head = re.compile(rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{re.escape(item.entry_point)}\b", re.M)
    if not head.search(code):
        return item.prompt + code
    heads = list(head.finditer(item.prompt))
    return (item.prompt[: heads[-1].start()] if heads else "") + "\n" + code
