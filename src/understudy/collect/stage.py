"""The collect stage: prompts in, a teacher's answers as dialogues out."""

from collections import Counter
from pathlib import Path
from typing import Any

from understudy.dialogue import Dialogue, Turn, write_dialogues
from understudy.errors import UserError
from understudy.files import write_jsonl
from understudy.prompts import Prompt
from understudy.recipe import CollectSettings
from understudy.teacher.client import Answer, Cost, Endpoint, Request, ask

LICENCE = "terms of the teacher's provider"


def collect(
    settings: CollectSettings,
    prompts: list[Prompt],
    teacher: Endpoint,
    ledger: Path,
    out: Path,
    seed: int,
) -> dict[str, Any]:
    """Ask the teacher every prompt once; writes dialogues.jsonl and failed.jsonl into `out`.

    Every prompt ends in one of the two files, in the order of the prompts; rows of failed.jsonl are
    {"id", "reason", "detail"}. Killed and called again, it goes on from the ledger.

    Args:
        settings: how to ask.
        prompts: what to ask; their ids become the dialogues'.
        teacher: whom to ask.
        ledger: file that records every call.
        out: folder.
        seed: goes into every request's seed.

    Returns:
        {"asked", "dialogues", "failed": {reason: count}, "cost"}, where the cost is that of all
        answers in the file, those that an earlier start paid for included.

    Raises:
        UserError: no prompt was answered, or see `ask`.
    """
    requests = [
        Request(
            messages=prompt.chat(),
            temperature=settings.temperature,
            max_tokens=settings.max_tokens,
            seed=seed,
            top_logprobs=settings.top_logprobs,
        )
        for prompt in prompts
    ]
    outcomes = ask(teacher, ledger, requests, "collect")
    dialogues, failed, answers = [], [], {}
    for prompt, outcome in zip(prompts, outcomes, strict=True):
        if isinstance(outcome, Answer):
            answers[outcome.key] = outcome
            dialogues.append(_dialogue(prompt, outcome, teacher.model))
        else:
            failed.append({"id": prompt.id, "reason": outcome.reason, "detail": outcome.detail})
    write_jsonl(out / "failed.jsonl", failed)
    if failed and not dialogues:
        raise UserError(
            f"{teacher.base_url}: answered none of {len(prompts)} prompts; the first failed with "
            f"{failed[0]['reason']} ({failed[0]['detail']}); see {out / 'failed.jsonl'}"
        )
    write_dialogues(out / "dialogues.jsonl", dialogues)
    cost = Cost()
    for answer in answers.values():
        cost.add(answer)
    return {
        "asked": len(prompts),
        "dialogues": len(dialogues),
        "failed": dict(sorted(Counter(row["reason"] for row in failed).items())),
        "cost": cost.as_dict(),
    }


def _dialogue(prompt: Prompt, answer: Answer, teacher: str) -> Dialogue:
    return Dialogue(
        id=prompt.id,
        turns=[*prompt.messages, Turn(role="assistant", content=answer.text)],
        source="collect",
        teacher=teacher,
        licence=LICENCE,
        origin=answer.key[:16],
        cut=answer.finish_reason == "length",
    )
