"""What judges are shown: answers to a prompt, two of them in either order or one by itself."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from understudy.errors import UserError
from understudy.judge.asking import Judgement, ask_judge, requests
from understudy.judge.match import Item
from understudy.judge.prompts import WITH_REFERENCE, Parts
from understudy.recipe import JudgeSettings
from understudy.teacher.client import Account
from understudy.teacher.estimate import estimate
from understudy.teacher.prices import prices_of

AccountOf = Callable[[JudgeSettings], Account]


class Case(NamedTuple):
    """Answers to a prompt as a judge is shown them: two models' in an order, or one's."""

    item: Item
    models: tuple[str, ...]

    def parts(self, protocol: str) -> Parts:
        """What the prompt to a judge is made of."""
        texts = tuple(self.item.answers[model] for model in self.models)
        reference = self.item.reference if protocol in WITH_REFERENCE else None
        return Parts(protocol, self.item.prompt, texts, reference)

    def named(self) -> dict[str, str]:
        """What the row of a judgement begins with."""
        names = ("first", "second") if len(self.models) == 2 else ("model",)
        return {"item": self.item.id, **dict(zip(names, self.models, strict=True))}


def pairs(items: Sequence[Item], models: Sequence[str], baseline: str | None = None) -> list[Case]:
    """Every two models' answers to a prompt, in both orders; with a baseline only those with it.

    Raises:
        UserError: the baseline is none of the models, or no prompt has two answers.
    """
    if baseline is not None and baseline not in models:
        raise UserError(f"judge: no model is called {baseline}; there are {', '.join(models)}")
    chosen = [pair for pair in combinations(models, 2) if baseline is None or baseline in pair]
    cases = [
        Case(item, shown)
        for item in items
        for pair in chosen
        if item.answers.keys() >= set(pair)
        for shown in (pair, pair[::-1])
    ]
    if not cases:
        raise UserError(f"judge: no prompt has answers of two models among {', '.join(models)}")
    return cases


def singles(items: Sequence[Item]) -> list[Case]:
    """Every model's answer to a prompt by itself.

    Raises:
        UserError: there is no answer.
    """
    cases = [Case(item, (model,)) for item in items for model in item.answers]
    if not cases:
        raise UserError("judge: no answer belongs to a prompt")
    return cases


def hear(
    cases: Sequence[Case], settings: JudgeSettings, account: Account, protocol: str
) -> tuple[list[Judgement], dict[str, Any]]:
    """What a judge says of every case, and counts: "judgements" (asked for), "weighted",
    "repaired", "failures" {reason: n} and "cost".

    Raises:
        UserError: see `ask_judge`.
    """
    found, cost = ask_judge(settings, account, [case.parts(protocol) for case in cases])
    failed = (one.failure.partition(":")[0] for one in found if one.failure)
    return found, {
        "judgements": len(found),
        "weighted": sum(one.weighted for one in found),
        "repaired": sum(one.repair is not None and one.failure is None for one in found),
        "failures": dict(Counter(failed)),
        "cost": cost.as_dict(),
    }


def cost_words(
    cases: Sequence[Case],
    judges: Sequence[tuple[JudgeSettings, str]],
    account_of: AccountOf,
) -> str:
    """What asking for what the ledgers do not hold will take, a judge a line; repairs come on top.

    Args:
        cases: what is shown.
        judges: who is asked, and by which protocol.
        account_of: the account that a judge is asked on.
    """
    lines = []
    for settings, protocol in judges:
        asked = requests(settings, [case.parts(protocol) for case in cases])
        prices = prices_of(settings)[1]
        found = estimate(account_of(settings), asked, settings.tokenizer, prices)
        lines.append(f"judge {settings.model}, {protocol}: {found.words()}")
    return "\n".join(lines)
