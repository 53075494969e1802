"""The collect stage: a teacher's dialogues, by one of three ways.

The teacher answers prompts that are there (`dialogues`), it invents instructions and answers those
(`self_instruct`), or it writes pairs like the user's own (`local`).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from understudy.collect.dialogues import LICENCE, PromptFile, converse
from understudy.collect.follow_ups import TEACHER, FollowUps, by_teacher
from understudy.collect.local import Held, bootstrap
from understudy.collect.self_instruct import self_instruct
from understudy.prompts import Prompt
from understudy.recipe import CollectSettings
from understudy.teacher.client import Account, Answer, CostOnce, Failure, Request, ask, total_cost


def collect(
    settings: CollectSettings,
    prompts: Iterable[Prompt] | None,
    account: Account,
    out: Path,
    seed: int,
    held: list[Held] | None = None,
    follow_ups: FollowUps | None = None,
) -> dict[str, Any]:
    """Gather dialogues into out/dialogues.jsonl, and into out/dropped.jsonl what came to nothing.

    Killed and called again, it goes on from the ledger.

    Args:
        settings: which way, and how.
        prompts: what to ask; None for the ways that need none.
        account: whom to ask, and what it may cost.
        out: folder.
        seed: of what is drawn.
        held: the items of the benchmarks, which local pairs must not repeat.
        follow_ups: says what the user says next, for dialogues of several turns, where the
            settings do not leave that to the teacher.

    Returns:
        Facts for the manifest: "dialogues", other counts, reasons, and "cost".

    Raises:
        UserError: nothing was gathered, or the teacher cannot be asked.
    """
    asking = _Asking(account)
    if settings.local:
        teacher = account.teacher.model
        facts = bootstrap(
            settings.local, settings.n, asking, held or [], teacher, LICENCE, out, seed
        )
        return facts | {"dialogues": facts["kept"], "cost": asking.cost.as_dict()}
    if settings.follow_ups == TEACHER:
        follow_ups = by_teacher(asking, seed)
    more = {}
    if settings.self_instruct:
        invented = self_instruct(settings.self_instruct, settings.n, asking, out, seed)
        prompts, more = PromptFile(out / "prompts.jsonl"), {"self_instruct": invented}
    assert prompts is not None
    facts = converse(settings, prompts, account, out, seed, follow_ups)
    return facts | more | {"cost": total_cost([asking.cost.as_dict(), facts["cost"]])}


class _Asking:
    """Asks, and adds up what the answers cost."""

    def __init__(self, account: Account) -> None:
        self._account, self.cost = account, CostOnce()

    def __call__(self, requests: list[Request], label: str) -> list[Answer | Failure]:
        outcomes = ask(self._account, requests, label)
        for answer in outcomes:
            if isinstance(answer, Answer):
                self.cost.add(answer)
        return outcomes
